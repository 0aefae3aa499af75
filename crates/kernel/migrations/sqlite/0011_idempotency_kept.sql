-- Of each caller the newest answers are kept, and older ones are found by it.
CREATE INDEX idempotency_kept ON idempotency (caller, expires) WHERE sealed IS NOT NULL;
