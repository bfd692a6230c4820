"""Other clients: curl over HTTP/1.1 and HTTP/2, in clear and over TLS; the gateway's own endpoints."""

import json
import os
import signal
import subprocess

import httpx
import pytest

import harness
from harness import sse, until
from test_strict_upstream import make_pki

BODY = {"model": "simulator", "messages": [{"role": "user", "content": "Hello!"}]}


def curl(*args):
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "30", "--write-out",
                           "\n%{http_version} %{http_code}", *args], capture_output=True, text=True,
                          env=harness.clean_environment(), check=False)
    assert done.returncode == 0, done.stderr
    body, _, tail = done.stdout.rpartition("\n")
    version, status = tail.split()
    return body, version, int(status)


@pytest.fixture(scope="module")
def tls_gateway(tmp_path_factory):
    pki = make_pki(tmp_path_factory.mktemp("tls"))
    gateway = harness.Gateway(workers=1)
    # the TLS listener is the data plane's own; its port must be known beforehand
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.chmod(pki / "good.key", 0o644)  # read after root was given up, when it is renewed
    gateway.options += ["--data-plane-args",
                        f"--tls-listen 127.0.0.1:{port} --tls-cert {pki}/good.pem --tls-key {pki}/good.key"]
    gateway.pki, gateway.tls_url = pki, f"https://127.0.0.1:{port}"
    try:
        gateway.up()
        yield gateway
    finally:
        gateway.close()


@pytest.mark.parametrize("options, version", [(["--http1.1"], "1.1"), (["--http2-prior-knowledge"], "2"),
                                              (["--http2"], "1.1")])
def test_curl_in_clear(gateway, options, version):
    headers = ["-H", f"Authorization: Bearer {gateway.key}", "-H", "Content-Type: application/json"]
    body, used, status = curl(*options, *headers, "-d", json.dumps(BODY), gateway.url + "/v1/chat/completions")
    assert (used, status) == (version, 200)
    assert json.loads(body)["choices"][0]["message"]["content"]
    body, used, status = curl(*options, *headers, "-d", json.dumps({**BODY, "stream": True}),
                              gateway.url + "/v1/chat/completions")
    assert (used, status) == (version, 200)
    assert sse(body)[-1] == "[DONE]"
    body, _, status = curl(*options, *headers, gateway.url + "/v1/models")
    assert status == 200 and "simulator" in body


@pytest.mark.parametrize("options, version", [(["--http1.1"], "1.1"), (["--http2"], "2")])
def test_curl_over_tls(tls_gateway, options, version):
    headers = ["-H", f"Authorization: Bearer {tls_gateway.key}", "-H", "Content-Type: application/json"]
    body, used, status = curl(*options, *headers, "--cacert", str(tls_gateway.pki / "ca.pem"), "-d",
                              json.dumps({**BODY, "stream": True}), tls_gateway.tls_url + "/v1/chat/completions")
    assert (used, status) == (version, 200)
    assert sse(body)[-1] == "[DONE]"


def test_the_certificate_is_renewed_on_sighup(tls_gateway):
    """New connections get the new one; the port never closes."""
    pki = tls_gateway.pki
    before = serial(tls_gateway)
    for kind in ("pem", "key"):
        (pki / f"good.{kind}.old").write_bytes((pki / f"good.{kind}").read_bytes())
        (pki / f"good.{kind}").write_bytes((pki / f"unknown-ca.{kind}").read_bytes())
    os.kill(tls_gateway.pid("dataplane"), signal.SIGHUP)
    try:
        until(lambda: serial(tls_gateway) != before, 5, "the new certificate")
    finally:
        for kind in ("pem", "key"):
            (pki / f"good.{kind}").write_bytes((pki / f"good.{kind}.old").read_bytes())
        os.kill(tls_gateway.pid("dataplane"), signal.SIGHUP)
    until(lambda: serial(tls_gateway) == before, 5, "the old certificate")


def serial(gateway):
    host = gateway.tls_url.removeprefix("https://")
    shown = subprocess.run(["openssl", "s_client", "-connect", host], input="", capture_output=True, text=True,
                           timeout=20, check=False).stdout
    return subprocess.run(["openssl", "x509", "-noout", "-serial", "-issuer"], input=shown, capture_output=True,
                          text=True, timeout=20, check=True).stdout


def test_old_tls_is_refused(tls_gateway):
    done = subprocess.run(["curl", "--silent", "--tls-max", "1.1", "--cacert", str(tls_gateway.pki / "ca.pem"),
                           tls_gateway.tls_url + "/healthz"], capture_output=True, check=False)
    assert done.returncode == 35


def test_probes_and_metrics(gateway):
    assert httpx.get(gateway.url + "/healthz").status_code == 200
    assert httpx.get(gateway.url + "/readyz").status_code == 200
    assert httpx.get(gateway.admin_url + "/healthz").status_code == 200
    assert httpx.get(gateway.admin_url + "/readyz").status_code == 200
    answer = httpx.get(gateway.variable("HEADGATE_METRICS_URL"))
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    for line in answer.text.splitlines():
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2 and float(line.rsplit(" ", 1)[1]) >= 0
    # metrics have a port of their own
    assert httpx.get(gateway.url + "/metrics").status_code == 404


@pytest.mark.parametrize("method, path, status, code", [
    ("GET", "/nowhere", 404, "unknown_url"), ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
    ("POST", "/v1/models", 405, "method_not_allowed"), ("GET", "/", 404, "unknown_url"),
    ("GET", "/v1/models/no-such-model", 404, "model_not_found"),
])
def test_wrong_paths(gateway, method, path, status, code):
    with gateway.http() as client:
        answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code and answer.headers["x-headgate-error"] == code


def test_costs_in_the_header_of_a_whole_answer(gateway):
    answer = gateway.chat("fake/m", x_mock="usage=1000/1000")
    assert answer.headers["x-headgate-cost-usd"] == "0.0125"


def test_requests_have_ids_of_our_own(gateway):
    """F178: a client's id is not taken over."""
    answer = gateway.chat("simulator", headers={"x-request-id": "mine" * 1000})
    assert answer.headers["x-request-id"].startswith("req_") and "mine" not in answer.headers["x-request-id"]
