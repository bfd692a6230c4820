-- The ledger: double entry, append-only, balanced by the database (docs/decisions/0006-ledger.md).

CREATE TABLE ledger_accounts (
    id         integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL UNIQUE, -- "team:research/project:p1/user:ada", "provider:openai"
    kind       text        NOT NULL CHECK (kind IN ('expense', 'payable')),
    team       text        NOT NULL DEFAULT '',
    project    text        NOT NULL DEFAULT '',
    user_name  text        NOT NULL DEFAULT '',
    provider   text        NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((kind = 'expense' AND team <> '' AND provider = '') OR
           (kind = 'payable' AND provider <> '' AND team = ''))
);

CREATE TABLE ledger_transactions (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind           text        NOT NULL CHECK (kind IN ('usage', 'correction')),
    posted_at      timestamptz NOT NULL DEFAULT now(),
    spool_id       uuid,   -- of usage: the batch
    first_sequence bigint,
    last_sequence  bigint,
    corrects       bigint REFERENCES ledger_transactions (id),
    author         text        NOT NULL DEFAULT '',
    reason         text        NOT NULL DEFAULT '',
    CHECK (kind = 'usage' OR (author <> '' AND reason <> ''))
);

-- Debits are positive, credits negative. No foreign keys: the trigger below checks both for a whole
-- statement at once.
CREATE TABLE ledger_entries (
    attempt_id     uuid    NOT NULL,
    transaction_id bigint  NOT NULL,
    account_id     integer NOT NULL,
    amount_nanos   bigint  NOT NULL CHECK (amount_nanos <> 0),
    PRIMARY KEY (attempt_id, transaction_id, account_id)
) PARTITION BY RANGE (attempt_id);
CREATE TABLE ledger_entries_default PARTITION OF ledger_entries DEFAULT;

CREATE FUNCTION ledger_check_entries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    bad record;
BEGIN
    SELECT transaction_id, attempt_id, sum(amount_nanos) AS off INTO bad
        FROM added GROUP BY transaction_id, attempt_id HAVING sum(amount_nanos) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entries of transaction % for attempt % do not balance: off by % nanodollars',
            bad.transaction_id, bad.attempt_id, bad.off USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT FROM (SELECT DISTINCT transaction_id FROM added) t
               WHERE NOT EXISTS (SELECT FROM ledger_transactions l WHERE l.id = t.transaction_id)) THEN
        RAISE EXCEPTION 'entries of an unknown transaction' USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF EXISTS (SELECT FROM (SELECT DISTINCT account_id FROM added) t
               WHERE NOT EXISTS (SELECT FROM ledger_accounts a WHERE a.id = t.account_id)) THEN
        RAISE EXCEPTION 'entries of an unknown account' USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER ledger_entries_balance AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_entries();

-- Not even by its owner in passing: whoever must, drops the trigger first, which is an act that shows.
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: post a correction', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_transactions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE
    ON ledger_transactions FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER usage_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_events
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Sums of entries a day (UTC, of the attempt), kept in the same transaction as the entries.
CREATE TABLE ledger_balances (
    account_id   integer NOT NULL REFERENCES ledger_accounts (id),
    day          date    NOT NULL,
    debit_nanos  numeric NOT NULL CHECK (debit_nanos >= 0),
    credit_nanos numeric NOT NULL CHECK (credit_nanos >= 0),
    PRIMARY KEY (account_id, day)
);

-- Accounts whose kept sums differ from their entries: must be empty.
CREATE VIEW ledger_balance_differences AS
    SELECT a.name, coalesce(b.net, 0) AS kept_nanos, coalesce(e.net, 0) AS entries_nanos
    FROM ledger_accounts a
    LEFT JOIN (SELECT account_id, sum(debit_nanos - credit_nanos) AS net
               FROM ledger_balances GROUP BY account_id) b ON b.account_id = a.id
    LEFT JOIN (SELECT account_id, sum(amount_nanos) AS net
               FROM ledger_entries GROUP BY account_id) e ON e.account_id = a.id
    WHERE coalesce(b.net, 0) <> coalesce(e.net, 0);

-- Attempts whose entries are not their cost, once to the team and once to the provider: must be empty.
CREATE VIEW ledger_usage_differences AS
    SELECT u.attempt_id, u.cost_nanos, coalesce(e.debit, 0) AS debit_nanos
    FROM usage_events u
    FULL JOIN (SELECT l.attempt_id, sum(l.amount_nanos) FILTER (WHERE l.amount_nanos > 0) AS debit
               FROM ledger_entries l JOIN ledger_transactions t ON t.id = l.transaction_id
               WHERE t.kind = 'usage' GROUP BY l.attempt_id) e ON e.attempt_id = u.attempt_id
    WHERE u.cost_nanos IS DISTINCT FROM coalesce(e.debit, 0);

GRANT SELECT, INSERT ON ledger_accounts, ledger_transactions, ledger_entries TO headgate_app;
GRANT SELECT, INSERT, UPDATE ON ledger_balances TO headgate_app;
GRANT SELECT ON ledger_balance_differences, ledger_usage_differences TO headgate_app;
