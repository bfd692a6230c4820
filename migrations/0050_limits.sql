-- Budgets: how each stands in each of its periods, what workers hold of it, who overrode it. Amounts are
-- nanodollars or tokens, as the budget counts.

-- When a period that holds t began, and when it ends; NULL: never.
CREATE FUNCTION headgate_period_start(period text, zone text, t timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    RETURN CASE period
        WHEN 'lifetime' THEN to_timestamp(0)
        WHEN 'hour' THEN date_trunc('hour', t) -- of UTC: a local hour may come twice
        ELSE date_trunc(period, t AT TIME ZONE zone) AT TIME ZONE zone END;
CREATE FUNCTION headgate_period_end(period text, zone text, t timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    RETURN CASE period
        WHEN 'lifetime' THEN NULL
        WHEN 'hour' THEN date_trunc('hour', t) + interval '1 hour'
        ELSE (date_trunc(period, t AT TIME ZONE zone) + ('1 ' || period)::interval) AT TIME ZONE zone END;

-- spent: booked from usage records, in their transaction. held: granted to workers and not booked yet.
CREATE TABLE budget_periods (
    budget       text        NOT NULL,
    subject      text        NOT NULL, -- of `per`; '' without
    period_start timestamptz NOT NULL,
    period_end   timestamptz,
    unit         text        NOT NULL CHECK (unit IN ('usd', 'tokens')),
    amount       bigint      NOT NULL, -- the limit as it was last asked for, without overrides
    spent        bigint      NOT NULL DEFAULT 0,
    held         bigint      NOT NULL DEFAULT 0 CHECK (held >= 0),
    granted      bigint      NOT NULL DEFAULT 0, -- by the last lease
    thresholds   integer[]   NOT NULL DEFAULT '{}',
    PRIMARY KEY (budget, subject, period_start)
);

-- What one worker process holds: granted in all, of which booked is spent already.
CREATE TABLE budget_slices (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    budget       text        NOT NULL,
    subject      text        NOT NULL,
    period_start timestamptz NOT NULL,
    node         text        NOT NULL,
    slot         integer     NOT NULL,
    started_ms   bigint      NOT NULL, -- of the process
    sequence     bigint      NOT NULL, -- of the claim that was heard last
    granted      bigint      NOT NULL DEFAULT 0,
    used         bigint      NOT NULL DEFAULT 0, -- as the worker said
    booked       bigint      NOT NULL DEFAULT 0,
    seen_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (budget, subject, period_start, node, slot, started_ms)
);
CREATE INDEX budget_slices_holder ON budget_slices (node, slot);

-- More for a while. Never deleted: who allowed what stays to be read (and is in the audit log).
CREATE TABLE budget_overrides (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    budget     text        NOT NULL,
    amount     bigint      NOT NULL CHECK (amount > 0),
    until      timestamptz NOT NULL,
    reason     text        NOT NULL,
    actor      text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX budget_overrides_budget ON budget_overrides (budget, until);

-- Each crossing once, with the booking that crossed it: what alerts are sent from.
CREATE TABLE budget_crossings (
    budget       text        NOT NULL,
    subject      text        NOT NULL,
    period_start timestamptz NOT NULL,
    percent      integer     NOT NULL,
    spent        bigint      NOT NULL,
    amount       bigint      NOT NULL,
    crossed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (budget, subject, period_start, percent)
);

-- Worker processes that the leader of leases has granted something: a new leader waits for each of them
-- to speak, or for its leases to run out. It also fences: a leader of a lower epoch grants no more.
CREATE SEQUENCE lease_epoch;
CREATE TABLE lease_holders (
    node       text        NOT NULL,
    slot       integer     NOT NULL,
    started_ms bigint      NOT NULL,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node, slot, started_ms)
);

-- An amount for people: dollars as a decimal text, at least two digits; tokens as a number.
CREATE FUNCTION headgate_amount(unit text, amount bigint) RETURNS jsonb
    LANGUAGE sql IMMUTABLE STRICT
    RETURN CASE WHEN unit <> 'usd' THEN to_jsonb(amount)
        WHEN scale(trim_scale(amount / 1000000000::numeric)) < 2
            THEN to_jsonb(round(amount / 1000000000::numeric, 2)::text)
        ELSE to_jsonb(trim_scale(amount / 1000000000::numeric)::text) END;

CREATE FUNCTION headgate_budget_extra(of_budget text) RETURNS bigint
    LANGUAGE sql STABLE STRICT
    RETURN (SELECT coalesce(sum(amount), 0)::bigint FROM budget_overrides
            WHERE budget = of_budget AND until > now());

-- One worker's claim to one budget. Locks the period's row, so claims to it and bookings on it come one
-- after another; the one UPDATE that grants takes from what is left and cannot take more. The slice
-- follows the claim: what the worker says it has is what it has (it uses no more), then the grant.
CREATE FUNCTION headgate_budget_lease(
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

-- Books what attempts drew, in the transaction of their records. slice 0: none was leased; then the
-- budget's row of that moment.
CREATE FUNCTION headgate_budget_book(d_budget text, d_subject text, d_slice bigint, d_at timestamptz,
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

-- Gives back what slices hold beyond what is booked on them: of earlier processes of a slot whose records
-- are all in, or of those that were not heard of for longer than a slice lives.
CREATE FUNCTION headgate_budget_release(of_node text, of_slot integer, before_ms bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    s budget_slices;
    n bigint := 0;
BEGIN
    FOR s IN SELECT * FROM budget_slices
        WHERE CASE WHEN of_node IS NULL THEN seen_at < now() - interval '25 hours'
            ELSE node = of_node AND slot = of_slot AND started_ms < before_ms END
        ORDER BY budget, subject, period_start, id
    LOOP
        PERFORM FROM budget_periods WHERE (budget, subject, period_start)
            = (s.budget, s.subject, s.period_start) FOR UPDATE;
        SELECT * INTO s FROM budget_slices WHERE id = s.id;
        IF FOUND THEN
            UPDATE budget_periods SET held = held - greatest(0, s.granted - s.booked)
                WHERE (budget, subject, period_start) = (s.budget, s.subject, s.period_start);
            DELETE FROM budget_slices WHERE id = s.id;
            n := n + 1;
        END IF;
    END LOOP;
    RETURN n;
END
$$;

GRANT SELECT, INSERT, UPDATE ON budget_periods TO headgate_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON budget_slices, lease_holders TO headgate_app;
GRANT SELECT, INSERT ON budget_overrides, budget_crossings TO headgate_app;
GRANT USAGE, SELECT ON SEQUENCE lease_epoch TO headgate_app;
