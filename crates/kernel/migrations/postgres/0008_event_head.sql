-- What is told of new events says how far the log goes: whoever hears it need not ask.
CREATE OR REPLACE FUNCTION event_append(
    happened TEXT, ids TEXT[], types TEXT[], subjects TEXT[], teams TEXT[], correlations TEXT[],
    actors TEXT[], means TEXT[], reasons TEXT[], outcomes TEXT[], contents TEXT[]
) RETURNS BIGINT LANGUAGE plpgsql AS
$$
DECLARE
    head BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock(7311867010);
    -- After the lock, a statement of its own: it sees what was committed before.
    SELECT COALESCE(MAX(seq), 0) INTO head FROM event;
    INSERT INTO event (seq, id, time, type, subject, team, correlation, actor, means, reason,
                       outcome, data)
    SELECT head + place, line.id, happened, line.type, line.subject, line.team, line.correlation,
           line.actor, line.came, line.why, line.outcome, line.content
    FROM unnest(ids, types, subjects, teams, correlations, actors, means, reasons, outcomes, contents)
        WITH ORDINALITY AS line (id, type, subject, team, correlation, actor, came, why, outcome,
                                 content, place);
    head := head + cardinality(ids);
    PERFORM pg_notify('towpath_event', head::TEXT);
    RETURN head;
END
$$;
