"""F168: whoever edits the books by hand, as the owner of the database, past its triggers, is found out, row by row."""

import json
import pathlib

import pytest

import harness

# Two attempts of different teams and costs: what is done to their rows in SQL, and what is said of them then, as
# (kind, which attempt); a kind alone has no attempt.
EDITS = {
    "an entry is edited": (
        "UPDATE ledger_entries SET amount_nanos = amount_nanos + 1 WHERE attempt_id = '{a}' AND amount_nanos > 0",
        {("unbalanced", "a"), ("not_its_cost", "a"), ("wrong_balance", None)}),
    "both sides are edited": (
        "UPDATE ledger_entries SET amount_nanos = amount_nanos * 2 WHERE attempt_id = '{a}'",
        {("not_its_cost", "a"), ("wrong_balance", None)}),
    "an entry is dropped": (
        "DELETE FROM ledger_entries WHERE attempt_id = '{a}' AND amount_nanos < 0",
        {("unbalanced", "a"), ("not_its_cost", "a"), ("wrong_balance", None)}),
    "both are": (
        "DELETE FROM ledger_entries WHERE attempt_id = '{a}'", {("not_its_cost", "a"), ("wrong_balance", None)}),
    "entries are doubled": (
        "INSERT INTO ledger_transactions (kind) VALUES ('usage'); INSERT INTO ledger_entries SELECT attempt_id, "
        "(SELECT max(id) FROM ledger_transactions), account_id, amount_nanos FROM ledger_entries WHERE attempt_id = '{a}'",
        {("not_its_cost", "a"), ("wrong_balance", None)}),
    "two are swapped": (
        "UPDATE ledger_entries e SET amount_nanos = (SELECT amount_nanos FROM ledger_entries o WHERE o.attempt_id <> e.attempt_id "
        "AND o.attempt_id IN ('{a}', '{b}') AND sign(o.amount_nanos) = sign(e.amount_nanos)) WHERE attempt_id IN ('{a}', '{b}')",
        {("not_its_cost", "a"), ("not_its_cost", "b"), ("wrong_balance", None)}),
    "their teams are swapped": (
        "UPDATE ledger_entries e SET account_id = (SELECT account_id FROM ledger_entries o WHERE o.attempt_id <> e.attempt_id "
        "AND o.attempt_id IN ('{a}', '{b}') AND sign(o.amount_nanos) = sign(e.amount_nanos)) WHERE attempt_id IN ('{a}', '{b}')",
        {("wrong_account", "a"), ("wrong_account", "b"), ("wrong_balance", None)}),
    "the attempt's cost is edited": (
        "UPDATE usage_events SET cost_nanos = cost_nanos + 1 WHERE attempt_id = '{a}'",
        {("not_its_cost", "a"), ("wrong_cost", "a"), ("wrong_hour", None)}),
    "the attempt is dropped": (
        "DELETE FROM usage_events WHERE attempt_id = '{a}'", {("not_its_cost", "a"), ("wrong_hour", None)}),
    "everything of it is": (
        "DELETE FROM usage_events WHERE attempt_id = '{a}'; DELETE FROM ledger_entries WHERE attempt_id = '{a}'",
        {("wrong_balance", None), ("wrong_hour", None)}),
    "its transaction is": (
        "DELETE FROM ledger_transactions WHERE id = (SELECT min(transaction_id) FROM ledger_entries WHERE attempt_id = '{a}')",
        {("no_transaction", "a"), ("not_its_cost", "a")}),
    "a sum is": (
        "UPDATE ledger_balances SET debit_nanos = debit_nanos + 5 WHERE debit_nanos > 0", {("wrong_balance", None)}),
    "an hour is": (
        "UPDATE usage_hourly SET attempts = attempts + 1 WHERE team = 'books-a'", {("wrong_hour", None)}),
}
KEPT = "usage_events usage_hourly ledger_entries ledger_transactions ledger_balances".split()


@pytest.fixture(scope="module")
def books():
    gateway = harness.Gateway(workers=1)
    try:
        gateway.up()
        gateway.apply({"teams": [{"name": "books-a"}, {"name": "books-b"}]})
        attempts = {}
        for name, words in (("a", 3), ("b", 40)):
            key = gateway.admin("POST", "/keys", json={"name": name, "team": f"books-{name}"}).json()["key"]

            def ask():
                answer = gateway.chat(key=key, messages=[{"role": "user", "content": "word " * words}])
                assert answer.status_code == 200, answer.text
                return answer
            answer = harness.until(ask, 5, "the key")
            attempts[name] = gateway.wait_usage(answer.headers["x-request-id"])[0]["attempt_id"]
        gateway.wait_idle()
        gateway.sql("".join(f"CREATE TABLE kept_{t} AS SELECT * FROM {t};" for t in KEPT))
        gateway.attempts = attempts
        yield gateway
    finally:
        gateway.close()


def past_the_guards(gateway, statements):
    gateway.sql(f"SET session_replication_role = replica; {statements}")


def restore(gateway):
    past_the_guards(gateway, "".join(
        f"DELETE FROM {t}; INSERT INTO {t} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{t};" for t in KEPT))


def verified(gateway):
    done = gateway.run("ledger", "verify", "--output", "json")
    verdict = json.loads(done.stdout)
    assert done.returncode == (0 if verdict["ok"] else 1)
    assert verdict["ok"] == (verdict["problems"] == 0) and len(verdict["named"]) == min(verdict["problems"], 100)
    return verdict


@pytest.mark.parametrize("edit", EDITS)
def test_f168_an_edit_by_hand_is_named(books, edit):
    statement, expected = EDITS[edit]
    whole = verified(books)
    assert whole["ok"] and whole["attempts"] >= 2 and whole["entries"] == 2 * whole["attempts"], whole
    names = {id_: name for name, id_ in books.attempts.items()}
    past_the_guards(books, statement.format(**books.attempts))
    try:
        named = verified(books)["named"]
        assert {(p["kind"], names.get(p["attempt_id"])) for p in named} == expected, named
        done = books.run("ledger", "verify")
        assert done.returncode == 1 and all(p["kind"] in done.stdout for p in named), done
    finally:
        restore(books)


AUDIT_EDITS = {
    "edited": ("UPDATE audit_log SET actor = 'nobody' WHERE seq = 2", 2),
    "dropped": ("DELETE FROM audit_log WHERE seq = 2", 2),
    "doubled": ("INSERT INTO audit_log SELECT (SELECT max(seq) + 1 FROM audit_log), at, actor, action, object, detail, request_id, "
                "prev_hash, hash FROM audit_log WHERE seq = 2", None),
    "swapped": ("UPDATE audit_log SET seq = 99999 WHERE seq = 2; UPDATE audit_log SET seq = 2 WHERE seq = 3; "
                "UPDATE audit_log SET seq = 3 WHERE seq = 99999", 2),
}


@pytest.mark.parametrize("edit", AUDIT_EDITS)
def test_f168_the_audit_chain_breaks(books, edit):
    statement, row = AUDIT_EDITS[edit]
    rows = books.cli_json("audit", "verify")["rows"]
    books.sql("CREATE TABLE IF NOT EXISTS kept_audit AS SELECT * FROM audit_log")
    heads = pathlib.Path(books.setting("data"), "control", "audit", "heads.jsonl")
    harness.until(heads.exists, 20, "the first exported head")
    kept = heads.read_text()
    books.sql(statement)
    try:
        done = books.run("audit", "verify")
        assert done.returncode == 1 and f"broken at row {row or rows + 1}" in done.stderr, done
    finally:
        books.sql("DELETE FROM audit_log; INSERT INTO audit_log SELECT * FROM kept_audit; DROP TABLE kept_audit")

    def is_whole():
        heads.write_text(kept)  # once a second the head is exported: the doubled one, too
        return books.run("audit", "verify").returncode == 0
    harness.until(is_whole, 20, "a log as it was")


def test_a_range_that_is_none_is_refused(books):
    for query in ("?from=2026-01-02&to=2026-01-01", "?from=2024-01-01&to=2026-01-01"):
        answer = books.admin("GET", "/ledger/verify" + query)
        assert answer.status_code == 400 and answer.json()["code"] == "invalid_range", answer.text
    assert books.admin("GET", "/ledger/verify?from=2026-01-01&to=2026-01-02").json()["attempts"] == 0
