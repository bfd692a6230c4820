-- Usage: one row an upstream attempt, hourly sums, and how far each worker's spool has come.

-- Attempt ids are UUIDs of version 7: their first 48 bits are milliseconds since 1970. They order by
-- time, so a table partitioned by ranges of them is partitioned by day, and its primary key on the id
-- alone is unique over all partitions.
CREATE FUNCTION headgate_attempt_time(id uuid) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

-- The lowest attempt id of a moment: attempt_id >= headgate_attempt_floor(t) means at t or later.
CREATE FUNCTION headgate_attempt_floor(t timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (lpad(to_hex(greatest(0, least(281474976710655,
        floor(extract(epoch FROM t) * 1000)))::bigint), 12, '0') || '00000000000000000000')::uuid;

-- The price of an attempt: summed in picodollars, rounded once to nanodollars, halves up. The same
-- arithmetic as the worker's (lib/policy), for checks and for people.
CREATE FUNCTION headgate_cost(
    tokens_input bigint, tokens_cache_read bigint, tokens_cache_write bigint,
    tokens_cache_write_1h bigint, tokens_output bigint, tokens_reasoning bigint,
    price_input bigint, price_cached_input bigint, price_cache_write bigint,
    price_cache_write_1h bigint, price_output bigint, price_reasoning bigint) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN div(tokens_input::numeric * price_input
        + tokens_cache_read::numeric * price_cached_input
        + tokens_cache_write::numeric * price_cache_write
        + tokens_cache_write_1h::numeric * price_cache_write_1h
        + tokens_output::numeric * price_output
        + tokens_reasoning::numeric * price_reasoning + 500, 1000);

CREATE TABLE usage_events (
    attempt_id     uuid        NOT NULL PRIMARY KEY,
    started_at     timestamptz NOT NULL, -- of the attempt id
    request_id     text        NOT NULL,
    attempt_no     integer     NOT NULL CHECK (attempt_no > 0),
    latency_ms     bigint      NOT NULL,
    ttft_ms        bigint      NOT NULL, -- 0: no byte of a body came
    key            text        NOT NULL,
    key_id         text        NOT NULL,
    team           text        NOT NULL,
    project        text        NOT NULL,
    user_name      text        NOT NULL,
    end_user       text        NOT NULL,
    model          text        NOT NULL,
    provider       text        NOT NULL,
    provider_model text        NOT NULL,
    endpoint       text        NOT NULL,
    status         integer     NOT NULL,
    upstream_status integer    NOT NULL,
    outcome        text        NOT NULL CHECK (outcome IN
        ('done', 'client_gone', 'upstream_failed', 'deadline', 'shutdown', 'lost')),
    error_code     text        NOT NULL,
    stream         boolean     NOT NULL,
    estimated      boolean     NOT NULL,
    incomplete     boolean     NOT NULL,
    tokens_input          bigint NOT NULL, -- disjoint classes
    tokens_cache_read     bigint NOT NULL,
    tokens_cache_write    bigint NOT NULL,
    tokens_cache_write_1h bigint NOT NULL,
    tokens_output         bigint NOT NULL,
    tokens_reasoning      bigint NOT NULL,
    cost_nanos     bigint      NOT NULL,
    price_version  text        NOT NULL,
    price_input          bigint NOT NULL, -- picodollars per token
    price_cached_input   bigint NOT NULL,
    price_cache_write    bigint NOT NULL,
    price_cache_write_1h bigint NOT NULL,
    price_output         bigint NOT NULL,
    price_reasoning      bigint NOT NULL,
    reserved_nanos bigint      NOT NULL,
    policy_epoch   bigint      NOT NULL,
    policy_version bigint      NOT NULL,
    upstream_request_id text   NOT NULL,
    tags           jsonb       NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT never_negative CHECK (least(tokens_input, tokens_cache_read, tokens_cache_write,
        tokens_cache_write_1h, tokens_output, tokens_reasoning, price_input, price_cached_input,
        price_cache_write, price_cache_write_1h, price_output, price_reasoning, cost_nanos,
        reserved_nanos) >= 0),
    -- Priced tokens are never booked at nothing (only a sum below half a nanodollar rounds to it).
    CONSTRAINT never_free_by_accident CHECK (cost_nanos > 0 OR headgate_cost(
        tokens_input, tokens_cache_read, tokens_cache_write, tokens_cache_write_1h, tokens_output,
        tokens_reasoning, price_input, price_cached_input, price_cache_write, price_cache_write_1h,
        price_output, price_reasoning) = 0)
) PARTITION BY RANGE (attempt_id);
CREATE INDEX usage_events_request ON usage_events (request_id);
CREATE INDEX usage_events_key ON usage_events (key, attempt_id);
-- Attempts of days that nobody foresaw (a clock far off). Should be empty; readiness shows it.
CREATE TABLE usage_events_default PARTITION OF usage_events DEFAULT;

-- Rows whose stored cost is not what their tokens and prices make: must be empty.
CREATE VIEW usage_cost_differences AS
    SELECT attempt_id, request_id, cost_nanos, expected
    FROM (SELECT e.*, headgate_cost(tokens_input, tokens_cache_read, tokens_cache_write,
            tokens_cache_write_1h, tokens_output, tokens_reasoning, price_input, price_cached_input,
            price_cache_write, price_cache_write_1h, price_output, price_reasoning) AS expected
          FROM usage_events e) priced
    WHERE cost_nanos <> expected;

-- Hourly sums. dims is a digest of the names and tags: their text may be longer than an index takes.
CREATE TABLE usage_hourly (
    hour           timestamptz NOT NULL,
    dims           uuid        NOT NULL,
    team           text        NOT NULL,
    project        text        NOT NULL,
    user_name      text        NOT NULL,
    key            text        NOT NULL,
    model          text        NOT NULL,
    provider       text        NOT NULL,
    provider_model text        NOT NULL,
    tags           jsonb       NOT NULL,
    requests       bigint      NOT NULL, -- first attempts
    attempts       bigint      NOT NULL,
    errors         bigint      NOT NULL, -- attempts that ended with an error code
    estimated      bigint      NOT NULL,
    incomplete     bigint      NOT NULL,
    tokens_input          bigint NOT NULL,
    tokens_cache_read     bigint NOT NULL,
    tokens_cache_write    bigint NOT NULL,
    tokens_cache_write_1h bigint NOT NULL,
    tokens_output         bigint NOT NULL,
    tokens_reasoning      bigint NOT NULL,
    cost_nanos     numeric     NOT NULL,
    PRIMARY KEY (hour, dims)
);

-- One row an opening of a spool. missing: sequence numbers that were skipped (records a worker set
-- aside as damaged): something to look at.
CREATE TABLE usage_spools (
    spool_id      uuid        PRIMARY KEY,
    node          text        NOT NULL,
    slot          integer     NOT NULL,
    high_sequence bigint      NOT NULL,
    records       bigint      NOT NULL, -- added by it
    repeated      bigint      NOT NULL, -- had been there before
    missing       bigint      NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

-- Records that cannot be booked, whole, with the reason. Nothing is dropped: reconciliation counts them.
CREATE TABLE usage_quarantine (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest     bytea       GENERATED ALWAYS AS (sha256(record)) STORED UNIQUE,
    received_at timestamptz NOT NULL DEFAULT now(),
    spool_id   uuid        NOT NULL,
    node       text        NOT NULL,
    slot       integer     NOT NULL,
    attempt_id uuid,
    reason     text        NOT NULL, -- a stable word
    detail     text        NOT NULL,
    record     bytea       NOT NULL  -- a serialised headgate.bus.Usage
);

GRANT SELECT, INSERT ON usage_events, usage_quarantine TO headgate_app;
GRANT SELECT, INSERT, UPDATE ON usage_hourly, usage_spools TO headgate_app;
GRANT SELECT ON usage_cost_differences TO headgate_app;
