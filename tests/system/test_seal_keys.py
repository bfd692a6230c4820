"""The fleet's sealing key is replaced: with traffic through it all, killed between any two steps, from what databases of
versions before hold, and step by step where a worker lies on another host."""

import base64
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import harness
from harness import FakeProvider, until
from planes import DataPlane, own_directory
from test_crash_points import CRASH_BIN, build


@pytest.fixture
def upstream():
    provider = FakeProvider()
    yield provider
    provider.close()


def ring_file(gateway):
    return pathlib.Path(gateway.setting("data")) / "secrets" / "seal.key"


def ring(gateway):
    return [line.split()[0] for line in ring_file(gateway).read_text().splitlines()]


def status(gateway):
    answer = gateway.admin("GET", "/secrets/keys")
    assert answer.status_code == 200, answer.text
    return answer.json()


def sealed_under(gateway):
    return {row["key"] for row in status(gateway)["values"]}


def sent(gateway, upstream, name):
    """The credential that the upstream saw of a request now."""
    answer = gateway.chat(f"{name}/m")
    assert answer.status_code == 200, answer.text
    event = gateway.wait_usage(answer.headers["x-request-id"])[0]
    return upstream.attempt(event["attempt_id"])["credential"].removeprefix("Bearer ")


class Traffic:
    """Requests one after the other on some threads, and what was answered to each."""

    def __init__(self, gateway, model, threads=3):
        self.gateway, self.model, self.statuses, self.stopping = gateway, model, [], threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def run(self):
        while not self.stopping.is_set():
            try:
                self.statuses.append(self.gateway.chat(self.model).status_code)
            except Exception as problem:  # pylint: disable=broad-except
                self.statuses.append(repr(problem))
            time.sleep(0.01)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *what):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def as_before(key_hex, context, value):
    """Sealed as versions before this one did: without an id."""
    nonce = os.urandom(12)
    cipher = AESGCM(bytes.fromhex(key_hex)).encrypt(nonce, value, b"\1" + context.encode())
    return base64.b64encode(b"\1" + nonce + cipher).decode()


def opened(key_hex, context, text):
    """A value as this version seals it."""
    raw = base64.b64decode(text)
    assert raw[0] == 2
    return AESGCM(bytes.fromhex(key_hex)).decrypt(raw[5:17], raw[17:], raw[:5] + context.encode())


def make_old(gateway):
    """The database as a version before left it."""
    [key] = ring(gateway)
    pepper = opened(key, "pepper", gateway.sql("SELECT value FROM settings WHERE name = 'pepper'")[0][0])
    gateway.sql("DELETE FROM settings WHERE name = 'fingerprint'; "
                f"UPDATE settings SET value = '{as_before(key, 'pepper', pepper)}' WHERE name = 'pepper'")
    for table, column in (("config_items", "body"), ("revision_changes", "before"), ("revision_changes", "after")):
        rows = gateway.sql(f"SELECT DISTINCT kind, name, {column} -> 'credential' ->> 'sealed' FROM {table} "
                           f"WHERE {column} -> 'credential' ->> 'sealed' IS NOT NULL")
        for kind, name, sealed in rows:
            context = f"{kind.removesuffix('s')}/{name}"
            old = as_before(key, context, opened(key, context, sealed))
            gateway.sql(f"UPDATE {table} SET {column} = jsonb_set({column}, '{{credential,sealed}}', to_jsonb('{old}'::text)) "
                        f"WHERE {column} -> 'credential' ->> 'sealed' = '{sealed}'")


def places_of(gateway, key):
    """The tables that still hold a value sealed under this key, published policies aside: whatever is not in the table of
    places that are sealed anew is found here."""
    head = b"\2" + bytes.fromhex(key)
    needles = [head.hex(), base64.b64encode(head + b"\0")[:6].decode()]
    table, found = "", set()
    for line in gateway.dump().splitlines():
        if line.startswith("COPY "):
            table = line.split()[1]
        if not table.startswith("public.snapshot") and any(re.search(r'(\\\\x|"|\t)' + re.escape(n), line) for n in needles):
            found.add(table)
    return found


def test_rotation_without_a_dropped_request(fresh_gateway, upstream):
    """From a database of a version before; every kind of sealed value goes on working under the new key alone."""
    first, second, named = ("sk-" + secrets.token_urlsafe(20) for _ in range(3))
    gateway = fresh_gateway(environment={"TEST_NAMED_CREDENTIAL": named})
    revision = gateway.apply(upstream.provider("literal", credential=first))["revision"]
    gateway.apply(upstream.provider("literal", credential=second))
    gateway.apply(upstream.provider("named", credential="env:TEST_NAMED_CREDENTIAL"))
    gateway.apply({"alerts": [{"name": "hook", "kind": "webhook", "url": "https://hook.invalid/", "credential": second}]})
    call = {"json": {"name": "once", "role": "read-only"}, "headers": {"idempotency-key": "the-same"}}
    once = gateway.admin("POST", "/tokens", **call)
    assert once.status_code == 201, once.text
    make_old(gateway)
    mark = gateway.admin("GET", "/providers/literal").json()["credential"]
    gateway.kill("controlplane")
    until(lambda: gateway.pid("controlplane") and gateway.admin("GET", "/whoami").status_code == 200, 20, "the control plane")
    until(lambda: None in sealed_under(gateway), 10, "values without an id")
    assert sent(gateway, upstream, "literal") == second
    [old] = ring(gateway)
    old_id = status(gateway)["keys"][0]["id"]
    gateway.cli("secrets", "reseal")
    everywhere = {"public.settings", "public.config_items", "public.revision_changes", "public.idempotency_keys"}
    assert places_of(gateway, old_id) == everywhere
    with Traffic(gateway, "literal/m") as traffic:
        out = gateway.cli("secrets", "rotate-key", timeout=100)
    assert "5 of 5" in out, out
    assert len(traffic.statuses) > 50 and set(traffic.statuses) == {200}, traffic.statuses
    [new] = ring(gateway)
    assert new != old
    now = status(gateway)
    assert [k["id"] for k in now["keys"]] == now["published"]["keys"] == list(sealed_under(gateway)), now
    assert places_of(gateway, old_id) == set() and places_of(gateway, now["keys"][0]["id"]) == everywhere
    assert gateway.run("secrets", "rotate-key", "--finish").stdout.startswith("no rotation is under way")
    # everything, from the disk and the database alone
    gateway.down()
    gateway.up()
    assert sent(gateway, upstream, "literal") == second
    assert sent(gateway, upstream, "named") == named
    again = gateway.admin("POST", "/tokens", **call)
    assert again.json() == once.json() and again.headers.get("idempotency-replayed") == "true", again.headers
    assert gateway.admin("GET", "/providers/literal").json()["credential"] == mark
    before = gateway.admin("GET", "/revisions").json()["data"][0]["revision"]
    gateway.cli("apply", "-f", "-", stdin=json.dumps(upstream.provider("literal", credential=mark)))
    assert gateway.admin("GET", "/revisions").json()["data"][0]["revision"] == before
    gateway.cli("apply", "-f", "-", stdin=json.dumps(upstream.provider("literal", credential=second)))
    assert gateway.admin("GET", "/revisions").json()["data"][0]["revision"] == before
    gateway.cli("rollback", str(revision))
    until(lambda: sent(gateway, upstream, "literal") == first, 10, "the credential of the first revision")
    actions = {row["action"] for row in gateway.admin("GET", "/audit").json()["data"]}
    assert {"secrets.keys", "secrets.reseal"} <= actions, actions
    assert gateway.cli("audit", "verify")


# What the tool does between the steps, and the place of a value that is sealed anew.
POINTS = ["rotate.added", "rotate.used", "rotate.resealed_some", "rotate.resealed", "rotate.published", "rotate.retired"]


def test_killed_between_any_two_steps(upstream):
    """One rotation, killed at each point, taken up again each time; the control plane dies in it too."""
    build()
    gateway = harness.Gateway(workers=1, bin_dir=CRASH_BIN)
    once = gateway.home.parent / "died-once"
    gateway.environment = {"HEADGATE_CRASH_AT": "reseal.value:2", "HEADGATE_CRASH_ONCE": str(once)}
    try:
        once.parent.chmod(0o777)
        gateway.up()
        gateway.environment = {}
        gateway.apply(upstream.provider("literal", credential="sk-literal"))
        [old] = ring(gateway)
        for point in POINTS:
            with Traffic(gateway, "literal/m", threads=1) as traffic:
                done = gateway.run("secrets", "rotate-key", timeout=100, environment={"HEADGATE_CRASH_AT": f"{point}:1"})
                if point == "rotate.resealed_some" and not done.returncode == -9:
                    assert once.exists(), done.stderr  # the control plane died under it, between two values
                    until(lambda: gateway.admin("GET", "/whoami").status_code == 200, 20, "the control plane")
                    done = gateway.run("secrets", "rotate-key", timeout=100, environment={"HEADGATE_CRASH_AT": f"{point}:1"})
            assert done.returncode == -9, (point, done)
            assert traffic.statuses and set(traffic.statuses) == {200}, (point, traffic.statuses)
        assert once.exists()
        gateway.cli("secrets", "rotate-key", "--finish", timeout=100)
        [new] = ring(gateway)
        assert new != old
        assert list(sealed_under(gateway)) == [k["id"] for k in status(gateway)["keys"]]
        gateway.down()
        gateway.up()
        assert sent(gateway, upstream, "literal") == "sk-literal"
    finally:
        gateway.close()


def keys(gateway, *args, code=0):
    """`headgate-controlplane keys`, as the operator of a fleet calls it."""
    done = subprocess.run([str(gateway.bin / "headgate-controlplane"), "keys", *map(str, args)], capture_output=True, text=True,
                          env=harness.clean_environment(), stdin=subprocess.DEVNULL, timeout=30, check=False)
    assert done.returncode == code, done
    return done.stdout + done.stderr


def give(path, to):
    """The file as it is distributed: replaced whole, for the same owner."""
    new = to.with_suffix(".new")
    shutil.copy(path, new)
    if to.exists():
        os.chown(new, to.stat().st_uid, to.stat().st_gid)
    new.rename(to)


def test_step_by_step_with_a_worker_elsewhere(fresh_gateway, upstream):
    """The procedure of a fleet. A worker that was forgotten says so, goes on with what it has, and comes along when it has
    the file."""
    gateway = fresh_gateway(workers=1)
    gateway.apply(upstream.provider("literal", credential="sk-one"))
    folder = own_directory(gateway, "elsewhere")
    theirs, ours = folder / "seal.key", ring_file(gateway)
    shutil.copy(ours, theirs)
    os.chown(theirs, folder.stat().st_uid, -1)
    plane = DataPlane(gateway, folder / "state", {"--seal-key": str(theirs)})

    def worker():
        rows = gateway.admin("GET", "/workers").json()["data"]
        return next(r for r in rows if r["pid"] in harness.children(plane.process.pid))

    def ask():
        with gateway.http() as http:
            body = {"model": "literal/m", "messages": [{"role": "user", "content": "hi"}]}
            return http.post(f"http://{plane.listen}/v1/chat/completions", json=body).status_code
    try:
        plane.start()
        plane.wait_ready()
        until(lambda: worker()["held_version"] > 0, 20, "the worker's word")
        old = keys(gateway, "list", ours).split()[0]
        # the tool waits for it, and names it
        done = gateway.run("secrets", "rotate-key", "--wait-s", "3", timeout=60)
        assert done.returncode == 1 and "worker 0 on" in done.stderr and "have the new key" in done.stderr, done
        assert ask() == 200
        new = keys(gateway, "list", ours).splitlines()[1].split()[0]
        assert [k["id"] for k in status(gateway)["keys"]] == [old, new]
        # forgotten all the same
        assert f"{new}" in keys(gateway, "use", ours, new).splitlines()[0]
        until(lambda: status(gateway)["keys"][0]["id"] == new, 10, "the control plane to seal with it")
        gateway.apply(upstream.provider("literal", credential="sk-two"))
        refused = until(lambda: worker()["refused"], 10, "the worker's refusal")
        assert f"was sealed with key {new}" in refused["detail"] and f"it has {old}" in refused["detail"], refused
        before = set(upstream.attempts())
        assert ask() == 200
        [last] = [a for i, a in upstream.attempts().items() if i not in before]
        assert last["credential"] == "Bearer sk-one", "it keeps its last policy"
        assert sent(gateway, upstream, "literal") == "sk-two"
        dsn = re.search(r"--database\0([^\0]*)", pathlib.Path(f"/proc/{gateway.pid('controlplane')}/cmdline").read_text())[1]
        assert "still has" in keys(gateway, "retire", ours, old, "--database", dsn, code=1)
        assert "seals: let another" in keys(gateway, "retire", ours, new, "--force", code=1)
        give(ours, theirs)
        until(lambda: worker()["refused"] is None and worker()["seal_keys"] == [new, old], 10, "the worker to come along")
        assert "sealed anew" in gateway.cli("secrets", "reseal")
        until(lambda: status(gateway)["published"]["keys"] == [new], 10, "a policy under the new key alone")
        version = status(gateway)["published"]["version"]
        until(lambda: worker()["held_version"] >= version, 10, "the worker to hold it")
        keys(gateway, "retire", ours, old, "--database", dsn)
        give(ours, theirs)
        until(lambda: worker()["seal_keys"] == [new] and len(status(gateway)["keys"]) == 1, 10, "the old key to be gone")
        # what is on its disk opens under the new key: it starts with no control plane in sight
        plane.stop()
        plane.set("--bus-pub", f"ipc://{folder}/nobody.pub")
        plane.set("--bus-req", f"ipc://{folder}/nobody.req")
        plane.start()
        plane.wait_ready()
        assert ask() == 200
        # a file that cannot be used changes nothing
        theirs.write_text("not a key\n")
        until(lambda: "not a key (64 hex" in gateway.log("second-dataplane"), 10, "the complaint")
        assert ask() == 200
    finally:
        plane.close()


def test_keys_that_are_no_keys(gateway, tmp_path):
    """Each is refused at the start, with what is wrong."""
    good, file = secrets.token_hex(32), tmp_path / "seal.key"
    rows = [("", "there is no key in it"), ("zz\n", "line 1: not a key"), (f"{good}\n{good}\n", "line 2: this key is there twice"),
            (f"{good} soon\n", "line 1: what follows the key"), ("aws-kms:AAAA\n", "one that a key service wraps is not opened here")]
    for text, why in rows:
        file.write_text(text)
        for program, more in (("headgate-dataplane", ["--listen", "127.0.0.1:0", "--verify-key", str(file)]), ):
            done = subprocess.run([str(gateway.bin / program), *more, "--seal-key", str(file), "--state-dir", str(tmp_path)],
                                  capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
            assert done.returncode == 2 and why in done.stderr, (text, done)
    file.write_text(good)
    assert "is as it was" in keys(gateway, "add", file, "--wrapped", "nonsense:x", code=1)
    assert file.read_text().split() == [good]
    assert "8 hexadecimal digits" in keys(gateway, "use", file, "first", code=1)
    assert "has no key" in keys(gateway, "use", file, "00000000", code=1)
    assert "--database is needed" in (keys(gateway, "add", file) and
                                      keys(gateway, "retire", file, keys(gateway, "list", file).splitlines()[1].split()[0],
                                           code=1))
