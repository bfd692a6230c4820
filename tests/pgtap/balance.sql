-- Double entry: the database takes what balances, of transactions and accounts that there are, once.
BEGIN;
SELECT plan(12);
SET ROLE headgate_app;

CREATE FUNCTION pg_temp.entries(VARIADIC amounts bigint[]) RETURNS text LANGUAGE sql AS $$
    SELECT format('INSERT INTO ledger_entries (attempt_id, transaction_id, account_id, amount_nanos) VALUES %s',
        string_agg(format('(%L, (SELECT max(id) FROM ledger_transactions), (SELECT id FROM ledger_accounts WHERE name = %L), %s)',
            '01900000-0000-7000-8000-0000000000' || lpad(attempt::text, 2, '0'),
            CASE WHEN amount > 0 THEN 'team:tap' ELSE 'provider:tap' END, amount), ', '))
    FROM (SELECT amount, (n + 1) / 2 AS attempt FROM unnest(amounts) WITH ORDINALITY u (amount, n)) x $$;

SELECT lives_ok($$INSERT INTO ledger_accounts (name, kind, team) VALUES ('team:tap', 'expense', 'tap')$$, 'an account of a team');
SELECT lives_ok($$INSERT INTO ledger_accounts (name, kind, provider) VALUES ('provider:tap', 'payable', 'tap')$$, 'one of a provider');
SELECT throws_ok($$INSERT INTO ledger_accounts (name, kind, provider) VALUES ('x', 'expense', 'tap')$$, '23514', NULL, 'none of neither');
SELECT lives_ok($$INSERT INTO ledger_transactions (kind) VALUES ('usage')$$, 'a transaction');
SELECT throws_ok($$INSERT INTO ledger_transactions (kind) VALUES ('correction')$$, '23514', NULL, 'a correction tells who and why');
SELECT throws_ok(pg_temp.entries(5), '23514', NULL, 'one side alone');
SELECT throws_ok(pg_temp.entries(5, -4), '23514', NULL, 'two sides that differ');
SELECT throws_ok(pg_temp.entries(5, -4, 4, -5), '23514', NULL, 'attempts that balance only together');
SELECT lives_ok(pg_temp.entries(5, -5, 7, -7), 'what balances, attempt for attempt');
SELECT throws_ok(pg_temp.entries(5, -5), '23505', NULL, 'the same again');
SELECT throws_ok($$INSERT INTO ledger_entries VALUES ('01900000-0000-7000-8000-000000000009', -1,
    (SELECT id FROM ledger_accounts WHERE name = 'team:tap'), 1), ('01900000-0000-7000-8000-000000000009', -1,
    (SELECT id FROM ledger_accounts WHERE name = 'provider:tap'), -1)$$, '23503', NULL, 'a transaction that there is not');
SELECT throws_ok($$INSERT INTO ledger_entries VALUES ('01900000-0000-7000-8000-000000000009',
    (SELECT max(id) FROM ledger_transactions), -1, 1), ('01900000-0000-7000-8000-000000000009',
    (SELECT max(id) FROM ledger_transactions), -2, -1)$$, '23503', NULL, 'accounts that there are not');
SELECT * FROM finish();
ROLLBACK;
