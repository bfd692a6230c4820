"""What requests were for, and what they cost whom: tags of requests, reports, charges."""

import json

import pytest

from harness import marker, until


def tags_of(gateway, answer):
    assert answer.status_code == 200, answer.text
    return gateway.wait_usage(answer.headers["x-request-id"], seconds=2)[0]["tags"]


def tagged_key(gateway, tags):
    name = "cost-" + marker()
    key = gateway.cli_json("key", "create", "--name", name, "--team", "default", "--tags", tags)["key"]
    until(lambda: gateway.chat(key=key).status_code == 200, 5, "the key")
    return name, key


@pytest.mark.parametrize("field, value, tags", [
    ("x-headgate-tags", "feature=chat, tier=gold", {"feature": "chat", "tier": "gold"}),
    ("x-headgate-tags", '{"feature":"chat"}', {"feature": "chat"}),
    ("x-litellm-tags", "beta,feature:chat", {"beta": "true", "feature": "chat"}),
    ("x-portkey-metadata", '{"feature":"chat"}', {"feature": "chat"}),
    ("x-tfy-metadata", '{"feature":"chat"}', {"feature": "chat"}),
    ("cf-aig-metadata", '{"feature":7}', {"feature": "7"}),
    ("Helicone-Property-Feature", "chat", {"feature": "chat"}),
])
def test_a_field_tags_the_request(gateway, field, value, tags):
    assert tags_of(gateway, gateway.chat("fake/m", headers={field: value})) == tags


def test_a_malformed_field_is_named(gateway):
    answer = gateway.chat("fake/m", headers={"x-headgate-tags": "feature"})
    assert answer.status_code == 400
    assert "x-headgate-tags" in answer.json()["error"]["message"]


def test_metadata_tags_the_request_and_goes_on(gateway):
    assert tags_of(gateway, gateway.chat("fake/m", metadata={"feature": "chat", "n": [1]})) == {"feature": "chat"}


def test_the_key_wins(gateway):
    _, key = tagged_key(gateway, "env=prod")
    answer = gateway.chat("fake/m", key=key, headers={"x-headgate-tags": "env=test, feature=chat"})
    assert tags_of(gateway, answer) == {"env": "prod", "feature": "chat"}


def test_the_end_user_of_other_gateways(gateway):
    answer = gateway.chat("fake/m", headers={"helicone-user-id": "ada"})
    assert gateway.wait_usage(answer.headers["x-request-id"], seconds=2)[0]["end_user"] == "ada"


def test_a_quota_counts_by_a_requests_tag(gateway):
    value = "f-" + marker()
    quota = {"name": value, "tag": {"feature": value}, "requests_per_minute": 1}
    gateway.apply({"quotas": [quota]})
    field = {"x-headgate-tags": f"feature={value}"}
    assert gateway.chat("fake/m", headers=field).status_code == 200
    assert gateway.chat("fake/m", headers=field).status_code == 429
    assert gateway.chat("fake/m").status_code == 200
