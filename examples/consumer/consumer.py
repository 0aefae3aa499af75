#!/usr/bin/env python3
"""A consumer of Towpath's events: copy this directory, and write your own `act`.

It takes signed webhooks, and keeps what every consumer has to:

- It verifies: the signature over the bytes as they came, and that they are not old.
- It takes an event once: the ids of those it took are kept with what it did, in one transaction. Killed
  anywhere, it has done both or neither.
- It keeps order: of each thing the newest event counts, by its place in the log (`seq`). One that comes
  late is taken, and changes nothing.
- It fetches and acts: an event says that something is other than it was. What is so by now it asks the
  platform, where it may: who is in a team, as a service account of a team that `towpath up --keepers` names.

Needs Python 3.9, and nothing else.
"""

import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

# Older than this, or from the future by as much, a request is not what it claims to be.
TOLERANCE = 300
# Towpath sends nothing larger.
LONGEST = 512 * 1024


def is_ours(event):
    """Whether the platform says it. Nobody else may publish types that begin so."""
    return event["type"].startswith("dev.towpath.")


def about(event):
    """What an event is about. Others than the platform call their sources and subjects as they like, `Team/a`
    too: theirs are marked as theirs, by team, and never taken for a thing of the platform, nor of each other."""
    if is_ours(event):
        return event["subject"]
    said = ("outside", event["team"] or "-", event["source"], event.get("subject", ""))
    return " ".join(said).rstrip()


def act(db, event):
    """What is done about an event that is the newest of its subject. It may not do more than write to `db`.

    For what is done elsewhere (an issue, a build): write down here that it is wanted, and have a worker do
    it afterwards with the request's `webhook-id` as its idempotency key, or, better, fetch what is so by then
    and make it so. The request is answered first: there are ten seconds for it.
    """
    db.execute(
        "INSERT INTO board (subject, says) VALUES (?, ?) "
        "ON CONFLICT (subject) DO UPDATE SET says = excluded.says",
        (about(event), event["type"]),
    )
    # Only what the platform says of its own is a reason to do anything with it.
    if not is_ours(event):
        return
    kind, _, name = event["subject"].partition("/")
    if kind == "Team":
        db.execute("INSERT OR IGNORE INTO wanted (team) VALUES (?)", (name,))


SCHEMA = """
CREATE TABLE IF NOT EXISTS taken (id TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS newest (subject TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS board (subject TEXT PRIMARY KEY, says TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS wanted (team TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS members (team TEXT PRIMARY KEY, subjects TEXT NOT NULL);
"""


class Refused(Exception):
    """Why a request is not taken."""


def verify(key, headers, body, now):
    """Raises `Refused` where the request is not from the platform, or not of now."""
    event_id = headers.get("webhook-id", "")
    at = headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(now - int(at)) > TOLERANCE:
        raise Refused("it is not of now")
    signed = f"{event_id}.{at}.".encode() + body
    mine = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    # Several, while a secret is exchanged.
    given = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(mine.encode(), one.encode()) for one in given):
        raise Refused("its signature is not the platform's")


class Platform:
    """What is so by now, as a service account is told it."""

    def __init__(self, server, account, key):
        self.server, self.account, self.key = server.rstrip("/"), account, key

    def ask(self, path, fields=None, token=None):
        body = urllib.parse.urlencode(fields).encode() if fields else None
        request = urllib.request.Request(self.server + path, data=body)
        if token:
            request.add_header("authorization", "Bearer " + token)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def members(self, team):
        """The subjects of those who are in a team; none where there is no such team any more."""
        proof = {
            "grant_type": "client_credentials",
            "client_id": self.account,
            "client_secret": self.key,
        }
        token = self.ask("/oauth/token", proof)["access_token"]
        path = "/v1/platforms/teams/" + urllib.parse.quote(team, safe="") + "/members"
        try:
            answer = self.ask(path, token=token)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        if any(source["state"] == "unavailable" for source in answer["sources"]):
            raise OSError("a source cannot say who is in the team")
        return sorted({one["subject"] for source in answer["sources"] for one in source["members"]})


def keep(consumer, platform):
    """Fetches what is wanted, until it is had: what fails is wanted still."""
    while True:
        consumer.wake.wait(5)
        consumer.wake.clear()
        for team in consumer.wanted():
            try:
                consumer.fetched(team, lambda: platform.members(team))
            except (OSError, ValueError) as error:
                print(f"{team}: {error}", file=sys.stderr, flush=True)


class Consumer:
    """What was taken, in an SQLite database."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.wake = threading.Event()
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.executescript(SCHEMA)

    def take(self, event_id, event):
        """Takes an event: `new`, `late`, or `known`. The same again changes nothing."""
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                outcome = self._take(event_id, event)
                self.db.execute("COMMIT")
                self.wake.set()
                return outcome
            except BaseException:
                self.db.execute("ROLLBACK")
                raise

    def _take(self, event_id, event):
        inserted = self.db.execute(
            "INSERT OR IGNORE INTO taken (id, at) VALUES (?, ?)", (event_id, time.time())
        )
        if inserted.rowcount == 0:
            return "known"
        # Set only where it is newer than what was.
        moved = self.db.execute(
            "INSERT INTO newest (subject, seq) VALUES (?, ?) "
            "ON CONFLICT (subject) DO UPDATE SET seq = excluded.seq WHERE newest.seq < excluded.seq",
            (about(event), event["seq"]),
        )
        if moved.rowcount == 0:
            return "late"
        act(self.db, event)
        return "new"

    def board(self):
        with self.lock:
            return dict(self.db.execute("SELECT subject, says FROM board ORDER BY subject"))

    def wanted(self):
        with self.lock:
            return [team for (team,) in self.db.execute("SELECT team FROM wanted")]

    def fetched(self, team, fetch):
        """Keeps what `fetch` gives. What is wanted meanwhile is fetched once more."""
        with self.lock:
            self.db.execute("DELETE FROM wanted WHERE team = ?", (team,))
        try:
            subjects = fetch()
        except BaseException:
            with self.lock:
                self.db.execute("INSERT OR IGNORE INTO wanted (team) VALUES (?)", (team,))
            raise
        with self.lock:
            if subjects is None:
                self.db.execute("DELETE FROM members WHERE team = ?", (team,))
            else:
                self.db.execute(
                    "INSERT OR REPLACE INTO members (team, subjects) VALUES (?, ?)",
                    (team, json.dumps(subjects)),
                )

    def members(self):
        with self.lock:
            all_of = self.db.execute("SELECT team, subjects FROM members ORDER BY team")
            return {team: json.loads(subjects) for team, subjects in all_of}


def handler(consumer, key):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            try:
                body = self.body()
                verify(key, self.headers, body, time.time())
                event = json.loads(body)
            except Refused as refused:
                self.answer(401, {"error": str(refused)})
                return
            except ValueError:
                self.answer(400, {"error": "it is no event"})
                return
            # Only what is committed is answered: anything else is sent again.
            outcome = consumer.take(self.headers["webhook-id"], event)
            self.answer(200, {"outcome": outcome})

        def do_GET(self):
            self.answer(200, consumer.members() if self.path == "/members" else consumer.board())

        def body(self):
            length = self.headers.get("content-length", "")
            if not length.isdigit() or int(length) > LONGEST:
                raise ValueError("its length is not known, or too much")
            return self.rfile.read(int(length))

        def answer(self, status, what):
            text = json.dumps(what).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments):
            pass

    return Handler


def main():
    arguments = argparse.ArgumentParser(description="A consumer of Towpath's events.")
    # A platform says by variables what its workloads are given.
    arguments.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"))
    port = int(os.environ.get("PORT", "9000"))
    arguments.add_argument("--port", type=int, default=port, help="0 for any that is free")
    arguments.add_argument("--database", default=os.environ.get("DATABASE", "consumer.db"))
    given = arguments.parse_args()
    secret = os.environ.get("WEBHOOK_SECRET", "")
    if not secret.startswith("whsec_"):
        sys.exit("set WEBHOOK_SECRET to the subscription's secret: whsec_...")
    key = base64.b64decode(secret[len("whsec_") :])
    consumer = Consumer(given.database)
    names = ("TOWPATH_SERVER", "TOWPATH_ACCOUNT", "TOWPATH_KEY")
    if all(os.environ.get(name) for name in names):
        platform = Platform(*(os.environ[name] for name in names))
        threading.Thread(target=keep, args=(consumer, platform), daemon=True).start()
    server = http.server.ThreadingHTTPServer((given.host, given.port), handler(consumer, key))
    print(f"listening on http://{given.host}:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
