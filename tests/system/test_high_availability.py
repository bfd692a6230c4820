"""Several control planes over one PostgreSQL: who leads, who stands by, and what workers do when one is gone."""

import json
import os
import signal
import subprocess
import time

import pytest

import harness
from fleet import Fleet
from harness import until

KILLS = pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])


@pytest.fixture
def fleet(fresh_gateway):
    made = []

    def make(**more):
        made.append(Fleet(fresh_gateway(workers=1), **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def leads(fleet, office, after=0):
    """The control plane that holds an office, under an epoch after that one, and the epoch."""
    rows = [r for r in fleet.listing() if r[office] is not None and r[office] > after]
    assert len(rows) == 1, rows  # also while it is nobody
    return fleet.by_admin(rows[0]["admin"]), rows[0][office]


def first_leaders(fleet):
    """Once what `up` had started is forgotten."""
    until(lambda: [r["role"] for r in fleet.listing()].count("away") == 1, 15, "the end of the gateway's own")
    return [until(lambda o=office: leads(fleet, o), 10, office) for office in ("lease_epoch", "publish_epoch")]


@KILLS
def test_another_takes_over(fleet, how):
    """A leader that dies, or hangs with its connections open: another grants leases and publishes, under a higher
    epoch; workers follow, on policy and on budgets; the one that comes back does not lead."""
    f = fleet(planes=3, workers=1)
    f.apply({"budgets": [{"name": "b", "period": "day", "limit_usd": "1"}]})
    until(lambda: f.ask().status_code == 200, 10, "the first request")
    (leader, lease_epoch), (publisher, publish_epoch) = first_leaders(f)
    gone = {leader, publisher}
    for plane in gone:
        plane.leave(how)
    began = time.monotonic()
    # A change made at whoever is left reaches the worker, and the budget that is new in it is leased there.
    f.apply({"budgets": [{"name": "fresh", "period": "day", "limit_usd": "0.000001"}]})
    until(lambda: f.ask().status_code == 429, 20, "the word of the new leader about a new budget")
    took = time.monotonic() - began
    print(f"{how.name}: covered after {took:.1f} s")
    now, _ = until(lambda: leads(f, "lease_epoch", lease_epoch), 20, "a new leader's row")
    who, _ = until(lambda: leads(f, "publish_epoch", publish_epoch), 20, "a new publisher's row")
    assert not {now, who} & gone
    f.apply({"budgets": [{"name": "fresh", "period": "day", "limit_usd": "1"}]})
    until(lambda: f.ask().status_code == 200, 10, "its grant")
    for plane in gone:
        plane.back()
    until(lambda: [r["alive"] for r in f.listing()].count(True) == 3, 20, "those that are back")
    assert leads(f, "lease_epoch")[0] is now and leads(f, "publish_epoch")[0] is who
    rows = json.loads(f.cli("controlplanes", "--output", "json"))["data"]
    assert {r["role"] for r in rows} >= {"leader", "standby"}
    assert "standby" in f.cli("controlplanes")


def test_stand_bys_serve(fleet):
    """Reads and writes of the admin API at any of them; a worker that knows only a stand-by gets its policy there, and
    its usage goes into the ledger."""
    f = fleet(planes=2, workers=1)
    _, (leader, _) = first_leaders(f)
    standby = next(p for p in f.planes if p is not leader)
    lone = f.add_data_plane(planes=[standby])
    assert f.ask(lone).status_code == 200
    made = f.admin("POST", "/keys", at=standby, json={"name": "ha", "team": "default"})
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    assert f.admin("GET", "/keys/ha", at=leader).status_code == 200
    until(lambda: f.ask(lone, key=key).status_code == 200, 5, "the key at the stand-by's worker")
    until(lambda: f.ask(key=key).status_code == 200, 5, "the key at the other workers")
    assert f.admin("DELETE", "/keys/ha", at=standby, headers={"if-match": "*"}).status_code in (200, 204)
    until(lambda: f.ask(lone, key=key).status_code == 401 and f.ask(key=key).status_code == 401, 5, "its revocation")
    f.wait_booked()


def test_requests_fail_over_and_nothing_is_counted_twice(fleet):
    """Usage batches while control planes die and hang in turn: every attempt in the ledger, once."""
    f = fleet(planes=3, workers=2)
    sent = 0
    deadline = time.monotonic() + 12
    turn = 0
    while turn < 3 or time.monotonic() < deadline:
        victim = f.planes[turn % 3]
        how = signal.SIGKILL if turn % 2 else signal.SIGSTOP
        victim.leave(how)
        for _ in range(60):
            sent += f.ask().status_code == 200
        victim.back()
        turn += 1
    assert sent > 100
    f.wait_booked()
    assert len(f.fake.attempts()) == sent
    rows = f.gateway.sql("SELECT count(*), count(DISTINCT attempt_id) FROM usage_events WHERE provider = 'fake'")
    assert rows == [[str(sent), str(sent)]]


@pytest.mark.parametrize("arguments, word", [
    (["--bus-pub", "ipc:///a,ipc:///b", "--bus-req", "ipc:///c"], "as many of the one as of the other"),
    (["--bus-pub", "ipc:///a", "--bus-pub", "ipc:///b", "--bus-req", "ipc:///c,ipc:///c"], "the same address twice"),
    (["--bus-pub", "ipc:///a,", "--bus-req", "ipc:///c"], "--bus-pub has an empty part"),
    (["--bus-pub", "tcp://192.0.2.1:1,ipc:///a", "--bus-req", "ipc:///b,ipc:///c"], "loopback"),
])
def test_addresses_are_checked_at_the_start(tmp_path, arguments, word):
    key = tmp_path / "key"
    key.write_text("00" * 32 + "\n")
    os.chmod(key, 0o600)
    done = subprocess.run([harness.BIN / "headgate-dataplane", "--listen", "127.0.0.1:0", "--state-dir", tmp_path / "state",
                           "--verify-key", key, "--seal-key", key, *arguments], capture_output=True, text=True, timeout=20,
                          check=False, env=harness.clean_environment())
    assert done.returncode != 0 and word in done.stderr, done.stderr
