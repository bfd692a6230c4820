"""The three-way reconciliation: what clients saw, what the provider did, what the books say.

The provider's journal and the clients' log are the outside witnesses; the books are read with SQL.
differences() gives one line for each thing that does not fit, so that an empty list is the proof.

A client's log is a list of dicts:
  marker    the request's own `user` member, found again as end_user
  status    HTTP status that came, or None
  clean     it saw the answer's own end (whole body, [DONE])
  left      it went away on purpose
  usage     (prompt_tokens, completion_tokens) that it was told, or None
"""

import collections
import time

import journal as journals

# Each of these must give no row, whatever happened (faults.md, I2 and section 5).
EMPTY = {
    "a cost that its tokens and prices do not make":
        "SELECT attempt_id, cost_nanos, expected FROM usage_cost_differences",
    "an attempt whose entries are not its cost":
        "SELECT attempt_id, cost_nanos, debit_nanos FROM ledger_usage_differences",
    "a balance that its entries do not make":
        "SELECT name, kept_nanos, entries_nanos FROM ledger_balance_differences",
    "an unbalanced transaction":
        "SELECT transaction_id, sum(amount_nanos) FROM ledger_entries GROUP BY 1 HAVING sum(amount_nanos) <> 0",
    "an attempt booked twice":
        "SELECT attempt_id, count(*) FROM usage_events GROUP BY 1 HAVING count(*) > 1",
    "an attempt with other than two entries":
        "SELECT attempt_id, count(*) FROM ledger_entries GROUP BY 1 HAVING count(*) <> 2",
    "an hour whose sums are not those of its attempts":
        """SELECT hour, d.attempts, h.attempts, d.cost, h.cost FROM
           (SELECT date_trunc('hour', started_at) AS hour, count(*) AS attempts, sum(cost_nanos) AS cost
              FROM usage_events GROUP BY 1) d FULL JOIN
           (SELECT hour, sum(attempts) AS attempts, sum(cost_nanos) AS cost
              FROM usage_hourly GROUP BY 1) h USING (hour)
           WHERE (d.attempts, d.cost) IS DISTINCT FROM (h.attempts, h.cost)""",
    "a quarantined record":
        "SELECT attempt_id, reason, detail FROM usage_quarantine",
    "a spool with skipped records":
        "SELECT spool_id, missing FROM usage_spools WHERE missing > 0",
}

COLUMNS = ("attempt_id", "end_user", "outcome", "error_code", "status", "estimated", "incomplete", "cost_nanos",
           "tokens_input + tokens_cache_read + tokens_cache_write + tokens_cache_write_1h"
           " + coalesce(tokens_audio_input, 0) + coalesce(tokens_image_input, 0)",
           "tokens_output + tokens_reasoning + coalesce(tokens_audio_output, 0) + coalesce(tokens_image_output, 0)")
Row = collections.namedtuple("Row", "attempt user outcome error status estimated incomplete cost given made")


def rows_of(sql, provider):
    """Usage rows of one provider, by attempt id."""
    found = {}
    for line in sql(f"SELECT {', '.join(COLUMNS)} FROM usage_events WHERE provider = '{provider}'"):
        row = Row(line[0], line[1], line[2], line[3], int(line[4]), line[5] == "t", line[6] == "t", int(line[7]),
                  int(line[8]), int(line[9]))
        found[row.attempt] = row
    return found


def of_the_books(sql):
    return [f"{what}: {row}" for what, statement in EMPTY.items() for row in sql(statement)]


def of_journal_and_ledger(attempts, rows):
    """Nothing lost, nothing invented, and the tokens are the provider's."""
    found = []
    for key in attempts.keys() - rows.keys():
        found.append(f"lost: the provider served attempt {key}, the ledger does not have it")
    for key in rows.keys() - attempts.keys():
        # A worker died between its reservation and the first byte, or could not tell.
        if rows[key].cost > 0 and not rows[key].incomplete:
            found.append(f"invented: the ledger has {rows[key]}, the provider never saw it")
    for key in attempts.keys() & rows.keys():
        record, row = attempts[key], rows[key]
        if record["begins"] != 1:
            found.append(f"an attempt id was used {record['begins']} times: {key}")
        if row.estimated:
            continue
        if (row.given, row.made) != (record.get("tokens_in", 0), record.get("tokens_out", 0)) and record["clean"]:
            found.append(f"tokens differ: {row} and {record.get('tokens_in')}/{record.get('tokens_out')}")
    return found


def of_marks(attempts, rows, log):
    """Every estimated or incomplete row has its reason in the outside world."""
    found = []
    left = {entry["marker"] for entry in log if entry["left"] or not entry["clean"]}
    for row in rows.values():
        record = attempts.get(row.attempt)
        whole = record is not None and record.get("clean") and "nousage" not in record["script"]
        if row.incomplete and row.outcome == "done":
            found.append(f"incomplete without a reason: {row}")
        if (row.estimated or row.incomplete) and whole and row.user not in left:
            found.append(f"estimated although all three saw a whole answer: {row}")
        if row.incomplete and not row.estimated:
            found.append(f"incomplete, but not marked as estimated: {row}")
    return found


def of_clients(rows, log):
    """Who got a whole answer finds it in the ledger, once, with the tokens it was told."""
    found = []
    by_user = collections.defaultdict(list)
    for row in rows.values():
        by_user[row.user].append(row)
    known = {entry["marker"] for entry in log}
    for user in by_user.keys() - known:
        found.append(f"booked for nobody: {by_user[user]}")
    for entry in log:
        if not (entry["clean"] and entry["status"] == 200):
            continue
        good = [row for row in by_user[entry["marker"]] if row.outcome == "done" and not row.error]
        lost = [row for row in by_user[entry["marker"]] if row.outcome == "lost"]
        if len(good) + len(lost) != 1:
            # The answer can reach the client a moment before its worker is killed: then it is "lost".
            found.append(f"{len(good)} row(s) for the whole answer to {entry['marker']}: {by_user[entry['marker']]}")
        for row in good:
            if entry["usage"] and (row.given, row.made) != tuple(entry["usage"]):
                found.append(f"the client was told {entry['usage']}, booked was {row}")
    return found


def differences(sql, journal_path, log, provider="fake"):
    """One line a difference; an empty list is the proof."""
    attempts = journals.attempts(journal_path)
    rows = rows_of(sql, provider)
    found = [f"an attempt without an id: {a['serial']}" for k, a in attempts.items() if k.startswith("serial-")]
    found += of_the_books(sql)
    found += of_journal_and_ledger(attempts, rows)
    found += of_marks(attempts, rows, log)
    found += of_clients(rows, log)
    return found


def settle(sql, journal_path, log, seconds=30.0, provider="fake"):
    """differences(), once they are gone, or what is left of them: the books may be that late (I1)."""
    deadline = time.monotonic() + seconds
    while True:
        found = differences(sql, journal_path, log, provider)
        if not found or time.monotonic() >= deadline:
            return found
        time.sleep(0.1)
