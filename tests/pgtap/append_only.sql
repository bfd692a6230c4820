-- What was written down stays: as the application, of every table of the books and each of its partitions.
BEGIN;
SELECT no_plan();

CREATE TEMP TABLE kept AS
    SELECT c.oid::regclass::text AS name, a.attname::text AS member FROM pg_class c
    JOIN LATERAL (SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND attidentity = '' AND attgenerated = '' ORDER BY attnum LIMIT 1) a ON true
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND c.relname ~ '^(audit_log|revisions|revision_changes|usage_events|usage_quarantine|ledger_entries|ledger_transactions|budget_overrides)';
GRANT SELECT ON kept TO headgate_app;
SELECT cmp_ok(count(*), '>=', 30::bigint, 'with their partitions') FROM kept WHERE name ~ '_[0-9]{8}$';

SET ROLE headgate_app;
SELECT throws_ok(format('UPDATE %s SET %I = %I', name, member, member), '42501', NULL, name || ': no UPDATE') FROM kept;
SELECT throws_ok(format('DELETE FROM %s', name), '42501', NULL, name || ': no DELETE') FROM kept;
SELECT throws_ok(format('TRUNCATE %s CASCADE', name), '42501', NULL, name || ': no TRUNCATE') FROM kept;
SELECT throws_ok(format('INSERT INTO %s SELECT * FROM %s', name, name), '42501', NULL, name || ': not past the table and its checks')
    FROM kept WHERE name ~ '^(usage_events|ledger_entries)_';
SELECT throws_ok(format('ALTER TABLE %s DISABLE TRIGGER ALL', name), '42501', NULL, name || ': its triggers stay') FROM kept;
SELECT throws_ok(format('DROP TABLE %s CASCADE', name), '42501', NULL, name || ': it stays') FROM kept;
SELECT throws_ok($$SET session_replication_role = replica$$, '42501', NULL, 'triggers cannot be left out');
RESET ROLE;

-- The owner is stopped too, until it drops the trigger, which is an act that shows.
SELECT throws_ok(format('%s %s', what, name), '42501', NULL, format('%s %s by its owner', what, name))
    FROM unnest(ARRAY['DELETE FROM', 'TRUNCATE']) what,
         unnest(ARRAY['usage_events', 'ledger_entries', 'ledger_transactions']) name
    WHERE NOT (what = 'TRUNCATE' AND name = 'ledger_transactions');
SELECT throws_ok('UPDATE usage_events SET cost_nanos = 0', '42501', NULL, 'UPDATE usage_events by its owner');
SELECT throws_ok('UPDATE ledger_entries SET amount_nanos = 1', '42501', NULL, 'UPDATE ledger_entries by its owner');
SELECT throws_ok('TRUNCATE ledger_transactions CASCADE', '42501', NULL, 'TRUNCATE ledger_transactions by its owner');
SELECT * FROM finish();
ROLLBACK;
