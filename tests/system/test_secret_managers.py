"""Credentials that secret managers hold: fetched by the control plane, rotated without a dropped request, kept while the
manager is away, and seen nowhere. AWS is moto's server, Vault is OpenBao (and a strict fake for what a development server
does not do); Google and Azure are strict fakes."""

import base64
import contextlib
import json
import os
import pathlib
import secrets
import subprocess
import sys
import threading

import httpx
import pytest
import standardwebhooks

import alerted
import harness
import managers
from harness import FakeProvider, until
from planes import Program, free_address, own_directory
from test_secrets import Witness, see_files, see_processes

EVERY_S = 2


@pytest.fixture
def fakes():
    made = managers.Managers()
    yield made
    made.close()
    assert not made.problems, made.problems


@pytest.fixture
def upstream():
    provider = FakeProvider()
    yield provider
    provider.close()


def environment(**more):
    return {"HEADGATE_SECRETS_ALLOW_PRIVATE": "1", "HEADGATE_SECRETS_REFRESH_S": str(EVERY_S), **more}


def of_vault(fakes, **more):
    return environment(VAULT_ADDR=fakes.url + "/vault/", VAULT_NAMESPACE="team-a", **more)


def beside_us(name, variable):
    """A program that tests/requirements.txt installs; the variable may name another one (HashiCorp's own vault)."""
    program = os.environ.get(variable) or pathlib.Path(sys.executable).parent / name
    assert pathlib.Path(program).exists(), f"{program} is missing: tests/requirements.txt has it; {variable} may name another"
    return str(program)


def readable(fakes, name, text):
    """A file that the control plane's user may read."""
    os.chmod(fakes.folder.name, 0o755)
    path = pathlib.Path(fakes.folder.name) / name
    path.write_text(text)
    return str(path)


def row(gateway, name):
    answer = gateway.admin("GET", "/secrets")
    assert answer.status_code == 200, answer.text
    return next(r for r in answer.json()["data"] if (r["kind"], r["name"]) == ("provider", name))


def sent(gateway, upstream, name):
    """The credential that the upstream saw of a request now."""
    answer = gateway.chat(f"{name}/m")
    assert answer.status_code == 200, answer.text
    event = gateway.wait_usage(answer.headers["x-request-id"])[0]
    return upstream.attempt(event["attempt_id"])["credential"].removeprefix("Bearer ")


def resolved(gateway, upstream, name, value, seconds=20):
    try:
        until(lambda: sent(gateway, upstream, name) == value, seconds, f"the credential of {name} at its upstream", every=0.2)
    except harness.Late as late:
        raise AssertionError(row(gateway, name)) from late


def live_through(gateway, upstream, reference, put, fakes_down=None):
    """The life of a reference: new, rotated under load, its manager away and back."""
    first, second, third = (f"sk-{n}-" + secrets.token_urlsafe(24) for n in range(3))
    put(first)
    gateway.apply(upstream.provider("managed", credential=reference))
    resolved(gateway, upstream, "managed", first)
    state = row(gateway, "managed")
    assert (state["reference"], state["state"], state["last_error"]) == (reference, "resolved", None)
    assert state["last_success"]

    stop, failures, done = threading.Event(), [], []

    def load():
        while not stop.is_set():
            answer = gateway.chat("managed/m")
            (done if answer.status_code == 200 else failures).append(answer.status_code)
    callers = [threading.Thread(target=load) for _ in range(2)]
    for caller in callers:
        caller.start()
    put(second)
    try:
        gateway.cli("secrets", "refresh", "managed")
        resolved(gateway, upstream, "managed", second)
        put(third)  # and by the schedule alone
        resolved(gateway, upstream, "managed", third, 10 * EVERY_S)
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    assert done and not failures
    if fakes_down:
        with fakes_down():
            until(lambda: row(gateway, "managed")["state"] == "stale", 30, "the loss to be told")
            state = row(gateway, "managed")
            assert state["last_error"] and state["last_success"], state
            assert sent(gateway, upstream, "managed") == third
            assert "headgate_control_secret_references_failing 1" in httpx.get(gateway.admin_url + "/metrics").text
            assert '"event":"secret.unresolved"' in gateway.log("controlplane")
            done = gateway.run("secrets", "refresh")
            assert done.returncode == 1 and reference in done.stdout + done.stderr, done
            # also a control plane that starts now has it, from the database
            gateway.kill("controlplane")
            until(lambda: gateway.run("status").returncode == 0, 20, "the control plane")
            gateway.apply({"teams": [{"name": "after"}]})
            assert sent(gateway, upstream, "managed") == third
        until(lambda: row(gateway, "managed")["state"] == "resolved", 30, "the manager's return to be seen")
    return [first, second, third]


def seen_nowhere(gateway, canaries):
    witness = Witness()
    for i, canary in enumerate(canaries):
        witness.guard(f"secret {i}", canary)
    for path in ("/secrets", "/providers", "/config", "/audit?limit=1000", "/revisions"):
        witness.see(path, gateway.admin("GET", path).text)
    for command in (("secrets", "list"), ("secrets", "list", "--output", "json"), ("export",)):
        witness.see(" ".join(command), gateway.cli(*command))
    witness.see("metrics", httpx.get(gateway.admin_url + "/metrics").text)
    see_processes(witness, gateway)
    dump = gateway.dump()
    assert "secret_references" in dump
    witness.see("dump of the database", dump)
    gateway.down()
    see_files(witness, gateway.home, skip=("/env", "/secrets/"))
    data = pathlib.Path(gateway.setting("data"))
    if data != gateway.home:
        see_files(witness, data, skip=("/secrets/",))
    assert len(witness.seen) > 10 and not witness.verdict()
    log = gateway.log("controlplane")
    assert "LEAK" not in log


def down(fakes):
    @contextlib.contextmanager
    def away():
        fakes.away = True
        try:
            yield
        finally:
            fakes.away = False
    return away


@pytest.mark.parametrize("version", [1, 2])
def test_vault_by_approle(fresh_gateway, fakes, upstream, version):
    fakes.vault_version, fakes.lease = version, 4
    secret_id = managers.SECRET_ID
    gateway = fresh_gateway(options=["--log-level", "debug"], environment=of_vault(
        fakes, VAULT_ROLE_ID=managers.ROLE_ID, VAULT_SECRET_ID=secret_id))

    def put(value):
        fakes.vault["llm/openai"] = {"key": value, "other": "x"}
    values = live_through(gateway, upstream, "vault:secret/llm/openai#key", put, down(fakes))
    assert fakes.logins > 1  # again, before the token ended
    # Only when something is to be read: a manager that is away is not asked all the time.
    assert "vault.token_not_renewed" not in gateway.log("controlplane")
    fakes.tokens.clear()  # revoked early: logs in again
    fourth = "sk-4-" + secrets.token_urlsafe(24)
    put(fourth)
    resolved(gateway, upstream, "managed", fourth)
    seen_nowhere(gateway, [*values, fourth])


@pytest.mark.parametrize("setting", ["VAULT_TOKEN", "VAULT_TOKEN_FILE"])
def test_vault_by_a_token_that_is_renewed(fresh_gateway, fakes, upstream, setting):
    fakes.lease, fakes.tokens["hvs.given"] = 3, True
    gateway = fresh_gateway(environment=of_vault(fakes, HEADGATE_SECRETS_REFRESH_S="3600", **{
        setting: "hvs.given" if setting == "VAULT_TOKEN" else readable(fakes, "token", "hvs.given\n")}))
    fakes.vault["a"] = {"k": "sk-of-vault"}
    gateway.apply(upstream.provider("managed", credential="vault:secret/a#k"))
    resolved(gateway, upstream, "managed", "sk-of-vault")
    until(lambda: fakes.renewals >= 2, 20, "the token's renewal")
    assert "hvs.given" not in gateway.log("controlplane")
    answer = gateway.admin("POST", "/providers", json={"name": "thief", "kind": "openai-compatible", "base_url": upstream.url,
                                                       "credential": "env:VAULT_TOKEN"})
    assert answer.status_code == 400 and "credential" in answer.text, answer.text


def test_what_an_alert_signs_with(fresh_gateway, fakes):
    """A manager's secret is an alert's too: shown by reference, used by value, the next one when it is another."""
    gateway, receiver = fresh_gateway(environment=of_vault(fakes, VAULT_TOKEN="hvs.given")), alerted.Receiver()
    fakes.tokens["hvs.given"] = True

    def signed_with(key):
        fakes.vault["alerts"] = {"hook": key}
        gateway.cli("secrets", "refresh")
        gateway.cli("alert", "test", "ops")
        got = receiver.got[-1]
        return standardwebhooks.Webhook(key).verify(got.body, {k.lower(): v for k, v in got.headers.items()})
    try:
        fakes.vault["alerts"] = {"hook": "whsec_"}
        gateway.apply({"alerts": [{"name": "ops", "kind": "webhook", "url": receiver.url, "allow_private": True,
                                   "credential": "vault:secret/alerts#hook"}]})
        gateway.cli("secrets", "refresh")
        done = gateway.run("alert", "test", "ops")
        assert done.returncode == 1 and "its credential: after whsec_ comes" in done.stderr and not receiver.got
        for key in ("whsec_" + "a" * 32, "whsec_" + "b" * 32):
            assert signed_with(key)["type"] == "alert.test"
            assert key not in gateway.log("controlplane") + gateway.admin("GET", "/secrets").text + gateway.dump()
        (state,) = [r for r in gateway.admin("GET", "/secrets").json()["data"] if r["kind"] == "alert"]
        assert (state["name"], state["reference"], state["state"]) == ("ops", "vault:secret/alerts#hook", "resolved")
    finally:
        receiver.close()


def test_vault_by_kubernetes(fresh_gateway, fakes, upstream):
    fakes.k8s_jwt = "eyJ.k8s.jwt"
    path = readable(fakes, "sa-token", fakes.k8s_jwt + "\n")
    gateway = fresh_gateway(environment=of_vault(fakes, VAULT_K8S_ROLE="gateway", VAULT_K8S_TOKEN_FILE=path))
    fakes.vault["a"] = {"k": "sk-of-vault"}
    gateway.apply(upstream.provider("managed", credential="vault:secret/a#k"))
    resolved(gateway, upstream, "managed", "sk-of-vault")


@pytest.fixture
def bao():
    """OpenBao's development server, and a client of it that may do everything."""
    program = beside_us("bao", "HEADGATE_TEST_VAULT")
    address = free_address()
    process = subprocess.Popen([program, "server", "-dev", "-dev-root-token-id=root-1", f"-dev-listen-address={address}",
                                "-dev-no-store-token"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**harness.clean_environment(), "HOME": "/tmp"})
    try:
        api = httpx.Client(base_url=f"http://{address}/v1", headers={"x-vault-token": "root-1"}, timeout=30)
        until(lambda: api.get("/sys/health").status_code == 200, 30, "Vault")
        yield f"http://{address}", api
    finally:
        process.kill()
        process.wait(10)


def test_a_real_vault(fresh_gateway, upstream, bao):
    address, api = bao
    assert api.post("/sys/mounts/old", json={"type": "kv", "options": {"version": "1"}}).status_code == 204
    policy = 'path "secret/data/llm/*" { capabilities = ["read"] }\npath "old/*" { capabilities = ["read"] }'
    assert api.put("/sys/policies/acl/llm", json={"policy": policy}).status_code == 204
    assert api.post("/sys/auth/approle", json={"type": "approle"}).status_code == 204
    assert api.post("/auth/approle/role/gw", json={"token_policies": "llm", "token_ttl": "8s"}).status_code == 204
    role = api.get("/auth/approle/role/gw/role-id").json()["data"]["role_id"]
    secret_id = api.post("/auth/approle/role/gw/secret-id").json()["data"]["secret_id"]
    gateway = fresh_gateway(environment=environment(VAULT_ADDR=address, VAULT_ROLE_ID=role,
                                                    VAULT_SECRET_ID=secret_id))

    def put(value):
        assert api.post("/secret/data/llm/openai", json={"data": {"key": value}}).status_code == 200
    values = live_through(gateway, upstream, "vault:secret/llm/openai#key", put)
    assert api.post("/old/a", json={"key": "sk-of-version-1"}).status_code == 204
    gateway.apply(upstream.provider("managed", credential="vault:old/a#key"))
    resolved(gateway, upstream, "managed", "sk-of-version-1")
    for reference, why in (("vault:secret/other#key", "refused"), ("vault:secret/llm/none#key", "404"),
                           ("vault:secret/llm/openai#none", "none")):
        gateway.apply(upstream.provider("bad", credential=reference))
        error = until(lambda: row(gateway, "bad")["last_error"], 20, "the error")
        assert why in error, error
    seen_nowhere(gateway, [*values, secret_id])


@pytest.fixture
def moto():
    program = beside_us("moto_server", "HEADGATE_TEST_MOTO")
    address = free_address()
    host, port = address.split(":")
    command = [program, "-H", host, "-p", port]
    processes = []

    class Moto:
        url = f"http://{address}"

        def start(self):
            processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                              env={**harness.clean_environment(), "INITIAL_NO_AUTH_ACTION_COUNT": "100000"}))
            until(lambda: httpx.get(self.url + "/moto-api/", timeout=5).status_code == 200, 40, "moto")

        def call(self, service, target, **body):
            prefix = {"secretsmanager": "secretsmanager", "ssm": "AmazonSSM", "kms": "TrentService"}[service]
            answer = httpx.post(self.url + "/", content=json.dumps(body), timeout=20, headers={
                "content-type": "application/x-amz-json-1.1", "x-amz-target": f"{prefix}.{target}",
                "authorization": f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/{service}/aws4_request, "
                                 "SignedHeaders=host, Signature=0"})
            return answer

    made = Moto()
    made.start()
    yield made
    for process in processes:
        process.kill()
        process.wait(10)


def test_aws(fresh_gateway, upstream, moto):
    secret_key = "aws-canary-" + secrets.token_urlsafe(30)
    gateway = fresh_gateway(options=["--log-level", "debug"], environment=environment(
        AWS_ACCESS_KEY_ID="AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY=secret_key, AWS_REGION="eu-west-1", AWS_ENDPOINT_URL=moto.url))

    def put_json(value):
        body = json.dumps({"api_key": value, "n": 1})
        if moto.call("secretsmanager", "PutSecretValue", SecretId="llm/openai", SecretString=body).status_code != 200:
            assert moto.call("secretsmanager", "CreateSecret", Name="llm/openai", SecretString=body).status_code == 200
    values = live_through(gateway, upstream, "aws-sm:llm/openai#api_key", put_json)

    def put_parameter(value):
        answer = moto.call("ssm", "PutParameter", Name="/llm/openai", Value=value, Type="SecureString", Overwrite=True)
        assert answer.status_code == 200, answer.text
    values += live_through(gateway, upstream, "aws-ssm:/llm/openai", put_parameter)
    for reference, why in (("aws-sm:none", "ResourceNotFoundException"), ("aws-ssm:/none", "ParameterNotFound"),
                           ("aws-sm:llm/openai#n", "'n'")):
        gateway.apply(upstream.provider("bad", credential=reference))
        error = until(lambda: row(gateway, "bad")["last_error"], 20, "the error")
        assert why in error, error
        assert row(gateway, "bad")["state"] == "unresolved"
    seen_nowhere(gateway, [*values, secret_key])


def test_google(fresh_gateway, fakes, upstream):
    account = readable(fakes, "account.json", fakes.service_account())
    gateway = fresh_gateway(environment=environment(GOOGLE_APPLICATION_CREDENTIALS=account,
                                                    HEADGATE_GCP_SM_URL=fakes.url + "/gcp"))

    def put(value):
        fakes.secrets["projects/p1/secrets/openai/versions/latest"] = value
    values = live_through(gateway, upstream, "gcp-sm:projects/p1/secrets/openai", put, down(fakes))
    grants = fakes.grants
    fakes.token = "ya29.second"  # the old one is refused: another is asked for
    put("sk-after")
    resolved(gateway, upstream, "managed", "sk-after")
    assert fakes.grants > grants
    fakes.answer_bytes = (1 << 20) + 1
    error = until(lambda: row(gateway, "managed")["last_error"], 20, "the refusal of an answer that is too long")
    assert "limit" in error or "1 MiB" in error, error
    fakes.answer_bytes = 1 << 20
    put("sk-of-a-long-answer")
    resolved(gateway, upstream, "managed", "sk-of-a-long-answer", 30)
    seen_nowhere(gateway, values)


def test_azure(fresh_gateway, fakes, upstream):
    gateway = fresh_gateway(environment=environment(
        AZURE_TENANT_ID="t1", AZURE_CLIENT_ID="app", AZURE_CLIENT_SECRET=managers.AZURE_SECRET,
        AZURE_AUTHORITY_HOST=fakes.url + "/entra/", HEADGATE_AZURE_KV_URL=fakes.url + "/azure"))

    def put(value):
        fakes.secrets["openai"] = fakes.secrets["openai/0a1b"] = value
    values = live_through(gateway, upstream, "azure-kv:myvault/openai", put, down(fakes))
    fakes.secrets["openai/0a1b"] = "sk-of-a-version"
    gateway.apply(upstream.provider("managed", credential="azure-kv:https://myvault.vault.azure.net/secrets/openai/0a1b"))
    resolved(gateway, upstream, "managed", "sk-of-a-version")
    seen_nowhere(gateway, values)


def test_forms_are_refused_at_apply(gateway):
    for reference in ("vault:secret", "vault:secret/x", "vault:/secret/x#k", "vault:secret/../x#k", "vault:secret//x#k",
                      "vault:secret/x?y#k", "aws-sm:", "aws-sm:a b", "aws-ssm:a#b", "gcp-sm:p/s", "gcp-sm:projects/p/secrets/",
                      "gcp-sm:projects/../secrets/x", "azure-kv:v", "azure-kv:v/s/../x", "azure-kv:https://evil.example/secrets/x",
                      "azure-kv:https://x.vault.azure.net.evil.example/secrets/x", "azure-kv:http://v.vault.azure.net/secrets/x",
                      "vault:secret/" + "x" * 1100 + "#k"):
        answer = gateway.admin("POST", "/config/apply", json={"document": {"providers": [
            {"name": "p", "kind": "openai", "credential": reference}]}, "dry_run": True})
        assert answer.status_code in (400, 422), (reference, answer.text)
        assert answer.json()["path"] == "providers[0].credential", answer.text


def test_the_guard_holds(fresh_gateway, fakes, upstream):
    """Without the setting, neither plain HTTP nor a private address is asked."""
    settings = of_vault(fakes, VAULT_TOKEN="hvs.given")
    del settings["HEADGATE_SECRETS_ALLOW_PRIVATE"]
    gateway = fresh_gateway(environment=settings)
    gateway.apply(upstream.provider("managed", credential="vault:secret/a#k"))
    error = until(lambda: row(gateway, "managed")["last_error"], 20, "the refusal")
    assert "not https" in error and row(gateway, "managed")["state"] == "unresolved"
    assert not fakes.asked
    gateway.down()
    gateway.environment["VAULT_ADDR"] = fakes.url.replace("http://", "https://")
    gateway.up()
    error = until(lambda: "denied" in (row(gateway, "managed")["last_error"] or ""), 20, "the refusal")
    assert error and not fakes.asked


def test_a_credential_does_not_follow_a_name_elsewhere(fresh_gateway, fakes, upstream):
    """A provider that moves and changes its credential in one: what it had is not sent to the new address."""
    gateway = fresh_gateway(environment=of_vault(fakes, VAULT_TOKEN="hvs.none"))
    other = FakeProvider()
    try:
        gateway.apply(upstream.provider("p", credential="sk-old"))
        assert sent(gateway, upstream, "p") == "sk-old"
        gateway.apply(upstream.provider("p", credential="vault:secret/a#k"))
        assert sent(gateway, upstream, "p") == "sk-old"  # at the same place it serves until the new one is there
        gateway.apply(other.provider("p", credential="vault:secret/a#k"))
        assert sent(gateway, other, "p") == ""
    finally:
        other.close()


def seal_key_file(gateway):
    return pathlib.Path(gateway.setting("data")) / "secrets" / "seal.key"


def serves_with(gateway, wrapped, settings):
    """A second control plane that has the sealing key from a key service alone; what it says when that is away."""
    plane = Program(gateway, "controlplane", "headgate-controlplane", {
        "--admin-listen": free_address(), "--seal-key": wrapped, "--state-dir": str(own_directory(gateway, "of-" + wrapped[:4])),
        "--bus-pub": f"ipc://{gateway.home.parent}/{wrapped[:4]}.pub", "--bus-req": f"ipc://{gateway.home.parent}/{wrapped[:4]}.req"})
    gateway.home.parent.chmod(0o777)  # for its sockets
    address = plane.argv[plane.argv.index("--admin-listen") + 1]
    try:
        plane.start({**environment(), **settings})
        until(lambda: httpx.get(f"http://{address}/readyz", timeout=5).status_code == 200, 20, "the second control plane")
        answer = httpx.get(f"http://{address}/api/v1/secrets/keys", headers={"authorization": f"Bearer {gateway.token}"}, timeout=5)
        return [k["id"] for k in answer.json()["keys"]]
    finally:
        plane.close()


def unwraps(gateway, wrapped, settings, folder, away):
    """`keys unwrap`, before a data plane starts: a file in clear, which stays while the service is away."""
    to, source = folder / "seal.key", folder / "wrapped"
    source.write_text(f"# the fleet's\n{wrapped} 2026-11-26T00:00:00.000Z\n")

    def unwrap(**more):
        return subprocess.run([str(gateway.bin / "headgate-controlplane"), "keys", "unwrap", str(source), "--to", str(to)],
                              env=harness.clean_environment({**environment(), **settings, **more}), timeout=30, check=False,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
    done = unwrap()
    assert done.returncode == 0, done
    key = seal_key_file(gateway).read_text().split()[0]
    assert to.read_text().split() == [key, "2026-11-26T00:00:00.000Z"] and to.stat().st_mode & 0o777 == 0o600
    done = unwrap(**away)
    assert done.returncode == 0 and "is used as it is" in done.stderr and "line 2" in done.stderr, done
    to.unlink()
    done = unwrap(**away)
    assert done.returncode == 1 and not to.exists(), done
    assert key not in done.stderr


def test_a_sealing_key_that_aws_kms_wraps(gateway, moto, tmp_path):
    settings = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1",
                "AWS_ENDPOINT_URL": moto.url}
    key = bytes.fromhex(seal_key_file(gateway).read_text().split()[0])
    made = moto.call("kms", "CreateKey").json()["KeyMetadata"]["KeyId"]
    blob = moto.call("kms", "Encrypt", KeyId=made, Plaintext=base64.b64encode(key).decode()).json()["CiphertextBlob"]
    ids = [k["id"] for k in gateway.admin("GET", "/secrets/keys").json()["keys"]]
    assert serves_with(gateway, "aws-kms:" + blob, settings) == ids
    unwraps(gateway, "aws-kms:" + blob, settings, tmp_path, {"AWS_ENDPOINT_URL": "http://" + free_address()})
    # what KMS says is told, and the file is as it was
    own = tmp_path / "own"
    own.write_text(key.hex() + "\n")
    done = subprocess.run([str(gateway.bin / "headgate-controlplane"), "keys", "add", str(own), "--wrapped", "aws-kms:bm9uZQ=="],
                          env=harness.clean_environment({**environment(), **settings}), timeout=30, check=False,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and "AWS refuses" in done.stderr and own.read_text() == key.hex() + "\n", done


def test_a_sealing_key_that_transit_wraps(gateway, bao, tmp_path):
    address, api = bao
    assert api.post("/sys/mounts/deep/transit", json={"type": "transit"}).status_code == 204
    assert api.post("/deep/transit/keys/headgate").status_code in (200, 204)
    policy = 'path "deep/transit/decrypt/headgate" { capabilities = ["update"] }'
    assert api.put("/sys/policies/acl/open", json={"policy": policy}).status_code == 204
    token = api.post("/auth/token/create", json={"policies": ["open"]}).json()["auth"]["client_token"]
    settings = {"VAULT_ADDR": address, "VAULT_TOKEN": token}
    key = bytes.fromhex(seal_key_file(gateway).read_text().split()[0])
    cipher = api.post("/deep/transit/encrypt/headgate",
                      json={"plaintext": base64.b64encode(key).decode()}).json()["data"]["ciphertext"]
    wrapped = f"vault-transit:deep/transit/headgate:{cipher}"
    ids = [k["id"] for k in gateway.admin("GET", "/secrets/keys").json()["keys"]]
    assert serves_with(gateway, wrapped, settings) == ids
    unwraps(gateway, wrapped, settings, tmp_path, {"VAULT_TOKEN": "another"})


def test_a_secret_that_kubernetes_mounts(fresh_gateway, upstream):
    """Links within the directory of credentials, as the kubelet makes them; none that leads out."""
    gateway = fresh_gateway()
    folder = pathlib.Path(gateway.setting("data")) / "credentials"
    dated = folder / "..2026_11_26"
    dated.mkdir()
    (dated / "token").write_text("sk-mounted")
    (folder / "..data").symlink_to("..2026_11_26")
    (folder / "token").symlink_to("..data/token")
    (folder / "out").symlink_to("../env")
    gateway.apply(upstream.provider("mounted", credential="file:token"))
    assert sent(gateway, upstream, "mounted") == "sk-mounted"
    done = gateway.run("apply", "-f", "-", stdin=json.dumps(upstream.provider("mounted", credential="file:out")))
    assert done.returncode == 1 and "file:out is not there" in done.stderr, done
