"""F131: every moment of a record's way, from the reservation to its removal from the spool, is the last one
of the process that lives it, one after the other, none left out.

The programs of `make FLAVOUR=crash` die as by kill -9 at the K-th passing of a named CRASHPOINT. One run counts
the points of a fixed set of requests; then the same requests are made once for each passing of each point. After
every death the clients' log, the provider's journal and the ledger agree.

Beside the gateway that `headgate up` runs, the test starts a data plane (and a control plane) of its own,
with the same command line but other addresses, so that it alone decides when they start and die.
"""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import httpx
import pytest

import alerted
import harness
import reconcile
from planes import DataPlane, Program, free_address, own_directory

CRASH_BIN = pathlib.Path(os.environ.get("HEADGATE_CRASH_BIN", harness.ROOT / "build" / "crash" / "bin")).resolve()


def build():
    """The crash flavour, made when it is not given."""
    if "HEADGATE_CRASH_BIN" not in os.environ:
        subprocess.run(["make", "-s", "-C", str(harness.ROOT), "FLAVOUR=crash", f"-j{os.cpu_count()}", "all"],
                       check=True, stdin=subprocess.DEVNULL, timeout=900)


# What is asked in every run: each way a record can go.
REQUESTS = [
    {"x_mock": "ev=5"},
    {"x_mock": "ev=5", "stream": True},
    {"x_mock": "ev=50;gap=5", "stream": True, "leave": True},
    {"x_mock": "ev=6;rst@3", "stream": True},
    {"x_mock": "status=500"},
    {"model": "dead/m1"},  # nothing listens there: no attempt
]


def ask(gateway, address, log, members):
    """One request; what came of it goes into the log, whatever it was."""
    entry = {"marker": harness.marker(), "status": None, "clean": False, "left": False, "usage": None}
    log.append(entry)
    body = {"model": "fake/m1", "user": entry["marker"], "messages": [{"role": "user", "content": "hi"}], **members}
    leave = body.pop("leave", False)
    try:
        with httpx.Client(headers={"authorization": f"Bearer {gateway.key}"}, timeout=20) as http, \
                http.stream("POST", f"http://{address}/v1/chat/completions", json=body) as response:
            entry["status"] = response.status_code
            text = ""
            for chunk in response.iter_text():
                text += chunk
                if leave and text.count("data:") >= 3:
                    entry["left"] = True
                    return
            entry["clean"] = body.get("stream") is not True or response.status_code != 200 or \
                ("data: [DONE]" in text and '"error"' not in text)
            if response.status_code == 200 and not body.get("stream"):
                usage = json.loads(text)["usage"]
                entry["usage"] = (usage["prompt_tokens"], usage["completion_tokens"])
    except (httpx.HTTPError, ValueError):
        pass


def ask_all(gateway, plane, log):
    for members in REQUESTS:
        harness.until(plane.is_ready, 20, "the data plane's readiness")
        ask(gateway, plane.listen, log, members)


@pytest.fixture(scope="module")
def stand():
    """A gateway of crash programs, a provider with a journal, a log that all runs share."""
    build()
    fake = harness.FakeProvider()
    gateway = harness.Gateway(workers=1, bin_dir=CRASH_BIN)
    try:
        gateway.up()
        document = fake.provider()
        document["providers"].append({"name": "dead", "kind": "openai-compatible", "allow_private": True,
                                      "base_url": f"http://{free_address()}/v1", "credential": "none"})
        document["prices"].append({"provider": "dead", "model": "*", "input_per_mtok_usd": "1",
                                   "output_per_mtok_usd": "1"})
        gateway.apply(document)
        yield gateway, fake, []
    finally:
        gateway.close()
        fake.close()


def names(path):
    return path.read_text().split() if path.exists() else []


def passings(points):
    """Each passing of each point, as HEADGATE_CRASH_AT names it, in the order in which they were passed."""
    seen = collections.Counter()
    for name in points:
        seen[name] += 1
        yield name, f"{name}:{seen[name]}"


def is_booked(stand):
    gateway, fake, log = stand
    return not reconcile.differences(gateway.sql, fake.journal_path, log)


def check(stand, what):
    gateway, fake, log = stand
    harness.until(lambda: fake.stats()["in_flight"] == 0, 30, "the provider at rest")
    found = reconcile.settle(gateway.sql, fake.journal_path, log)
    assert not found, f"after a death at {what}:\n" + "\n".join(found[:20])


@pytest.mark.timeout(600)
def test_f131_data_plane_dies_at_every_point(stand):
    gateway, _, log = stand
    folder = own_directory(gateway, "crash-dp")
    plane = DataPlane(gateway, folder / "state")
    try:
        count = folder / "points"
        plane.start({"HEADGATE_CRASH_COUNT": str(count)})
        plane.wait_ready()
        ask_all(gateway, plane, log)
        plane.wait_idle()
        plane.stop()
        points = names(count)
        check(stand, "nothing")
        # The whole way is in it.
        assert {"spool.segment_made", "spool.reserve", "spool.reserved", "exchange.head", "exchange.end",
                "spool.settle", "spool.settled", "upload.send", "upload.sent", "upload.acked", "spool.ack",
                "spool.acked"} <= set(points), points

        died = set()
        for name, at in passings(points):
            once = folder / f"died-{at}"
            plane.start({"HEADGATE_CRASH_AT": at, "HEADGATE_CRASH_ONCE": str(once)})
            plane.wait_ready()
            ask_all(gateway, plane, log)
            plane.wait_idle()
            check(stand, at)
            plane.stop()
            if once.exists():
                died.add(name)
        # Timers make how often the last ones are passed differ from run to run, not which they are.
        assert died == set(points), f"never died at {set(points) - died}"
    finally:
        plane.close()


@pytest.mark.timeout(600)
def test_f131_control_plane_dies_at_every_point(stand):
    gateway, _, log = stand
    folder = own_directory(gateway, "crash-cp")
    bus = {"--bus-pub": f"ipc://{folder}/pub.sock", "--bus-req": f"ipc://{folder}/req.sock"}
    control = Program(gateway, "controlplane", "headgate-controlplane",
                      {"--admin-listen": free_address(), "--state-dir": str(folder / "control"), **bus})
    plane = DataPlane(gateway, folder / "state", bus)
    try:
        count = folder / "points"
        control.start({"HEADGATE_CRASH_COUNT": str(count)})
        plane.start()
        plane.wait_ready()
        ask_all(gateway, plane, log)
        plane.wait_idle()
        control.stop()
        points = names(count)
        check(stand, "nothing")
        assert {"ledger.begin", "ledger.after_events", "ledger.after_entries", "ledger.after_rollup",
                "ledger.before_commit", "ledger.after_commit"} <= set(points), points

        died = set()
        for name, at in passings(points):
            once = folder / f"died-{at}"
            control.start({"HEADGATE_CRASH_AT": at, "HEADGATE_CRASH_ONCE": str(once)})
            ask_all(gateway, plane, log)
            # Dead or not: another one takes over where it stopped. How many batches the same requests
            # make is the clock's business, so that a later passing may not come. Peace is what the books
            # say: the data plane's gauges are a moment old.
            harness.until(lambda: once.exists() or is_booked(stand), 30, "the control plane's death or peace")
            if once.exists():
                control.process.wait(10)
                died.add(name)
            control.stop()
            control.start()
            plane.wait_idle()
            check(stand, at)
            control.stop()
        assert died == set(points), f"never died at {set(points) - died}"
    finally:
        control.close()
        plane.close()


@pytest.mark.timeout(300)
def test_the_control_plane_dies_between_sending_an_alert_and_writing_it_down():
    """It is sent again, with the same id; what comes behind it is told once."""
    build()
    open_folder = pathlib.Path(tempfile.mkdtemp(prefix="hgc-", dir="/tmp"))
    open_folder.chmod(0o777)
    once = open_folder / "died"
    fake, receiver = harness.FakeProvider(), alerted.Receiver()
    gateway = harness.Gateway(workers=1, bin_dir=CRASH_BIN, environment={"HEADGATE_CRASH_AT": "alert.sent:1",
                                                                         "HEADGATE_CRASH_ONCE": str(once)})

    def spend(dollars):
        tokens = round(dollars * 100000)
        harness.until(lambda: gateway.chat("fake/m", max_tokens=tokens, x_mock=f"usage=0/{tokens}").status_code == 200,
                      20, "a request that is served")

    def state(percent):
        return gateway.sql(f"SELECT state, attempts FROM alert_deliveries WHERE percent = {percent}")
    try:
        gateway.up()
        gateway.apply({**fake.provider(), "budgets": [{"name": "b", "limit_usd": "1", "period": "month", "thresholds": [10, 50]}],
                       "alerts": [{"name": "a", "kind": "webhook", "url": receiver.url, "allow_private": True,
                                   "credential": "a key of some length"}]})
        spend(0.2)
        harness.until(once.exists, 20, "the death")
        assert len(receiver.got) == 1 and state(10) == [["pending", "1"]]
        # As if the dead one's claim were a minute old.
        gateway.sql("UPDATE alert_deliveries SET claimed_at = now() - interval '1 hour' WHERE claimed_at IS NOT NULL")
        harness.until(lambda: state(10) == [["sent", "2"]], 30, "the next control plane's delivery")
        spend(0.4)
        harness.until(lambda: state(50) == [["sent", "1"]], 20, "the second crossing")
        heard = [(g.headers["webhook-id"], json.loads(g.body)["data"]["percent"]) for g in receiver.got]
        assert [percent for _, percent in heard] == [10, 10, 50] and heard[0] == heard[1], heard
    finally:
        gateway.close()
        fake.close()
        receiver.close()
        shutil.rmtree(open_folder)
