"""The data plane by itself: clients that leave, clients that are slow, bodies that are no JSON, workers
that die, and how it goes down (F003, F004, F020 to F025, F134, F137).

Faults are asked of the fake provider by the member x_mock. Nothing sleeps to synchronise.
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import httpx
import jsonschema
import pytest

import harness
import rawhttp
from harness import FakeProvider, until
from planes import DataPlane, own_directory


@pytest.fixture(scope="module")
def fake():
    made = FakeProvider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(fake):
    made = harness.Gateway(workers=1)
    try:
        made.up()
        made.apply(fake.provider())
        made.apply(fake.provider("drained", on_disconnect="drain"))
        yield made
    finally:
        made.close()


@pytest.fixture
def gateway(shared):
    """Afterwards it must be idle, and serve."""
    yield shared
    shared.wait_idle()
    assert shared.chat("fake/m").status_code == 200


@pytest.fixture
def plane(shared):
    """A data plane of the test's own, under the shared control plane; `plane(**flags)`."""
    made = []

    def start(**flags):
        changes = {"--" + name.replace("_", "-"): str(value) for name, value in flags.items()}
        one = DataPlane(shared, own_directory(shared, "state-" + harness.marker()), changes)
        made.append(one)
        one.start()
        one.wait_ready()
        return one

    yield start
    for one in made:
        one.close()


def ask(script, model="fake/m", **members):
    return {"model": model, "messages": [{"role": "user", "content": "Hello!"}], "x_mock": script, **members}


def go(fake):
    httpx.post(fake.url.removesuffix("/v1") + "/__go")


def the_usage(gateway, request_id):
    gateway.wait_idle()
    events = gateway.wait_usage(request_id)
    assert len(events) == 1
    return events[0]


# --- F023: the client leaves ---------------------------------------------------------------------------


class H1Stream:
    """A stream over HTTP/1.1 that can be left in two ways."""

    def __init__(self, url, key, body):
        self.sock = rawhttp.connect(url)
        self.sock.sendall(rawhttp.request_bytes(url, key, "/v1/chat/completions", body))
        self.reader = rawhttp.Reader(self.sock)

    def request_id(self):
        return self.reader.head().header("x-request-id")

    def read_until(self, text):
        while text not in self.reader.answer.text:
            assert self.reader.chunk() is not None, self.reader.answer.text

    def leave(self, how):
        if how == "rst":
            rawhttp.reset_on_close(self.sock)
        self.sock.close()


class H2Stream:
    """The same over HTTP/2: leaving is RST_STREAM, the connection stays."""

    def __init__(self, url, key, body):
        self.sock = rawhttp.connect(url)
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.conn.initiate_connection()
        self.stream = self.conn.get_next_available_stream_id()
        self.conn.send_headers(self.stream, [
            (":method", "POST"), (":path", "/v1/chat/completions"), (":scheme", "http"), (":authority", "x"),
            ("authorization", f"Bearer {key}"), ("content-type", "application/json")])
        self.conn.send_data(self.stream, json.dumps(body).encode(), end_stream=True)
        self.sock.sendall(self.conn.data_to_send())
        self.text = ""
        self.headers = {}

    def _more(self):
        data = self.sock.recv(65536)
        assert data, "the connection ended"
        for event in self.conn.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.headers = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.text += event.data.decode()
                self.conn.acknowledge_received_data(event.flow_controlled_length, self.stream)
        self.sock.sendall(self.conn.data_to_send())

    def request_id(self):
        while "x-request-id" not in self.headers:
            self._more()
        return self.headers["x-request-id"]

    def read_until(self, text):
        while text not in self.text:
            self._more()

    def leave(self, _how):
        self.conn.reset_stream(self.stream, 8)
        self.sock.sendall(self.conn.data_to_send())
        self.keep = self.sock


WAYS = [(H1Stream, "fin"), (H1Stream, "rst"), (H2Stream, "reset")]


@pytest.mark.parametrize("seen", [1, 2, 10, 19, 20])
@pytest.mark.parametrize("kind, how", WAYS)
def test_f023_a_client_that_leaves_mid_stream(gateway, fake, kind, how, seen):
    """Cancelled upstream, which would have gone on for ever; one record, not below what was delivered."""
    stream = kind(gateway.url, gateway.key, ask("ev=20;hold", stream=True))
    request_id = stream.request_id()
    for i in range(seen):
        stream.read_until(f"tok{i} ")
        if i + 1 < seen:
            go(fake)
    stream.leave(how)
    event = the_usage(gateway, request_id)
    record = fake.attempt(event["attempt_id"])
    assert record["outcome"] == "client_gone" and record["begins"] == 1
    assert event["estimated"] and event["output_tokens"] >= seen and event["input_tokens"] > 0
    assert float(event["cost_usd"]) > 0


@pytest.mark.parametrize("kind, how", WAYS)
def test_f023_usage_reported_before_the_client_left_is_exact(gateway, kind, how):
    """The client has asked for it, so that it can be seen to have passed."""
    body = ask("ev=3;usage=77/3;endgap=60000", stream=True, stream_options={"include_usage": True})
    stream = kind(gateway.url, gateway.key, body)
    request_id = stream.request_id()
    stream.read_until('"prompt_tokens":77')
    stream.leave(how)
    event = the_usage(gateway, request_id)
    assert (event["input_tokens"], event["output_tokens"]) == (77, 3)
    assert not event["estimated"]


@pytest.mark.parametrize("kind, how", WAYS)
@pytest.mark.parametrize("stream", [False, True])
def test_f025_a_client_that_leaves_before_the_answer(gateway, fake, kind, how, stream):
    """The bytes went up, so there is a record, and the provider stops. A FIN behind the request of a whole
    answer is a half close (F004): whether somebody still reads shows when the answer is written."""
    still_reads = how == "fin" and not stream
    script = f"ttfb={1500 if still_reads else 60000};type={harness.marker()}"
    client = kind(gateway.url, gateway.key, ask(script, stream=stream))
    attempt = until(lambda: [r for r in fake.records() if r.get("script") == script], 5, "the attempt")[0]["attempt_id"]
    client.leave(how)
    record = fake.attempt(attempt, 5 if still_reads else 1.5)
    assert record["outcome"] == ("done" if still_reads else "client_gone")

    def booked():
        rows = gateway.admin("GET", "/usage/events", params={"limit": 50}).json()["data"]
        return [r for r in rows if r["attempt_id"] == attempt]
    row = until(booked, 5, "the attempt in the books")[0]
    assert row["estimated"] != still_reads
    assert row["input_tokens"] > 0 and float(row["cost_usd"]) > 0


def test_f024_a_provider_that_bills_regardless_is_read_to_its_end(gateway, fake):
    stream = H1Stream(gateway.url, gateway.key, ask("ev=20;gap=20;usage=123/20", "drained/m", stream=True))
    request_id = stream.request_id()
    stream.read_until("tok1 ")
    stream.leave("rst")
    event = the_usage(gateway, request_id)
    assert (event["input_tokens"], event["output_tokens"]) == (123, 20)
    assert not event["estimated"]
    assert fake.attempt(event["attempt_id"])["outcome"] == "done"


def test_f024_draining_is_capped_in_number_and_time(plane, shared, fake):
    one = plane(limit_client_drains=1, limit_client_drain_ms=500)
    url = f"http://{one.listen}"
    streams = [H1Stream(url, shared.key, ask("ev=2;stall@2", "drained/m", stream=True)) for _ in range(2)]
    for stream in streams:
        stream.request_id()
        stream.read_until("tok1 ")
    for stream in streams:
        stream.leave("rst")
    one.wait_idle()


# --- F003, F004: clients that are slow, or half gone ------------------------------------------------------


def test_f003_a_slow_reader_stops_the_reading_of_its_upstream(plane, shared, fake):
    """What the provider could send is bounded by buffers; then the stalled client is given up."""
    one = plane(limit_write_stall_ms=1500)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(("127.0.0.1", int(one.listen.split(":")[1])))
    body = ask("ev=3;size=8000;endless=1000000000", stream=True)
    sock.sendall(rawhttp.request_bytes(f"http://{one.listen}", shared.key, "/v1/chat/completions", body))
    attempt = until(lambda: [r for r in fake.records() if r["event"] == "begin" and r["script"] == body["x_mock"]],
                    5, "the attempt")[-1]["attempt_id"]
    record = fake.attempt(attempt, 10)
    assert record["outcome"] == "client_gone"
    assert record["bytes_sent"] < 16 << 20  # socket buffers at both sides, and 256 KiB of ours
    sock.close()
    one.wait_idle()


def test_f004_half_close_is_no_cancel(gateway):
    with rawhttp.connect(gateway.url) as sock:
        sock.sendall(rawhttp.request_bytes(gateway.url, gateway.key, "/v1/chat/completions", ask("ttfb=300")))
        sock.shutdown(socket.SHUT_WR)
        reader = rawhttp.Reader(sock)
        reader.head()
        answer = reader.body()
    assert answer.status == 200 and answer.clean


# --- F020 to F022: bodies --------------------------------------------------------------------------------------


GOOD = b'{"model":"fake/m","messages":[{"role":"user","content":"%s"}]}'

BODIES = [
    (GOOD % b"\x80", "invalid_json"), (GOOD % b"\xc0\x80", "invalid_json"), (GOOD % b"\xed\xa0\x80", "invalid_json"),
    (GOOD % b"\xf4\x90\x80\x80", "invalid_json"), (b"\xef\xbb\xbf" + GOOD % b"x", "invalid_json"),
    (GOOD % b"\\ud800", "invalid_json"), (GOOD % b"\\u0000", "invalid_json"), (GOOD % b"\x00", "invalid_json"), (GOOD % b"\x1f", "invalid_json"),
    (GOOD % b"x" + b"{}", "invalid_json"), (GOOD % b"x" + b" x", "invalid_json"), (b"", "invalid_json"),
    (b'{"model":"fake/m","a":NaN}', "invalid_json"), (b'{"model":"fake/m",/**/"a":1}', "invalid_json"),
    (b'{"model":"fake/m","a":01}', "invalid_json"), (b'{"model":"fake/m","a":1,}', "invalid_json"),
    (b'{"model":"fake/m","a":' + b"[" * 20000 + b"]" * 20000 + b"}", "invalid_json"),
    (b'{"model":"fake/m","model":"fake/m"}', "duplicate_member"),
    (b'{"model":"fake/m","mod\\u0065l":"fake/m"}', "duplicate_member"),
    (b'{"model":"fake/m","stream":true,"stream":false}', "duplicate_member"),
    (b'{"model":"fake/m","max_tokens":1,"max_tokens":100000}', "duplicate_member"),
]


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("body, code", BODIES, ids=[str(i) for i in range(len(BODIES))])
def test_f020_f021_f022_what_is_no_json_goes_nowhere(gateway, fake, client, body, code):
    before = fake.stats()["requests"]
    answer = rawhttp.CALLS[client](gateway.url, gateway.key, body)
    assert answer.status == 400
    error = answer.error()
    assert error["code"] == code and error["source"] == "gateway"
    if code == "invalid_json" and body:
        assert re.search(r"at byte \d+", error["message"])
    assert fake.stats()["requests"] == before


def test_f021_what_is_allowed_passes_unchanged(gateway):
    """Deep but not too deep, large numbers, equal names further down, all escapes."""
    inner = b'{"a":' * 60 + b"1" + b"}" * 60
    body = (b'{"model":"fake/m","messages":[{"role":"user","content":"\\ud83d\\ude00 \\u0001"}],"x_mock":"echo",'
            b'"n1":1e999999,"n2":-0,"x":{"model":"a","model2":"b"},"deep":' + inner + b"}")
    answer = rawhttp.call_h1(gateway.url, gateway.key, body)
    assert answer.status == 200, answer.text


def test_the_byte_budget_refuses_with_503(plane, shared, fake):
    one = plane(limit_held_bytes=100000)
    url = f"http://{one.listen}"
    big = ask("", stuff="x" * 200000)
    answer = rawhttp.call_h1(url, shared.key, big)
    assert answer.status == 503 and answer.header("retry-after")
    assert answer.error()["code"] == "overloaded"
    assert rawhttp.call_h1(url, shared.key, ask("")).status == 200
    one.wait_idle()


def test_f008_bodies_up_to_the_limit(plane, shared):
    one = plane(limit_body_bytes=5000)
    url = f"http://{one.listen}"
    base = len(json.dumps(ask("", stuff="")))
    for size, status in ((4999, 200), (5000, 200), (5001, 413)):
        answer = rawhttp.call_h1(url, shared.key, ask("", stuff="x" * (size - base)))
        assert answer.status == status, size
    one.wait_idle()


# --- F137: workers that die --------------------------------------------------------------------------------------


def workers_of(plane):
    found = {}
    for pid in harness.children(plane.process.pid):
        match = re.search(r"worker (\d+)", harness.cmdline(pid))
        if match:
            found[int(match.group(1))] = pid
    return found


def test_f130_a_killed_worker_is_back_at_once(plane, shared):
    one = plane(workers=2)
    old = workers_of(one)
    assert len(old) == 2
    os.kill(old[0], signal.SIGKILL)
    until(lambda: workers_of(one).get(0) not in (None, old[0]), 2, "another worker 0")
    assert workers_of(one)[1] == old[1]
    until(one.is_ready, 5)
    for _ in range(10):
        assert rawhttp.call_h1(f"http://{one.listen}", shared.key, ask("")).status == 200
    one.wait_idle()


def test_f130_a_stream_of_a_killed_worker_has_no_false_end(plane, shared, fake):
    one = plane()
    stream = H1Stream(f"http://{one.listen}", shared.key, ask("ev=50;hold", stream=True))
    stream.request_id()
    stream.read_until("tok0 ")
    os.kill(workers_of(one)[0], signal.SIGKILL)
    answer = stream.reader.body()
    assert not answer.clean and "[DONE]" not in answer.text
    one.wait_idle()


def test_f137_a_crash_loop_backs_off(plane, shared):
    """Nobody is served twice as fast by dying twice as often."""
    one = plane()
    restarts = lambda: metric(one, "headgate_worker_restarts_total")  # noqa: E731
    for i in range(4):
        pid = until(lambda: workers_of(one).get(0), 10, "a worker")
        os.kill(pid, signal.SIGKILL)
        until(lambda: workers_of(one).get(0) not in (None, pid), 10, "the next worker")
    log = (shared.home / "log" / "second-dataplane.log").read_text()
    waits = [int(w) for w in re.findall(r'"event":"worker.died".*?"retry_ms":(\d+)', log)][-4:]
    assert waits == sorted(waits) and waits[-1] > waits[0]
    until(one.is_ready, 10)
    assert restarts() >= 4


def test_f137_a_policy_that_kills_workers_is_left_out(plane, shared, fake):
    one = plane()
    versions = lambda: metric(one, "headgate_policy_version")  # noqa: E731
    first = versions()
    shared.apply({"teams": [{"name": "poison-" + harness.marker()}]})
    until(lambda: versions() > first, 5, "the new policy")
    bad = versions()
    for _ in range(3):
        pid = until(lambda: workers_of(one).get(0), 10, "a worker")
        until(lambda: metric(one, "headgate_policy_version") == bad and metric(one, "headgate_worker_state") == 2, 5)
        os.kill(pid, signal.SIGABRT)
        until(lambda: workers_of(one).get(0) not in (None, pid), 10, "the next worker")
    until(one.is_ready, 10)
    until(lambda: metric(one, "headgate_worker_state") == 2 and versions() < bad, 5, "the policy before")
    assert rawhttp.call_h1(f"http://{one.listen}", shared.key, ask("")).status == 200
    until(lambda: metric(one, 'headgate_snapshot_refused_total{reason="poison"}') >= 1, 15, "its refusal")
    # The next one is taken again.
    shared.apply({"teams": [{"name": "antidote-" + harness.marker()}]})
    until(lambda: versions() > bad, 10, "the policy after")
    one.wait_idle()


def metric(plane, name):
    """Zero when it is not there: summed over its labels, or of these labels."""
    text = httpx.get(f"http://{plane.metrics}/metrics", timeout=30).text
    want = name if "{" in name else None
    total = 0.0
    for line in text.splitlines():
        head, _, value = line.rpartition(" ")
        if head == want or (want is None and head.split("{")[0] == name):
            total += float(value)
    return total


# --- F134: going down ------------------------------------------------------------------------------------------------


def test_f134_sigterm_lets_streams_finish(plane, shared, fake):
    one = plane(drain_ms=20000)
    url = f"http://{one.listen}"
    streams = [H1Stream(url, shared.key, ask("ev=3;hold", stream=True)),
               H2Stream(url, shared.key, ask("ev=3;hold", stream=True))]
    for stream in streams:
        stream.request_id()
        stream.read_until("tok0 ")
    idle = rawhttp.connect(url)
    one.process.send_signal(signal.SIGTERM)
    assert idle.recv(10) == b""  # an idle connection is closed in order
    until(lambda: refused(url), 5, "a refused connection")
    assert one.process.poll() is None
    for i in range(6):
        go(fake)
    streams[0].read_until("[DONE]")
    assert streams[0].reader.body().clean
    frames = raw_frames(streams[1].sock)
    assert any(kind == GOAWAY for kind, _, _ in frames)
    assert b"[DONE]" in b"".join(data for kind, _, data in frames if kind == DATA)
    assert any(kind in (DATA, HEADERS) and flags & END_STREAM for kind, flags, _ in frames)
    assert one.process.wait(10) == 0


DATA, HEADERS, GOAWAY, END_STREAM = 0, 1, 7, 1


def raw_frames(sock):
    """All HTTP/2 frames to the connection's end: (type, flags, payload). The package h2 takes nothing more
    after a GOAWAY, though open streams go on (RFC 9113 6.8)."""
    raw, found = b"", []
    while data := sock.recv(65536):
        raw += data
    while len(raw) >= 9:
        length, kind, flags = int.from_bytes(raw[:3], "big"), raw[3], raw[4]
        found.append((kind, flags, raw[9:9 + length]))
        raw = raw[9 + length:]
    return found


def refused(url):
    try:
        rawhttp.connect(url).close()
        return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("twice", [False, True])
def test_f134_who_is_left_is_told(plane, shared, fake, twice):
    """At the end of the drain's time, or at the second SIGTERM, whichever is first."""
    one = plane(drain_ms=60000 if twice else 500)
    url = f"http://{one.listen}"
    stream = H1Stream(url, shared.key, ask("ev=3;hold", stream=True))
    waiting = H1Stream(url, shared.key, ask("ttfb=60000"))
    request_id = stream.request_id()
    stream.read_until("tok0 ")
    until(lambda: metric(one, "headgate_open_requests") == 2, 5)
    one.process.send_signal(signal.SIGTERM)
    until(lambda: metric(one, "headgate_worker_state") == 3, 5, "draining")
    if twice:
        one.process.send_signal(signal.SIGTERM)
    answer = stream.reader.body()
    assert not answer.clean
    events = answer.events()
    assert events[-1]["error"]["code"] == "shutting_down"
    assert sum("error" in e for e in events if e != "[DONE]") == 1
    late = waiting.reader
    late.head()
    assert late.body().status == 503 and late.answer.error()["code"] == "shutting_down"
    assert one.process.wait(15) == 0
    event = shared.wait_usage(request_id, seconds=10)[0]
    assert event["estimated"] and event["output_tokens"] >= 1


def test_f134_keep_alive_ends_with_the_answer(plane, shared, fake):
    """A connection in use when the drain begins is told to close."""
    one = plane(drain_ms=20000)
    script = "ttfb=600;type=" + harness.marker()
    stream = H1Stream(f"http://{one.listen}", shared.key, ask(script))
    until(lambda: any(r.get("script") == script for r in fake.records()), 5, "the attempt")
    one.process.send_signal(signal.SIGTERM)
    answer = stream.reader.head()
    assert answer.status == 200 and stream.reader.body().clean
    assert answer.header("connection") == "close"
    assert one.process.wait(10) == 0


def test_f134_sigterm_while_it_starts(shared):
    """Whenever it comes, it ends with 0 and leaves nothing behind."""
    for ms in (0, 5, 20, 60):
        one = DataPlane(shared, own_directory(shared, "state-" + harness.marker()))
        one.start()
        threading.Event().wait(ms / 1000)  # places to hit, not an order to wait for
        one.process.send_signal(signal.SIGTERM)
        code = one.process.wait(15)
        assert code in (0, -signal.SIGTERM)  # before the handler is there, the signal itself ends it
        one.log.close()


# --- F140, F146: descriptors ---------------------------------------------------------------------------------------------


def test_f140_f146_out_of_descriptors(shared, fake):
    """Refused, not crashed, nobody else's fault; and well again when they are back."""
    one = DataPlane(shared, own_directory(shared, "state-" + harness.marker()))
    one.argv = ["prlimit", "--nofile=64:64", *one.argv]
    one.start()
    crowd = []
    try:
        one.wait_ready()
        url = f"http://{one.listen}"
        old = workers_of(one)[0]
        stream = H1Stream(url, shared.key, ask("ev=2;hold", stream=True))
        stream.request_id()
        seen = set()
        for _ in range(80):
            sock = rawhttp.connect(url, timeout=5)
            crowd.append(sock)
            rawhttp.reset_on_close(sock)
            sock.sendall(rawhttp.request_bytes(url, shared.key, "/v1/chat/completions", ask("ttfb=60000")))
        for sock in crowd:
            sock.settimeout(0.2)
            try:
                answer = rawhttp.Reader(sock).head()
                seen.add((answer.status, answer.header("x-headgate-error")))
            except TimeoutError:
                seen.add("waits")
        assert seen <= {"waits", (0, None), (503, "local_exhaustion"), (503, "overloaded")}, seen
        assert len(seen) > 1
        for _ in range(2):  # who was there is served on
            go(fake)
        stream.read_until("[DONE]")
        for sock in crowd:
            sock.close()
        until(lambda: rawhttp.call_h1(url, shared.key, ask("")).status == 200, 10, "service again")
        assert workers_of(one)[0] == old
        one.wait_idle()
    finally:
        for sock in crowd:
            sock.close()
        one.close()


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name in ("seal", "verify"):
        (folder / name).write_text("ab" * 32 + "\n")
    return ["--seal-key", str(folder / "seal"), "--verify-key", str(folder / "verify"), "--state-dir", str(folder / "state")]


WRONG = [
    ([], "--listen ADDR"), (["--nope"], "--nope"), (["--listen", "x"], "not an address"),
    (["--listen", "127.0.0.1:99999"], "not an address"), (["--listen", "127.0.0.1:0", "--workers", "many"], "--workers"),
    (["--listen", "127.0.0.1:0", "--workers", "1000"], "--workers"), (["--listen", "127.0.0.1:0", "--sync", "maybe"], "--sync"),
    (["--listen", "127.0.0.1:0", "--log-level", "loud"], "--log-level"), (["--tls-listen", "127.0.0.1:0"], "--tls-cert"),
    (["--tls-listen", "127.0.0.1:0", "--tls-cert", "/nope", "--tls-key", "/nope"], "/nope"),
    (["--listen", "127.0.0.1:0", "--upstream-ca", "/dev/null"], "--upstream-ca"),
    (["--listen", "127.0.0.1:0", "--bus-pub", "ipc:///tmp/x"], "--bus-req"),
    (["--listen", "127.0.0.1:0", "--bus-ca", "x"], "--bus-cert"), (["--listen", "127.0.0.1:0", "--user", "nobody-such"], "nobody-such"),
    (["--listen", "127.0.0.1:0", "--seal-key", "/etc/passwd"], "hexadecimal"), (["--listen", "127.0.0.1:0", "--state-dir", "/proc/x"], "/proc/x"),
    (["--listen", "127.0.0.1:0", "--limit-event-bytes", "1"], "--limit-event-bytes"), (["--listen", "8.8.8.8:1"], "8.8.8.8"),
]


@pytest.mark.parametrize("args, word", WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_a_wrong_command_line_is_one_clear_line(keys, args, word):
    done = subprocess.run([harness.BIN / "headgate-dataplane", *keys, *args], capture_output=True, text=True, timeout=20,
                          env=harness.clean_environment(), check=False)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1 and word in lines[0]


def test_a_port_in_use_is_said_so(keys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        test_a_wrong_command_line_is_one_clear_line(keys, ["--listen", address], address)


# --- privileges ------------------------------------------------------------------------------------------------------


def test_f170_f171_what_a_worker_may_do(gateway):
    pid = gateway.workers()[0]
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert fields["Uid"].split()[0] != "0"
        assert int(fields["CapEff"], 16) == 0
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    assert re.search(r"headgate-dataplane: worker \d+", harness.cmdline(pid))


# --- the simulator -------------------------------------------------------------------------------------------------------

SCHEMAS = [
    {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
     "required": ["city", "days"], "additionalProperties": False},
    {"type": "object", "properties": {"unit": {"enum": ["c", "f"]}, "n": {"type": "number", "maximum": -4},
                                      "on": {"type": "boolean"}, "none": {"type": "null"}}, "required": ["unit"]},
    {"type": "object", "properties": {"list": {"type": "array", "minItems": 3, "items": {"type": "string", "minLength": 20}},
                                      "when": {"type": "string", "format": "date-time"}}, "required": ["list", "when"]},
    {"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "integer", "multipleOf": 7}]},
                                      "b": {"$ref": "#/$defs/node"}},
     "required": ["a", "b"],
     "$defs": {"node": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 4},
                                                         "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                        "required": ["name"]}}},
    {"type": "object", "properties": {"x": {"type": ["string", "null"]}, "y": {"const": 5},
                                      "z": {"type": "integer", "exclusiveMinimum": 10, "exclusiveMaximum": 12}},
     "required": ["x", "y", "z"]},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=[str(i) for i in range(len(SCHEMAS))])
@pytest.mark.parametrize("stream", [False, True])
def test_the_simulator_fits_schemas(gateway, schema, stream):
    client = gateway.openai()
    messages = [{"role": "user", "content": "Go."}]
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    kind = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": True}}
    if stream:
        calls = client.chat.completions.create(model="simulator", messages=messages, tools=[tool], stream=True)
        arguments = "".join(c.choices[0].delta.tool_calls[0].function.arguments or "" for c in calls
                            if c.choices and c.choices[0].delta.tool_calls)
        parts = client.chat.completions.create(model="simulator", messages=messages, response_format=kind, stream=True)
        text = "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
    else:
        call = client.chat.completions.create(model="simulator", messages=messages, tools=[tool])
        assert call.choices[0].finish_reason == "tool_calls"
        arguments = call.choices[0].message.tool_calls[0].function.arguments
        text = client.chat.completions.create(model="simulator", messages=messages,
                                              response_format=kind).choices[0].message.content
    jsonschema.validate(json.loads(arguments), schema)
    jsonschema.validate(json.loads(text), schema)


def test_the_simulator_embeds(gateway):
    client = gateway.openai()
    several = client.embeddings.create(model="simulator", input=["a", "b", "a"], dimensions=64)
    vectors = [row.embedding for row in several.data]
    assert vectors[0] == vectors[2] != vectors[1]
    for vector in vectors:
        assert len(vector) == 64 and abs(sum(x * x for x in vector) - 1) < 1e-5
    plain = client.embeddings.create(model="simulator", input="a", dimensions=64, encoding_format="float")
    assert all(abs(x - y) < 1e-6 for x, y in zip(plain.data[0].embedding, vectors[0]))


def test_the_simulator_does_as_it_is_told(gateway):
    told = lambda text, **more: gateway.chat(headers={"x-headgate-sim": text}, **more)  # noqa: E731
    assert told("status=429;retry_after=9").headers["retry-after"] == "9"
    assert told("usage=1000/200").json()["usage"]["total_tokens"] == 1200
    assert len(told("text=3").json()["choices"][0]["message"]["content"].split()) == 3
    assert told("text=50", max_tokens=4).json()["choices"][0]["finish_reason"] == "length"
    assert told("nonsense;;=;x=y;chunks=-1").status_code == 200
    assert gateway.chat("simulator/simulator-error-503").status_code == 503
    same = [gateway.chat().json()["choices"] for _ in range(2)]
    assert same[0] == same[1]


def test_directives_are_for_the_simulator_only(gateway, fake):
    """The header does not go up."""
    answer = gateway.chat("fake/m", headers={"x-headgate-sim": "status=500"}, x_mock="echo")
    assert answer.status_code == 200
    assert "x-headgate-sim" not in json.loads(answer.json()["choices"][0]["message"]["content"])["headers"]
