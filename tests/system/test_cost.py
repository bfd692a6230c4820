"""What requests were for, and what they cost whom: tags of requests, reports, charges."""

import csv
import io
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


# --- reports


@pytest.fixture(scope="module")
def reported(session_gateway):
    """Three requests of a key of its own, told apart by tag and end user."""
    gateway = session_gateway
    name, key = tagged_key(gateway, "purpose=report")
    for feature, user in [("chat", "ada"), ("chat", "bob"), ("=cmd", "ada")]:
        answer = gateway.chat("fake/m", key=key, x_mock="usage=100/50", user=user,
                              headers={"x-headgate-tags": json.dumps({"feature": feature})})
        gateway.wait_usage(answer.headers["x-request-id"], seconds=2)
    return name


def report(gateway, key, **params):
    answer = gateway.admin("GET", "/usage", params={"key": key, "model": "fake/m", **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


@pytest.mark.parametrize("group, rows", [
    ("tag:feature", {"chat": 2, "=cmd": 1}),
    ("end_user", {"ada": 2, "bob": 1}),
    ("endpoint", {"chat.completions": 3}),
    ("provider_model", {"m": 3}),
])
def test_groups(gateway, reported, group, rows):
    assert {r[group]: r["requests"] for r in report(gateway, reported, group_by=group)} == rows


@pytest.mark.parametrize("params, requests", [
    ({"tag": "feature=chat"}, 2), ({"tag": "feature=chat, purpose=report"}, 2), ({"tag": "feature=none"}, 0),
    ({"end_user": "ada"}, 2), ({"endpoint": "chat.completions"}, 3), ({"endpoint": "embeddings"}, 0),
    ({"provider_model": "m"}, 3), ({"provider_model": "n"}, 0),
])
def test_filters(gateway, reported, params, requests):
    assert report(gateway, reported, **params)[0]["requests"] == requests


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata"])
def test_days_of_a_time_zone(gateway, reported, zone):
    rows = report(gateway, reported, group_by="day,hour", time_zone=zone)
    assert sum(r["requests"] for r in rows) == 3
    assert all(len(r["day"]) == 10 and not r["hour"].endswith("Z") for r in rows)


@pytest.mark.parametrize("params, member", [
    ({"time_zone": "Mars/Olympus"}, "time_zone"), ({"time_zone": "+03"}, "time_zone"), ({"format": "xml"}, "format"),
    ({"tag": "feature"}, "tag"), ({"group_by": "tags"}, "group_by"),
])
def test_a_bad_question_is_refused(gateway, params, member):
    answer = gateway.admin("GET", "/usage", params=params)
    assert answer.status_code == 400 and answer.json()["detail"].startswith(member)


@pytest.mark.parametrize("how", ["parameter", "accept", "tool"])
def test_csv(gateway, reported, how):
    params = {"key": reported, "model": "fake/m", "group_by": "tag:feature"}
    if how == "tool":
        text = gateway.cli("usage", "--group-by", "tag:feature", "--key", reported, "--model", "fake/m", "--csv")
    else:
        more = {"headers": {"accept": "text/csv"}} if how == "accept" else {}
        answer = gateway.admin("GET", "/usage", params=params | ({"format": "csv"} if not more else {}), **more)
        assert answer.headers["content-type"].startswith("text/csv")
        text = answer.text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {r["tag:feature"]: r["requests"] for r in rows} == {"chat": "2", "'=cmd": "1"}  # no formula
    assert rows[0]["billed_usd"] == rows[0]["cost_usd"]


def test_the_tool_adds_time(gateway, reported):
    rows = gateway.cli_json("usage", "--group-by", "team", "--by", "day", "--key", reported)["data"]
    assert all(set(r) >= {"team", "day", "cost_usd", "billed_usd"} for r in rows)
    assert gateway.run("usage", "--by", "week").returncode == 2


def test_chargeback(gateway):
    name = "charged-" + marker()
    gateway.cli("team", "create", name, 'margin_percent="25"')
    gateway.cli("project", "create", name, f"team={name}", 'discount_percent="50"')
    for project in ["", name]:
        more = ["--project", project] if project else []
        key = gateway.cli_json("key", "create", "--name", f"{name}-{project or 'none'}", "--team", name, *more)["key"]
        until(lambda key=key: gateway.chat(key=key).status_code == 200, 5, "the key")
        answer = gateway.chat("fake/m", key=key, x_mock="usage=1000/0")
        gateway.wait_usage(answer.headers["x-request-id"], seconds=2)
    rows = gateway.admin("GET", "/usage", params={"team": name, "model": "fake/m", "group_by": "project"}).json()["data"]
    assert {r["project"]: (r["cost_usd"], r["billed_usd"]) for r in rows} == {
        "": ("0.0025", "0.003125"), name: ("0.0025", "0.00125")}
    both = gateway.run("team", "set", name, 'discount_percent="1"')
    assert both.returncode == 1 and "margin_percent" in both.stderr
