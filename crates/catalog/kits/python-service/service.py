#!/usr/bin/env python3
"""{{ name }}: answers on PORT, and says whether what it needs answers."""

import json
import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What the platform may give it: see score.yaml.
NEEDS = ["DATABASE_URL", "MYSQL_URL", "REDIS_URL", "AMQP_URL", "S3_ENDPOINT"]
PORTS = dict(postgres=5432, postgresql=5432, mysql=3306, redis=6379, amqp=5672, http=80, https=443)


def answers(url):
    """Whether the server of `url` takes a connection."""
    at = urlsplit(url)
    try:
        socket.create_connection((at.hostname, at.port or PORTS[at.scheme]), timeout=2).close()
        return True
    except (OSError, KeyError):
        return False


def needs():
    """What it needs, each with whether it answers."""
    return dict((name, answers(os.environ[name])) for name in NEEDS if os.environ.get(name))


class Handler(BaseHTTPRequestHandler):
    """Your work begins here."""

    def do_GET(self):
        if self.path == "/":
            greeting = os.environ.get("GREETING", "hello")
            self.answer(200, dict(service=greeting, needs=needs()))
        elif self.path == "/healthz":
            self.answer(200, dict(status="ok"))
        elif self.path == "/readyz":
            found = needs()
            self.answer(200 if all(found.values()) else 503, found)
        else:
            self.answer(404, dict(error="there is nothing at " + self.path))

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def serve(host, port):
    """A server at that address; it serves once its `serve_forever` is called."""
    return ThreadingHTTPServer((host, port), Handler)


def main():
    server = serve(os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
    # What is asked to end finishes what is under way.
    stop = threading.Thread(target=server.shutdown)
    signal.signal(signal.SIGTERM, lambda *_: stop.start())
    print("listening on port", server.server_port, flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
