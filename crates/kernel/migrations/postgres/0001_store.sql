-- Times are RFC 3339 text, lease times milliseconds since 1970, JSON is text: the same on SQLite.
-- Names sort by byte (COLLATE "C"), as on SQLite, so that pages are in the same order on both.

CREATE TABLE platform (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE resource (
    kind       TEXT COLLATE "C" NOT NULL,
    scope      TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    uid        TEXT COLLATE "C" NOT NULL UNIQUE,
    revision   BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    labels     TEXT NOT NULL,
    spec       TEXT NOT NULL,
    status     TEXT NOT NULL,
    created    TEXT NOT NULL,
    updated    TEXT NOT NULL,
    deleting   TEXT,
    PRIMARY KEY (kind, scope, name)
);

-- What `resource.labels` says, for selection. Written with it, in the same transaction.
CREATE TABLE resource_label (
    uid   TEXT COLLATE "C" NOT NULL REFERENCES resource (uid) ON DELETE CASCADE,
    name  TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (uid, name)
);
CREATE INDEX resource_label_value ON resource_label (name, value);

CREATE TABLE event (
    seq         BIGINT PRIMARY KEY,
    id          TEXT NOT NULL,
    time        TEXT NOT NULL,
    type        TEXT COLLATE "C" NOT NULL,
    subject     TEXT COLLATE "C" NOT NULL,
    team        TEXT COLLATE "C" NOT NULL,
    correlation TEXT COLLATE "C" NOT NULL,
    actor       TEXT NOT NULL,
    outcome     TEXT,
    data        TEXT NOT NULL
);
CREATE INDEX event_subject ON event (subject, seq);
CREATE INDEX event_correlation ON event (correlation, seq);

CREATE FUNCTION event_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the event log is append-only'; END $$;
CREATE TRIGGER event_keeps_rows BEFORE DELETE OR UPDATE OR TRUNCATE ON event
FOR EACH STATEMENT EXECUTE FUNCTION event_is_append_only();

CREATE TABLE secret (
    owner  TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (owner, name)
);

CREATE TABLE lease (
    name    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL,
    epoch   BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

CREATE TABLE cursor (
    consumer TEXT PRIMARY KEY,
    seq      BIGINT NOT NULL
);

CREATE TABLE idempotency (
    caller  TEXT NOT NULL,
    name    TEXT NOT NULL,
    digest  BYTEA NOT NULL,
    status  BIGINT,
    sealed  BYTEA,
    expires BIGINT NOT NULL,
    PRIMARY KEY (caller, name)
);
CREATE INDEX idempotency_expires ON idempotency (expires);
