-- Three ways in which what is given back and what is granted at the same moment could miss each other; all found by
-- the model of tests/model/budgets.py.
--
-- A slice that nobody has spoken of for 26 hours was given back although its worker spoke of it again in that very
-- moment, after it was looked for and before its budget was locked: what it was granted then was held no more, and
-- another could have the same. Whether it is silent still is asked again under the lock.
--
-- A claim that was being answered when its process died, and whose first slice was not committed when all that the
-- dead one held was looked for, kept its slice for 26 hours. Claims share a lock of their slot (of two numbers, so
-- apart from those of one), and who gives back has it alone: it waits for them, and they find out that they are dead.
--
-- And when the next process had left in order, nothing said any more that the one before it is dead: a claim of it
-- that was still to be answered was granted a slice likewise. Who has left stays written down, for a day.

ALTER TABLE lease_holders ADD COLUMN has_left boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION headgate_budget_lease(
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
    -- Of one that is dead or has left, all that it held may have gone back while this claim waited. What is granted
    -- before that is committed before it is looked for.
    PERFORM pg_advisory_xact_lock_shared(hashtext(c_node), c_slot);
    IF EXISTS (SELECT FROM lease_holders WHERE node = c_node AND slot = c_slot
            AND (started_ms > c_started OR (started_ms = c_started AND has_left))) THEN
        RETURN; -- r_slice is NULL: as overtaken
    END IF;
    r_limit := c_amount + headgate_budget_extra(c_budget);
    INSERT INTO budget_periods AS b (budget, subject, period_start, period_end, unit, amount, thresholds)
        VALUES (c_budget, c_subject, began, ends, c_unit, c_amount, c_thresholds)
        ON CONFLICT (budget, subject, period_start) DO UPDATE -- locks it, and writes only what is new
            SET amount = c_amount, unit = c_unit, thresholds = c_thresholds, period_end = ends
            WHERE (b.amount, b.unit, b.thresholds, b.period_end)
                IS DISTINCT FROM (c_amount, c_unit, c_thresholds, ends);
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

-- Gives back what these slices hold beyond what is booked on them, and forgets them; but for those that were heard
-- since they were looked for.
DROP FUNCTION headgate_budget_give_back(bigint[]);
CREATE FUNCTION headgate_budget_give_back(ids bigint[], silent_since timestamptz) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    s budget_slices;
BEGIN
    -- in the order in which claims lock
    FOR s IN SELECT * FROM budget_slices WHERE id = ANY (ids) ORDER BY budget, subject, period_start, id
    LOOP
        PERFORM FROM budget_periods WHERE (budget, subject, period_start)
            = (s.budget, s.subject, s.period_start) FOR UPDATE;
        SELECT * INTO s FROM budget_slices WHERE id = s.id AND seen_at < silent_since;
        IF FOUND THEN
            UPDATE budget_periods SET held = held - greatest(0, s.granted - s.booked)
                WHERE (budget, subject, period_start) = (s.budget, s.subject, s.period_start);
            DELETE FROM budget_slices WHERE id = s.id;
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION headgate_budget_release(of_node text, of_slot integer, before_ms bigint,
    most integer) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    ids bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext(of_node), of_slot);
    ids := ARRAY(SELECT id FROM budget_slices
        WHERE node = of_node AND slot = of_slot AND started_ms < before_ms
            AND (started_ms >= 0 OR sequence < before_ms) ORDER BY started_ms DESC LIMIT most);
    PERFORM headgate_budget_give_back(ids, 'infinity');
    RETURN cardinality(ids);
END
$$;

CREATE OR REPLACE FUNCTION headgate_budget_release_lost(most integer) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := now() - interval '26 hours';
    ids bigint[] := ARRAY(SELECT id FROM budget_slices WHERE seen_at < since ORDER BY seen_at LIMIT most);
BEGIN
    PERFORM headgate_budget_give_back(ids, since);
    RETURN cardinality(ids);
END
$$;
