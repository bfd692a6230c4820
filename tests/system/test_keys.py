"""API keys: who may call, with which models, until when; and how fast that changes."""

import concurrent.futures
import datetime
import time

import pytest

from harness import until


def statuses(gateway, key, model="simulator", count=24):
    """The statuses of many requests on connections of their own, so that every worker is asked."""
    def once(_):
        return gateway.chat(model, key=key).status_code
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return set(pool.map(once, range(count)))


@pytest.fixture
def key(gateway):
    """A function that makes keys and revokes them afterwards."""
    made = []

    def make(name, *args):
        answer = gateway.cli_json("key", "create", "--name", name, "--team", "default", *args)
        made.append(name)
        until(lambda: statuses(gateway, answer["key"], count=8).isdisjoint({401}), 5, "the key in all workers")
        return answer["key"]

    yield make
    for name in made:
        gateway.run("key", "revoke", name)


def test_a_revoked_key_is_refused_by_all_workers_within_2_s(gateway, key):
    secret = key("to-revoke")
    assert statuses(gateway, secret) == {200}
    gateway.cli("key", "revoke", "to-revoke")
    until(lambda: statuses(gateway, secret) == {401}, 2, "all workers refuse it")
    assert statuses(gateway, secret) == {401}


def test_revoking_by_the_api(gateway, key):
    secret = key("by-api")
    answer = gateway.admin("DELETE", "/keys/by-api", headers={"if-match": "*"})
    assert answer.status_code == 204
    until(lambda: statuses(gateway, secret) == {401}, 2, "all workers refuse it")


def test_a_disabled_key_is_refused_and_comes_back(gateway, key):
    secret = key("switch")
    gateway.cli("key", "set", "switch", "disabled=true")
    until(lambda: statuses(gateway, secret, count=8) == {401}, 2.5, "refused")
    gateway.cli("key", "set", "switch", "disabled=false")
    until(lambda: statuses(gateway, secret, count=8) == {200}, 2.5, "taken again")


def test_an_open_stream_outlives_the_key(gateway, key):
    """A request keeps the policy it started with."""
    secret = key("streaming")
    with gateway.openai(key=secret) as client:
        stream = client.chat.completions.create(model="fake/m", stream=True,
                                                messages=[{"role": "user", "content": "x"}],
                                                extra_body={"x_mock": "ev=15;gap=200"})
        iterator = iter(stream)
        next(iterator)
        gateway.cli("key", "revoke", "streaming")
        until(lambda: gateway.chat(key=secret).status_code == 401, 2.5, "new requests refused")
        assert list(iterator)[-1].choices[0].finish_reason == "stop"


def test_a_key_limited_to_models(gateway, key):
    secret = key("limited", "--models", "simulator,fake/al*")
    assert gateway.chat("simulator", key=secret).status_code == 200
    assert gateway.chat("fake/alpha", key=secret).status_code == 200
    answer = gateway.chat("fake/beta", key=secret)
    # as if it did not exist: nobody learns which models there are
    assert answer.status_code in (403, 404)
    assert answer.json()["error"]["source"] == "gateway"
    with gateway.http(key=secret) as client:
        assert [m["id"] for m in client.get("/v1/models").json()["data"]] == ["simulator"]
        assert client.get("/v1/models/simulator").status_code == 200


def test_a_team_allows_models(gateway, key):
    gateway.cli("team", "create", "narrow", 'allow.models=["fake/*"]')
    try:
        secret = gateway.cli_json("key", "create", "--name", "of-narrow", "--team", "narrow")["key"]
        until(lambda: gateway.chat("fake/m", key=secret).status_code == 200, 5, "the key")
        assert gateway.chat("simulator", key=secret).status_code in (403, 404)
        # narrowing the team reaches its keys
        gateway.cli("team", "set", "narrow", 'allow.models=["simulator"]')
        until(lambda: gateway.chat("fake/m", key=secret).status_code in (403, 404), 2.5, "narrowed")
        assert gateway.chat("simulator", key=secret).status_code == 200
    finally:
        gateway.run("key", "revoke", "of-narrow")
        gateway.run("team", "delete", "narrow")


def test_a_key_expires_by_itself(gateway, key):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=6)
    secret = key("short-lived", "--expires", soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    until(lambda: gateway.chat(key=secret).status_code == 401, 10, "expired")
    assert time.time() >= soon.timestamp() - 1


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key"])
def test_the_key_in_any_of_its_headers(gateway, header):
    import httpx
    value = f"Bearer {gateway.key}" if header == "authorization" else gateway.key
    body = {"model": "simulator", "messages": [{"role": "user", "content": "x"}]}
    answer = httpx.post(gateway.url + "/v1/chat/completions", headers={header: value}, json=body)
    assert answer.status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer x y", "Basic abc", "Bearer sk-hg-", "Bearer " + "x" * 8000,
                                   "Bearer sk-hg-%00", "Bearer null"])
def test_what_is_no_key_is_401(gateway, value):
    import httpx
    answer = httpx.post(gateway.url + "/v1/chat/completions", headers={"authorization": value},
                        json={"model": "simulator", "messages": []})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_a_stranger_learns_nothing(gateway, key):
    """Wrong, revoked and malformed keys get the same answer."""
    secret = key("gone")
    gateway.cli("key", "revoke", "gone")
    until(lambda: statuses(gateway, secret, count=8) == {401}, 2.5, "refused")
    answers = [gateway.chat(key=k) for k in (secret, "sk-hg-" + "A" * 43)]
    bodies = [{k: v for k, v in a.json()["error"].items()} for a in answers]
    assert bodies[0] == bodies[1]


def test_the_secret_is_shown_once(gateway, key):
    secret = key("shown-once")
    for out in (gateway.cli("key", "show", "shown-once"), gateway.cli("key", "list", "--output", "json"),
                gateway.admin("GET", "/keys/shown-once").text, gateway.cli("export")):
        assert secret not in out
        assert secret[8:] not in out
