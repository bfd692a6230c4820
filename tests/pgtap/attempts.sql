-- An attempt is counted once, over all days; and the days that come have their partitions.
BEGIN;
SELECT no_plan();

SELECT col_is_pk('usage_events', 'attempt_id', 'the attempt alone is the key');
SELECT col_is_pk(c.relname, 'attempt_id', 'also of ' || c.relname)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'usage_events'::regclass;
-- A range of ids is a range of moments, so that no id has a place in two partitions.
SELECT is(headgate_attempt_time(headgate_attempt_floor(t)), t, 'the floor of ' || t)
    FROM unnest(ARRAY['1970-01-01Z', '2026-02-28 23:59:59.999Z', '2038-01-19 03:14:08Z']::timestamptz[]) t;
SELECT has_table(format('%s_%s', parent, to_char((now() AT TIME ZONE 'UTC')::date + n, 'YYYYMMDD'))::name)
    FROM generate_series(-1, 7) n, unnest(ARRAY['usage_events', 'ledger_entries']) parent;

SET ROLE headgate_app;
CREATE FUNCTION pg_temp.attempt(id text) RETURNS text LANGUAGE sql AS $$
    SELECT format('INSERT INTO usage_events SELECT (jsonb_populate_record(e, jsonb_build_object(''attempt_id'', %L))).*
        FROM usage_events e ORDER BY recorded_at LIMIT 1', id) $$;
SELECT isnt_empty('SELECT FROM usage_events', 'there is one to copy');
SELECT throws_ok('INSERT INTO usage_events SELECT * FROM usage_events', '23505', NULL, 'each that is there is there once');
SELECT lives_ok(pg_temp.attempt('01900000-0000-7000-8000-000000000001'), 'another one, of another day');
SELECT throws_ok(pg_temp.attempt('01900000-0000-7000-8000-000000000001'), '23505', NULL, 'and not again');
SELECT lives_ok($$SELECT headgate_make_partitions((now() AT TIME ZONE 'UTC')::date, (now() AT TIME ZONE 'UTC')::date + 30)$$,
    'the application asks for partitions');
SELECT throws_ok('CREATE TABLE own (x int)', '42501', NULL, 'and can make no table itself');
SELECT * FROM finish();
ROLLBACK;
