-- What happened to a team is read by its members, from the beginning.
CREATE INDEX event_team ON event (team, seq);
