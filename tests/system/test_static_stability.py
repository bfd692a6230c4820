"""F085 to F088: what happens while the control plane and PostgreSQL are away.

The supervisor of `headgate up` would bring them back at once; it is stopped (SIGSTOP) where they must
stay away.
"""

import concurrent.futures
import os
import shutil
import signal
import subprocess

import httpx
import pytest

import harness
from harness import FakeProvider, until


@pytest.fixture
def fake():
    made = FakeProvider()
    yield made
    made.close()


@pytest.fixture
def cut_off(fresh_gateway, fake):
    """A gateway that knows the fake provider, with nobody to restart what is killed."""
    gateway = fresh_gateway(workers=2)
    gateway.apply(fake.provider())
    gateway.wait_idle()
    yield gateway
    pid = gateway.pid("supervisor")
    if pid:
        os.kill(pid, signal.SIGCONT)


def take_away(gateway, *names):
    os.kill(gateway.pid("supervisor"), signal.SIGSTOP)
    for name in names:
        pid = gateway.kill(name)
        until(lambda: not harness.alive(pid), 5, f"{name} gone")


def bring_back(gateway):
    os.kill(gateway.pid("supervisor"), signal.SIGCONT)
    until(lambda: gateway.run("status").returncode == 0, 20, "all is well again")


def test_f086_traffic_goes_on_without_control_plane_and_database(cut_off, fake):
    gateway = cut_off
    secret = gateway.cli_json("key", "create", "--name", "revoked", "--team", "default")["key"]
    until(lambda: gateway.chat(key=secret).status_code == 200, 5, "the key")
    gateway.cli("key", "revoke", "revoked")
    until(lambda: gateway.chat(key=secret).status_code == 401, 5, "refused")
    gateway.wait_idle()

    take_away(gateway, "controlplane", "postgres")
    ids = []
    for i in range(20):
        answer = gateway.chat("fake/m", stream=i % 2 == 0, x_mock="usage=3/4")
        assert answer.status_code == 200, answer.text
        ids.append(answer.headers["x-request-id"])
    # no 401 is caused by infrastructure, and none is lost for want of it
    assert gateway.chat(key="sk-hg-" + "x" * 43).status_code == 401
    assert gateway.chat(key=secret).status_code == 401
    assert gateway.chat("simulator").status_code == 200
    until(lambda: gateway.metric("headgate_spool_records") >= 20, 5, "20 records in the spool")

    bring_back(gateway)
    for request_id in ids:
        events = gateway.wait_usage(request_id, seconds=20)
        assert len(events) == 1
        assert (events[0]["input_tokens"], events[0]["output_tokens"]) == (3, 4)
    gateway.wait_idle()
    assert_once(gateway, fake)


def assert_once(gateway, fake):
    """Every attempt of the provider's journal is in the ledger exactly once, and nothing else is."""
    billed = [row[0] for row in gateway.sql("SELECT attempt_id FROM usage_events WHERE provider = 'fake'")]
    assert len(billed) == len(set(billed))
    assert set(billed) == set(fake.attempts())


def test_f086_a_worker_started_then_serves_from_disk(cut_off, fake):
    gateway = cut_off
    take_away(gateway, "controlplane", "postgres")
    old = gateway.kill_worker(0)
    until(lambda: gateway.workers().get(0) not in (None, old), 5, "worker 0 back")
    until(lambda: gateway.metrics("headgate_worker_state").get('worker="0"') == 2, 5, "worker 0 ready")
    for _ in range(20):
        assert gateway.chat("fake/m").status_code == 200
    bring_back(gateway)
    gateway.wait_idle(30)
    assert_once(gateway, fake)


def test_f086_the_whole_data_plane_starts_from_disk(cut_off, fake):
    gateway = cut_off
    take_away(gateway, "controlplane", "postgres")
    gateway.kill("dataplane")
    gateway.kill("supervisor")
    # what the supervisor would start, by hand: `up` would start the others too
    command = data_plane_command(gateway)
    with open(gateway.home / "log" / "dataplane.log", "a", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=harness.clean_environment(),
                                   start_new_session=True)
    try:
        until(lambda: httpx.get(gateway.url + "/readyz").status_code == 200, 10, "ready")
        for _ in range(10):
            assert gateway.chat("fake/m", x_mock="usage=1/1").status_code == 200
    finally:
        process.terminate()
        process.wait(40)
    gateway.up()
    gateway.wait_idle(30)
    assert_once(gateway, fake)


def data_plane_command(gateway):
    """As headgate up starts it."""
    data, run = gateway.setting("data"), gateway.setting("run")
    command = [str(gateway.bin / "headgate-dataplane"), "--listen", gateway.setting("listen"), "--metrics-listen",
               gateway.setting("metrics"), "--workers", "2", "--state-dir", f"{data}/state", "--verify-key",
               f"{data}/secrets/verify.pub", "--seal-key", f"{data}/secrets/seal.key", "--bus-pub",
               f"ipc://{run}/pub.sock", "--bus-req", f"ipc://{run}/req.sock"]
    return command + (["--user", gateway.setting("user")] if os.geteuid() == 0 else [])


def test_f087_without_any_policy(cut_off):
    """Up but not ready, 503 with Retry-After; the policy is picked up without a restart."""
    gateway = cut_off
    take_away(gateway, "controlplane", "postgres", "dataplane")
    until(lambda: not gateway.workers(), 5, "workers gone")
    policy = gateway.home / "state" / "policy"

    def is_gone():  # one of them may be renaming what it has just written
        shutil.rmtree(policy, ignore_errors=True)
        return not policy.exists()
    until(is_gone, 5, "an empty state")
    bring_back(gateway)
    assert gateway.chat().status_code == 200


def test_f087_no_policy_and_no_control_plane(fresh_gateway, tmp_path):
    """The data plane alone, on an empty state directory."""
    gateway = fresh_gateway(workers=1)
    gateway.down()
    state = harness.make_home()
    state.mkdir(parents=True)
    command = data_plane_command(gateway)
    command[command.index("--state-dir") + 1] = str(state)
    with open(gateway.home / "log" / "dataplane.log", "a", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=harness.clean_environment())
    try:
        until(lambda: httpx.get(gateway.url + "/healthz").status_code == 200, 10, "up")
        assert httpx.get(gateway.url + "/readyz").status_code == 503
        answer = gateway.chat()
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "no_policy"
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        process.terminate()
        process.wait(40)
        shutil.rmtree(state.parent)


def test_f088_a_control_plane_that_comes_back_has_a_higher_epoch(cut_off):
    gateway = cut_off
    before = max(gateway.metrics("headgate_policy_epoch").values())
    gateway.kill("controlplane")
    until(lambda: min(gateway.metrics("headgate_policy_epoch").values()) > before, 15, "a higher epoch")
    assert gateway.chat().status_code == 200


def test_the_database_away_is_503_for_writes_and_admins_read_on(cut_off):
    gateway = cut_off
    take_away(gateway, "postgres")
    answer = gateway.admin("POST", "/teams", json={"name": "later"})
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert answer.headers["content-type"].startswith("application/problem+json")
    done = gateway.run("team", "create", "later")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert gateway.chat("fake/m").status_code == 200
    bring_back(gateway)
    until(lambda: gateway.run("team", "create", "later").returncode == 0, 10, "a write")


def test_the_control_plane_starts_without_its_database(cut_off):
    gateway = cut_off
    take_away(gateway, "postgres", "controlplane")
    # the supervisor starts both at once; the control plane does not die of it
    bring_back(gateway)
    pid = gateway.pid("controlplane")
    gateway.kill("postgres")
    until(lambda: gateway.run("status").returncode == 0, 10, "all is well")
    assert gateway.pid("controlplane") == pid
    assert gateway.chat("fake/m").status_code == 200


def test_workers_killed_in_streams_leave_a_record(cut_off, fake):
    """kill -9 of a worker in the middle of streams: rows marked incomplete, not holes."""
    gateway = cut_off
    def stream(_):
        try:
            return gateway.chat("fake/m", stream=True, x_mock="ev=200;gap=20").status_code
        except httpx.HTTPError:
            return None

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        running = [pool.submit(stream, i) for i in range(16)]
        until(lambda: fake.stats()["in_flight"] == 16, 5, "16 streams")
        for slot in (0, 1):
            gateway.kill_worker(slot)
        concurrent.futures.wait(running)
    until(lambda: len(gateway.workers()) == 2, 5, "workers back")
    gateway.wait_idle(30)
    until(lambda: len(gateway.sql("SELECT 1 FROM usage_events WHERE provider = 'fake'")) == 16, 20, "16 rows")
    assert_once(gateway, fake)
    rows = gateway.sql("SELECT DISTINCT incomplete, estimated FROM usage_events WHERE provider = 'fake'")
    assert rows == [["t", "t"]]
