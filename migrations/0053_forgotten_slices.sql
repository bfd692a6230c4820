-- A worker forgets a budget that it has not used for a while, and begins from zero when it is used again. Its
-- slice of before must not be taken for the beginning of the new one: what was booked on it would be granted
-- a second time. It is set aside (started_ms below zero: of no process, but before any that follows) until
-- its last records are booked, and the worker gets another.
CREATE OR REPLACE FUNCTION headgate_budget_lease(
    c_budget text, c_subject text, c_period text, c_zone text, c_unit text, c_amount bigint,
    c_thresholds integer[], c_node text, c_slot integer, c_started bigint, c_sequence bigint,
    c_slice bigint, c_has bigint, c_used bigint, c_wants bigint, c_need bigint, c_parts integer,
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
    least_more bigint;
    most_more bigint;
BEGIN
    r_limit := c_amount + headgate_budget_extra(c_budget);
    INSERT INTO budget_periods (budget, subject, period_start, period_end, unit, amount, thresholds)
        VALUES (c_budget, c_subject, began, ends, c_unit, c_amount, c_thresholds)
        ON CONFLICT (budget, subject, period_start) DO UPDATE
            SET amount = c_amount, unit = c_unit, thresholds = c_thresholds, period_end = ends
        RETURNING * INTO p;
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
        UPDATE budget_slices SET granted = s.booked + kept, started_ms = -s.id WHERE id = s.id;
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
    least_more := greatest(0, c_need - greatest(0, has - greatest(c_used, s.booked)));
    most_more := greatest(least_more, c_wants - greatest(has, s.booked));
    UPDATE budget_periods b SET
        granted = CASE
            WHEN r_limit - b.spent - (b.held - outstanding + kept) < least_more THEN 0
            ELSE least(most_more, r_limit - b.spent - (b.held - outstanding + kept),
                greatest(least_more, (r_limit - b.spent - (b.held - outstanding + kept)) / c_parts)) END,
        held = b.held - outstanding + kept + CASE
            WHEN r_limit - b.spent - (b.held - outstanding + kept) < least_more THEN 0
            ELSE greatest(0, least(most_more, r_limit - b.spent - (b.held - outstanding + kept),
                greatest(least_more, (r_limit - b.spent - (b.held - outstanding + kept)) / c_parts))) END
        WHERE (budget, subject, period_start) = (c_budget, c_subject, began)
        RETURNING * INTO p;
    p.granted := greatest(0, p.granted);
    UPDATE budget_slices SET granted = greatest(has, s.booked) + p.granted, used = c_used,
            sequence = c_sequence, seen_at = clock_timestamp()
        WHERE id = s.id;
    r_slice := s.id;
    r_share := greatest(has, s.booked) + p.granted;
    r_left := r_limit - p.spent - p.held;
    r_elsewhere := p.held - kept - p.granted;
    r_period_left_ms := CASE WHEN ends IS NULL THEN 0
        ELSE greatest(1, floor(extract(epoch FROM ends - clock_timestamp()) * 1000))::bigint END;
END
$$;

CREATE OR REPLACE FUNCTION headgate_budget_book(d_budget text, d_subject text, d_slice bigint, d_at timestamptz,
    d_amount bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    p budget_periods;
    s budget_slices;
    began timestamptz;
    body jsonb;
    released bigint := 0;
    total bigint;
BEGIN
    SELECT period_start INTO began FROM budget_slices WHERE id = d_slice;
    IF began IS NULL THEN
        SELECT c.body INTO body FROM config_items c WHERE kind = 'budgets' AND name = d_budget;
        IF body IS NULL THEN
            RETURN; -- deleted meanwhile: nothing counts it
        END IF;
        began := headgate_period_start(body ->> 'period', coalesce(body ->> 'time_zone', 'UTC'), d_at);
        INSERT INTO budget_periods (budget, subject, period_start, period_end, unit, amount)
            VALUES (d_budget, d_subject, began,
                headgate_period_end(body ->> 'period', coalesce(body ->> 'time_zone', 'UTC'), d_at),
                CASE WHEN body ? 'limit_tokens' THEN 'tokens' ELSE 'usd' END,
                coalesce((body ->> 'limit_tokens')::bigint, ((body ->> 'limit_usd')::numeric * 1e9)::bigint))
            ON CONFLICT DO NOTHING;
    END IF;
    SELECT * INTO p FROM budget_periods
        WHERE (budget, subject, period_start) = (d_budget, d_subject, began) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO s FROM budget_slices WHERE id = d_slice;
    IF FOUND THEN
        released := least(d_amount, greatest(0, s.granted - s.booked));
        UPDATE budget_slices SET booked = booked + d_amount WHERE id = d_slice;
        DELETE FROM budget_slices WHERE id = d_slice AND started_ms < 0 AND booked >= granted;
    END IF;
    UPDATE budget_periods SET spent = spent + d_amount, held = held - released
        WHERE (budget, subject, period_start) = (d_budget, d_subject, began);
    total := p.amount + headgate_budget_extra(d_budget);
    INSERT INTO budget_crossings (budget, subject, period_start, percent, spent, amount)
        SELECT d_budget, d_subject, began, t, p.spent + d_amount, total FROM unnest(p.thresholds) t
        WHERE p.spent + d_amount >= total::numeric * t / 100
        ON CONFLICT DO NOTHING;
END
$$;
