-- Which run of a request holds a key, and when it last committed something: written with what it committed,
-- so that what became of a request whose answer was lost is known.
ALTER TABLE idempotency ADD COLUMN run BIGINT NOT NULL DEFAULT 0;
ALTER TABLE idempotency ADD COLUMN worked BIGINT;
