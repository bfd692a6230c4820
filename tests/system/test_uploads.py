"""Files that pass without being held: every byte, over both protocols on both sides, in a worker that does not grow; a client
that leaves, a provider that is slow, refuses, or dies; the limit."""

import hashlib
import os
import socket
import subprocess
import threading

import pytest

import harness
from harness import FakeProvider, until
from planes import DataPlane, own_directory

MIB = 1 << 20
LARGE = 200 * MIB


class Sink:
    """A provider for one connection that does with an upload what a test wants."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d/v1" % self.server.getsockname()[1]
        self.head, self.got, self.ended = b"", 0, threading.Event()
        self.go = threading.Event()

    def run(self, read, answer=b"", hard=False):
        """Reads so many bytes of the body (None: all that come), says something, and closes."""
        def work():
            with self.server.accept()[0] as s:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += s.recv(65536)
                self.head, _, rest = data.partition(b"\r\n\r\n")
                self.got = len(rest)
                while read is None or self.got < read:
                    try:
                        piece = s.recv(65536)
                    except ConnectionError:
                        break
                    if not piece:
                        break
                    self.got += len(piece)
                if answer:
                    s.sendall(answer)
                if not hard and read is not None:
                    self.go.wait(20)
            self.ended.set()
        threading.Thread(target=work, daemon=True).start()

    def close(self):
        self.go.set()
        self.server.close()


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
        made.apply(fake.provider("one", http="1"))
        made.apply(fake.provider("two", http="2"))
        yield made
    finally:
        made.close()


@pytest.fixture
def gateway(shared):
    yield shared
    shared.wait_idle()


@pytest.fixture
def sink(gateway, fake):
    made = Sink()
    for name, on_disconnect in (("sink", "cancel"), ("drained", "drain")):
        members = fake.provider(name, on_disconnect=on_disconnect)
        members["providers"][0]["base_url"] = made.url
        gateway.apply(members)
    yield made
    made.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file that is nowhere the same, and its hash."""
    path, hashed = tmp_path_factory.mktemp("upload") / "large", hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(LARGE // MIB):
            piece = os.urandom(MIB)
            hashed.update(piece)
            file.write(piece)
    yield path, hashed.hexdigest()
    path.unlink()


def curl(url, key, provider, *args, stdin=None):
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "100", "--request", "POST", "--dump-header", "-",
                           "--header", "authorization: Bearer " + key, "--header", "x-headgate-provider: " + provider,
                           "--header", "content-type: application/octet-stream", *map(str, args), url + "/v1/files"],
                          stdin=stdin, capture_output=True, text=True, env=harness.clean_environment(), check=False)
    heads, _, body = done.stdout.replace("\r", "").rpartition("\n\n")
    lines = heads.split("\n\n")[-1].splitlines()
    fields = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    return (int(lines[0].split()[1]) if lines else 0), fields, body or done.stderr


def grown(gateway):
    """How large the worker has ever been, in bytes."""
    with open(f"/proc/{gateway.workers()[0]}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def the_event(gateway, fields):
    events = gateway.wait_usage(fields["x-request-id"])
    assert len(events) == 1
    return events[0]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("provider", ["one", "two"])
def test_a_large_file_passes_whole_and_is_not_held(gateway, fake, large, version, provider):
    path, hashed = large
    before = grown(gateway)
    status, fields, body = curl(gateway.url, gateway.key, provider, version, "--upload-file", path)
    assert status == 200, body
    assert grown(gateway) - before < 32 * MIB
    event = the_event(gateway, fields)
    record = fake.attempt(event["attempt_id"], seconds=20)
    assert (record["body_bytes"], record["body_sha256"]) == (LARGE, hashed)
    assert record["headers"]["content-length"] == str(LARGE)
    assert record["headers"]["content-type"] == "application/octet-stream"
    assert (event["endpoint"], float(event["cost_usd"]), event["status"]) == ("files", 0, 200)


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("provider", ["one", "two"])
def test_a_file_of_a_length_that_is_not_known(gateway, fake, version, provider):
    content = os.urandom(3 * MIB + 17)
    reader, writer = os.pipe()
    threading.Thread(target=lambda: (os.fdopen(writer, "wb").write(content)), daemon=True).start()
    with os.fdopen(reader, "rb") as stdin:
        status, fields, body = curl(gateway.url, gateway.key, provider, version, "--upload-file", "-", stdin=stdin)
    assert status == 200, body
    record = fake.attempt(the_event(gateway, fields)["attempt_id"])
    assert record["body_sha256"] == hashlib.sha256(content).hexdigest()
    assert "content-length" not in record["headers"]


@pytest.mark.parametrize("size", [MIB, MIB + 1])
def test_small_ones_are_held_and_arrive_as_well(gateway, fake, tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    status, fields, body = curl(gateway.url, gateway.key, "one", "--upload-file", tmp_path / "f")
    assert status == 200, body
    assert fake.attempt(the_event(gateway, fields)["attempt_id"])["body_sha256"] == hashlib.sha256(content).hexdigest()


def begin(gateway, total, provider="sink"):
    """A raw client that has sent a head and no byte of the body."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    s = socket.create_connection((host, int(port)), timeout=20)
    s.sendall(f"POST /v1/files HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {gateway.key}\r\nx-headgate-provider: {provider}\r\n"
              f"content-type: application/octet-stream\r\ncontent-length: {total}\r\n\r\n".encode())
    return s


@pytest.mark.parametrize("provider", ["sink", "drained"])
def test_a_client_that_leaves_ends_the_upload(gateway, sink, provider):
    sink.run(None)
    with begin(gateway, 8 * MIB, provider) as s:
        s.sendall(bytes(2 * MIB))
        until(lambda: sink.got >= 2 * MIB, 10, "two mebibytes at the provider")
    assert sink.ended.wait(10)
    assert sink.got == 2 * MIB and b"content-length: %d" % (8 * MIB) in sink.head
    event = until(lambda: [e for e in gateway.admin("GET", "/usage/events").json()["data"] if e["provider"] == provider], 10,
                  "its usage event")[0]
    assert event["outcome"] == "client_gone"


def test_a_slow_provider_holds_its_client_back(gateway, sink):
    sink.run(1)
    before = grown(gateway)
    with begin(gateway, 100 * MIB) as s:
        s.settimeout(2)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 100 * MIB:
                sent += s.send(bytes(65536))
        assert MIB < sent < 50 * MIB
        assert grown(gateway) - before < 8 * MIB
    sink.go.set()  # it closes, and the gateway learns of both


def test_a_refusal_before_the_end_reaches_the_client(gateway, sink):
    text = b'{"error":{"message":"far too large","type":"invalid_request_error","code":"too_large"}}'
    sink.run(MIB, b"HTTP/1.1 413 Content Too Large\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
             % (len(text), text))
    with begin(gateway, 100 * MIB) as s:
        answer = b""
        try:
            while True:
                s.sendall(bytes(65536))
        except ConnectionError:
            pass  # nobody wants the rest
        try:
            while piece := s.recv(65536):
                answer += piece
        except ConnectionError:
            pass
    assert answer.startswith(b"HTTP/1.1 413 ") and b"far too large" in answer


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_a_provider_that_dies_becomes_an_error(gateway, sink, large, version):
    sink.run(3 * MIB, hard=True)
    status, fields, body = curl(gateway.url, gateway.key, "sink", version, "--upload-file", large[0])
    assert status == 502, body
    assert fields["x-headgate-error-source"] == "upstream" or fields["x-headgate-error"].startswith("upstream")


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_who_may_not_is_refused_before_the_body(gateway, large, version):
    status, _, body = curl(gateway.url, gateway.key, "nobody", version, "--upload-file", large[0])
    assert status == 404 and "provider_not_found" in body
    status, _, body = curl(gateway.url, "hg_wrong", "one", version, "--upload-file", large[0])
    assert status == 401, body


@pytest.fixture
def plane(gateway):
    made = []

    def start(**limits):
        made.append(DataPlane(gateway, own_directory(gateway, "state-" + harness.marker()),
                              {f"--limit-{name}-bytes": str(value) for name, value in limits.items()}))
        made[0].start()
        made[0].wait_ready()
        return made[0]

    yield start
    for one in made:
        one.close()


# Beside it there is room for a short answer, which is held as well.
@pytest.mark.parametrize("held, wanted", [((256 << 10) + 4096, 200), ((256 << 10) - 1, 503)])
def test_what_waits_of_a_file_counts_as_held(gateway, plane, tmp_path, held, wanted):
    one = plane(held=held)
    (tmp_path / "f").write_bytes(bytes(2 * MIB))
    status, _, body = curl(f"http://{one.listen}", gateway.key, "one", "--upload-file", tmp_path / "f")
    assert status == wanted, body
    one.wait_idle()


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_the_limit(gateway, plane, tmp_path, version):
    one = plane(upload=2 * MIB, body=1000)
    for size, chunked, wanted in ((2 * MIB, False, 200), (2 * MIB + 1, False, 413), (2 * MIB, True, 200),
                                  (2 * MIB + 1, True, 413), (5000, False, 200)):
        (tmp_path / "f").write_bytes(bytes(size))
        with open(tmp_path / "f", "rb") as stdin:
            status, _, body = curl(f"http://{one.listen}", gateway.key, "one", version, "--header", "expect:",
                                   "--upload-file", "-" if chunked else tmp_path / "f", stdin=stdin)
        # Some curls lose an answer over HTTP/2 behind which the rest of the request is refused.
        lost = "http2" in version and wanted == 413 and status == 0
        assert status == wanted or lost, (size, chunked, body)
    one.wait_idle()
