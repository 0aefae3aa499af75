-- What somebody outside has published keeps its publisher's source, id and time; `id` and `time` are the
-- platform's own, as of all events. `attributes` is JSON. NULL: the platform's own event.
ALTER TABLE event ADD COLUMN source TEXT;
ALTER TABLE event ADD COLUMN source_id TEXT;
ALTER TABLE event ADD COLUMN happened TEXT;
ALTER TABLE event ADD COLUMN attributes TEXT;

-- An event that is sent again is found. That each is there once is kept by the lock of all that write: a name
-- may be another team's later, which has not published what the former one did.
CREATE INDEX event_source ON event (source, source_id, team) WHERE source IS NOT NULL;
