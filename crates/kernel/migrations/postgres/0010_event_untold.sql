-- As event_append, which stays for replicas of an earlier version, but it tells nobody: a notification within the
-- transaction made each append wait for the database's one queue of them. The platform tells after the commit.
CREATE FUNCTION event_append_untold(
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
    RETURN head + cardinality(ids);
END
$$;

-- The same for one event, as most are: building rows from arrays takes as long as all the rest of it.
CREATE FUNCTION event_append_one(
    happened TEXT, id TEXT, type TEXT, subject TEXT, team TEXT, correlation TEXT, actor TEXT,
    came TEXT, why TEXT, outcome TEXT, content TEXT
) RETURNS BIGINT LANGUAGE plpgsql AS
$$
DECLARE
    head BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock(7311867010);
    SELECT COALESCE(MAX(event.seq), 0) + 1 INTO head FROM event;
    INSERT INTO event (seq, id, time, type, subject, team, correlation, actor, means, reason, outcome,
                       data)
    VALUES (head, event_append_one.id, happened, event_append_one.type, event_append_one.subject,
            event_append_one.team, event_append_one.correlation, event_append_one.actor, came, why,
            event_append_one.outcome, content);
    RETURN head;
END
$$;
