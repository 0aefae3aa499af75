"""What {{ name }} takes, and what it does not."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import consumer

KEY = os.urandom(32)


class ConsumerTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.taking = consumer.Consumer(os.path.join(directory.name, "consumer.db"))
        self.addCleanup(self.taking.db.close)
        handler = consumer.handler(self.taking, KEY)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = "http://127.0.0.1:" + str(self.server.server_port) + "/"

    def send(self, event_id, seq, key=KEY, at=None, **says):
        event = dict(type="dev.towpath.thing.moved-" + str(seq), subject="Thing/x", seq=seq)
        event.update(says)
        body = json.dumps(event).encode()
        at = str(int(time.time() if at is None else at))
        signed = ".".join([event_id, at, ""]).encode() + body
        signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        headers = dict([("webhook-id", event_id), ("webhook-timestamp", at)])
        headers["webhook-signature"] = "v1," + signature
        request = urllib.request.Request(self.url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)["outcome"]
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code

    def test_each_event_is_taken_once_and_the_newest_counts(self):
        self.assertEqual(self.send("b", 2), "new")
        self.assertEqual(self.send("b", 2), "known")
        self.assertEqual(self.send("a", 1), "late")
        with urllib.request.urlopen(self.url) as board:
            self.assertEqual(json.load(board), dict([("Thing/x", "dev.towpath.thing.moved-2")]))

    def test_what_others_say_is_never_taken_for_the_platforms(self):
        said = dict(type="com.example.scanned", source="Team/payments", team="shop")
        self.assertEqual(self.send("a", 9, subject="", **said), "new")
        self.assertEqual(self.send("b", 1, subject="Team/payments"), "new")
        self.assertEqual(self.send("c", 10, subject="Team/payments", **said), "new")
        with urllib.request.urlopen(self.url) as board:
            ours = dict([("Team/payments", "dev.towpath.thing.moved-1")])
            for key in ("outside shop Team/payments", "outside shop Team/payments Team/payments"):
                ours[key] = "com.example.scanned"
            self.assertEqual(json.load(board), ours)
        self.assertEqual(self.taking.wanted(), ["payments"])
        self.assertEqual(self.send("d", 11, subject="Team/other", **said), "new")
        self.assertEqual(self.taking.wanted(), ["payments"])

    def test_what_is_not_from_the_platform_or_not_of_now_is_refused(self):
        self.assertEqual(self.send("a", 1, key=os.urandom(32)), 401)
        self.assertEqual(self.send("a", 1, at=time.time() - 3600), 401)


if __name__ == "__main__":
    unittest.main()
