"""I7: canaries. Unique random secrets go through everything at log level debug; then every log, metric,
answer, database dump, state file and command line is searched for them, also in base64, hex and escaped."""

import base64
import os
import pathlib
import re
import secrets
import signal
import urllib.parse

import httpx
import pytest

import harness
from harness import FakeProvider, until


def forms(secret):
    """A secret as it could be found: clear, base64 at each alignment, hex, URL-escaped, reversed."""
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(secret, safe="").encode(),
             raw[::-1]}
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * shift + raw).rstrip(b"=")
            # without the characters that the neighbours influence
            found.add(text[(0, 2, 3)[shift]:-2])
    return {f for f in found if len(f) >= 12}


class Witness:
    """Everything that was seen, and what must not be in it."""

    def __init__(self):
        self.canaries = {}
        self.seen = []

    def guard(self, name, secret):
        self.canaries[name] = forms(secret)
        return secret

    def see(self, where, content):
        self.seen.append((where, content if isinstance(content, bytes) else content.encode("utf-8", "replace")))

    def verdict(self):
        return [f"{name} in {where}" for where, content in self.seen
                for name, needles in self.canaries.items() if any(n in content for n in needles)]


@pytest.fixture
def witness():
    return Witness()


def test_the_search_finds_what_is_there(witness):
    """The witness itself: each form of a canary is found."""
    secret = witness.guard("key", "sk-" + secrets.token_urlsafe(24))
    for text in (secret, "x" + base64.b64encode(("ab" + secret).encode()).decode(), secret.encode().hex(),
                 "log: {%s}" % secret):
        witness.seen = []
        witness.see("here", text)
        assert witness.verdict() == ["key in here"], text
    witness.seen = []
    witness.see("here", "nothing of it")
    assert witness.verdict() == []


def see_answer(witness, answer, *hidden):
    """An answer's headers and body; `hidden` may be in the body, where it was asked for."""
    text = answer.text
    for secret in hidden:
        text = text.replace(secret, "")
    witness.see(f"answer of {answer.request.url}", str(answer.headers) + text)


def see_files(witness, folder, skip=()):
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and not any(s in str(path) for s in skip):
            try:
                witness.see(str(path), path.read_bytes())
            except (FileNotFoundError, PermissionError):
                pass


def see_processes(witness, gateway):
    pids = [gateway.pid(n) for n in ("supervisor", "postgres", "controlplane", "dataplane")]
    pids += list(gateway.workers().values())
    for pid in pids:
        witness.see(f"command line of {pid}", pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
    for name in ("postgres", "dataplane"):
        witness.see(f"environment of {name}", pathlib.Path(f"/proc/{gateway.pid(name)}/environ").read_bytes())


def exercise(gateway, witness, fake, prompt):
    """What a day brings: good requests, refusals, upstream faults, aborts, kills, wrong calls of the API."""
    for model in ("canary/m", "simulator"):
        for stream in (False, True):
            answer = gateway.chat(model, stream=stream, messages=[{"role": "user", "content": prompt}])
            assert answer.status_code == 200
            witness.see("headers", str(answer.headers))
    for script in ("status=500", "status=401", "status=429;retry_after=1", "rst", "cut@2", "err@1", "badjson",
                   "bad=two_cl", "nodone", "garbage@1", "html"):
        try:
            see_answer(witness, gateway.chat("canary/m", stream=True, x_mock=script,
                                             messages=[{"role": "user", "content": prompt}]))
        except httpx.RemoteProtocolError:
            pass
    see_answer(witness, gateway.chat("nothing", messages=[{"role": "user", "content": prompt}]))
    see_answer(witness, gateway.chat("simulator", messages=prompt))
    with gateway.http() as client:
        see_answer(witness, client.post("/v1/chat/completions", content=b"{broken " + prompt.encode()))
        see_answer(witness, client.get("/v1/models"))
        see_answer(witness, client.get("/nowhere"))
    try:
        gateway.openai(timeout=0.2).chat.completions.create(
            model="canary/m", stream=True, messages=[{"role": "user", "content": prompt}],
            extra_body={"x_mock": "ttfb=5000"})
    except Exception:  # noqa: BLE001 - it is meant to fail
        pass


def test_i7_canaries(fresh_gateway, witness, tmp_path):
    env_key = witness.guard("provider key in the environment", "sk-env-" + secrets.token_urlsafe(24))
    literal = witness.guard("literal provider key", "sk-literal-" + secrets.token_urlsafe(24))
    in_file = witness.guard("provider key in a file", "sk-file-" + secrets.token_urlsafe(24))
    prompt = witness.guard("prompt", "prompt " + secrets.token_urlsafe(24))
    fake = FakeProvider()
    try:
        gateway = fresh_gateway(options=["--log-level", "debug"], environment={"CANARY_KEY": env_key})
        key = witness.guard("first API key", gateway.key)
        token = witness.guard("admin token", gateway.token)
        for name in ("seal.key", "sign.key"):
            witness.guard(name, (gateway.home / "secrets" / name).read_text().strip())
            raw = bytes.fromhex((gateway.home / "secrets" / name).read_text().strip())
            witness.canaries[name] |= {raw, base64.b64encode(raw)[:-4]}
        credentials = gateway.home / "credentials" / "canary"
        credentials.write_text(in_file)
        owner = (gateway.home / "credentials").stat()
        os.chown(credentials, owner.st_uid, owner.st_gid)
        config = fake.provider("canary", credential=literal)
        for name, credential in (("by-env", "env:CANARY_KEY"), ("by-file", "file:canary")):
            more = fake.provider(name, credential=credential)
            config["providers"] += more["providers"]
            config["prices"] += more["prices"]
        gateway.apply(config)
        for name, want in (("canary", literal), ("by-env", env_key), ("by-file", in_file)):
            answer = gateway.chat(f"{name}/m")
            event = gateway.wait_usage(answer.headers["x-request-id"])[0]
            assert fake.attempt(event["attempt_id"])["credential"] == f"Bearer {want}"

        other = gateway.cli_json("key", "create", "--name", "other", "--team", "default")["key"]
        witness.guard("second API key", other)
        more_token = witness.guard("second admin token", gateway.cli_json(
            "token", "create", "--name", "reader", "--role", "read-only")["token"])
        until(lambda: gateway.chat(key=other).status_code == 200, 5, "the key")
        exercise(gateway, witness, fake, prompt)
        for wrong in (key[:-1] + "x", other + "x", token, "sk-hg-" + key[6:20]):
            see_answer(witness, gateway.chat(key=wrong))

        # the admin API, used rightly and wrongly
        for path in ("/providers", "/providers/canary", "/keys", "/keys/other", "/tokens", "/config", "/revisions",
                     "/revisions/2", "/audit?limit=1000", "/workers", "/snapshots", "/usage", "/usage/events?limit=1000",
                     "/whoami", "/config/schema", "/ledger/accounts"):
            answer = gateway.admin("GET", path)
            assert answer.status_code == 200, path
            see_answer(witness, answer)
        see_answer(witness, gateway.admin("POST", "/providers", json={"name": "bad", "kind": literal}))
        see_answer(witness, gateway.admin("POST", "/providers", json={"name": "bad", "kind": "openai",
                                                                       "credentials": literal}))
        see_answer(witness, gateway.admin("PATCH", "/providers/canary", json={"base_url": "http://" + literal + ":x"},
                                          headers={"if-match": "*"}))
        see_answer(witness, gateway.admin("GET", "/teams", headers={"authorization": "Bearer " + more_token + "x"}))
        see_answer(witness, gateway.admin("POST", "/teams", json={"name": "x"},
                                          headers={"authorization": "Bearer " + more_token}))
        for command in (("provider", "list"), ("provider", "show", "canary"), ("export",), ("key", "list"),
                        ("audit", "list", "--limit", "0"), ("events", "--limit", "0"), ("revisions",), ("status",),
                        ("diff", "-f", "-")):
            witness.see(f"headgate {' '.join(command)}", gateway.cli(*command, stdin="{}"))
        gateway.cli("key", "revoke", "other")

        # crashes and restarts, too, write what they write
        gateway.kill_worker(0, signal.SIGSEGV)
        gateway.kill("controlplane", signal.SIGABRT)
        until(lambda: gateway.run("status").returncode == 0, 10, "all is well")
        gateway.wait_idle(20)

        for url in (gateway.variable("HEADGATE_METRICS_URL"), gateway.admin_url + "/metrics",
                    gateway.admin_url + "/healthz", gateway.url + "/healthz"):
            witness.see(url, httpx.get(url).text)
        see_processes(witness, gateway)
        witness.see("dump of the database", gateway.dump())
        gateway.down()
        data = pathlib.Path(gateway.setting("data"))
        see_files(witness, gateway.home, skip=("/env", "/secrets/", "/credentials/"))
        if data != gateway.home:
            see_files(witness, data, skip=("/secrets/", "/credentials/"))
        assert len(witness.seen) > 150 and len(witness.canaries) >= 9
        assert not witness.verdict()
        logs = gateway.log("dataplane") + gateway.log("controlplane")
        assert '"level":"debug"' in logs  # it was at debug level indeed
    finally:
        fake.close()


def test_i7_keys_are_kept_as_digests(fresh_gateway):
    """Neither a key nor its plain SHA-256 is in the database."""
    import hashlib
    gateway = fresh_gateway(workers=1)
    dump = gateway.dump()
    for secret in (gateway.key, gateway.token):
        assert secret not in dump
    assert hashlib.sha256(gateway.key.encode()).hexdigest() not in dump
    # a token's SHA-256 is what is kept
    assert hashlib.sha256(gateway.token.encode()).hexdigest() in dump
    assert re.search(r"admin_tokens", dump)


def test_the_applications_role_cannot_rewrite_history(fresh_gateway):
    gateway = fresh_gateway(workers=1)
    gateway.wait_usage(gateway.chat().headers["x-request-id"])
    tables = [row[0] for row in gateway.sql(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND "
        "(tablename ~ '^(ledger_(entries|transactions)|usage_events|audit_log)')")]
    assert len(tables) >= 3
    for table in tables:
        for right in ("UPDATE", "DELETE", "TRUNCATE"):
            allowed = gateway.sql(f"SELECT has_table_privilege('headgate_app', '{table}', '{right}')")
            assert allowed == [["f"]], (table, right)
