-- Short-lived state that replicas share. `expires` is milliseconds since 1970.

CREATE TABLE record (
    kind    TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    sealed  BYTEA NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE INDEX record_expires ON record (expires);
