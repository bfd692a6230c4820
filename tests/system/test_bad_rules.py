"""Rules that cannot do what they say: refused, or warned about, when they are applied, with their place."""

import json

import pytest

import harness

BASE = {
    "providers": [{"name": "local", "kind": "openai-compatible", "base_url": "http://127.0.0.1:9/v1", "allow_private": True}],
    "prices": [{"provider": "local", "model": "m1", "input_per_mtok_usd": "1", "output_per_mtok_usd": "2"}],
    "models": [{"name": "priced", "targets": [{"provider": "local", "model": "m1"}]},
               {"name": "half", "targets": [{"provider": "local", "model": "m1"}, {"provider": "local", "model": "m9"}]},
               {"name": "unpriced", "targets": [{"provider": "local", "model": "m9"}]}],
    "teams": [{"name": "red"}, {"name": "blue", "allow": {"models": ["priced"]}}],
    "projects": [{"name": "rp", "team": "red"}],
    "keys": [{"name": "rk", "team": "red", "project": "rp", "tags": {"env": "live"}}],
    "users": [{"name": "lea"}, {"name": "bob"}],
    "groups": [{"name": "outer", "groups": ["inner"]}, {"name": "inner", "users": ["bob"]}],
    "roles": [{"name": "applier", "permissions": ["config.apply", "config.read", "roles.*", "bindings.*", "keys.read"]}],
    "bindings": [{"name": "b", "role": "applier", "users": ["lea"]}],
}


@pytest.fixture(scope="module")
def world():
    gateway = harness.Gateway(workers=1)
    try:
        gateway.up()
        gateway.apply(BASE)
        yield gateway
    finally:
        gateway.close()


def quota(**selector):
    return {"quotas": [{"name": "q", "requests_per_minute": 1, **selector}]}


def budget(**selector):
    return {"budgets": [{"name": "b", "period": "day", "limit_usd": "1", **selector}]}


@pytest.mark.parametrize("document, place, reason", [
    # limits of nothing
    (quota(requests_per_minute=0), "quotas[0].requests_per_minute", ""),
    ({"quotas": [{"name": "q", "team": "red"}]}, "quotas[0]", "limits nothing"),
    (budget(limit_usd="0"), "budgets[0].limit_usd", "above zero"),
    ({"budgets": [{"name": "b", "period": "day", "limit_tokens": 0}]}, "budgets[0].limit_tokens", ""),
    ({"teams": [{"name": "red", "allow": {"max_tokens": 0}}]}, "teams[0].allow.max_tokens", ""),
    # what is nowhere
    (quota(team="rde"), "quotas[0].team", "did you mean 'red'"),
    (quota(model="nothing"), "model", "no model is called 'nothing'"),
    (quota(provider="nobody"), "quotas[0].provider", ""),
    # each is there, but not together
    (quota(team="blue", project="rp"), "quotas[0].project", "is of team 'red'"),
    (quota(team="blue", key="rk"), "quotas[0].team", "is of team 'red'"),
    (quota(user="bob", key="rk"), "quotas[0].user", "has no user"),
    (quota(key="rk", tag={"env": "test"}), "quotas[0].tag", "has 'env' as 'live'"),
    (quota(team="blue", model="half"), "quotas[0].model", "may not use 'half'"),
    (quota(model="priced", provider="simulator"), "quotas[0].model", "does not go to provider 'simulator'"),
    # nothing to count dollars by
    (budget(model="unpriced"), "budgets[0].model", "has no price at provider 'local'"),
    # people
    ({"groups": [{"name": "inner", "groups": ["outer"]}]}, "groups", "would contain itself: 'inner' > 'outer' > 'inner'"),
    ({"roles": [{"name": "x", "permissions": ["keys.reed"]}]}, "roles[0].permissions[0]", "did you mean 'keys.read'"),
])
def test_refused_with_its_place(world, document, place, reason):
    done = world.run("apply", "-f", "-", stdin=json.dumps(document))
    assert done.returncode != 0 and place in done.stderr and reason in done.stderr, done.stderr
    assert world.run("diff", "-f", "-", stdin=json.dumps(document)).returncode != 0  # and told before


@pytest.mark.parametrize("document, warning", [
    (budget(model="half"), "budgets[0].model: 'm9' of model 'half' has no price at provider 'local'"),
    (budget(team="red"), "budgets[0].limit_usd: 'm9' of model"),
])
def test_warned_about(world, document, warning):
    done = world.run("apply", "-f", "-", stdin=json.dumps(document))
    assert done.returncode == 0 and warning in done.stderr, (done.stdout, done.stderr)


def test_nobody_defines_a_role_with_more_than_they_have(world):
    """Also one that is bound to nobody yet; the file's place is named."""
    token = world.cli_json("token", "create", "--name", "lea", "--user", "lea")["token"]
    for roles, code in (([{"name": "r1", "permissions": ["keys.read"]}], 200), ([{"name": "r2", "permissions": ["keys.*"]}], 403)):
        answer = harness.httpx.post(world.admin_url + "/api/v1/config/apply", json={"document": {"roles": roles}},
                                    headers={"authorization": f"Bearer {token}"}, verify=harness.TRUST)
        assert answer.status_code == code, answer.text
    assert answer.json()["detail"].startswith("roles[0].permissions: this would define the role 'r2'")
