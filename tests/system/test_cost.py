"""What requests were for, and what they cost whom: tags of requests, reports, charges."""

import csv
import datetime
import decimal
import io
import json

import pytest
import yaml

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
    until(lambda: gateway.chat("fake/m", headers=field).status_code == 200, 20, "the one that fits")
    until(lambda: gateway.chat("fake/m", headers=field).status_code == 429, 20, "the refusal of the next")
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


# --- reconciliation


def test_reconcile_names_every_difference(gateway, tmp_path):
    model = "rec-" + marker()
    answer = gateway.chat(f"fake/{model}", x_mock="usage=1000/500/200")
    event = gateway.wait_usage(answer.headers["x-request-id"], seconds=2)[0]
    day = event["time"][:10]
    path = tmp_path / "report.csv"

    def reconcile(*lines, columns="date,model,input_tokens,cached_tokens,output_tokens,cost_usd"):
        path.write_text("\n".join([columns, *lines]) + "\n")
        done = gateway.run("ledger", "reconcile", "--provider", "fake", "--file", path, "--format", "csv", "--output", "json")
        found = json.loads(done.stdout)
        return done.returncode, [d for d in found["differences"] if d["model"] == model]

    cost = event["cost_usd"]
    assert reconcile(f"{day},{model},1000,200,500,{cost}")[1] == []
    code, found = reconcile(f"{day},{model},1001,200,500,99")
    assert code == 1
    assert [(d["metric"], d["reported"], d["ledger"]) for d in found] == [
        ("input_tokens", 1001, 1000), ("cost_usd", "99.00", cost)]
    assert len(reconcile(f"{day},another-model,1,1,1,1")[1]) == 4


def test_reconcile_agrees(gateway, tmp_path):
    """A provider of its own: all that is reported is all that is booked."""
    name = "recs-" + marker()
    gateway.cli("provider", "create", name, "kind=simulator")
    gateway.apply({"prices": [{"provider": name, "model": "*", "input_per_mtok_usd": "1", "output_per_mtok_usd": "2"}]})
    answer = gateway.chat(f"{name}/m")
    event = gateway.wait_usage(answer.headers["x-request-id"], seconds=2)[0]
    path = tmp_path / "usage.json"
    result = {"input_tokens": event["input_tokens"], "output_tokens": event["output_tokens"], "model": "m-2026-01-01"}
    start = datetime.datetime.fromisoformat(event["time"][:10] + "T00:00:00+00:00")
    path.write_text(json.dumps({"data": [{"start_time": int(start.timestamp()), "results": [result]}], "has_more": False}))
    done = gateway.run("ledger", "reconcile", "--provider", name, "--file", path, "--format", "openai")
    assert done.returncode == 0, done.stderr
    assert "agree" in done.stdout
    path.write_text("{}")
    done = gateway.run("ledger", "reconcile", "--provider", name, "--file", path, "--format", "openai")
    assert done.returncode == 1 and "no list 'data'" in done.stderr


# --- re-rating


def test_rerate_posts_the_difference_once(gateway):
    name = "rer-" + marker()
    gateway.cli("provider", "create", name, "kind=simulator")
    price = {"provider": name, "model": "*", "input_per_mtok_usd": "1", "output_per_mtok_usd": "2"}
    gateway.apply({"prices": [price]})
    event = gateway.wait_usage(gateway.chat(f"{name}/m").headers["x-request-id"], seconds=2)[0]
    day = datetime.date.fromisoformat(event["time"][:10])
    span = ["--from", day, "--to", day + datetime.timedelta(days=1)]

    def rerate(*more):
        return gateway.cli_json("ledger", "rerate", "--provider", name, "--model", "m*", *span, *more)

    def owed():
        rows = gateway.cli_json("ledger")["data"]
        return -decimal.Decimal(next(r["balance_usd"] for r in rows if r["account"] == f"provider:{name}"))

    cost = decimal.Decimal(event["cost_usd"])
    assert rerate()["changed"] == 0 and owed() == cost
    gateway.apply({"prices": [price | {"input_per_mtok_usd": "2", "output_per_mtok_usd": "4"}]})
    until(lambda: rerate("--dry-run")["changed"] == 1, 5, "the control plane to have the new price")
    assert owed() == cost  # a dry run posts nothing
    done = rerate()
    assert done["changed"] == 1 and decimal.Decimal(done["difference_usd"]) == cost and done["transaction"]
    assert owed() == 2 * cost
    assert rerate()["changed"] == 0 and owed() == 2 * cost
    audit = gateway.admin("GET", "/audit", params={"action": "ledger.rerate"}).json()["data"]
    assert len([a for a in audit if a["object"] == f"ledger/{name}"]) == 1
    refused = gateway.run("ledger", "rerate", "--provider", "nobody", "--model", "*", *span)
    assert refused.returncode == 1 and "nobody" in refused.stderr


# --- LiteLLM


def test_a_litellm_configuration_is_printed_and_applied(gateway, tmp_path):
    name = "lite-" + marker()
    path = tmp_path / "config.yaml"
    entry = {"model_name": name, "litellm_params": {
        "model": "hosted_vllm/m1", "api_base": "https://vllm.invalid/v1", "rpm": 60, "timeout": 5, "input_cost_per_token": 0.000001,
        "output_cost_per_token": 0.000002}}
    path.write_text(yaml.safe_dump({"model_list": [entry], "general_settings": {"master_key": "sk-not-to-be-seen"}}))
    done = gateway.run("import", "litellm", path)
    assert done.returncode == 0, done.stderr
    assert "sk-not-to-be-seen" not in done.stdout + done.stderr
    assert done.stderr.count("not carried over") == 2 and "timeout" in done.stderr and "general_settings" in done.stderr
    document = yaml.safe_load(done.stdout)
    assert document["models"] == [{"name": name, "targets": [{"provider": "hosted_vllm", "model": "m1"}]}]
    assert document["quotas"] == [{"name": name, "model": name, "requests_per_minute": 60}]
    found = gateway.cli_json("import", "litellm", path)
    assert len(found["not_carried_over"]) == 2
    gateway.cli("import", "litellm", path, "--apply")
    assert gateway.cli_json("model", "show", name)["targets"][0]["provider"] == "hosted_vllm"
    path.write_text("model_list: 3\n")
    done = gateway.run("import", "litellm", path)
    assert done.returncode == 1 and "model_list" in done.stderr
