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
        taking = consumer.Consumer(os.path.join(directory.name, "consumer.db"))
        self.addCleanup(taking.db.close)
        handler = consumer.handler(taking, KEY)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = "http://127.0.0.1:" + str(self.server.server_port) + "/"

    def send(self, event_id, seq, key=KEY, at=None):
        event = dict(type="thing.moved-" + str(seq), subject="Thing/x", seq=seq)
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
            self.assertEqual(json.load(board), dict([("Thing/x", "thing.moved-2")]))

    def test_what_is_not_from_the_platform_or_not_of_now_is_refused(self):
        self.assertEqual(self.send("a", 1, key=os.urandom(32)), 401)
        self.assertEqual(self.send("a", 1, at=time.time() - 3600), 401)


if __name__ == "__main__":
    unittest.main()
