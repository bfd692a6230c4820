-- A worker is granted what all of its waiting requests need, where there is as much, and not only what lets the first
-- of them go on: a crowd on one worker waited one round trip for each, and some of them longer than they may.
--
-- A claim that its leader has heard may come to be answered after its process was killed, the next one of its slot
-- was heard (which is written down first) and all that the dead one held was given back: it would be granted a
-- slice that nobody gives back for a day. It is granted nothing.

DROP FUNCTION headgate_budget_lease(text, text, text, text, text, bigint, integer[], text, integer, bigint, bigint,
    bigint, bigint, bigint, bigint, bigint, integer);

-- c_need: the least that lets one go on; c_waiting: what all of them need (0: not said, by an earlier version).
CREATE FUNCTION headgate_budget_lease(
    c_budget text, c_subject text, c_period text, c_zone text, c_unit text, c_amount bigint,
    c_thresholds integer[], c_node text, c_slot integer, c_started bigint, c_sequence bigint,
    c_slice bigint, c_has bigint, c_used bigint, c_wants bigint, c_need bigint, c_parts integer,
    c_waiting bigint DEFAULT 0,
    OUT r_slice bigint, OUT r_share bigint, OUT r_limit bigint, OUT r_left bigint,
    OUT r_elsewhere bigint, OUT r_period_left_ms bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := headgate_period_start(c_period, c_zone, clock_timestamp());
    ends timestamptz := headgate_period_end(c_period, c_zone, clock_timestamp());
    p budget_periods;
    s budget_slices;
    has bigint := 0;
    outstanding bigint := 0; -- of this slice, before
    kept bigint;             -- of it, as the worker says
    ready bigint;            -- of that, what it has not used
    room bigint;             -- left of the budget
    least_more bigint;
    most_more bigint;
    more bigint := 0;
BEGIN
    r_limit := c_amount + headgate_budget_extra(c_budget);
    INSERT INTO budget_periods AS b (budget, subject, period_start, period_end, unit, amount, thresholds)
        VALUES (c_budget, c_subject, began, ends, c_unit, c_amount, c_thresholds)
        ON CONFLICT (budget, subject, period_start) DO UPDATE -- locks it, and writes only what is new
            SET amount = c_amount, unit = c_unit, thresholds = c_thresholds, period_end = ends
            WHERE (b.amount, b.unit, b.thresholds, b.period_end)
                IS DISTINCT FROM (c_amount, c_unit, c_thresholds, ends);
    -- Under the lock: what the dead one held may have gone back while this claim waited for it.
    IF EXISTS (SELECT FROM lease_holders WHERE node = c_node AND slot = c_slot AND started_ms > c_started) THEN
        RETURN; -- r_slice is NULL: as overtaken
    END IF;
    SELECT * INTO s FROM budget_slices WHERE (budget, subject, period_start, node, slot, started_ms)
        = (c_budget, c_subject, began, c_node, c_slot, c_started);
    IF NOT FOUND THEN
        INSERT INTO budget_slices (budget, subject, period_start, node, slot, started_ms, sequence)
            VALUES (c_budget, c_subject, began, c_node, c_slot, c_started, c_sequence) RETURNING * INTO s;
    ELSIF s.sequence >= c_sequence THEN
        r_slice := NULL; -- overtaken by a later claim of the same process
        RETURN;
    ELSIF c_slice <> s.id AND (s.used > 0 OR s.booked > 0) THEN
        -- Forgotten: the worker has said how much it used of it, and counts from zero again.
        kept := greatest(0, s.used - s.booked);
        UPDATE budget_periods SET held = held - greatest(0, s.granted - s.booked) + kept
            WHERE (budget, subject, period_start) = (c_budget, c_subject, began);
        UPDATE budget_slices SET granted = s.booked + kept, started_ms = -s.id, sequence = s.started_ms
            WHERE id = s.id;
        DELETE FROM budget_slices WHERE id = s.id AND kept = 0;
        INSERT INTO budget_slices (budget, subject, period_start, node, slot, started_ms, sequence)
            VALUES (c_budget, c_subject, began, c_node, c_slot, c_started, c_sequence) RETURNING * INTO s;
    ELSE
        outstanding := greatest(0, s.granted - s.booked);
    END IF;
    -- A claim of another slice (the last period's, or none) has nothing of this one.
    IF c_slice = s.id THEN
        has := greatest(least(c_has, s.granted), c_used); -- what went beyond it is held too
    ELSE
        c_wants := greatest(0, c_wants - c_used);
        c_used := 0;
    END IF;
    kept := greatest(0, has - s.booked);
    ready := greatest(0, has - greatest(c_used, s.booked));
    least_more := greatest(0, c_need - ready);
    most_more := greatest(least_more, c_wants - greatest(has, s.booked));
    SELECT * INTO p FROM budget_periods WHERE (budget, subject, period_start) = (c_budget, c_subject, began);
    room := r_limit - p.spent - (p.held - outstanding + kept);
    IF room >= least_more THEN
        more := greatest(0, least(most_more, room, greatest(least_more, c_waiting - ready, room / c_parts)));
    END IF;
    UPDATE budget_periods SET held = held - outstanding + kept + more
        WHERE (budget, subject, period_start) = (c_budget, c_subject, began);
    UPDATE budget_slices SET granted = greatest(has, s.booked) + more, used = c_used,
            sequence = c_sequence, seen_at = CASE WHEN s.seen_at > clock_timestamp() - interval '1 hour'
                THEN s.seen_at ELSE clock_timestamp() END
        WHERE id = s.id;
    r_slice := s.id;
    r_share := greatest(has, s.booked) + more;
    r_left := room - more;
    r_elsewhere := p.held - outstanding;
    r_period_left_ms := CASE WHEN ends IS NULL THEN 0
        ELSE greatest(1, floor(extract(epoch FROM ends - clock_timestamp()) * 1000))::bigint END;
END
$$;

ALTER TABLE budget_periods DROP COLUMN granted;
