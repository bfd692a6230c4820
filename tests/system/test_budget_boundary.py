"""F123, F124: the end of a budget's period. PostgreSQL alone reckons with the calendar, so it alone gets a clock that is about
to strike the hour (libfaketime)."""

import concurrent.futures
import datetime
import glob
import os
import pathlib
import signal
import subprocess
import time

import pytest

import harness
from fleet import ControlPlane
from harness import FakeProvider, until
from test_limits import IN, OUT, Crowd, billed

SUBJECTS = 100000
FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


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


@pytest.fixture
def world(fresh_gateway):
    gateway, fake = fresh_gateway(workers=4), FakeProvider()
    second = ControlPlane(gateway, "second")
    gateway.apply({**fake.provider(), "budgets": [
        {"name": "hourly", "period": "hour", "limit_usd": "0.02"},
        {"name": "each", "per": "end_user", "period": "hour", "limit_usd": "1"}]})
    gateway.fake, clock = fake, None
    try:
        hour = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=61)).replace(
            minute=0, second=0, microsecond=0)
        clock = Clock(gateway, int(hour.timestamp() - time.time()) - 25)
        gateway.hour = hour.isoformat()
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


def test_f123_f124_a_boundary_resets_nothing_and_sweeps_nothing(world):
    """Two control planes, four workers and 100,000 counters whose hour ends at once: all workers admit within two seconds, the
    books of both hours are exact, and nothing at all is written for who does not ask."""
    world.sql("INSERT INTO budget_periods (budget, subject, period_start, period_end, unit, amount, spent) "
              "SELECT 'each', 'u' || n, headgate_period_start('hour', 'UTC', clock_timestamp()), "
              f"headgate_period_end('hour', 'UTC', clock_timestamp()), 'usd', 1000000000, 5 FROM generate_series(1, {SUBJECTS}) n")
    crowd = Crowd(world, 12, max_tokens=20, x_mock="usage=20/20")
    until(lambda: crowd.ask().status_code == 200, 10, "the database's return")
    crowd.until(lambda: crowd.seen[429] > 60, 15)
    assert crowd.seen[429] > 60
    first = billed(world.fake)
    assert world.sql(f"SELECT clock_timestamp() < '{world.hour}'") == [["t"]], "the hour was over before: this has shown nothing"
    until(lambda: world.sql(f"SELECT clock_timestamp() >= '{world.hour}'") == [["t"]], 40, "the hour")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        def all_admit():
            answers = list(pool.map(lambda _: crowd.ask(), range(16)))
            return all(a.status_code == 200 for a in answers)
        until(all_admit, 2, "an answer of every worker")
    for user in ("u1", "u2", "u3"):
        crowd.body["user"] = user
        assert crowd.ask().status_code == 200
    until(lambda: int(world.sql("SELECT sum(spent) FROM budget_periods WHERE budget = 'hourly'")[0][0]) == billed(world.fake),
          10, "the booking of all")

    # Both hours, exactly; the one that is over as it was.
    rows = world.sql("SELECT period_start < timestamptz '" + world.hour + "', spent, held FROM budget_periods "
                     "WHERE budget = 'hourly' ORDER BY 1 DESC")
    assert [r[0] for r in rows] == ["t", "f"]
    assert int(rows[0][1]) == first
    assert 20 * (IN + OUT) * 80 >= first >= 20 * (IN + OUT) * 76  # 95 % of it was used

    # Of those that nobody asked for, no row was made or touched: they are all of the one transaction that made them.
    rows = world.sql("SELECT count(*), count(DISTINCT xmin::text), min(spent), max(spent) FROM budget_periods "
                     f"WHERE budget = 'each' AND subject <> '' AND period_start < '{world.hour}'")
    assert rows == [[str(SUBJECTS), "1", "5", "5"]]
    rows = world.sql("SELECT subject FROM budget_periods WHERE budget = 'each' AND subject <> '' "
                     f"AND period_start >= '{world.hour}' ORDER BY 1")
    assert [r[0] for r in rows] == ["u1", "u2", "u3"]
