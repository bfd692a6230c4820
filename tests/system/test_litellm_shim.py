"""The calls in LiteLLM's shapes, as LiteLLM's documents make them (docs/migrating-from-litellm.md), against a real
gateway: what they make works at the data plane, and is the same as what /api/v1 makes."""

import datetime
import re

import httpx
import jsonschema
import pytest
import yaml

import harness

OPENAPI = yaml.safe_load((harness.ROOT / "docs" / "openapi.yaml").read_text())
SHIM = {path: operations for path, operations in OPENAPI["paths"].items()
        if any("LiteLLM compatibility" in o["tags"] for o in operations.values())}


class Shim:
    """Calls as LiteLLM's users make them; each answer is held to openapi.yaml."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.http = httpx.Client(base_url=gateway.admin_url, timeout=30, verify=harness.TRUST,
                                 headers={"authorization": f"Bearer {gateway.token}"})

    def check(self, answer, method, path):
        documented = OPENAPI["paths"][path][method.lower()]["responses"]
        assert str(answer.status_code) in documented, answer.text
        node = documented[str(answer.status_code)]
        while "$ref" in node:
            node = OPENAPI["components"]["responses"][node["$ref"].rsplit("/", 1)[1]]
        assert answer.headers["content-type"] == "application/json"
        schema = {**node["content"]["application/json"]["schema"], "components": OPENAPI["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer.json())
        return answer

    def post(self, path, body, template=None, **more):
        return self.check(self.http.post(path, json=body, **more), "POST", template or path)

    def get(self, path, **query):
        return self.check(self.http.get(path, params=query), "GET", path)

    def ok(self, path, body, template=None, **more):
        answer = self.post(path, body, template, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def read(self, path, **query):
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, path, body, param, status=400):
        """A refusal names the member, and changes nothing."""
        before = self.gateway.admin("GET", "/revisions?limit=1").json()["data"][0]["revision"]
        answer = self.post(path, body)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (status, param), answer.text
        assert error["code"] == str(status) and (param is None or error["message"].startswith(param + ":"))
        assert self.gateway.admin("GET", "/revisions?limit=1").json()["data"][0]["revision"] == before
        return error

    def item(self, path):
        answer = self.gateway.admin("GET", path)
        return answer.json() if answer.status_code == 200 else None


@pytest.fixture(scope="module")
def shim():
    gateway = harness.Gateway(workers=1, environment={"HEADGATE_LITELLM_SHIM": "1"})
    try:
        gateway.up()
        yield Shim(gateway)
    finally:
        gateway.close()


def ask(gateway, key, **members):
    return gateway.chat(key=key, max_tokens=5, **members)


def works(gateway, key):
    return harness.until(lambda: ask(gateway, key).status_code == 200, 5, "the key to be let in")


def test_without_the_option_there_is_nothing_of_it(gateway):
    """Every path and method: what it is for whoever has a token; and strangers learn nothing either way."""
    for path, operations in SHIM.items():
        url = gateway.admin_url + path.replace("{key}", "x")
        for method in operations:
            answer = httpx.request(method, url, headers={"authorization": f"Bearer {gateway.token}"}, json={}, timeout=30)
            assert (answer.status_code, answer.json()["code"]) == (404, "no_such_path"), path
            answer = httpx.request(method, url, headers={"x-litellm-api-key": gateway.token}, json={}, timeout=30)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
        answer = httpx.delete(url, headers={"authorization": f"Bearer {gateway.token}"}, timeout=30)
        assert answer.status_code == 404, path


def test_a_key_lives_as_in_litellm(shim):
    gateway = shim.gateway
    made = shim.ok("/key/generate", {"models": ["simulator"], "duration": "30d", "key_alias": "app",
                                     "max_budget": 10, "budget_duration": "30d", "rpm_limit": 600, "tpm_limit": 100000,
                                     "max_parallel_requests": 9, "tags": ["web", "tier:gold"],
                                     "metadata": {"owner": "ann", "n": 3, "beta": True}})
    assert re.fullmatch(r"sk-hg-[A-Za-z0-9_-]{43}", made["key"])
    assert made["key_alias"] == "app" and made["team_id"] == "default" and made["models"] == ["simulator"]
    assert (made["max_budget"], made["budget_duration"], made["spend"]) == (10, "30d", 0)
    assert (made["rpm_limit"], made["tpm_limit"], made["max_parallel_requests"]) == (600, 100000, 9)
    assert made["metadata"] == {"owner": "ann", "n": "3", "beta": "true", "web": "true", "tier": "gold"}
    left = datetime.datetime.fromisoformat(made["expires"]) - datetime.datetime.now(datetime.timezone.utc)
    assert abs(left - datetime.timedelta(days=30)) < datetime.timedelta(minutes=5)

    # The same items that /api/v1 makes, in one revision.
    key, budget, quota = (shim.item(p) for p in ("/keys/app", "/budgets/key-app", "/quotas/key-app"))
    assert key["models"] == ["simulator"] and key["tags"]["tier"] == "gold" and key["id"] == made["token"]
    assert (budget["key"], budget["limit_usd"], budget["period"], budget["mode"]) == ("app", "10.00", "month", "strict")
    assert (quota["requests_per_minute"], quota["tokens_per_minute"], quota["concurrent_requests"]) == (600, 100000, 9)
    assert key["revision"] == budget["revision"] == quota["revision"]
    audited = gateway.admin("GET", "/audit?limit=1").json()["data"][0]
    assert (audited["action"], audited["object"]) == ("key.create", "keys/app")
    assert made["key"] not in str(gateway.admin("GET", "/audit?limit=100").json())
    assert made["key"] not in gateway.dump()

    # It works, and what it spends is told.
    works(gateway, made["key"])
    answer = ask(gateway, made["key"], model="not-listed")
    assert answer.status_code in (403, 404), answer.text
    told = harness.until(lambda: (i := shim.read("/key/info", key=made["key"])["info"])["spend"] > 0 and i, 5, "the spend")
    spent = float(gateway.admin("GET", "/usage?key=app").json()["data"][0]["cost_usd"])
    assert told["spend"] == pytest.approx(spent) and told["budget_reset_at"]
    for name in (made["key"], made["token"], "app"):
        found = shim.read("/key/info", key=name)
        assert found["key"] == name and found["info"]["token"] == made["token"]

    # Changed: what is given; null takes away; others' settings of the budget stay.
    gateway.admin("PATCH", "/budgets/key-app", json={"mode": "estimate"}, headers={"if-match": "*"})
    changed = shim.ok("/key/update", {"key": made["key"], "max_budget": 20.5, "rpm_limit": None, "models": [],
                                      "metadata": {"owner": "bob"}, "duration": None})
    assert (changed["max_budget"], changed["budget_duration"]) == (20.5, "30d")
    assert changed["rpm_limit"] is None and changed["tpm_limit"] == 100000 and changed["models"] == []
    assert changed["metadata"] == {"owner": "bob"} and changed["expires"] is None
    assert shim.item("/budgets/key-app")["mode"] == "estimate"
    assert "requests_per_minute" not in shim.item("/quotas/key-app")
    shim.ok("/key/update", {"key": "app", "max_budget": None, "tpm_limit": None, "max_parallel_requests": None})
    assert shim.item("/budgets/key-app") is None and shim.item("/quotas/key-app") is None

    # Blocked, let in, given a new text, deleted: each within two seconds.
    assert shim.ok("/key/block", {"key": made["key"]})["blocked"] is True
    harness.until(lambda: ask(gateway, made["key"]).status_code == 401, 2, "the key to be refused")
    assert shim.ok("/key/unblock", {"key": made["key"]})["blocked"] is False
    works(gateway, made["key"])
    again = shim.ok("/key/regenerate", {"key": made["key"]})
    assert again["key"] != made["key"] and again["token"] == made["token"]
    harness.until(lambda: ask(gateway, made["key"]).status_code == 401, 2, "the old text to be refused")
    works(gateway, again["key"])
    third = shim.ok(f"/key/{again['key']}/regenerate", {}, "/key/{key}/regenerate")["key"]
    works(gateway, third)
    shim.ok("/key/update", {"key": third, "max_budget": 5, "rpm_limit": 7})
    assert shim.ok("/key/delete", {"keys": [third, third], "key_aliases": None}) == {"deleted_keys": [third, third]}
    harness.until(lambda: ask(gateway, third).status_code == 401, 2, "the key to be gone")
    assert shim.item("/keys/app") is None and shim.item("/budgets/key-app") is None and shim.item("/quotas/key-app") is None
    missing = shim.get("/key/info", key=third)
    assert missing.status_code == 404 and missing.json()["error"]["type"] == "not_found_error"
    assert third not in missing.text
    for log in ("controlplane", "dataplane"):
        text = gateway.log(log)
        assert not any(secret in text for secret in (made["key"], again["key"], third)), log


def test_a_budget_holds(shim):
    key = shim.ok("/key/generate", {"key_alias": "thrifty", "max_budget": 0.00005})["key"]
    works(shim.gateway, key)
    answer = harness.until(lambda: (a := ask(shim.gateway, key)).status_code != 200 and a, 20, "the budget to be spent")
    assert answer.status_code == 429 and "key-thrifty" in answer.text
    info = harness.until(lambda: (i := shim.read("/key/info", key=key)["info"])["spend"] > 0 and i, 5, "the spend")
    assert 0 < info["spend"] <= info["max_budget"] == 0.00005 and info["budget_duration"] is None
    shim.ok("/key/delete", {"key_aliases": ["thrifty"]})


def test_keys_are_listed_in_pages(shim):
    shim.ok("/team/new", {"team_id": "listing"})
    tokens = [shim.ok("/key/generate", {"team_id": "listing", "key_alias": f"list-{i}"})["token"] for i in range(5)]
    first = shim.read("/key/list", team_id="listing", size=2)
    assert first == {"keys": tokens[:2:-1], "total_count": 5, "current_page": 1, "total_pages": 3}
    assert shim.read("/key/list", team_id="listing", size=2, page=3)["keys"] == [tokens[0]]
    assert shim.read("/key/list", team_id="listing", size=2, page=4)["keys"] == []
    full = shim.read("/key/list", team_id="listing", size=100, return_full_object="true")["keys"]
    assert [k["key_alias"] for k in full] == [f"list-{i}" for i in (4, 3, 2, 1, 0)]
    assert shim.read("/key/list", key_alias="list-3")["keys"] == [tokens[3]]
    assert shim.read("/key/list", key_hash=tokens[2])["keys"] == [tokens[2]]
    assert shim.read("/key/list", key_hash="nobody")["total_count"] == 0
    for query in ({"size": 101}, {"page": 0}, {"return_full_object": "maybe"}, {"organization_id": "x"}, {"sort_by": "spend"}):
        assert shim.get("/key/list", **query).status_code == 400, query
    shim.ok("/team/delete", {"team_ids": ["listing"]})


def test_a_team_lives_as_in_litellm(shim):
    gateway = shim.gateway
    made = shim.ok("/team/new", {"team_alias": "core", "models": ["simulator"], "max_budget": 100,
                                 "budget_duration": "1d", "tpm_limit": 5000, "rpm_limit": 50, "metadata": {},
                                 "members_with_roles": [{"role": "user", "user_id": "ann@example.com"}]})
    assert (made["team_id"], made["team_alias"], made["models"]) == ("core", "core", ["simulator"])
    assert made["members_with_roles"] == [{"user_id": "ann@example.com", "user_email": "ann@example.com", "role": "user"}]
    assert shim.item("/users/ann@example.com")["teams"] == ["core"]
    assert shim.item("/budgets/team-core")["period"] == "day" and shim.item("/quotas/team-core")["team"] == "core"
    key = shim.ok("/key/generate", {"team_id": "core", "user_id": "ann@example.com", "key_alias": "core-key"})["key"]
    works(gateway, key)
    told = harness.until(lambda: (i := shim.read("/team/info", team_id="core"))["team_info"]["spend"] > 0 and i, 5, "the spend")
    assert [k["key_alias"] for k in told["keys"]] == ["core-key"] and told["keys"][0]["spend"] == told["team_info"]["spend"]

    more = shim.ok("/team/member_add", {"team_id": "core", "member": {"role": "user", "user_id": "bob"}})
    assert [u["user_id"] for u in more["updated_users"]] == ["bob"]
    shim.ok("/team/member_add", {"team_id": "core", "member": [{"role": "user", "user_id": "carl"},
                                                               {"role": "user", "user_id": "bob"}]})
    left = shim.ok("/team/member_delete", {"team_id": "core", "user_id": "bob"})
    assert {m["user_id"] for m in left["members_with_roles"]} == {"ann@example.com", "carl"}
    assert "teams" not in shim.item("/users/bob") or shim.item("/users/bob")["teams"] == []

    changed = shim.ok("/team/update", {"team_id": "core", "max_budget": 7, "models": ["all-proxy-models"]})["data"]
    assert (changed["max_budget"], changed["budget_duration"], changed["models"]) == (7, "1d", [])
    assert shim.ok("/team/block", {"team_id": "core"})["blocked"] is True
    harness.until(lambda: ask(gateway, key).status_code in (401, 403), 2, "the team's key to be refused")
    shim.ok("/team/unblock", {"team_id": "core"})
    works(gateway, key)
    assert {"default", "core"} <= {t["team_id"] for t in shim.read("/team/list")}
    assert [t["team_id"] for t in shim.read("/team/list", user_id="carl")] == ["core"]
    assert shim.read("/v2/team/list", team_alias="core")["total"] == 1

    assert shim.ok("/team/delete", {"team_ids": ["core"]}) == {"deleted_teams": ["core"]}
    harness.until(lambda: ask(gateway, key).status_code == 401, 2, "the key to be gone with its team")
    for path in ("/teams/core", "/keys/core-key", "/budgets/team-core", "/quotas/team-core"):
        assert shim.item(path) is None, path
    assert not shim.item("/users/carl").get("teams")


def test_a_user_lives_as_in_litellm(shim):
    made = shim.ok("/user/new", {"user_id": "dora", "user_email": "dora@example.com", "user_role": "internal_user",
                                 "max_budget": 3, "rpm_limit": 10, "key_alias": "dora-key", "duration": "1h"})
    assert made["user_id"] == "dora" and made["key"].startswith("sk-hg-") and made["expires"]
    works(shim.gateway, made["key"])
    assert shim.item("/budgets/user-dora")["period"] == "lifetime" and shim.item("/keys/dora-key")["user"] == "dora"
    answer = shim.post("/user/new", {"user_id": "emil", "user_email": "emil@example.com", "auto_create_key": False,
                                     "send_invite_email": True})
    assert answer.headers["x-headgate-ignored"] == "user_email, send_invite_email" and "key" not in answer.json()
    info = shim.read("/user/info", user_id="dora")
    assert info["user_info"]["max_budget"] == 3 and [k["key_alias"] for k in info["keys"]] == ["dora-key"]
    assert shim.ok("/user/update", {"user_id": "dora", "max_budget": 4})["data"]["max_budget"] == 4
    page = shim.read("/user/list", page_size=1)
    assert len(page["users"]) == 1 and page["total_pages"] == page["total"] >= 2
    assert shim.ok("/user/delete", {"user_ids": ["dora", "emil"]}) == 2
    harness.until(lambda: ask(shim.gateway, made["key"]).status_code == 401, 2, "the key to be gone with its user")
    assert shim.item("/users/dora") is None and shim.item("/budgets/user-dora") is None


def test_spend_logs_are_the_attempts(shim):
    gateway = shim.gateway
    made = shim.ok("/key/generate", {"key_alias": "logged", "tags": ["env:test"]})
    works(gateway, made["key"])
    answer = ask(gateway, made["key"])
    event = gateway.wait_usage(answer.headers["x-request-id"])[0]
    row = shim.read("/spend/logs", request_id=event["request_id"])[0]
    assert (row["api_key"], row["model_group"], row["team_id"]) == (made["token"], "simulator", "default")
    assert row["spend"] == pytest.approx(float(event["cost_usd"]))
    assert row["total_tokens"] == event["input_tokens"] + event["output_tokens"] == row["prompt_tokens"] + row["completion_tokens"]
    assert row["metadata"]["user_api_key_alias"] == "logged" and row["request_tags"] == ["env:test"]
    assert row["startTime"] <= row["endTime"] and row["status"] == "success"
    for name in (made["key"], made["token"], "logged"):
        assert {r["api_key"] for r in shim.read("/spend/logs", api_key=name)} == {made["token"]}
    assert shim.read("/spend/logs", api_key="sk-nobody") == [] == shim.read("/spend/logs", user_id="nobody")

    # In pages: a bare list, so what begins the next one is in a field.
    everything = [r["metadata"]["attempt_id"] for r in shim.read("/spend/logs", api_key="logged")]
    assert len(everything) >= 2
    first = shim.get("/spend/logs", api_key="logged", limit=1)
    rest = shim.get("/spend/logs", api_key="logged", limit=1000, after=first.headers["x-headgate-next"])
    assert [r["metadata"]["attempt_id"] for r in first.json() + rest.json()] == everything
    assert "x-headgate-next" not in rest.headers

    today = datetime.datetime.now(datetime.timezone.utc).date()
    range_ = {"start_date": str(today), "end_date": str(today + datetime.timedelta(days=1)), "api_key": "logged"}
    sums = shim.read("/spend/logs", **range_)
    total = sum(r["spend"] for r in shim.read("/spend/logs", api_key="logged"))
    assert [d["startTime"] for d in sums] == [range_["start_date"], range_["end_date"]]
    assert sums[0]["spend"] == sums[0][made["token"]] == pytest.approx(total) and sums[1]["spend"] == 0
    assert sum(sums[0]["models"].values()) == pytest.approx(total)
    assert len(shim.read("/spend/logs", summarize="false", **range_)) == len(everything)
    assert shim.read("/global/spend")["spend"] >= total
    for query in ({"start_date": "2026-11-26"}, {"start_date": "yesterday", "end_date": "2026-11-26"},
                  {"start_date": "2026-11-27", "end_date": "2026-11-26"}, {"limit": 0}, {"after": "x"},
                  {"start_date": "2000-01-01", "end_date": "2026-01-01"}):
        assert shim.get("/spend/logs", **query).status_code == 400, query

    shim.ok("/key/delete", {"keys": ["logged"]})
    assert shim.read("/spend/logs", request_id=event["request_id"])[0]["api_key"] == "deleted:logged"
    # A key that comes back under the name has not spent what the one before did... in an hour of its own.
    assert shim.read("/spend/logs", api_key="deleted:logged")


def test_models_are_deployments(shim):
    shim.gateway.apply({"providers": [{"name": "there", "kind": "openai-compatible", "base_url": "https://models.invalid/v1",
                                       "credential": "a secret"}],
                        "prices": [{"provider": "there", "model": "m1", "input_per_mtok_usd": "2.5",
                                    "output_per_mtok_usd": "10"}],
                        "models": [{"name": "smart", "targets": [{"provider": "there", "model": "m1", "weight": 3},
                                                                 {"provider": "there", "model": "m2", "weight": 1}]},
                                   {"name": "free-m2", "targets": [{"provider": "there", "model": "m2"}], "free": True}]})
    text = shim.get("/model/info").text
    assert "a secret" not in text and "sealed" not in text
    rows = [m for m in shim.read("/v1/model/info")["data"] if m["model_name"] == "smart"]
    assert [m["litellm_params"]["model"] for m in rows] == ["openai/m1", "openai/m2"]
    assert rows[0]["litellm_params"] == {"model": "openai/m1", "api_base": "https://models.invalid/v1", "weight": 3}
    info = rows[0]["model_info"]
    assert (info["input_cost_per_token"], info["output_cost_per_token"]) == pytest.approx((2.5e-6, 1e-5))
    assert "input_cost_per_token" not in rows[1]["model_info"]
    assert shim.read("/model/info", litellm_model_id=info["id"])["data"] == [rows[0]]
    assert shim.get("/model/info", litellm_model_id="none").status_code == 404
    assert "smart" in {m["id"] for m in shim.read("/models")["data"]}


def test_what_has_no_counterpart_is_refused_by_name(shim):
    generate = "/key/generate"
    for member, value in {"aliases": {"a": "b"}, "config": {"x": 1}, "permissions": {"x": True}, "soft_budget": 5,
                          "guardrails": ["x"], "model_max_budget": {"m": 1}, "model_rpm_limit": {"m": 1}, "budget_id": "b",
                          "allowed_routes": ["/x"], "enforced_params": ["user"], "auto_rotate": True, "spend": 1,
                          "organization_id": "o", "object_permission": {"mcp_servers": ["x"]}, "key": "sk-my-own-key",
                          "allowed_cache_controls": ["no-store"], "rotation_interval": "30d"}.items():
        assert "sk-my-own-key" not in str(shim.refused(generate, {member: value}, member))
    # What says nothing is no reason to refuse: clients send defaults.
    quiet = {"aliases": {}, "config": {}, "permissions": {}, "guardrails": None, "spend": 0, "auto_rotate": False,
             "key_alias": "quiet", "metadata": None, "blocked": None, "key_type": "llm_api"}
    shim.ok("/key/delete", {"keys": [shim.ok(generate, quiet)["key"]]})

    shim.refused(generate, {"key_alais": "x"}, "key_alais")
    assert "key_alias" in shim.refused(generate, {"key_alais": "x"}, "key_alais")["message"]
    shim.refused(generate, {"duration": "30 days"}, "duration")
    shim.refused(generate, {"duration": "-1d"}, "duration")
    shim.refused(generate, {"max_budget": 1, "budget_duration": "2d"}, "budget_duration")
    shim.refused(generate, {"budget_duration": "1d"}, "budget_duration")
    shim.refused(generate, {"max_budget": 0}, "max_budget")
    shim.refused(generate, {"max_budget": -1}, "max_budget")
    shim.refused(generate, {"rpm_limit": 0}, "rpm_limit")
    shim.refused(generate, {"rpm_limit": 1.5}, "rpm_limit")
    shim.refused(generate, {"models": ["a b"]}, "models[0]")
    shim.refused(generate, {"models": ["no-default-models"]}, "models")
    shim.refused(generate, {"team_id": "nobody"}, "team_id")
    shim.refused(generate, {"user_id": "nobody"}, "user_id")
    shim.refused(generate, {"metadata": {"deep": {"er": 1}}}, "metadata")
    shim.refused(generate, {"metadata": "x"}, "metadata")
    shim.refused(generate, {"tags": [":x"]}, "tags")
    shim.refused(generate, {"key_type": "management"}, "key_type")
    shim.refused(generate, {"key_alias": "a b"}, "key_alias")
    shim.refused(generate, {"key_alias": "x" * 127, "rpm_limit": 1}, "rpm_limit")
    shim.ok(generate, {"key_alias": "twice"})
    shim.refused(generate, {"key_alias": "twice"}, "key_alias")
    shim.refused("/key/update", {"key": "twice", "key_alias": "other"}, "key_alias")
    shim.refused("/key/update", {"key": "twice", "team_id": None}, "team_id")
    shim.refused("/key/update", {"models": []}, "key")
    shim.refused("/key/update", {"key": "sk-nobody"}, "key", 404)
    shim.refused("/key/delete", {}, "keys")
    shim.refused("/key/delete", {"keys": ["x"] * 1001}, "keys")
    shim.refused("/key/delete", {"keys": ["twice", "sk-nobody"]}, "keys[1]", 404)
    shim.refused("/key/regenerate", {}, "key")
    shim.refused("/key/regenerate", {"key": "twice", "new_key": "sk-mine"}, "new_key")
    assert shim.item("/keys/twice")
    shim.refused("/team/new", {"team_id": "a", "team_alias": "b"}, "team_alias")
    shim.refused("/team/new", {"team_id": "a", "metadata": {"x": 1}}, "metadata")
    shim.refused("/team/new", {"team_id": "a", "members_with_roles": [{"role": "admin", "user_id": "x"}]}, "members_with_roles[0].role")
    shim.refused("/team/new", {"team_id": "0193a9a2-7c00-7d58-8f1a-3d1c6a6d2f10"}, "team_id")
    shim.refused("/team/delete", {"team_ids": []}, "team_ids")
    shim.refused("/team/member_delete", {"team_id": "default", "user_id": "nobody"}, "user_id", 404)
    shim.refused("/user/new", {"user_id": "x", "user_role": "proxy_admin"}, "user_role")
    shim.refused("/user/new", {"user_id": "x", "models": ["simulator"]}, "models")
    shim.refused("/user/new", {"user_id": "x", "auto_create_key": False, "duration": "1h"}, "duration")

    # A limit that somebody else made under the name is not taken over.
    shim.gateway.apply({"budgets": [{"name": "key-twice", "team": "default", "limit_usd": "5", "period": "day"}]})
    shim.refused("/key/update", {"key": "twice", "max_budget": 1}, "max_budget", 409)
    shim.ok("/key/delete", {"keys": ["twice"]})
    assert shim.item("/budgets/key-twice")["team"] == "default"


def test_the_token_may_stand_where_litellm_looks(shim):
    url, token = shim.gateway.admin_url + "/key/list", shim.gateway.token
    for headers, status in (({"x-litellm-api-key": token}, 200), ({"x-litellm-api-key": "Bearer " + token}, 200),
                            ({"x-litellm-api-key": token, "authorization": "Bearer " + token}, 401),
                            ({"x-litellm-api-key": "sk-1234"}, 401), ({"authorization": "Bearer sk-1234"}, 401),
                            ({"x-litellm-api-key": shim.gateway.key}, 401), ({}, 401)):
        answer = httpx.get(url, headers=headers, timeout=30)
        assert answer.status_code == status, headers
        if status == 401:
            assert answer.json()["error"] == {"message": "send an admin token: Authorization: Bearer hgat_...",
                                              "type": "auth_error", "param": None, "code": "401"}
    for twice in ([("x-litellm-api-key", token)] * 2, [("authorization", "Bearer " + token)] * 2):
        assert httpx.get(url, headers=twice, timeout=30).status_code == 401
    # Only for these calls.
    answer = httpx.get(shim.gateway.admin_url + "/api/v1/teams", headers={"x-litellm-api-key": token}, timeout=30)
    assert answer.status_code == 401 and answer.json()["code"] == "unauthorized"


def test_what_stands_beside_a_key_is_shown_to_who_may_see_it(shim):
    """Limits and spend come from other items: without their permissions they are null, and members are left out."""
    shim.gateway.apply({"roles": [{"name": "key-reader", "permissions": ["keys.read", "teams.read"]}], "users": [{"name": "kit"}],
                        "bindings": [{"name": "kit", "role": "key-reader", "users": ["kit"]}]})
    token = shim.gateway.admin("POST", "/tokens", json={"name": "kit", "user": "kit"}).json()["token"]
    shim.ok("/team/new", {"team_id": "beside", "max_budget": 5, "members_with_roles": [{"user_id": "kit"}]})
    key = shim.ok("/key/generate", {"key_alias": "beside", "team_id": "beside", "max_budget": 5, "rpm_limit": 100})["key"]
    works(shim.gateway, key)
    harness.until(lambda: shim.read("/key/info", key="beside")["info"]["spend"] > 0, 5, "the spend")
    told = shim.check(shim.http.get("/team/info", params={"team_id": "beside"},
                                    headers={"authorization": "Bearer " + token}), "GET", "/team/info").json()
    for document in (told["team_info"], told["keys"][0]):
        assert {document[k] for k in ("spend", "max_budget", "budget_duration", "budget_reset_at", "rpm_limit")} == {None}
    assert told["team_info"]["members_with_roles"] == []
    full = shim.read("/team/info", team_id="beside")
    assert full["keys"][0]["max_budget"] == 5 and full["keys"][0]["rpm_limit"] == 100 and full["keys"][0]["spend"] > 0
    assert [m["user_id"] for m in full["team_info"]["members_with_roles"]] == ["kit"]
    # The caller's permissions decide about each of the items that a call makes.
    assert shim.post("/key/generate", {}, headers={"authorization": "Bearer " + token}).status_code == 403
    shim.gateway.apply({"roles": [{"name": "key-reader", "permissions": ["keys.*", "teams.read"]}]})
    headers = {"authorization": "Bearer " + token}
    refused = shim.post("/key/generate", {"key_alias": "half", "max_budget": 1}, headers=headers)
    assert refused.status_code == 403 and "budgets.create" in refused.text and shim.item("/keys/half") is None
    assert shim.post("/key/generate", {"key_alias": "half"}, headers=headers).status_code == 200


def test_a_repeated_call_makes_one_key(shim):
    header = {"idempotency-key": harness.marker()}
    a = shim.ok("/key/generate", {"max_budget": 1}, headers=header)
    b = shim.ok("/key/generate", {"max_budget": 1}, headers=header)
    assert a == b and shim.read("/key/list", key_alias=a["key_alias"])["total_count"] == 1


@pytest.mark.parametrize("path", sorted(p for p, o in SHIM.items() if "get" in o))
def test_every_read_has_its_documented_form(shim, path):
    needed = {"/key/info": {"key": "first"}, "/team/info": {"team_id": "default"}}
    names = {"/key/info": {"key": shim.read("/key/list")["keys"][0]}, "/user/info": {"user_id": "reader-of-forms"}}
    if path == "/user/info":
        shim.ok("/user/new", {"user_id": "reader-of-forms", "auto_create_key": False})
    assert shim.get(path, **{**needed.get(path, {}), **names.get(path, {})}).status_code == 200


def test_litellms_own_client_finds_its_proxy_here(shim, monkeypatch):
    """litellm.proxy.client against these calls, and the answers through the proxy's own types."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else its import asks the Internet
    import requests
    from litellm.proxy import _types
    from litellm.proxy.client import Client, UnauthorizedError, UsersManagementClient

    def through(kind, document):
        """Read by their type: what it has members for has our values."""
        kept = kind(**document).model_dump(mode="json")
        for name in set(kept) & set(document):
            if not name.endswith(("_at", "expires")):
                assert kept[name] == document[name], (kind, name)

    base, token = shim.gateway.admin_url, shim.gateway.token
    client = Client(base_url=base, api_key=token)
    made = client.keys.generate(models=["simulator"], key_alias="judged", duration="24h", team_id="default")
    through(_types.GenerateKeyResponse, {k: v for k, v in made.items() if k != "token"})  # it would put the token for the key
    works(shim.gateway, made["key"])
    info = client.keys.info(made["key"])
    assert info["key"] == made["key"] and info["info"]["key_alias"] == "judged"
    assert client.keys.list(key_alias="judged", size=5)["keys"] == [made["token"]]
    full = client.keys.list(team_id="default", return_full_object=True, size=100)
    for document in full["keys"]:
        through(_types.LiteLLM_VerificationToken, document)
    assert client.keys.update(made["key"], models=[], duration="48h")["models"] == []
    assert client.keys.delete(keys=[made["key"]]) == {"deleted_keys": [made["key"]]}
    with pytest.raises(requests.HTTPError) as refused:
        client.keys.info(made["key"])
    assert refused.value.response.status_code == 404
    with pytest.raises(requests.HTTPError):
        client.keys.generate(aliases={"a": "b"})
    with pytest.raises(UnauthorizedError):
        Client(base_url=base, api_key="sk-1234").keys.list()

    shim.ok("/team/new", {"team_alias": "judged", "max_budget": 2, "members_with_roles": [{"role": "user", "user_id": "judy"}]})
    assert "judged" in {t["team_id"] for t in client.teams.list()}
    for document in client.teams.list():
        through(_types.LiteLLM_TeamTable, document)
    told = shim.read("/team/info", team_id="judged")["team_info"]
    assert [m.user_id for m in _types.LiteLLM_TeamTable(**told).members_with_roles] == ["judy"]
    users = UsersManagementClient(base, token)
    created = users.create_user({"user_id": "ulla", "max_budget": 1.5, "auto_create_key": False})
    through(_types.LiteLLM_UserTable, created)
    assert {"judy", "ulla"} <= {u["user_id"] for u in users.list_users({"page_size": 100})}
    assert users.get_user("ulla")["user_info"]["max_budget"] == 1.5
    assert users.delete_user(["ulla", "judy"]) == 2
    assert "simulator" in {m["id"] for m in client.models.list()}
    assert {m["model_name"] for m in client.models.info()} >= {"simulator"}
    assert client.models.get(model_name="simulator")["model_info"]["id"]
    shim.ok("/team/delete", {"team_ids": ["judged"]})
