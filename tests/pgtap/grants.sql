-- What the application's role may: this list, reviewed, and nothing beside it.
BEGIN;
SELECT plan(7);

CREATE TEMP TABLE reviewed (relation text COLLATE "C", privileges text COLLATE "C");
INSERT INTO reviewed VALUES
    -- configuration and who may change it
    ('config_items', 'DELETE INSERT SELECT UPDATE'),
    ('revisions', 'INSERT SELECT'),                    -- history: never changed
    ('revision_changes', 'INSERT SELECT'),
    ('admin_tokens', 'DELETE INSERT SELECT'),
    ('idempotency_keys', 'DELETE INSERT SELECT'),
    ('audit_log', 'INSERT SELECT'),                    -- append-only
    ('settings', 'INSERT SELECT'),                     -- the pepper and the cluster's id: set once
    ('issuer_keys', 'DELETE INSERT SELECT UPDATE'),
    ('issuer_state', 'DELETE INSERT SELECT UPDATE'),
    ('sign_in_providers', 'DELETE INSERT SELECT UPDATE'),
    ('sign_in_answers', 'DELETE INSERT SELECT'),
    ('sign_in_accounts', 'DELETE INSERT SELECT'),
    ('sign_in_codes', 'DELETE INSERT SELECT'),
    ('admin_sessions', 'DELETE INSERT SELECT UPDATE'),
    ('secret_references', 'DELETE INSERT SELECT UPDATE'),
    ('secret_versions', 'USAGE'),
    ('schema_migrations', 'SELECT'),
    -- snapshots and the fleet
    ('publisher_epoch', 'SELECT USAGE'),
    ('snapshots', 'DELETE INSERT SELECT'),
    ('snapshot_sections', 'DELETE INSERT SELECT'),
    ('control_planes', 'DELETE INSERT SELECT UPDATE'),
    ('workers', 'DELETE INSERT SELECT UPDATE'),
    -- usage and the ledger: append-only, but for sums that are kept beside
    ('usage_events', 'INSERT SELECT'),
    ('usage_quarantine', 'INSERT SELECT'),
    ('usage_hourly', 'INSERT SELECT UPDATE'),
    ('usage_spools', 'INSERT SELECT UPDATE'),
    ('usage_cost_differences', 'SELECT'),
    ('ledger_accounts', 'INSERT SELECT'),
    ('ledger_transactions', 'INSERT SELECT'),
    ('ledger_entries', 'INSERT SELECT'),
    ('ledger_balances', 'INSERT SELECT UPDATE'),
    ('ledger_balance_differences', 'SELECT'),
    ('ledger_usage_differences', 'SELECT'),
    ('ledger_alarms', 'SELECT'),
    ('alert_deliveries', 'DELETE INSERT SELECT UPDATE'),
    -- budgets
    ('lease_epoch', 'SELECT USAGE'),
    ('lease_holders', 'DELETE INSERT SELECT UPDATE'),
    ('budget_periods', 'INSERT SELECT UPDATE'),
    ('budget_slices', 'DELETE INSERT SELECT UPDATE'),
    ('budget_overrides', 'INSERT SELECT'),             -- who allowed what stays
    ('budget_crossings', 'INSERT SELECT');

CREATE TEMP VIEW granted AS
    SELECT c.oid, c.relname::text COLLATE "C" AS relation, a.grantee, a.privilege_type COLLATE "C" AS privilege, a.is_grantable, c.relispartition
    FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'public'::regnamespace;

SELECT results_eq(
    $$SELECT relation, string_agg(privilege, ' ' ORDER BY privilege) FROM granted
      WHERE grantee = 'headgate_app'::regrole GROUP BY relation ORDER BY relation$$,
    'SELECT relation, privileges FROM reviewed ORDER BY relation',
    'headgate_app may what is in the list, on each relation');
SELECT is_empty('SELECT relation, privilege FROM granted WHERE grantee = 0', 'nothing is granted to everybody');
SELECT is_empty($$SELECT relation FROM granted WHERE is_grantable AND grantee = 'headgate_app'::regrole$$,
    'headgate_app can pass nothing on');
SELECT is_empty($$SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      WHERE c.relnamespace = 'public'::regnamespace AND a.attacl IS NOT NULL$$, 'no column has grants of its own');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
      AND relowner = 'headgate_app'::regrole$$, 'headgate_app owns nothing');
SELECT results_eq(
    $$SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
             has_schema_privilege('headgate_app', 'public', 'CREATE'),
             (SELECT count(*) FROM pg_auth_members WHERE member = 'headgate_app'::regrole)
      FROM pg_roles WHERE rolname = 'headgate_app'$$,
    'VALUES (false, false, false, false, false, false, 0::bigint)', 'it is nobody special, and in no other role');
SELECT isnt_empty('SELECT FROM granted WHERE grantee <> 0', 'the question finds grants at all');
SELECT * FROM finish();
ROLLBACK;
