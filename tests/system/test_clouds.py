"""Clouds whose callers prove who they are otherwise than by a key: access tokens of Google and Microsoft Entra, and
requests signed for AWS."""

import concurrent.futures
import json

import pytest

import cloud as clouds
import harness
from harness import until


@pytest.fixture
def cloud():
    made = clouds.Cloud()
    yield made
    made.close()
    assert made.problems == []


def providers(cloud, **of_all):
    more = {"allow_private": True, **of_all}
    return [
        {"name": "google", "kind": "vertex", "project": "p1", "location": "l1", "base_url": cloud.url + "/v1",
         "credential": cloud.service_account(), **more},
        {"name": "entra", "kind": "azure-openai", "base_url": cloud.url, "api_version": "2024-10-21",
         "credential": cloud.entra(), **more},
        {"name": "aws", "kind": "bedrock", "region": "eu-west-1", "base_url": cloud.url + "/aws",
         "credential": json.dumps({"access_key_id": clouds.ACCESS_KEY, "secret_access_key": clouds.SECRET_KEY,
                                   "session_token": clouds.SESSION}), **more},
    ]


@pytest.fixture(scope="module")
def running():
    made = harness.Gateway(workers=1)
    try:
        made.up()
        yield made
    finally:
        made.close()


@pytest.fixture
def gateway(running, cloud):
    """Each test has a cloud, and so credentials, of its own."""
    names = ("google", "entra", "aws")
    running.apply({"providers": providers(cloud),
                   "prices": [{"provider": name, "model": "*", "free": True} for name in names]})
    return running


def said(response):
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("model, text", [("google/gemini-2.5-pro", "granted"), ("entra/gpt-4o", "entered")])
def test_one_token_serves_many(gateway, cloud, model, text):
    cloud.delay = 0.3  # so that they all come while the first one waits
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert {said(r) for r in pool.map(lambda _: gateway.chat(model), range(16))} == {text}
    assert cloud.grants == 1
    assert said(gateway.chat(model)) == text
    assert cloud.grants == 1


def test_a_request_for_bedrock_is_signed(gateway, cloud):
    assert said(gateway.chat("aws/anthropic.claude-3-haiku-20240307-v1:0")) == "signed"
    assert said(gateway.chat("aws/arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0")) == "signed"
    assert cloud.grants == 0


@pytest.mark.parametrize("method, more", [
    ("POST", {"json": {"messages": []}}), ("GET", {}), ("PUT", {"content": b"text", "headers": {"content-type": "text/plain"}})])
def test_what_is_passed_on_to_bedrock_is_signed_as_it_is_sent(gateway, cloud, method, more):
    with gateway.http() as http:
        answer = http.request(method, "/v1/providers/aws/model/amazon.nova-lite-v1%3A0/converse", **more)
    assert answer.status_code == 200 and answer.json() == clouds.BEDROCK, answer.text
    assert not cloud.problems


def test_a_refused_grant_is_told_and_not_asked_for_again_at_once(gateway, cloud):
    cloud.refuse = 401
    for _ in range(5):
        response = gateway.chat("google/gemini-2.5-pro")
        assert response.status_code == 502, response.text
        error = response.json()["error"]
        assert error["code"] == "upstream_auth" and "invalid_client" in error["message"], error
    assert cloud.grants <= 2
    assert said(gateway.chat("aws/amazon.nova-lite-v1:0")) == "signed"
    cloud.refuse = None
    until(lambda: gateway.chat("google/gemini-2.5-pro").status_code == 200, 20, "a token after the pause", every=0.2)


def test_a_token_is_renewed_while_it_serves(gateway, cloud):
    cloud.life = 8
    assert said(gateway.chat("entra/gpt-4o")) == "entered"
    # At three quarters of its life a new one is asked for, and nobody waits or fails meanwhile.
    def renewed():
        assert said(gateway.chat("entra/gpt-4o")) == "entered"
        return cloud.grants >= 2
    until(renewed, 15, "the second token", every=0.1)


def test_a_changed_credential_gets_a_token_of_its_own(gateway, cloud):
    assert said(gateway.chat("entra/gpt-4o")) == "entered"
    changed = providers(cloud)
    changed[1]["credential"] = changed[1]["credential"].replace('"app"', '"other"')
    gateway.apply({"providers": changed})
    response = gateway.chat("entra/gpt-4o")
    assert response.status_code == 502 and cloud.grants == 2, response.text
    assert cloud.problems.pop().startswith("AssertionError") and not cloud.problems  # it is another client now


@pytest.mark.parametrize("scheme, why", [("http", "must be https"), ("https", "could not be reached (denied)")])
def test_the_guard_stands_before_token_endpoints(gateway, cloud, scheme, why):
    public = [{**p, "base_url": "https://models.example/v1", "credential": p["credential"].replace("http:", scheme + ":")}
              for p in providers(cloud, allow_private=False)]
    gateway.apply({"providers": public})
    for model in ("google/gemini-2.5-pro", "entra/gpt-4o"):
        response = gateway.chat(model)
        assert response.status_code == 502, response.text
        assert response.json()["error"]["code"] == "upstream_auth" and why in response.text, response.text
    assert cloud.grants == 0


def test_nothing_of_grants_is_written_down(gateway, cloud):
    for model in ("google/gemini-2.5-pro", "entra/gpt-4o", "aws/amazon.nova-lite-v1:0"):
        assert gateway.chat(model).status_code == 200
    cloud.refuse = 400
    gateway.apply({"providers": [{**p, "name": "again-" + p["name"]} for p in providers(cloud)],
                   "prices": [{"provider": "again-google", "model": "*", "free": True}]})
    assert gateway.chat("again-google/gemini-2.5-pro").status_code == 502
    with open(cloud.private, encoding="ascii") as file:
        key = file.read().splitlines()[3]
    text = "".join(gateway.log(name) for name in ("dataplane", "controlplane")) + gateway.dump() + str(gateway.all_metrics())
    for secret in (key, clouds.ENTRA_SECRET, clouds.SECRET_KEY, clouds.SESSION, cloud.token, "LEAK"):
        assert secret not in text
