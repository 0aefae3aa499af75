-- Events and nothing else, in one message: a transaction of statements would cost a round trip each.
-- Takes the lock of all that write (see `Connection::begin`), gives the newest event's place in the log.

CREATE FUNCTION event_append(
    happened TEXT, ids TEXT[], types TEXT[], subjects TEXT[], teams TEXT[], correlations TEXT[],
    actors TEXT[], outcomes TEXT[], contents TEXT[]
) RETURNS BIGINT LANGUAGE plpgsql AS
$$
DECLARE
    head BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock(7311867010);
    -- After the lock, a statement of its own: it sees what was committed before.
    SELECT COALESCE(MAX(seq), 0) INTO head FROM event;
    INSERT INTO event (seq, id, time, type, subject, team, correlation, actor, outcome, data)
    SELECT head + place, line.id, happened, line.type, line.subject, line.team, line.correlation,
           line.actor, line.outcome, line.content
    FROM unnest(ids, types, subjects, teams, correlations, actors, outcomes, contents)
        WITH ORDINALITY AS line (id, type, subject, team, correlation, actor, outcome, content, place);
    PERFORM pg_notify('towpath_event', '');
    RETURN head + cardinality(ids);
END
$$;
