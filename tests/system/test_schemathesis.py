"""docs/openapi.yaml is kept: schemathesis makes calls out of it, valid and not, as each built-in role and as a
stranger, and all of its checks look at the answers.

HEADGATE_SCHEMATHESIS_EXAMPLES=N makes N fuzzed calls an operation instead of a few, HEADGATE_TEST_SEED=N other ones.
schemathesis_hooks.py says what no schema can say.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

import httpx
import pytest
import yaml

import harness

ROLES = ("owner", "admin", "team-admin", "developer", "auditor", "billing", "provisioner")
EXAMPLES = int(os.environ.get("HEADGATE_SCHEMATHESIS_EXAMPLES", "3"))
DOCUMENTED = yaml.safe_load((harness.ROOT / "docs" / "openapi.yaml").read_text())["paths"]
OPERATIONS = sum(map(len, DOCUMENTED.values()))
SEED = int(os.environ.get("HEADGATE_TEST_SEED", "20261126"))

CONFIG = """
seed = {seed}
base-url = "{url}"
hooks = "{hooks}"
continue-on-failure = true
request-timeout = 30
color = false
suppress-health-check = ["filter_too_much"] # of the calls that schemathesis_hooks.py leaves out
{auth}
[generation]
max-examples = {examples}
no-shrink = true
database = "none"
allow-x00 = false # U+0000 is in no text that PostgreSQL keeps: it is refused, and no schema can say so

[phases.coverage]
# QUERY is unknown to the server, and 501 its right answer (RFC 9110, 9.1); TRACE is known, and served nowhere.
unexpected-methods = ["get", "put", "post", "delete", "options", "patch", "trace"]

[phases.stateful]
enabled = false # it follows links, and the document has none; names come from earlier answers in the other phases

[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409"]
# 412: an ETag is looked at first, since a patch can only be judged against what it changes.
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "409", "412", "415", "428"]
missing_required_header.expected-statuses = ["400", "401", "403", "404", "415", "428"]
"""

# What every role finds, so that calls by name reach something.
DOCUMENT = {
    "providers": [{"name": "st-provider", "kind": "simulator"}],
    "models": [{"name": "st-model", "targets": [{"provider": "st-provider", "model": "simulator"}]}],
    "teams": [{"name": "st-team"}],
    "projects": [{"name": "st-project", "team": "st-team"}],
    "users": [{"name": "st-caller"}],
    "keys": [{"name": "st-key", "team": "st-team"}],
}


def bring_up(role):
    """A gateway with a token of the role (None: no token), for the team where the role is a team's."""
    gateway = harness.Gateway(workers=1, environment={"HEADGATE_LITELLM_SHIM": "1"})
    try:
        gateway.up()
        part = {"team": "st-team"} if role in ("team-admin", "developer") else {}
        binding = {"name": "st-caller", "users": ["st-caller"], "role": role or "developer", **part}
        gateway.apply({**DOCUMENT, "bindings": [binding]})
        answer = gateway.admin("POST", "/tokens", json={"name": "st-caller", "user": "st-caller"})
        assert answer.status_code == 201, answer.text
        return gateway, answer.json()["token"] if role else None
    except BaseException:
        gateway.close()
        raise


def who(gateway, token):
    answer = httpx.get(gateway.admin_url + "/api/v1/whoami", headers={"authorization": f"Bearer {token}"}, timeout=30,
                       verify=harness.TRUST)
    return answer.status_code, {k: v for k, v in answer.json().items() if k != "request_id"}


def run(role):
    """What schemathesis said: (its exit status, its text), after the caller was seen to be what it was."""
    gateway, token = bring_up(role)
    try:
        folder = gateway.home.parent
        auth = f'[auth.openapi.token]\nbearer = "{token}"\n' if token else ""
        config = folder / "schemathesis.toml"
        config.write_text(CONFIG.format(seed=SEED, url=gateway.admin_url, examples=EXAMPLES, auth=auth,
                                        hooks=pathlib.Path(__file__).with_name("schemathesis_hooks.py")))
        before = who(gateway, token)
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run",
             str(harness.ROOT / "docs" / "openapi.yaml")],
            cwd=folder, env=harness.clean_environment(), capture_output=True, text=True, timeout=1500, check=False)
        assert who(gateway, token) == before, f"{role}: the caller changed itself on the way"
        return done.returncode, done.stdout + done.stderr
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def runs(request):
    chosen = [item.callspec.params["role"] for item in request.session.items if item.module is request.module]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {role: pool.submit(run, role) for role in chosen}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("role", [*ROLES, None])
def test_the_document_is_kept(runs, role):
    status, text = runs[role].result()
    assert status == 0, text[-20000:]
    assert re.search(r"Tested: \d+", text).group() == f"Tested: {OPERATIONS}", text[-5000:]
