"""What a key and its team are limited to beside models: addresses, endpoints, parameters."""

import pytest

from harness import until


@pytest.fixture
def key(gateway):
    """A function that makes keys with these members; they are revoked afterwards."""
    made = []

    def make(name, **members):
        answer = gateway.admin("POST", "/keys", json={"name": name, "team": "default", **members})
        assert answer.status_code == 201, answer.text
        made.append(name)
        secret = answer.json()["key"]
        until(lambda: all(gateway.chat(key=secret).status_code != 401 for _ in range(8)), 5, "the key in all workers")
        return secret

    yield make
    for name in made:
        gateway.run("key", "revoke", name)


def test_a_key_for_addresses(gateway, key):
    here = key("scope-here", addresses=["127.0.0.0/8", "::1"])
    elsewhere = key("scope-elsewhere", addresses=["192.0.2.0/24", "2001:db8::/32"])
    assert gateway.chat(key=here).status_code == 200
    refused = gateway.chat(key=elsewhere)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "address_not_allowed"
    assert "addresses" in refused.json()["error"]["message"]


def test_forwarded_addresses_are_not_believed(gateway, key):
    """F153: the connection's other end counts, whatever a header says."""
    secret = key("scope-forwarded", addresses=["192.0.2.0/24"])
    body = {"model": "simulator", "messages": [{"role": "user", "content": "x"}]}
    with gateway.http(key=secret) as client:
        for name in ("x-forwarded-for", "forwarded", "x-real-ip", "x-original-forwarded-for"):
            value = "for=192.0.2.1" if name == "forwarded" else "192.0.2.1"
            assert client.post("/v1/chat/completions", json=body, headers={name: value}).status_code == 403


def test_a_team_limits_all_its_keys_and_a_key_only_narrows(gateway, key):
    gateway.cli("team", "create", "scoped", 'allow.endpoints=["chat.completions"]', "allow.max_tokens=50")
    try:
        answer = gateway.admin("POST", "/keys", json={"name": "of-scoped", "team": "scoped", "max_tokens": 1000,
                                                      "endpoints": ["*"]})
        secret = answer.json()["key"]
        body = {"model": "simulator", "messages": [{"role": "user", "content": "x"}]}
        with gateway.http(key=secret) as client:
            def ask(tokens):
                return client.post("/v1/chat/completions", json={**body, "max_tokens": tokens})
            until(lambda: ask(50).status_code == 200, 5, "the key")
            wide = ask(51)
            assert wide.status_code == 403 and "The team's `max_tokens`" in wide.json()["error"]["message"]
            listed = client.get("/v1/models")
            assert listed.status_code == 403 and listed.json()["error"]["code"] == "endpoint_not_allowed"
    finally:
        gateway.run("key", "revoke", "of-scoped")
        gateway.run("team", "delete", "scoped")


@pytest.mark.parametrize("members, path", [
    ({"addresses": ["10.0.0.1/8"]}, "addresses[0]"),
    ({"addresses": ["localhost"]}, "addresses[0]"),
    ({"endpoints": [""]}, "endpoints[0]"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"tools": "no"}, "tools"),
    ({"addresses": ["10.0.0.0/8"] * 65}, "addresses"),
])
def test_what_is_no_limit_is_refused_with_its_place(gateway, members, path):
    answer = gateway.admin("POST", "/keys", json={"name": "no-limit", "team": "default", **members})
    assert answer.status_code == 400 and answer.json()["path"] == path, answer.text
