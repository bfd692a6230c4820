"""Tokens of an identity provider instead of keys: real ones, made by PyJWT, under keys that a fake issuer publishes."""

import base64
import contextlib
import json
import pathlib
import time

import jwt
import pytest

import harness
from harness import until
from issuers import Issuer, Key


@pytest.fixture
def issuer():
    made = Issuer()
    yield made
    made.close()


@contextlib.contextmanager
def configured(gateway, idp, **members):
    document = {"name": "idp", "issuer": idp.url, "audience": "headgate", "allow_private": True,
                **({} if "team_claim" in members else {"team": "default"}), **members}
    answer = gateway.admin("POST", "/issuers", json=document)
    assert answer.status_code == 201, answer.text
    try:
        yield answer.json()
    finally:
        gateway.admin("DELETE", "/issuers/idp", headers={"if-match": "*"})
        until(lambda: not gateway.sql("SELECT 1 FROM issuer_state"), 5, "what was known of it to be forgotten")


def ready(gateway, token, seconds=6):
    until(lambda: all(gateway.chat(key=token).status_code == 200 for _ in range(6)), seconds, "the issuer's keys in all workers")


def test_tokens_of_three_kinds_are_taken_and_recorded(gateway, issuer):
    with configured(gateway, issuer):
        ready(gateway, issuer.token())
        for kid in ("r1", "e1", "d1"):
            answer = gateway.chat(key=issuer.token(kid))
            assert answer.status_code == 200, (kid, answer.text)
            event = gateway.wait_usage(answer.headers["x-request-id"])[0]
            assert (event["key"], event["team"], event["user"]) == ("jwt:idp", "default", "ada@example.com")
        audiences = gateway.chat(key=issuer.token(aud=["other", "headgate"]))
        assert audiences.status_code == 200
        assert "/realm/.well-known/openid-configuration" in issuer.asked and "/keys" in issuer.asked


def tampered(token, part, change):
    parts = token.split(".")
    parts[part] = change(parts[part])
    return ".".join(parts)


def test_what_is_not_signed_so_is_refused(gateway, issuer):
    """RFC 8725: none, another algorithm, another key, another issuer, changed bytes: 401, alike."""
    with configured(gateway, issuer):
        ready(gateway, issuer.token())
        good = issuer.token()
        stranger = Key("r1", "RS256")
        public = issuer.keys[0].private.public_key()
        header = {"alg": "HS256", "kid": "r1", "typ": "JWT"}
        encode = lambda d: base64.urlsafe_b64encode(json.dumps(d).encode()).rstrip(b"=").decode()  # noqa: E731
        claims = jwt.decode(good, options={"verify_signature": False})
        import hashlib
        import hmac
        from cryptography.hazmat.primitives import serialization
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        confused = f"{encode(header)}.{encode(claims)}"
        confused += "." + base64.urlsafe_b64encode(hmac.new(pem, confused.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
        bad = {
            "alg none": f"{encode({'alg': 'none', 'kid': 'r1'})}.{encode(claims)}.",
            "alg none, signed": tampered(good, 0, lambda _: encode({"alg": "none", "kid": "r1"})),
            "key confusion": confused,
            "a stranger's key": issuer.token(key=stranger),
            "another kid": issuer.token(headers={"kid": "e1"}),
            "no such kid": issuer.token(headers={"kid": "zz"}),
            "no kid": jwt.encode(claims, issuer.keys[0].private, algorithm="RS256"),
            "another issuer": issuer.token(iss="https://evil.example"),
            "issuer with a slash": issuer.token(iss=issuer.url + "/"),
            "no issuer": issuer.token(iss=None),
            "crit": issuer.token(headers={"crit": ["b64"], "b64": False}),
            "RS512": jwt.encode(claims, issuer.keys[0].private, algorithm="RS512", headers={"kid": "r1"}),
            "PS256": jwt.encode(claims, issuer.keys[0].private, algorithm="PS256", headers={"kid": "r1"}),
            "changed claims": tampered(good, 1, lambda _: encode({**claims, "sub": "root"})),
            "cut signature": good[:-2], "longer": good + "AA", "two parts": good.rsplit(".", 1)[0],
            "four parts": good + ".AA", "empty signature": good.rsplit(".", 1)[0] + ".",
            "too long": issuer.token(x="y" * 9000), "padding": good + "=",
            "same header, other end": good[:len(good) // 2] + "A" * (len(good) - len(good) // 2),
        }
        texts = set()
        for name, token in bad.items():
            answer = gateway.chat(key=token)
            assert answer.status_code in (401, 431), (name, answer.text)
            if answer.status_code == 401:
                texts.add(answer.text)
                assert answer.json()["error"]["code"] == "invalid_api_key", name
        assert len(texts) == 1, texts
        assert gateway.chat(key=good).status_code == 200


def test_claims_are_held_to(gateway, issuer):
    with configured(gateway, issuer):
        ready(gateway, issuer.token())
        now = int(time.time())
        bad = {"expired": {"exp": now - 60}, "no end": {"exp": None}, "an end that is text": {"exp": str(now + 60)},
               "an end that is a fraction": {"exp": now + 60.5}, "not yet": {"nbf": now + 120},
               "another audience": {"aud": "other"}, "no audience": {"aud": None}, "an audience inside": {"aud": "headgate2"},
               "no subject": {"sub": None}, "a subject with lines": {"sub": "a\r\nb"}, "a long subject": {"sub": "a" * 201}}
        for name, claims in bad.items():
            token = issuer.token(**{k: v for k, v in claims.items() if k != "sub"}) if "sub" not in claims else None
            if token is None:
                payload = {"iss": issuer.url, "aud": "headgate", "exp": now + 600}
                payload |= {k: v for k, v in claims.items() if v is not None}
                token = jwt.encode(payload, issuer.keys[0].private, algorithm="RS256", headers={"kid": "r1"})
            answer = gateway.chat(key=token)
            assert answer.status_code == 401, (name, answer.text)
            assert answer.json()["error"]["message"].startswith("The token is not valid: "), (name, answer.text)
        assert gateway.chat(key=issuer.token(nbf=now - 5)).status_code == 200


def test_a_claim_names_the_team_and_limits_hold(gateway, issuer):
    gateway.cli("team", "create", "by-claim", "allow.max_tokens=50")
    gateway.cli("user", "create", "blocked", "disabled=true")
    try:
        with configured(gateway, issuer, team_claim="department", user_claim="email", models=["simulator"],
                        endpoints=["chat.*"]):
            def ask(**claims):
                return gateway.chat(key=issuer.token(department=claims.pop("department", "by-claim"),
                                                     email=claims.pop("email", "e@x"), **claims), max_tokens=50)
            until(lambda: all(ask().status_code == 200 for _ in range(6)), 6, "the keys")
            event = gateway.wait_usage(ask().headers["x-request-id"])[0]
            assert (event["team"], event["user"]) == ("by-claim", "e@x")
            assert ask(department="nobody").status_code == 401
            assert ask(department=None).status_code == 401
            assert ask(email=None).status_code == 401
            assert ask(email="blocked").status_code == 401
            token = issuer.token(department="by-claim", email="e@x")
            assert gateway.chat(key=token, max_tokens=51).status_code == 403
            assert gateway.chat("fake/m", key=token, max_tokens=5).status_code == 404
            with gateway.http(key=token) as client:
                assert client.get("/v1/models").status_code == 403
    finally:
        gateway.run("team", "delete", "by-claim")
        gateway.run("user", "delete", "blocked")


def test_keys_rotate_and_outlive_the_issuer(gateway, issuer):
    with configured(gateway, issuer) as made:
        old = issuer.token("e1")
        ready(gateway, old)
        issuer.keys = [Key("r2", "RS256"), issuer.keys[2]]
        # A change of the item is looked at within a second; by itself it is once a minute.
        gateway.admin("PATCH", "/issuers/idp", json={"audience": "headgate2"},
                      headers={"if-match": f'"{made["revision"]}"'})
        until(lambda: {gateway.chat(key=issuer.token("r2", aud="headgate2")).status_code for _ in range(6)} == {200}, 8,
              "the new key")
        gateway.admin("PATCH", "/issuers/idp", json={"audience": "headgate"}, headers={"if-match": "*"})
        until(lambda: gateway.chat(key=issuer.token("d1")).status_code == 200, 5, "the old audience")
        assert gateway.chat(key=old).status_code == 401  # its key is gone
        issuer.down = True
        gateway.admin("PATCH", "/issuers/idp", json={"audience": "headgate3"}, headers={"if-match": "*"})
        until(lambda: gateway.sql("SELECT 1 FROM issuer_state WHERE issuer = 'idp' AND problem <> ''"), 8, "the failure")
        until(lambda: gateway.chat(key=issuer.token("r2", aud="headgate3")).status_code == 200, 5, "the keys of before")
    until(lambda: gateway.chat(key=issuer.token("r2", aud="headgate3")).status_code == 401, 3, "the end of the issuer")
    until(lambda: gateway.sql("SELECT count(*) FROM issuer_keys") == [["0"]], 5, "no keys without an issuer")


def test_another_address_starts_without_keys(gateway, issuer):
    """Keys are good for the issuer that they were fetched from, not for a name in our configuration."""
    other = Issuer()
    try:
        with configured(gateway, issuer):
            ready(gateway, issuer.token())
            other.down = True
            gateway.admin("PATCH", "/issuers/idp", json={"issuer": other.url}, headers={"if-match": "*"})
            forged = issuer.token(iss=other.url)
            until(lambda: gateway.chat(key=issuer.token()).status_code == 401, 4, "the change")
            assert gateway.chat(key=forged).status_code == 401
    finally:
        other.close()


def test_discovery_must_speak_for_the_issuer(gateway, issuer):
    issuer.says = "https://someone.else"
    with configured(gateway, issuer):
        problem = until(lambda: gateway.sql("SELECT problem FROM issuer_state WHERE issuer = 'idp'"), 8, "a try")
        assert "another issuer" in problem[0][0]
        assert gateway.chat(key=issuer.token()).status_code == 401


@pytest.mark.parametrize("members, path", [
    ({"issuer": "http://idp.example"}, "issuer"), ({"issuer": "https://127.0.0.1/x"}, "issuer"),
    ({"issuer": "https://localhost./x"}, "issuer"), ({"issuer": "https://idp.example", "jwks_url": "http://x.example/k"}, "jwks_url"),
    ({"issuer": "https://idp.example", "team_claim": "t"}, "team"), ({"issuer": "https://idp.example?x"}, "issuer")])
def test_f175_an_issuer_is_held_to_the_guard(gateway, members, path):
    answer = gateway.admin("POST", "/issuers", json={"name": "bad", "audience": "a", "team": "default", **members})
    assert answer.status_code == 400 and answer.json()["path"] == path, answer.text


def loopback_names():
    """Names beside localhost that this host knows for itself."""
    lines = [line.split("#")[0].split() for line in pathlib.Path("/etc/hosts").read_text().splitlines()]
    return [name for words in lines if words and words[0] in ("127.0.0.1", "::1") for name in words[1:]
            if "localhost" not in name]


@pytest.mark.skipif(not loopback_names(), reason="this host has no other name for itself")
def test_f175_a_name_that_resolves_to_us_is_not_fetched(gateway, issuer):
    """The guard stands before the connection: the name's looks say nothing."""
    with configured(gateway, issuer, allow_private=False, issuer="https://idp.invalid",
                    jwks_url=f"https://{loopback_names()[0]}:{issuer.server.server_port}/keys"):
        row = until(lambda: gateway.sql("SELECT problem FROM issuer_state WHERE issuer = 'idp'"), 8, "a try")
        assert "denied" in row[0][0], row
    assert not issuer.asked
