-- Times are RFC 3339 text, lease times milliseconds since 1970, JSON is text: the same on Postgres.

CREATE TABLE platform (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE resource (
    kind       TEXT NOT NULL,
    scope      TEXT NOT NULL,
    name       TEXT NOT NULL,
    uid        TEXT NOT NULL UNIQUE,
    revision   INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    labels     TEXT NOT NULL,
    spec       TEXT NOT NULL,
    status     TEXT NOT NULL,
    created    TEXT NOT NULL,
    updated    TEXT NOT NULL,
    deleting   TEXT,
    PRIMARY KEY (kind, scope, name)
) STRICT;

-- What `resource.labels` says, for selection. Written with it, in the same transaction.
CREATE TABLE resource_label (
    uid   TEXT NOT NULL REFERENCES resource (uid) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (uid, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX resource_label_value ON resource_label (name, value);

CREATE TABLE event (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL,
    time        TEXT NOT NULL,
    type        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    team        TEXT NOT NULL,
    correlation TEXT NOT NULL,
    actor       TEXT NOT NULL,
    outcome     TEXT,
    data        TEXT NOT NULL
) STRICT;
CREATE INDEX event_subject ON event (subject, seq);
CREATE INDEX event_correlation ON event (correlation, seq);

CREATE TRIGGER event_keeps_rows BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;
CREATE TRIGGER event_keeps_content BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'the event log is append-only'); END;

CREATE TABLE secret (
    owner  TEXT NOT NULL,
    name   TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
    name    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE cursor (
    consumer TEXT PRIMARY KEY,
    seq      INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency (
    caller  TEXT NOT NULL,
    name    TEXT NOT NULL,
    digest  BLOB NOT NULL,
    status  INTEGER,
    sealed  BLOB,
    expires INTEGER NOT NULL,
    PRIMARY KEY (caller, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expires ON idempotency (expires);
