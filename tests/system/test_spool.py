"""The spool under real conditions: no room, no control plane, killed workers."""

import os
import signal

import httpx
import pytest

import harness
import reconcile
from planes import DataPlane, own_directory


@pytest.fixture
def stand(fresh_gateway):
    """A gateway, a provider with a journal, and a data plane of the test's own that has the policy."""
    fake = harness.FakeProvider()
    gateway = fresh_gateway(workers=1)
    gateway.apply(fake.provider())
    plane = DataPlane(gateway, own_directory(gateway, "second") / "state")
    plane.bus = {o: plane.argv[plane.argv.index(o) + 1] for o in ("--bus-pub", "--bus-req")}
    try:
        plane.start()
        plane.wait_ready()
        plane.stop()
        yield gateway, fake, plane
    finally:
        plane.close()
        fake.close()


def cut_off(plane):
    """Away from every control plane."""
    for option in plane.bus:
        plane.set(option, "ipc:///tmp/headgate-nobody-listens-here")


def connect(plane):
    for option, value in plane.bus.items():
        plane.set(option, value)


def ask(gateway, plane, log, script="ev=3", **members):
    entry = {"marker": harness.marker(), "status": None, "clean": False, "left": False, "usage": None}
    log.append(entry)
    body = {"model": "fake/m1", "user": entry["marker"], "messages": [{"role": "user", "content": "hi"}],
            "x_mock": script, **members}
    try:
        response = httpx.post(f"http://{plane.listen}/v1/chat/completions", json=body, timeout=30,
                              headers={"authorization": f"Bearer {gateway.key}"})
    except httpx.TransportError:
        return None
    entry["status"] = response.status_code
    entry["clean"] = not members.get("stream") or "data: [DONE]" in response.text
    return response


def arrives(gateway, fake, plane, log):
    """Back with the control plane, everything is booked once."""
    plane.stop()
    connect(plane)
    plane.start()
    plane.wait_ready()
    plane.wait_idle()
    found = reconcile.settle(gateway.sql, fake.journal_path, log)
    assert not found, "\n".join(found[:20])


@pytest.mark.timeout(180)
def test_f143_a_full_spool_refuses_and_loses_nothing(stand):
    gateway, fake, plane = stand
    log = []
    cut_off(plane)
    plane.set("--spool-bytes", str(320 * 1024))
    plane.start()
    plane.wait_ready()

    # A stream that is under way when the spool is full.
    entry = {"marker": harness.marker(), "status": 200, "clean": False, "left": False, "usage": None}
    log.append(entry)
    body = {"model": "fake/m1", "user": entry["marker"], "stream": True, "x_mock": "ev=400;gap=25",
            "messages": [{"role": "user", "content": "hi"}]}
    with httpx.Client(headers={"authorization": f"Bearer {gateway.key}"}, timeout=60) as http, \
            http.stream("POST", f"http://{plane.listen}/v1/chat/completions", json=body) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data:")
        for _ in range(5000):
            refused = ask(gateway, plane, log)
            if refused.status_code != 200:
                break
        assert refused.status_code == 503
        assert refused.headers["x-headgate-error"] == "ledger_unavailable"
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "ledger_unavailable"
        assert httpx.get(f"http://{plane.listen}/readyz").status_code == 503
        assert ask(gateway, plane, log).status_code == 503
        entry["clean"] = list(lines)[-2:].count("data: [DONE]") == 1
    assert entry["clean"], "the stream that was under way did not end well"
    assert len([e for e in log if e["status"] == 200]) > 100
    plane.set("--spool-bytes", "0")
    arrives(gateway, fake, plane, log)
    assert ask(gateway, plane, log).status_code == 200
    plane.wait_idle()
    assert not reconcile.settle(gateway.sql, fake.journal_path, log)


@pytest.mark.timeout(120)
def test_usage_waits_for_the_control_plane_and_arrives_once(stand):
    gateway, fake, plane = stand
    log = []
    cut_off(plane)
    plane.start()
    plane.wait_ready()
    for round_ in range(3):
        for _ in range(10):
            assert ask(gateway, plane, log).status_code == 200
        workers = [pid for pid in harness.children(plane.process.pid) if "worker" in harness.cmdline(pid)]
        if round_ < 2:  # its successor takes the spool over, and goes on
            os.kill(workers[0], signal.SIGKILL)
            harness.until(lambda gone=workers[0]: not harness.alive(gone), 5, "the worker's death")
            harness.until(plane.is_ready, 20, "its successor")
    assert gateway.sql("SELECT count(*) FROM usage_events") == [["0"]]
    arrives(gateway, fake, plane, log)
    assert gateway.sql("SELECT count(*) FROM usage_events") == [["30"]]
