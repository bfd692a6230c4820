"""Providers that misbehave: F050 and F054 to F069 of the fault catalogue, and streams that tell the truth.

Every fault is asked for by the member x_mock, which passes through the gateway untouched, and every test
ends with the gateway idle and serving.
"""

import concurrent.futures
import hashlib
import ipaddress
import json
import re
import socket
import subprocess
import threading
import time

import httpx
import pytest

import harness
import rawhttp
from harness import FakeProvider, until

# Long enough for a busy machine, except where the deadline itself is the test.
PATIENT = {"connect_ms": 5000, "first_byte_ms": 15000, "between_bytes_ms": 15000, "total_ms": 60000}
BRIEF = {"connect_ms": 1000, "first_byte_ms": 500, "between_bytes_ms": 500, "total_ms": 3000}
CLIENTS = ["h1", "h2"]


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A gateway with providers "fake" over h1 and "fake2" over h2; "brief" and "brief2" are the same with short
    deadlines."""
    pki = make_pki(tmp_path_factory.mktemp("pki"))
    plain = FakeProvider()
    gateway = harness.Gateway(workers=1, options=["--data-plane-args", f"--upstream-ca {pki}/ca.pem"])
    gateway.pki = pki
    gateway.fake = plain
    gateway.tls_fakes = []
    try:
        gateway.up()
        for name, members in (("fake", {"timeouts": PATIENT}), ("fake2", {"timeouts": PATIENT, "http": "2"}),
                              ("brief", {"timeouts": BRIEF}), ("brief2", {"timeouts": BRIEF, "http": "2"})):
            gateway.apply(plain.provider(name, **members))
        yield gateway
    finally:
        gateway.close()
        plain.close()


@pytest.fixture
def gateway(strict):
    yield strict
    while strict.tls_fakes:
        strict.tls_fakes.pop().close()
    strict.wait_idle()
    answer = strict.chat("fake/m")
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] == 5


@pytest.fixture
def fake(strict):
    return strict.fake


def ask(gateway, script, client="h1", model="fake/m", **members):
    body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], "x_mock": script, **members}
    return rawhttp.CALLS[client](gateway.url, gateway.key, body)


def request_id(answer):
    return answer.header("x-request-id")


def settle(gateway):
    """Until all that was settled before is in the ledger: a worker's records arrive in order."""
    gateway.wait_usage(gateway.chat("simulator").headers["x-request-id"])


def usage(gateway, answer):
    """The one usage record of a request (L+1)."""
    gateway.wait_usage(request_id(answer))
    settle(gateway)
    events = gateway.wait_usage(request_id(answer))
    assert len(events) == 1
    return events[0]


def assert_no_usage(gateway, answer):
    settle(gateway)
    data = gateway.admin("GET", "/usage/events", params={"request_id": request_id(answer)}).json()["data"]
    assert data == []


def assert_ours(answer, status, code):
    assert answer.status == status, answer.text
    assert answer.clean
    error = answer.error()
    assert error["code"] == code and error["source"] == "gateway", error
    assert answer.header("x-headgate-error") == code
    assert len(answer.body) <= 8192
    return error


def content(answer):
    return "".join((e["choices"][0]["delta"].get("content") or "") for e in answer.events()
                   if isinstance(e, dict) and e.get("choices"))


def assert_broken(answer, delivered):
    """I5: what was delivered, exactly one error event, and an abnormal end."""
    assert answer.status == 200
    events = answer.events()
    errors = [e for e in events if isinstance(e, dict) and "error" in e]
    assert len(errors) == 1 and events[-1] == errors[0], events[-2:]
    assert "[DONE]" not in events
    assert content(answer) == "".join(f"tok{i} " for i in range(delivered))
    assert not any(e["choices"][0].get("finish_reason") for e in events[:-1] if isinstance(e, dict) and e["choices"])
    assert not answer.clean
    return errors[0]["error"]


# --- F050: nobody there -----------------------------------------------------------------------------


def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_f050_connection_refused(gateway):
    gateway.apply({"providers": [{"name": "nobody", "kind": "openai-compatible", "allow_private": True,
                                  "base_url": f"http://127.0.0.1:{closed_port()}/v1"}],
                   "prices": [{"provider": "nobody", "model": "*", "free": True}]})
    answer = ask(gateway, "", model="nobody/m")
    assert_ours(answer, 502, "upstream_unreachable")
    assert_no_usage(gateway, answer)  # no byte was written: no attempt
    assert answer.header("x-headgate-attempts") == "0"


def test_f050_a_private_address_needs_permission(gateway, fake):
    done = gateway.run("provider", "create", "private", "kind=openai-compatible", f"base_url={fake.url}")
    assert done.returncode == 1 and "allow_private" in done.stderr


def test_f050_a_name_of_a_private_address_needs_permission(gateway, fake):
    """I16: the connected address is what counts, whatever the name."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        pytest.skip("this machine's name has no address")
    if not ipaddress.ip_address(address).is_private:
        pytest.skip("this machine's name has a public address")
    gateway.apply({"providers": [{"name": "private", "kind": "openai-compatible",
                                  "base_url": f"http://{name}:{fake.port}/v1"}],
                   "prices": [{"provider": "private", "model": "*", "free": True}]})
    seen = len(fake.records())
    answer = ask(gateway, "", model="private/m")
    assert_ours(answer, 502, "upstream_address_refused")
    assert_no_usage(gateway, answer)
    assert len(fake.records()) == seen


# --- F054: TLS --------------------------------------------------------------------------------------


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


def make_pki(folder):
    """ca.pem, and certificates: good, wrong-name, expired (all of ca.pem), unknown-ca, self-signed."""
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "30")
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "other.key", "-out", "other.pem", "-subj", "/CN=other CA", "-days", "30")
    for name, san, ca, dates in (("good", "IP:127.0.0.1", "ca", ("-days", "30")),
                                 ("wrong-name", "DNS:elsewhere.example", "ca", ("-days", "30")),
                                 ("unknown-ca", "IP:127.0.0.1", "other", ("-days", "30")),
                                 ("expired", "IP:127.0.0.1", "ca", ("-days", "-1"))):
        (folder / f"{name}.ext").write_text(f"subjectAltName={san}\nextendedKeyUsage=serverAuth\n")
        openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
                "-CAcreateserial", "-extfile", f"{name}.ext", "-out", f"{name}.pem", *dates)
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "self-signed.key", "-out", "self-signed.pem", "-subj", "/CN=self", "-addext",
            "subjectAltName=IP:127.0.0.1", "-days", "30")
    folder.chmod(0o755)
    for parent in list(folder.parents)[:3]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    (folder / "ca.pem").chmod(0o644)
    return folder


def tls_provider(gateway, certificate, *args, **members):
    made = FakeProvider("--cert", f"{gateway.pki}/{certificate}.pem", "--key", f"{gateway.pki}/{certificate}.key",
                        *args, scheme="https")
    gateway.tls_fakes.append(made)
    gateway.apply(made.provider("tls", timeouts=PATIENT, **members))
    return made


@pytest.mark.parametrize("args, http, version", [((), "auto", "HTTP/1.1"), (("--h2",), "auto", "HTTP/2"),
                                                 (("--h2",), "1", "HTTP/1.1")])
def test_f054_a_good_certificate_works(gateway, args, http, version):
    made = tls_provider(gateway, "good", *args, http=http)
    answer = ask(gateway, "usage=3/4", model="tls/m")
    assert answer.status == 200, answer.text
    assert made.attempt(usage(gateway, answer)["attempt_id"])["version"] == version


@pytest.mark.parametrize("certificate", ["expired", "wrong-name", "unknown-ca", "self-signed"])
def test_f054_bad_certificates(gateway, certificate):
    made = tls_provider(gateway, certificate)
    answer = ask(gateway, "", model="tls/m")
    assert_ours(answer, 502, "upstream_tls")
    assert_no_usage(gateway, answer)
    assert made.records() == []  # nothing was sent, least of all a credential


def test_f054_old_tls_only(gateway):
    made = tls_provider(gateway, "good", "--tls-max", "1.1")
    answer = ask(gateway, "", model="tls/m")
    assert_ours(answer, 502, "upstream_tls")
    assert made.records() == []


class RawServer:
    """A socket server of a few lines: handle(sock) in a thread a connection."""

    def __init__(self, handle):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.handle = handle
        self.received = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock):
        with sock:
            self.handle(self, sock)

    def close(self):
        self.listener.close()


def raw_tls(gateway, handle):
    server = RawServer(handle)
    gateway.apply({"providers": [{"name": "raw", "kind": "openai-compatible", "allow_private": True,
                                  "base_url": f"https://127.0.0.1:{server.port}/v1", "timeouts": BRIEF,
                                  "credential": "raw-credential"}],
                   "prices": [{"provider": "raw", "model": "*", "free": True}]})
    return server


def take(server, sock):
    server.received.append(sock.recv(65536))


def take_and_reset(server, sock):
    take(server, sock)
    rawhttp.reset_on_close(sock)


def take_and_speak_plainly(server, sock):
    take(server, sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    take(server, sock)


@pytest.mark.parametrize("handle", [take, take_and_reset, take_and_speak_plainly])
def test_f054_a_handshake_that_fails(gateway, handle):
    server = raw_tls(gateway, handle)
    answer = ask(gateway, "", model="raw/m")
    assert answer.status == 502
    assert answer.error()["code"] in ("upstream_tls", "upstream_unreachable")
    assert_no_usage(gateway, answer)
    assert all(b"raw-credential" not in r and b"POST" not in r for r in server.received)
    server.close()


def test_f054_a_handshake_that_stalls(gateway):
    release = threading.Event()

    def stall(server, sock):
        take(server, sock)
        release.wait(20)

    server = raw_tls(gateway, stall)
    answer = ask(gateway, "", model="raw/m")
    release.set()
    assert answer.status in (502, 504)
    assert answer.error()["code"] in ("upstream_tls", "upstream_timeout")
    assert_no_usage(gateway, answer)
    server.close()


def test_f054_a_close_without_close_notify_is_truncation(gateway):
    tls_provider(gateway, "good")
    good = ask(gateway, "closedelim", model="tls/m")
    assert good.status == 200 and good.clean
    answer = ask(gateway, "closedelim;nonotify", model="tls/m")
    assert_ours(answer, 502, "upstream_truncated")
    answer = ask(gateway, "ev=3;closedelim;cut@2;nonotify", model="tls/m", stream=True)
    assert_broken(answer, 2)


# --- F055: nothing comes ----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_f055_stall_before_the_first_byte(gateway, fake, stream):
    answer = ask(gateway, "hang", model="brief/m", stream=stream)
    assert_ours(answer, 504, "upstream_timeout")
    event = usage(gateway, answer)
    assert event["estimated"] and event["incomplete"]
    assert fake.attempt(event["attempt_id"])["outcome"] == "client_gone"


def test_f055_many_stalls_return_everything(gateway, fake):
    before = gateway.metric("headgate_upstream_connections")
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        codes = list(pool.map(lambda _: ask(gateway, "hang", model="brief/m").status, range(200)))
    assert set(codes) == {504}
    gateway.wait_idle()
    until(lambda: fake.stats()["in_flight"] == 0, 5, "upstream calls gone")
    until(lambda: gateway.metric("headgate_upstream_connections") <= before, 5, "connections closed")


# --- F056: errors before a body ---------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503, 529])
def test_f056_errors_pass_in_our_shape(gateway, client, status):
    answer = ask(gateway, f"status={status};code=its_code;message=its words", client)
    assert answer.status == status and answer.clean
    error = answer.error()
    assert error["code"] == "its_code" and error["message"] == "its words"
    assert answer.header("x-headgate-error-source") == "provider"
    event = usage(gateway, answer)
    assert event["status"] == status and event["output_tokens"] == 0


@pytest.mark.parametrize("status", [500, 503])
def test_f056_html_never_reaches_the_client(gateway, status):
    answer = ask(gateway, f"status={status};html")
    assert answer.status == status
    assert "<html" not in answer.text and "FAKE-HTML" not in answer.text
    assert answer.error()["message"]
    assert len(answer.body) <= 8192


def test_f056_an_error_of_64_mib(gateway):
    before = resident(gateway)
    answer = ask(gateway, f"status=500;errsize={64 << 20}")
    assert answer.status >= 500 and len(answer.body) <= 8192
    usage(gateway, answer)
    assert resident(gateway) - before < 32 << 20


def test_f056_200_with_html(gateway):
    for stream in (False, True):
        answer = ask(gateway, "html", stream=stream)
        assert_ours(answer, 502, "upstream_protocol")
        assert "FAKE-HTML" not in answer.text


def test_f056_the_gateways_credential_is_refused(gateway):
    """A 401 would send people to replace a key that is good."""
    answer = ask(gateway, "status=401;message=Incorrect API key: fake-cre...tial")
    assert answer.status == 502 and answer.error()["code"] == "upstream_auth"
    assert "fake-cre" not in answer.text


def resident(gateway):
    """Bytes of memory of all workers."""
    total = 0
    for pid in gateway.workers().values():
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            total += int(re.search(r"^Rss:\s+(\d+) kB", file.read(), re.M).group(1)) * 1024
    return total


# --- F057: stalls and trickles in a stream -----------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", ["brief/m", "brief2/m"])
@pytest.mark.parametrize("place", [1, 4])
def test_f057_a_stall_inside_a_stream(gateway, fake, client, model, place):
    answer = ask(gateway, f"ev=6;stall@{place}", client, model, stream=True)
    error = assert_broken(answer, place)
    assert error["source"] == "gateway" and error["code"] == "upstream_timeout"
    event = usage(gateway, answer)
    assert event["estimated"] and event["incomplete"] and event["output_tokens"] >= place
    assert fake.attempt(event["attempt_id"])["outcome"] == "client_gone"


def test_f057_a_trickle_is_bounded_by_the_total(gateway):
    answer = ask(gateway, "ev=50;trickle=50", model="brief/m", stream=True)
    assert not answer.clean or answer.status == 504
    assert "[DONE]" not in answer.text
    usage(gateway, answer)


# --- F058: resets -----------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", ["fake/m", "fake2/m"])
@pytest.mark.parametrize("ending", ["rst", "cut"])
@pytest.mark.parametrize("place, delivered", [("1", 1), ("5", 5), ("9", 9), ("end", 10)])
def test_f058_a_break_after_some_events(gateway, fake, client, model, ending, place, delivered):
    answer = ask(gateway, f"ev=10;gap=2;{ending}@{place}", client, model, stream=True)
    if place == "end":
        # all content and its finish_reason went by; the terminal did not
        assert "[DONE]" not in answer.text and not answer.clean
        assert "error" in answer.events()[-1]
    else:
        assert_broken(answer, delivered)
    event = usage(gateway, answer)
    record = fake.attempt(event["attempt_id"])
    assert record["begins"] == 1 and not record["clean"]  # not tried again
    assert event["output_tokens"] > 0


@pytest.mark.parametrize("model", ["fake/m", "fake2/m"])
@pytest.mark.parametrize("ending", ["rst", "cut"])
@pytest.mark.parametrize("place", ["", "@0"])
def test_f058_a_break_before_the_first_event(gateway, fake, model, ending, place):
    """Nothing reached the client: it gets a proper status."""
    answer = ask(gateway, ending + place, model=model, stream=True)
    assert answer.status == 502 and answer.clean
    assert answer.error()["code"] in ("upstream_truncated", "upstream_unreachable", "upstream_protocol")
    # a kept connection that died before any byte of an answer is replaced once, by the same attempt
    assert fake.attempt(usage(gateway, answer)["attempt_id"])["begins"] <= (2 if place == "" else 1)


# --- F059: truncation -------------------------------------------------------------------------------


@pytest.mark.parametrize("script", ["short=1", "short=1000", "cutbytes=0", "cutbytes=10", "cut@size", "cut@data",
                                    "cut@crlf", "cut@last", "cut@trailer", "chunk=7;cut@last"])
def test_f059_a_whole_answer_cut_short(gateway, fake, script):
    answer = ask(gateway, script)
    assert_ours(answer, 502, "upstream_truncated")
    first = usage(gateway, answer)
    # the connection is not used again
    again = usage(gateway, ask(gateway, ""))
    assert fake.attempt(first["attempt_id"])["peer"] != fake.attempt(again["attempt_id"])["peer"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("place", ["size", "data", "crlf"])
def test_f059_a_stream_cut_inside_its_framing(gateway, client, place):
    answer = ask(gateway, f"ev=4;cut@{place}", client, stream=True)
    assert not answer.clean and "[DONE]" not in answer.text
    assert "error" in answer.events()[-1]


def test_f059_a_length_that_does_not_fit_over_h2(gateway):
    answer = ask(gateway, "short=5", model="fake2/m")
    assert answer.status == 502
    usage(gateway, answer)


# --- F060: an end without the terminal --------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", ["fake/m", "fake2/m"])
@pytest.mark.parametrize("script", ["ev=6;nodone;nousage", "ev=6;nofinish;nousage"])
def test_f060_an_end_without_done(gateway, client, model, script):
    answer = ask(gateway, script, client, model, stream=True)
    assert not answer.clean and "[DONE]" not in answer.text
    assert "error" in answer.events()[-1]
    event = usage(gateway, answer)
    assert event["incomplete"] and event["estimated"] and event["output_tokens"] > 0


def test_f060_inside_a_tool_call(gateway):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {"text": {"type": "string"}, "more": {"type": "string"}}}}}]
    answer = ask(gateway, "tool;cut@2;nousage", stream=True, tools=tools)
    assert not answer.clean and "error" in answer.events()[-1]
    assert usage(gateway, answer)["incomplete"]


def test_f060_what_was_reported_before_the_break_is_booked(gateway):
    answer = ask(gateway, "ev=6;nodone;usage=11/22", stream=True)
    assert not answer.clean
    event = usage(gateway, answer)
    assert (event["input_tokens"], event["output_tokens"], event["estimated"]) == (11, 22, False)


# --- F061: errors inside a stream -------------------------------------------------------------------


@pytest.mark.parametrize("word", ["err", "errevent"])
def test_f061_an_error_as_the_first_event_is_a_status(gateway, word):
    answer = ask(gateway, f"{word}@0;code=overloaded_error;message=too busy", stream=True)
    assert answer.status >= 500 and answer.clean
    assert answer.error()["message"] == "too busy"
    assert answer.header("x-headgate-error-source") == "provider"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("word", ["err", "errevent"])
def test_f061_an_error_in_the_middle(gateway, client, word):
    answer = ask(gateway, f"ev=8;{word}@3;message=it broke", client, stream=True)
    error = assert_broken(answer, 3)
    assert error["message"] == "it broke"
    event = usage(gateway, answer)
    assert event["estimated"] and 0 < event["output_tokens"] < 50  # the error's text is not billed


# --- F062: large events -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [65535, 65536, 65537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 15 << 20])
def test_f062_large_events_pass(gateway, size):
    answer = ask(gateway, f"ev=3;bigevent={size}@2", stream=True)
    assert answer.clean and answer.events()[-1] == "[DONE]"
    assert max(len(b) for b in answer.body.split(b"\n\n")) + 2 == size


def test_f062_an_event_over_the_limit(gateway):
    before = resident(gateway)
    answer = ask(gateway, f"ev=3;bigevent={(16 << 20) + 100}@2", stream=True)
    assert_broken(answer, 2)
    usage(gateway, answer)
    assert resident(gateway) - before < 80 << 20


def test_f062_no_newline_ever(gateway):
    answer = ask(gateway, f"ev=3;noeol={40 << 20}", stream=True)
    assert not answer.clean and "error" in answer.events()[-1]
    usage(gateway, answer)


# --- F063: segments and forms -----------------------------------------------------------------------


def direct(fake, script, **members):
    """What the provider itself says, without a gateway."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello!"}], "x_mock": script, **members}
    return rawhttp.call_h1(fake.url.removesuffix("/v1"), "x", body)


def same(text):
    """Without what differs from request to request."""
    return re.sub(r"(chatcmpl|cmpl)-fake\d+", "ID", text)


FORMS = ["ev=5", "ev=5;eol=crlf", "ev=5;eol=cr", "ev=5;eol=mix", "ev=5;nospace", "ev=5;multiline", "ev=5;comments",
         "ev=5;ids", "ev=5;bom", "ev=5;comments;ids;eol=crlf;bom;nospace", "ev=5;chunk=1", "ev=5;chunk=7;ext",
         "ev=5;trailers", "ev=5;lastwrite", "ev=5;closedelim", "ev=5;bytes=1", "ev=5;bytes=3;chunk=5;eol=crlf"]


@pytest.mark.parametrize("script", FORMS)
def test_f063_every_form_passes_byte_for_byte(gateway, fake, script):
    want = direct(fake, script, stream=True, stream_options={"include_usage": True})
    got = ask(gateway, script, stream=True, stream_options={"include_usage": True})
    assert want.clean and got.clean
    assert same(got.text) == same(want.text)


@pytest.mark.parametrize("script", FORMS)
def test_f063_usage_is_taken_out_of_every_form(gateway, script):
    answer = ask(gateway, script + ";usage=5/7", stream=True)
    assert answer.clean
    events = answer.events()
    assert events[-1] == "[DONE]"
    assert all(e["choices"] and not e.get("usage") for e in events[:-1])
    assert usage(gateway, answer)["output_tokens"] == 7


def test_f063_split_at_every_offset(gateway, fake):
    whole = direct(fake, "ev=2", stream=True, stream_options={"include_usage": True})
    length = sum(len(c) + 8 for c in whole.chunks) + 300
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: ask(gateway, f"ev=2;split={n}", stream=True,
                                         stream_options={"include_usage": True}), range(1, length, 3))
    assert {same(a.text) for a in answers} == {same(whole.text)}


def test_f063_whole_answers_are_untouched(gateway, fake):
    for script in ("ev=5", "ev=5;chunk=1", "ev=5;bytes=1", "ev=5;closedelim", "ev=5;ext;trailers"):
        assert same(ask(gateway, script).text) == same(direct(fake, script).text)


def test_f063_requests_are_untouched(gateway, fake):
    """Byte for byte, but for the model's name."""
    body = ('{ "model" : "fake/m" ,\n "x_mock":"echo", "new_field": {"deep": [1.50, 1e2, "\\u00e9\\ud83d\\ude00"]},'
            ' "messages" : [ {"role":"user","content":"a\\tb é"} ] }').encode()
    answer = rawhttp.call_h1(gateway.url, gateway.key, body)
    seen = json.loads(answer.json()["choices"][0]["message"]["content"])
    want = body.replace(b'"fake/m"', b'"m"')
    assert seen["body_sha256"] == hashlib.sha256(want).hexdigest()


# --- F064: encodings nobody asked for ---------------------------------------------------------------


@pytest.mark.parametrize("script", ["gzip", "gziptrunc", "gzipdouble", "gzipbomb=64", "ce=br", "ce=zstd",
                                    "ce=identity, gzip", "ce=x-unknown"])
@pytest.mark.parametrize("stream", [False, True])
def test_f064_encoded_answers(gateway, script, stream):
    before = resident(gateway)
    answer = ask(gateway, script, stream=stream)
    assert_ours(answer, 502, "upstream_protocol")
    assert resident(gateway) - before < 32 << 20
    usage(gateway, answer)


def test_f064_identity_is_no_encoding(gateway):
    assert ask(gateway, "ce=identity").status == 200


def test_f064_no_encoding_is_asked_for(gateway, fake):
    answer = rawhttp.call_h1(gateway.url, gateway.key, {"model": "fake/m", "messages": []},
                             headers=[("accept-encoding", "gzip, br")])
    record = fake.attempt(usage(gateway, answer)["attempt_id"])
    assert record["headers"].get("accept-encoding", "identity") == "identity"


# --- F065: nothing is held back ---------------------------------------------------------------------


@pytest.mark.parametrize("model", ["fake/m", "fake2/m"])
def test_f065_each_event_passes_before_the_next_is_made(gateway, fake, model):
    """In lock-step: the provider makes an event only after the client has seen the one before."""
    if model == "fake2/m":
        pytest.skip("the provider holds only over HTTP/1.1")
    body = {"model": model, "messages": [], "stream": True, "x_mock": "ev=20;hold"}
    with rawhttp.connect(gateway.url) as sock:
        sock.sendall(rawhttp.request_bytes(gateway.url, gateway.key, "/v1/chat/completions", body))
        reader = rawhttp.Reader(sock)
        reader.head()
        for i in range(20):
            while f"tok{i} " not in reader.answer.text:
                assert reader.chunk() is not None
            httpx.post(fake.url.removesuffix("/v1") + "/__go", verify=harness.TRUST)
        answer = reader.body()
    assert answer.clean and answer.events()[-1] == "[DONE]"


# --- F066: without end ------------------------------------------------------------------------------


def test_f066_a_stream_without_end(gateway):
    before = resident(gateway)
    answer = ask(gateway, f"ev=3;endless={1 << 40}", model="brief/m", stream=True)
    assert not answer.clean and "error" in answer.events()[-1]
    usage(gateway, answer)
    assert resident(gateway) - before < 64 << 20


def test_f066_a_head_without_end(gateway):
    answer = ask(gateway, "endlesshead")
    assert_ours(answer, 502, "upstream_protocol")


@pytest.mark.parametrize("count, status", [(1, 200), (8, 200), (9, 502), (100, 502)])
def test_f066_informational_answers(gateway, count, status):
    assert ask(gateway, f"infos={count}").status == status


def test_f066_many_small_events(gateway):
    answer = ask(gateway, "ev=3000;usage=1/3000", stream=True)
    assert answer.clean and len(answer.events()) == 3003
    assert usage(gateway, answer)["output_tokens"] == 3000


# --- F067: malformed answers ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["negative", "huge", "string", "float", "null", "bool", "absurd"])
@pytest.mark.parametrize("stream", [False, True])
def test_f067_usage_that_cannot_be(gateway, kind, stream):
    answer = ask(gateway, f"ev=10;badusage={kind}", stream=stream, max_tokens=20)
    assert answer.status == 200 and answer.clean
    event = usage(gateway, answer)
    assert event["estimated"]
    assert 0 < event["output_tokens"] <= 200
    assert float(event["cost_usd"]) > 0


def test_f067_usage_that_is_suspect_is_counted(gateway):
    before = gateway.metric("headgate_usage_suspect_total")
    usage(gateway, ask(gateway, "badusage=negative"))
    until(lambda: gateway.metric("headgate_usage_suspect_total") == before + 1, 5, "counted")


@pytest.mark.parametrize("kind", ["twice", "decreasing"])
def test_f067_usage_reported_more_than_once(gateway, kind):
    answer = ask(gateway, f"usage=10/20;badusage={kind}", stream=True)
    assert answer.clean
    event = usage(gateway, answer)
    assert event["input_tokens"] == 10
    assert event["output_tokens"] in ((20,) if kind == "twice" else (20, 70))


@pytest.mark.parametrize("client", CLIENTS)
def test_f067_an_event_that_is_no_json_ends_the_stream_with_an_error(gateway, client):
    answer = ask(gateway, "ev=4;garbage@2", client, stream=True)
    assert not answer.clean and "data: [DONE]" not in answer.text
    assert answer.text.count('"error"') == 1 and "upstream_protocol" in answer.text
    assert usage(gateway, answer)["incomplete"]


@pytest.mark.parametrize("script", ["ev=4;nullchoices@2", "ev=4;indexgap@2"])
@pytest.mark.parametrize("client", CLIENTS)
def test_f067_events_that_are_malformed(gateway, client, script):
    """Passed on or refused, but never a crash and never a false end."""
    restarts = gateway.metric("headgate_worker_restarts_total")
    answer = ask(gateway, script, client, stream=True)
    done = "data: [DONE]" in answer.text
    assert done == answer.clean
    usage(gateway, answer)
    assert gateway.metric("headgate_worker_restarts_total") == restarts


@pytest.mark.parametrize("script", ["badjson", "ctype=text/plain", "ctype=application/octet-stream"])
def test_f067_a_whole_answer_that_is_no_json(gateway, script):
    answer = ask(gateway, script)
    assert_ours(answer, 502, "upstream_protocol")
    assert usage(gateway, answer)["estimated"]


# --- F068: response splitting and smuggling -----------------------------------------------------------

BAD = ["bare_lf", "nul", "cr_header", "lf_header", "obsfold", "two_cl", "cl_te", "te_te", "te_junk", "http09",
       "neg_cl", "plus_cl", "huge_cl", "space_colon", "status_junk", "status_big", "no_version", "version3",
       "long_line", "many_fields", "big_field", "chunk_junk", "chunk_minus", "chunk_0x", "chunk_big", "chunk_lf",
       "chunk_long", "chunk_ext_lf", "switch"]


@pytest.mark.parametrize("kind", BAD)
def test_f068_ambiguous_answers_are_refused(gateway, fake, kind):
    answer = ask(gateway, f"bad={kind}")
    assert answer.status == 502, answer.text
    assert answer.error()["code"] in ("upstream_protocol", "upstream_truncated")
    first = usage(gateway, answer)
    again = usage(gateway, ask(gateway, ""))
    assert fake.attempt(first["attempt_id"])["peer"] != fake.attempt(again["attempt_id"])["peer"]


@pytest.mark.parametrize("kind", ["extra", "204body"])
def test_f068_bytes_after_the_body_are_nobodys_answer(gateway, fake, kind):
    first = ask(gateway, f"bad={kind}")
    assert first.status in (200, 204, 502)
    assert "smuggled" not in first.text
    one = usage(gateway, first)
    for _ in range(5):
        answer = ask(gateway, "ev=2")
        assert answer.status == 200 and "smuggled" not in answer.text
        other = usage(gateway, answer)
        assert fake.attempt(one["attempt_id"])["peer"] != fake.attempt(other["attempt_id"])["peer"]


@pytest.mark.parametrize("header", ["set-cookie:a=b", "location:http://169.254.169.254/", "x-internal:secret",
                                    "server:fake/1", "access-control-allow-origin:*", "alt-svc:h3=%22:1%22",
                                    "strict-transport-security:max-age=1", "x-headgate-cost-usd:0",
                                    "x-headgate-provider:other", "trailer:x-y", "upgrade:h2c",
                                    "connection:keep-alive, x-secret"])
def test_f068_only_known_headers_pass(gateway, header):
    name, _, value = header.partition(":")
    answer = ask(gateway, f"hdr={header};hdr=x-secret:hidden")
    assert answer.status == 200
    assert answer.header("x-secret") is None
    if name.startswith("x-headgate") or name == "server":
        assert answer.header(name) != value
    elif name != "connection":
        assert answer.header(name) is None


def test_f068_redirects_are_not_followed(gateway, fake):
    seen = fake.stats()["requests"]
    answer = ask(gateway, f"status=302;hdr=location:{fake.url}/models")
    assert answer.status == 502
    usage(gateway, answer)
    assert fake.stats()["requests"] == seen + 1


def test_f068_trailers_do_not_pass(gateway):
    answer = ask(gateway, "trailers", stream=True)
    assert answer.clean and "smuggled" not in str(answer.headers)


# --- F069: races of kept connections ------------------------------------------------------------------


@pytest.mark.parametrize("script", ["closeafter", "idleclose=0", "idleclose=1", "idleclose=5"])
def test_f069_a_connection_closed_while_idle(gateway, fake, script):
    for i in range(30):
        answer = ask(gateway, script)
        assert answer.status == 200, (i, answer.text)
        if i % 3 == 0:
            time.sleep(0.003)  # not to synchronise: to meet the close at different moments
        event = usage(gateway, answer) if i % 10 == 0 else None
        if event:
            assert fake.attempt(event["attempt_id"])["begins"] == 1


def test_f069_an_unsolicited_408(gateway, fake):
    """Bytes on an idle connection are nobody's answer: the connection is closed."""
    for i in range(1, 6):
        answer = ask(gateway, "unsolicited408")
        assert answer.status == 200, answer.text
        until(lambda: sum(r["event"] == "closed" for r in fake.records()) >= i, 5, "the 408")
        settle(gateway)  # the gateway has seen it too


@pytest.mark.parametrize("model", ["fake/m", "fake2/m"])
def test_f069_a_request_lost_with_its_connection_is_sent_once_more(gateway, fake, model):
    """The provider closes as the second request comes: it provably processed nothing."""
    before = gateway.metric("headgate_upstream_retries_total")
    for _ in range(5):
        assert ask(gateway, "dieonreuse", model=model).status == 200
        answer = ask(gateway, "usage=2/3", model=model)
        assert answer.status == 200, answer.text
        event = usage(gateway, answer)
        assert (event["input_tokens"], event["output_tokens"]) == (2, 3)
        assert fake.attempt(event["attempt_id"])["begins"] == 1
    until(lambda: gateway.metric("headgate_upstream_retries_total") > before, 5, "counted")


def test_f069_the_provider_restarts(gateway, fake):
    assert ask(gateway, "").status == 200
    fake.stop()
    answer = ask(gateway, "")
    assert_ours(answer, 502, "upstream_unreachable")
    fake.start()
    assert ask(gateway, "").status == 200
