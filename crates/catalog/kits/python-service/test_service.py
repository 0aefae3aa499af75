"""What {{ name }} answers."""

import json
import os
import socket
import threading
import unittest
import urllib.error
import urllib.request
from unittest import mock

import service


class ServiceTest(unittest.TestCase):
    def setUp(self):
        self.server = service.serve("127.0.0.1", 0)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def get(self, path):
        url = "http://127.0.0.1:" + str(self.server.server_port) + path
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.load(refused)

    def test_it_greets_and_lives(self):
        with mock.patch.dict(os.environ, GREETING="good day"):
            self.assertEqual(self.get("/")[1]["service"], "good day")
        self.assertEqual(self.get("/healthz")[0], 200)
        self.assertEqual(self.get("/elsewhere")[0], 404)

    def test_it_is_ready_when_what_it_needs_answers(self):
        with socket.create_server(("127.0.0.1", 0)) as database:
            url = "postgres://127.0.0.1:" + str(database.getsockname()[1])
            with mock.patch.dict(os.environ, DATABASE_URL=url):
                self.assertEqual(self.get("/readyz"), (200, dict(DATABASE_URL=True)))
        with mock.patch.dict(os.environ, DATABASE_URL=url):
            self.assertEqual(self.get("/readyz"), (503, dict(DATABASE_URL=False)))


if __name__ == "__main__":
    unittest.main()
