"""F123, F124: the end of a budget's period. PostgreSQL alone reckons with the calendar, so it alone gets a clock that is about
to strike the hour (libfaketime)."""

import concurrent.futures
import datetime
import glob
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest

import harness
from fleet import ControlPlane
from harness import FakeProvider, until
from test_limits import IN, OUT, Crowd

SUBJECTS = 1000000
FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


def billed(fake, model):
    """What the provider would bill for one model, in nanodollars."""
    return sum(a.get("tokens_in", 0) * IN + a.get("tokens_out", 0) * OUT for a in fake.attempts().values()
               if a.get("model") == model)


class Clock:
    """The gateway's PostgreSQL, started anew by this test alone and `ahead` seconds ahead."""

    def __init__(self, gateway, ahead):
        pid = gateway.pid("postgres")
        argv = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        status = os.stat(f"/proc/{pid}")
        folder = os.readlink(f"/proc/{pid}/cwd")
        end(gateway.pid("supervisor"), signal.SIGKILL)  # it would start another
        end(pid, signal.SIGINT)
        own = {"user": status.st_uid, "group": status.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        environment = {"LD_PRELOAD": FAKETIME[0], "FAKETIME": f"+{ahead}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                       "DONT_FAKE_MONOTONIC": "1"}
        with open(gateway.home / "log" / "postgres.log", "ab") as log:
            self.process = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=harness.clean_environment(environment), **own)
        until(lambda: gateway.sql("SELECT 1"), 20, "PostgreSQL")

    def close(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


def end(pid, how):
    os.kill(pid, how)
    until(lambda: not harness.alive(pid), 20, f"the end of {pid}")


TABLES = ("budget_periods", "budget_slices")
KNOWN = """
INSERT INTO budget_periods (budget, subject, period_start, period_end, unit, amount, spent, held, thresholds)
    SELECT 'each', 'u' || n, timestamptz '{hour}' - interval '1 hour', '{hour}', 'usd', 100000000000, 5, 5, '{{50}}'
    FROM generate_series(1, {subjects}) n;
INSERT INTO budget_slices (budget, subject, period_start, node, slot, started_ms, sequence, granted)
    SELECT 'each', 'u' || n, timestamptz '{hour}' - interval '1 hour', 'elsewhere', 0, 1, 1, 5
    FROM generate_series(1, {subjects}) n;
ANALYZE budget_periods, budget_slices;
"""


class Work:
    """What PostgreSQL did with the budgets' rows, and the memory of who leads, from here on."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.began, self.scans, self.memory = self._rows(), self._looks(), self._most()

    def _rows(self):
        rows = self.gateway.sql("SELECT relname, n_tup_ins, n_tup_upd, n_tup_del, seq_tup_read, idx_tup_fetch "
                                f"FROM pg_stat_user_tables WHERE relname IN {TABLES}")
        return {row[0]: [int(x) for x in row[1:]] for row in rows}

    def _looks(self):
        return int(self.gateway.sql("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'budget_slices_seen'")[0][0])

    def _most(self):
        status = pathlib.Path(f"/proc/{self.gateway.pid('controlplane')}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))

    def rows(self):
        """By table: made, changed, removed, read one after the other, read by an index."""
        now = self._rows()
        return {table: [b - a for a, b in zip(self.began[table], now[table])] for table in TABLES}

    def looks(self):
        """How often the leader has looked for slices that nobody speaks of any more."""
        return self._looks() - self.scans

    def more_memory(self):
        return self._most() - self.memory


class Steady:
    """Asks again and again for one end user, and keeps what is not well."""

    def __init__(self, gateway, user):
        self.crowd = Crowd(gateway, 1, max_tokens=20, x_mock="usage=20/20", user=user)
        self.crowd.body["model"] = "fake/n"
        self.thread = threading.Thread(target=self.crowd.until, args=(lambda: False, 300))
        self.thread.start()

    def stop(self):
        self.crowd.stopped.set()
        self.thread.join()


@pytest.fixture
def world(fresh_gateway):
    gateway, fake = fresh_gateway(workers=4), FakeProvider()
    second = ControlPlane(gateway, "second")
    gateway.apply({**fake.provider(), "budgets": [
        {"name": "hourly", "model": "fake/m", "period": "hour", "limit_usd": "0.02"},
        {"name": "each", "per": "end_user", "period": "hour", "limit_usd": "100"}]})  # 400,000 requests: never used up
    gateway.fake, clock = fake, None
    try:
        hour = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=120)).replace(
            minute=0, second=0, microsecond=0)  # an hour away at least: loading takes a while
        gateway.hour = hour.isoformat()
        gateway.sql(KNOWN.format(hour=gateway.hour, subjects=SUBJECTS))
        clock = Clock(gateway, int(hour.timestamp() - time.time()) - 25)
        gateway.work = Work(gateway)
        # The workers know the first one only: it must be the leader again before there is another.
        until(lambda: gateway.log("controlplane").count("leases.leading") == 2, 15, "the first one's office")
        second.start()
        until(second.is_ready, 20, "the second control plane")
        yield gateway
    finally:
        second.close()
        if clock:
            clock.close()
        fake.close()


def ask_for(world, users):
    """How each of them was answered; in an hour that no other budget counts."""
    crowd = Crowd(world, 1, max_tokens=20, x_mock="usage=20/20")

    def one(user):
        crowd.body = {**crowd.body, "model": "fake/n", "user": user}
        return crowd.ask()
    return [getattr(one(user), "status_code", None) for user in users]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_f123_f124_a_boundary_resets_nothing_and_sweeps_nothing(world):
    """Two control planes, four workers and a million counters whose hour ends at once, under traffic: nobody is refused who
    has budget, all workers admit again, the books of both hours are exact, and what PostgreSQL and the leader do is about
    those that ask: nothing at all is read or written for the others."""
    crowd = Crowd(world, 12, max_tokens=20, x_mock="usage=20/20")
    until(lambda: crowd.ask().status_code == 200, 10, "the database's return")
    steady = Steady(world, "u7")
    try:
        assert set(ask_for(world, [f"u{n}" for n in range(10, 40)])) == {200}
        crowd.until(lambda: crowd.seen[429] > 60, 15)
        assert crowd.seen[429] > 60
        first = billed(world.fake, "m")
        assert world.sql(f"SELECT clock_timestamp() < '{world.hour}'") == [["t"]], "the hour was over before: this has shown nothing"
        until(lambda: world.sql(f"SELECT clock_timestamp() >= '{world.hour}'") == [["t"]], 40, "the hour")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            def all_admit():
                answers = list(pool.map(lambda _: crowd.ask(), range(16)))
                return all(a.status_code == 200 for a in answers)
            until(all_admit, 10, "an answer of every worker")
        assert set(ask_for(world, [f"u{n}" for n in range(20, 60)])) == {200}
    finally:
        steady.stop()
    refused = [a.text for a in steady.crowd.refusals]
    assert set(steady.crowd.seen) == {200}, (steady.crowd.seen, refused)  # before, at and after the boundary
    world.kill_worker(0)  # a process that begins anew looks for what the one before it held
    until(lambda: set(ask_for(world, ["u7"] * 8)) == {200}, 20, "the new worker")
    until(lambda: int(world.sql("SELECT sum(spent) FROM budget_periods WHERE budget = 'hourly'")[0][0])
          == billed(world.fake, "m"), 10, "the booking of all")

    # No sweep: rows are made for those who asked and no other is touched; looking for what nobody holds any more reads none.
    work, asked = world.work, {"", "u7", *(f"u{n}" for n in range(20, 60))}
    until(lambda: work.rows()["budget_periods"][0] >= 3 + len(asked) and work.looks() >= 2, 60, "PostgreSQL's own count")
    for table, (made, changed, removed, read, fetched) in work.rows().items():
        assert read == 0, table
        assert made + changed + removed < SUBJECTS / 10 and fetched < SUBJECTS / 5, (table, work.rows(), steady.crowd.seen)
    assert work.more_memory() < 50 * SUBJECTS

    # Both hours, exactly; the one that is over as it was.
    rows = world.sql("SELECT period_start < timestamptz '" + world.hour + "', spent, held FROM budget_periods "
                     "WHERE budget = 'hourly' ORDER BY 1 DESC")
    assert [r[0] for r in rows] == ["t", "f"]
    assert int(rows[0][1]) == first
    assert 20 * (IN + OUT) * 80 >= first >= 20 * (IN + OUT) * 76  # 95 % of it was used

    # Of those that nobody asked for, no row was made or touched: they are all of the one transaction that made them.
    rows = world.sql("SELECT count(*), count(DISTINCT xmin::text), min(spent), max(spent) FROM budget_periods "
                     f"WHERE budget = 'each' AND period_start < '{world.hour}' AND subject NOT IN ('', 'u7', "
                     + ", ".join(f"'u{n}'" for n in range(10, 40)) + ")")
    assert rows == [[str(SUBJECTS - 31), "1", "5", "5"]]
    rows = world.sql("SELECT count(*), count(DISTINCT xmin::text) FROM budget_slices WHERE node = 'elsewhere'")
    assert rows == [[str(SUBJECTS), "1"]]
    rows = world.sql(f"SELECT '=' || subject FROM budget_periods WHERE budget = 'each' AND period_start >= '{world.hour}'")
    assert {r[0] for r in rows} == {"=" + subject for subject in asked}
