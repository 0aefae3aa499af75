-- Short-lived state that replicas share. `expires` is milliseconds since 1970.

CREATE TABLE record (
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    sealed  BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_expires ON record (expires);
