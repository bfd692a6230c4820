"""A primary of PostgreSQL dies under traffic and its stand-by is promoted: with synchronous replication nothing of what was
acknowledged is lost; without, what is lost is named and nothing is stuck behind it."""

import re
import signal
import threading

import httpx
import pytest

import harness
import reconcile
from fleet import Fleet
from harness import TRUST, until
from replica import Replica

IN, OUT = 2500, 10000  # nanodollars a token: the fake provider's prices in harness.py
FITS = 400  # requests that the budget allows
WHERE = re.compile(r"host='[^']*'")


class Client(threading.Thread):
    """Asks for one model until it is told to stop. hurry: without a pause in between."""

    def __init__(self, fleet, model):
        super().__init__(daemon=True)
        self.fleet, self.model = fleet, model
        self.log, self.over, self.hurry = [], threading.Event(), threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            self._ask()
            if not self.hurry.is_set():
                self.over.wait(0.03)

    def _ask(self):
        entry = {"marker": harness.marker(), "status": None, "clean": False, "left": False, "usage": None}
        answer = self.fleet.ask(model=self.model, user=entry["marker"])
        entry["status"], entry["clean"] = answer.status_code, True
        if answer.status_code == 200:
            usage = answer.json()["usage"]
            entry["usage"] = (usage["prompt_tokens"], usage["completion_tokens"])
        self.log.append(entry)

    def count(self, status):
        return [e["status"] for e in self.log].count(status)

    def stop(self):
        self.over.set()
        self.join(60)
        assert not self.is_alive()
        return self.log


class Watch(threading.Thread):
    """The epoch of the policy in each worker, as time goes."""

    def __init__(self, fleet):
        super().__init__(daemon=True)
        self.fleet, self.seen, self.over = fleet, {}, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.2):
            for worker, epoch in worker_metric(self.fleet, "policy_epoch").items():
                self.seen.setdefault(worker, []).append(epoch)

    def stop(self):
        self.over.set()
        self.join(60)
        return self.seen


@pytest.fixture
def replicated(fresh_gateway):
    """A function: a fleet whose control planes know both hosts, the stand-by first, and the stand-by."""
    made = []

    def make(**more):
        gateway = fresh_gateway(workers=1)
        replica = Replica(gateway)
        made.append(replica)
        with open(f"/proc/{gateway.pid('controlplane')}/cmdline", encoding="utf-8") as file:
            database = next(a for a in file.read().split("\0") if WHERE.search(a))
        both = WHERE.sub(f"host='{replica.second},{replica.first}'", database)
        if more.pop("synchronous"):
            replica.be_synchronous()
        fleet = Fleet(gateway, changes={"--database": both, "--threads": "4"}, **more)
        made.append(fleet)
        return fleet, replica

    yield make
    for one in reversed(made):
        one.close()


@pytest.fixture
def traffic(replicated):
    """Takes a thread that stop() ends; ends it before the fleet, when the test failed."""
    made = []
    yield lambda thread: made.append(thread) or thread
    for thread in made:
        thread.over.set()
        thread.join(60)


def wait_ready(fleet):
    until(lambda: all(p.is_ready() for p in fleet.planes), 60, "the control planes at the new primary")


def offices(fleet):
    """The epochs of both offices, once both are held."""
    def held():
        rows = fleet.listing()
        found = [max((r[o] or 0 for r in rows), default=0) for o in ("lease_epoch", "publish_epoch")]
        return found if all(found) else None
    return until(held, 30, "somebody who leads")


def worker_metric(fleet, name):
    """By worker."""
    text = httpx.get(f"http://{fleet.data_planes[0].metrics}/metrics", timeout=20, verify=TRUST).text
    return {w: int(float(v)) for w, v in re.findall(rf"^headgate_{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE)}


def apply(fleet, document, workers):
    """Until all workers go by it."""
    revision = fleet.apply(document)["revision"]

    def followed():
        rows = worker_metric(fleet, "policy_revision")
        return len(rows) == workers and min(rows.values()) >= revision
    until(followed, 20, f"revision {revision} in all workers")


def new_key(fleet, name):
    made = fleet.admin("POST", "/keys", json={"name": name, "team": "default"})
    assert made.status_code == 201, made.text
    return made.json()["key"]


def control_metric(fleet, name):
    text = httpx.get(f"http://{fleet.planes[0].admin}/metrics", timeout=20, verify=TRUST,
                     headers={"authorization": f"Bearer {fleet.token}"}).text
    return float(re.search(rf"^headgate_control_{name} (\S+)$", text, re.MULTILINE).group(1))


def lines_of(fleet, event):
    """What the control planes logged of an event."""
    return [line for line in fleet.gateway.log("second-controlplane").splitlines() if event in line]


def test_nothing_acknowledged_is_lost(replicated, traffic):
    """Synchronous replication: the primary is killed under traffic and the stand-by promoted. Traffic goes on meanwhile; the
    control planes, to whom a stand-by is no primary, find the new one by themselves; the provider's journal, the clients'
    log and the ledger agree; epochs rise; the audit log is whole; a budget is used up and not overdrawn."""
    fleet, replica = replicated(synchronous=True, planes=2, workers=2)
    apply(fleet, {"budgets": [{"name": "cap", "model": "fake/capped", "period": "lifetime", "mode": "strict",
                               "limit_usd": f"{FITS * 20 * (IN + OUT) / 10**9:.9f}"}]}, workers=2)
    until(lambda: fleet.ask(model="fake/capped", user="before").status_code == 200, 20, "the budget's first slice")
    assert replica.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'headgate_app'") == [["0"]]
    was = offices(fleet)
    free = [traffic(Client(fleet, "fake/m")) for _ in range(2)]
    capped, watch = traffic(Client(fleet, "fake/capped")), traffic(Watch(fleet))
    events = "SELECT count(*) FROM usage_events WHERE provider = 'fake'"
    until(lambda: int(replica.sql(events)[0][0]) >= 50, 30, "the records of the traffic at the stand-by")
    key = new_key(fleet, "at-the-end")  # what was answered with 201 is at the stand-by, whatever comes next
    replica.kill_primary()

    served = [c.count(200) for c in free]
    until(lambda: all(c.count(200) >= n + 30 for c, n in zip(free, served)), 30, "traffic without any PostgreSQL")
    refused = until(lambda: lines_of(fleet, "session is read-only"), 30, "the log's word that the stand-by is no primary")
    assert replica.second in refused[0] and replica.first in refused[0], refused[0]
    assert not any(p.is_ready() for p in fleet.planes)
    assert fleet.admin("POST", "/keys", json={"name": "in-between", "team": "default"}).status_code == 503

    replica.promote()
    wait_ready(fleet)
    until(lambda: fleet.ask(key=key, user="after").status_code == 200, 20, "the last change's way to the workers")
    late = new_key(fleet, "after")
    until(lambda: fleet.ask(key=late, user="after").status_code == 200, 20, "a change's way to the workers")
    now = until(lambda: (lambda o: o if o[0] > was[0] and o[1] > was[1] else None)(offices(fleet)), 30, "new offices")
    served = [c.count(200) for c in free]
    until(lambda: all(c.count(200) >= n + 30 for c, n in zip(free, served)), 30, "traffic afterwards")
    capped.hurry.set()
    until(lambda: capped.count(429) > 0, 60, "the end of the budget")

    log = sum((c.stop() for c in [*free, capped]), [])
    seen = watch.stop()
    fleet.wait_booked()
    assert {e["status"] for c in free for e in c.log} == {200}
    assert {e["status"] for e in capped.log} <= {200, 429, 503}
    # The requests of the test itself, by their own user member.
    log += [{"marker": "before", "status": None, "clean": False, "left": True, "usage": None},
            {"marker": "after", "status": None, "clean": False, "left": True, "usage": None}]
    assert reconcile.settle(replica.sql, fleet.fake.journal_path, log) == []
    assert len(fleet.fake.attempts()) == int(replica.sql(events)[0][0]) > 200

    billed = sum(a["tokens_in"] * IN + a["tokens_out"] * OUT for a in fleet.fake.attempts().values() if a["model"] == "capped")
    limit = FITS * 20 * (IN + OUT)
    assert limit * 9 // 10 < billed <= limit
    until(lambda: replica.sql("SELECT spent FROM budget_periods WHERE budget = 'cap'") == [[str(billed)]], 20, "what it spent")
    assert seen and all(one == sorted(one) for one in seen.values()), seen
    assert all(one[-1] == now[1] for one in seen.values()), (seen, now)
    assert lines_of(fleet, "publish.database_went_back") == lines_of(fleet, "epoch.forced") == []
    assert "the audit log is whole" in fleet.cli("audit", "verify")
    fleet.cli("ledger", "verify")


def wait_all_booked(fleet, sql, lost=0):
    """Every attempt but those is in the ledger, once."""
    whole = str(len(fleet.fake.attempts()) - lost)
    until(lambda: sql("SELECT count(*), count(DISTINCT attempt_id) FROM usage_events WHERE provider = 'fake'") == [[whole, whole]],
          30, f"{whole} attempts in the ledger")


def leased(fleet):
    """A user that is new has a budget of its own, and so needs a lease of it."""
    return fleet.ask(model="fake/capped", user=harness.marker()).status_code == 200


def forget_epochs(fleet):
    """At the primary alone: many offices later. Whoever leads now does so under an epoch that the stand-by never heard of."""
    was = offices(fleet)
    fleet.gateway.sql("SELECT max(nextval('lease_epoch')), max(nextval('publisher_epoch')) FROM generate_series(1, 200)")
    for plane in fleet.planes:
        plane.leave(signal.SIGKILL)
        plane.back()
    wait_ready(fleet)
    now = until(lambda: (lambda o: o if o[0] > was[0] + 200 and o[1] > was[1] + 200 else None)(offices(fleet)), 30, "new offices")
    until(lambda: set(worker_metric(fleet, "policy_epoch").values()) == {now[1]}, 20, "the workers' policy under it")
    until(lambda: leased(fleet), 30, "a slice of a budget under it")
    return now


def test_what_was_lost_holds_nobody_up(replicated):
    """Asynchronous replication, and the stand-by lacks the last commits, as a database that was restored from a backup does.
    Leases go on under an epoch above the forgotten ones; nothing is published until somebody says so; records that were
    acknowledged and lost are counted as missing; all that come afterwards are there, once."""
    fleet, replica = replicated(synchronous=False, planes=1, workers=1)
    apply(fleet, {"budgets": [{"name": "cap", "model": "fake/capped", "period": "lifetime", "per": "end_user",
                               "limit_usd": "1"}]}, workers=1)
    until(lambda: leased(fleet), 20, "a slice of a budget")
    wait_all_booked(fleet, fleet.gateway.sql)
    replica.wait_caught_up()
    replica.stop()
    before = len(fleet.fake.attempts())
    lost_key = new_key(fleet, "lost")
    until(lambda: fleet.ask(key=lost_key).status_code == 200, 20, "a change that will be lost")
    was = forget_epochs(fleet)
    wait_all_booked(fleet, fleet.gateway.sql)
    fleet.wait_booked()  # and acknowledged: the workers have dropped them
    lost = len(fleet.fake.attempts()) - before
    replica.kill_primary()
    replica.start()
    replica.promote()

    plane = fleet.planes[0]
    stuck = until(lambda: lines_of(fleet, "--force-epoch"), 30, "the word that the database went back")
    assert "restored from a backup" in stuck[0]
    assert control_metric(fleet, "publisher_stuck") == 1
    assert lines_of(fleet, "publish.database_went_back")
    until(lambda: leased(fleet), 60, "slices under a higher epoch")  # refused at first: workers heed nobody below
    until(lambda: offices_of(fleet, "lease_epoch") > was[0], 20, "the leader's epoch")
    assert fleet.ask(key=lost_key).status_code == 200  # the workers' policy is still the newest there was

    plane.stop()
    plane.argv.append("--force-epoch")
    plane.start()
    wait_ready(fleet)
    until(lambda: fleet.ask(key=lost_key).status_code == 401, 20, "the policy as the database has it")
    assert offices(fleet)[1] > was[1]
    late = new_key(fleet, "late")
    until(lambda: fleet.ask(key=late).status_code == 200, 20, "a change's way to the workers")
    wait_all_booked(fleet, replica.sql, lost)
    assert replica.sql("SELECT sum(missing) FROM usage_spools") == [[str(lost)]]
    assert control_metric(fleet, "usage_missing") == lost
    with pytest.raises(harness.Failed, match="the audit log is broken"):  # its exported head was ahead
        fleet.cli("audit", "verify")
    fleet.cli("ledger", "verify")


def offices_of(fleet, office):
    return max((r[office] or 0 for r in fleet.listing()), default=0)
