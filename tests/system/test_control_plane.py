"""headgate-controlplane as a process: its commands, its rights, its secrets, kill -9 while it writes."""

import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading

import httpx
import pytest

from harness import BIN, clean_environment, until

PROGRAM = str(BIN / "headgate-controlplane")


def run(*args, **more):
    return subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=30, check=False,
                          env=clean_environment(), **more)


# --- the command line

@pytest.mark.parametrize("args, code, part", [
    ([], 2, "usage:"),
    (["sreve"], 2, "no command 'sreve'"),
    (["serve"], 2, "--database: is needed"),
    (["serve", "--databse", "x"], 2, "--database"),
    (["serve", "--database", "x", "--bus-pub", "ipc:///tmp/x", "--bus-req", "ipc:///tmp/y", "--sign-key", "/nowhere",
      "--seal-key", "/nowhere", "--state-dir", "/tmp/z"], 1,
     "/nowhere: cannot be read: not_found; `headgate-controlplane keys DIR`"),
    (["serve", "--threads", "0"], 2, "--threads"),
    (["migrate"], 2, "--owner-database is needed"),
    (["migrate", "--owner-database", "host=/nowhere dbname=x"], 1, "cannot reach the database"),
    (["token", "--database", "host=/nowhere dbname=x", "--name", "x"], 1, "unavailable"),
    (["token", "--database", "x"], 2, "--name is needed"),
    (["token", "destroy", "--database", "x", "--name", "y"], 2, "create, list or revoke"),
    (["token", "--database", "x", "--name", "y", "--role", "god"], 2, "--role is admin or read-only"),
    (["audit"], 2, "argument"),
    (["audit", "verify", "--database", "host=/nowhere dbname=x"], 1, "unavailable"),
])
def test_what_is_wrong_on_the_command_line_is_one_clear_line(args, code, part):
    done = run(*args)
    assert done.returncode == code, done.stderr
    assert part in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("headgate-controlplane")]
    assert len(lines) == (1 if args else 1) and len(lines[0]) < 300


def test_keys_are_made_once(tmp_path):
    assert run("keys", tmp_path / "k").returncode == 0
    before = {p.name: p.read_text() for p in (tmp_path / "k").iterdir()}
    assert set(before) == {"seal.key", "sign.key", "verify.key"}
    assert all(re.fullmatch(r"[0-9a-f]{64}\n", text) for text in before.values())
    assert oct((tmp_path / "k" / "seal.key").stat().st_mode & 0o777) == "0o600"
    assert run("keys", tmp_path / "k").returncode == 0
    assert before == {p.name: p.read_text() for p in (tmp_path / "k").iterdir()}


def test_a_broken_key_file_is_told(tmp_path):
    (tmp_path / "seal.key").write_text("zz\n")
    done = run("serve", "--database", "x", "--bus-pub", "ipc:///tmp/x", "--bus-req", "ipc:///tmp/y", "--state-dir",
               tmp_path, "--seal-key", tmp_path / "seal.key", "--sign-key", tmp_path / "seal.key")
    assert done.returncode == 1 and "line 1: not a key (64 hexadecimal digits)" in done.stderr


# --- without a database, over TLS

def certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")],
                   check=True, capture_output=True)


def served_name(port):
    """The subject of the certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        with context.wrap_socket(plain) as peer:
            der = peer.getpeercert(binary_form=True)
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=der,
                          capture_output=True, check=True).stdout.decode()
    return text.strip().rpartition("= ")[2]


@pytest.fixture
def lonely(tmp_path):
    """A control plane with no PostgreSQL in sight, serving HTTPS; (process, port, folder)."""
    assert run("keys", tmp_path).returncode == 0
    certificate(tmp_path, "first")
    command = [PROGRAM, "serve", "--database", f"host={tmp_path} dbname=x", "--admin-listen", "127.0.0.1:0",
               "--bus-pub", f"ipc://{tmp_path}/p", "--bus-req", f"ipc://{tmp_path}/r", "--state-dir", tmp_path / "state",
               "--sign-key", tmp_path / "sign.key", "--seal-key", tmp_path / "seal.key",
               "--admin-tls-cert", tmp_path / "tls.crt", "--admin-tls-key", tmp_path / "tls.key"]
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(list(map(str, command)), stderr=log, env=clean_environment())
    def port():
        found = re.search(r'"controlplane.started".*"port":(\d+)', (tmp_path / "log").read_text())
        return found and int(found.group(1))
    try:
        yield process, until(port, 10, "a port"), tmp_path
    finally:
        process.kill()
        process.wait()


def test_f101_it_starts_and_ends_without_a_database(lonely):
    process, port, folder = lonely
    with httpx.Client(http2=True, verify=ssl.create_default_context(cafile=folder / "tls.crt")) as client:
        assert client.get(f"https://localhost:{port}/healthz").http_version == "HTTP/2"
        ready = client.get(f"https://localhost:{port}/readyz")
        assert ready.status_code == 503 and ready.json()["checks"]["database"] != "ok"
        token = {"authorization": "Bearer hgat_" + "x" * 43}
        answer = client.get(f"https://localhost:{port}/api/v1/teams", headers=token)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/healthz")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_sighup_reads_the_certificate_again(lonely):
    process, port, folder = lonely
    assert served_name(port) == "first"
    certificate(folder, "second")
    process.send_signal(signal.SIGHUP)
    until(lambda: served_name(port) == "second", 10, "the new certificate")
    (folder / "tls.crt").write_text("no certificate")
    process.send_signal(signal.SIGHUP)
    until(lambda: "api.certificate_kept" in (folder / "log").read_text(), 10, "the refusal")
    assert served_name(port) == "second"


# --- rights and secrets

def test_it_runs_with_few_rights(session_gateway):
    gateway = session_gateway
    users = {row[0] for row in gateway.sql("SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name "
                                           "LIKE 'headgate%'")}
    assert users == {"headgate_app"}
    assert gateway.sql("SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles "
                       "WHERE rolname = 'headgate_app'") == [["f", "f", "f", "f"]]
    pid = gateway.pid("controlplane")
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
    assert re.search(r"^CapEff:\s+0+$", status, re.M)
    assert int(re.search(r"^Uid:\s+(\d+)", status, re.M).group(1)) != 0
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"^Max core file size\s+0\s+0", limits, re.M)
    # Not dumpable: its memory and environment belong to root.
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0


def test_f157_no_secret_in_log_dump_or_answer(fresh_gateway):
    gateway = fresh_gateway(options=["--log-level", "debug"], workers=1)
    literal = "CANARY-literal-7f3a9c"
    assert gateway.admin("POST", "/providers", json={"name": "p", "kind": "openai", "credential": literal}) \
        .status_code == 201
    key = gateway.admin("POST", "/keys", json={"name": "k", "team": "default"},
                        headers={"Idempotency-Key": "once"}).json()["key"]
    token = gateway.admin("POST", "/tokens", json={"name": "t", "role": "admin"},
                          headers={"Idempotency-Key": "twice"}).json()["token"]
    gateway.admin("POST", "/teams", content=b'{"name": "' + literal.encode() + b'"', headers={
        "content-type": "application/json"})
    seal = pathlib.Path(gateway.setting("data"), "secrets", "seal.key").read_text().strip()
    answers = "".join(gateway.admin("GET", path).text for path in
                      ("/providers", "/keys", "/tokens", "/config", "/audit", "/revisions/2", "/revisions/3"))
    pid = gateway.pid("controlplane")
    command = pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    places = {"log": gateway.log("controlplane"), "dump": gateway.dump(), "answers": answers, "command": command}
    for name, secret in {"literal": literal, "key": key, "token": token, "seal key": seal,
                         "admin token": gateway.token}.items():
        for place, text in places.items():
            for form in (secret, secret.encode().hex(), secret[9:]):
                assert form not in text, f"the {name} is in the {place}"


# --- the audit log

def verify(gateway):
    control = pathlib.Path(gateway.setting("data"), "control")
    secrets = pathlib.Path(gateway.setting("data"), "secrets")
    return run("audit", "verify", "--database", f"host={gateway.setting('run')} dbname=headgate user=headgate_owner",
               "--state-dir", control, "--verify-key", secrets / "verify.pub")


def test_f168_both_commands_name_the_first_bad_row(fresh_gateway):
    gateway = fresh_gateway(workers=1)
    for i in range(4):
        assert gateway.admin("POST", "/teams", json={"name": f"t{i}"}).status_code == 201
    head = int(gateway.sql("SELECT max(seq) FROM audit_log")[0][0])
    heads = pathlib.Path(gateway.setting("data"), "control", "audit", "heads.jsonl")
    until(lambda: heads.exists() and f'"seq":{head},' in heads.read_text(), 10, "the export of the head")
    whole = verify(gateway)
    assert whole.returncode == 0 and f"{head} rows verified" in whole.stdout, whole.stderr
    assert gateway.run("audit", "verify").returncode == 0
    gateway.sql("UPDATE audit_log SET actor = 'nobody' WHERE seq = 3")
    for done in (verify(gateway), gateway.run("audit", "verify")):
        assert done.returncode == 1 and "row 3" in done.stderr, (done.stdout, done.stderr)
    gateway.sql("DELETE FROM audit_log WHERE seq >= 3")
    for done in (verify(gateway), gateway.run("audit", "verify")):
        assert done.returncode == 1 and "row 3" in done.stderr, (done.stdout, done.stderr)


# --- faults

def test_f133_kill_9_while_it_writes(fresh_gateway):
    """Every acknowledged change is there, with its revision and its audit row; nothing is half there."""
    gateway = fresh_gateway(workers=1)
    acknowledged, stop = [], threading.Event()

    def write(me):
        with httpx.Client(base_url=gateway.admin_url, timeout=30,
                          headers={"authorization": f"Bearer {gateway.token}"}) as client:
            for i in range(100000):
                if stop.is_set():
                    return
                name = f"w{me}-{i}"
                try:
                    if client.post("/api/v1/teams", json={"name": name}).status_code == 201:
                        acknowledged.append(name)
                except httpx.TransportError:
                    stop.wait(0.05)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(5):
            before = len(acknowledged)
            until(lambda: len(acknowledged) > before + 10, 30, "writes")
            killed = gateway.kill("controlplane", signal.SIGKILL)
            until(lambda: gateway.pid("controlplane") not in (0, killed), 15, "a new control plane")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    until(lambda: gateway.admin("GET", "/audit/verify").json().get("ok"), 15, "a whole audit log")
    names = {row[0] for row in gateway.sql("SELECT name FROM config_items WHERE kind = 'teams'")}
    assert set(acknowledged) <= names
    revisions = gateway.sql("SELECT count(*), max(revision) FROM revisions")[0]
    assert revisions[0] == revisions[1]
    assert gateway.sql("SELECT count(*) FROM revisions r WHERE NOT EXISTS (SELECT FROM audit_log a "
                       "WHERE (a.detail ->> 'revision')::bigint = r.revision)") == [["0"]]
    assert gateway.sql("SELECT count(*) FROM config_items i WHERE NOT EXISTS (SELECT FROM revision_changes c "
                       "WHERE c.kind = i.kind AND c.name = i.name AND c.revision = i.revision "
                       "AND c.after = i.body)") == [["0"]]


def test_sigterm_ends_it_in_order(fresh_gateway):
    gateway = fresh_gateway(workers=1)
    killed = gateway.kill("controlplane", signal.SIGTERM)
    until(lambda: gateway.pid("controlplane") not in (0, killed), 15, "a new control plane")
    assert "controlplane.stopped" in gateway.log("controlplane")
    until(lambda: gateway.admin("GET", "/teams").status_code == 200, 10, "answers")
