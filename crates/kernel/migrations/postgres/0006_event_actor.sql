-- What somebody did is read by those who look into it, from the beginning.
CREATE INDEX event_actor ON event (actor, seq);
