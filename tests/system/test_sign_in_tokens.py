"""What a provider may say to a sign-in, and what is not believed: every token here is really signed."""

import base64
import hashlib
import hmac
import json
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

import browsers
import harness
from harness import until
from issuers import Issuer, Key, SignInProvider


@pytest.fixture(scope="module")
def gateway():
    made = harness.Gateway(workers=1)
    try:
        made.up()
        made.apply({"users": [{"name": "ada@example.com"}, {"name": "bob@example.com"}]})
        yield made
    finally:
        made.close()


@pytest.fixture
def provider(gateway):
    made = SignInProvider(gateway, "idp-" + harness.marker())
    yield made
    gateway.admin("DELETE", f"/sign_ins/{made.name}", headers={"if-match": "*"})
    gateway.sql("DELETE FROM sign_in_accounts")
    made.close()


def encode(document):
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def test_the_request_and_the_exchange_are_as_the_standards_say(gateway, provider):
    asked, browser, answer = provider.attempt(lambda nonce: provider.id_token(nonce))
    assert answer.status_code == 200, answer.text
    assert browser.me().json()["user"] == "ada@example.com"
    assert asked.params["tenant"] == "1" and asked.params["client_id"] == "headgate" and asked.params["scope"] == "openid email profile"
    form, basic = provider.forms[-1]
    assert form["grant_type"] == "authorization_code" and form["code"] == "c0de"
    assert form["redirect_uri"] == asked.params["redirect_uri"] == gateway.admin_url + "/auth/callback"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert challenge == asked.params["code_challenge"] and len(form["code_verifier"]) == 43
    assert base64.b64decode(basic.removeprefix("Basic ")).decode() == "headgate:a%20secret%3A%20100%25" and "client_secret" not in form
    # Another way to say who we are, where the provider wants that.
    provider.more["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    provider.set(scopes=["openid", "email", "groups"])
    asked, _, answer = provider.attempt(lambda nonce: provider.id_token(nonce))
    assert answer.status_code == 200 and asked.params["scope"] == "openid email groups"
    form, basic = provider.forms[-1]
    assert (form["client_id"], form["client_secret"], basic) == ("headgate", "a secret: 100%", None)
    for kid in ("e1", "d1"):
        assert provider.attempt(lambda nonce: provider.id_token(nonce, kid=kid))[2].status_code == 200 # noqa: B023


def test_f152_token_confusion_is_refused(gateway, provider):
    """RFC 8725 and OpenID Connect Core 3.1.3.7: each with one thing wrong, and the same without it is let in."""
    stranger, public = Key("r1", "RS256"), provider.keys[0].private.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    other = Issuer()

    def claims(nonce, **more):
        return jwt.decode(provider.id_token(nonce, **more), options={"verify_signature": False})

    def none(nonce):
        return f"{encode({'alg': 'none', 'kid': 'r1'})}.{encode(claims(nonce))}."

    def none_signed(nonce):
        parts = provider.id_token(nonce).split(".")
        return ".".join([encode({"alg": "none", "kid": "r1"}), *parts[1:]])

    def public_key_as_secret(nonce):
        text = f"{encode({'alg': 'HS256', 'kid': 'r1', 'typ': 'JWT'})}.{encode(claims(nonce))}"
        return text + "." + base64.urlsafe_b64encode(hmac.new(pem, text.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()

    def client_secret_as_key(nonce):
        return jwt.encode(claims(nonce), "a secret: 100%", algorithm="HS256", headers={"kid": "r1"})

    def changed(nonce):
        head, _, tail = provider.id_token(nonce, sub="s-2").split(".")
        return f"{head}.{encode(claims(nonce))}.{tail}"

    now = int(time.time())
    made = lambda **more: lambda nonce: provider.id_token(nonce, **more)  # noqa: E731
    bad = {
        "alg none": none, "alg none, signed": none_signed, "HS256 with the public key": public_key_as_secret,
        "HS256 with the client secret": client_secret_as_key, "changed claims": changed,
        "a stranger's key": made(key=stranger), "another kid": made(headers={"kid": "e1"}), "no such kid": made(headers={"kid": "zz"}),
        "PS256": lambda nonce: jwt.encode(claims(nonce), provider.keys[0].private, algorithm="PS256", headers={"kid": "r1"}),
        "another audience": made(aud="other"), "another audience beside": made(aud=["other", "headgate"]),
        "azp of another": made(aud=["other", "headgate"], azp="other"), "azp of another alone": made(azp="other"),
        "no audience": made(aud=None), "our name inside": made(aud="headgate2"),
        "an access token (RFC 9068)": made(headers={"typ": "at+jwt"}), "an access token (Keycloak)": made(typ="Bearer"),
        "a logout token": made(headers={"typ": "logout+jwt"}),
        "another issuer": made(iss=other.url), "another issuer's own": lambda nonce: other.token(aud="headgate", nonce=nonce),
        "issuer with a slash": made(iss=provider.url + "/"), "no issuer": made(iss=None),
        "another nonce": made(nonce="A" * 43), "no nonce": made(nonce=None), "part of the nonce": lambda nonce: provider.id_token(nonce[:20]),
        "expired": made(exp=now - 60), "no end": made(exp=None), "not yet": made(nbf=now + 300),
        "issued long ago": made(iat=now - 3600), "issued in the future": made(iat=now + 300), "no iat": made(iat=None),
        "no subject": made(sub=None), "a long subject": made(sub="s" * 256), "crit": made(headers={"crit": ["b64"], "b64": False}),
        "no token": lambda nonce: (200, {"access_token": provider.id_token(nonce), "token_type": "Bearer"}),
        "no text": lambda nonce: (200, {"id_token": 7}), "no JSON": lambda nonce: (200, b"<html>"), "a list": lambda nonce: (200, []),
        "refused": lambda nonce: (400, {"error": "invalid_grant"}), "broken": lambda nonce: (500, {}), "denied": lambda nonce: (401, {}),
        "too long": made(x="y" * 70000), "too much": lambda nonce: (200, b" " * (2 << 20)),
        "two parts": lambda nonce: provider.id_token(nonce).rsplit(".", 1)[0], "nothing": lambda nonce: "",
    }
    for name, make in bad.items():
        _, browser, answer = provider.attempt(make)
        assert answer.status_code in (403, 502), (name, answer.text)
        assert "cannot be taken" in answer.text and "eyJ" not in answer.text, name
        assert not any(c.startswith("headgate_session=h") for c in answer.headers.get_list("set-cookie")), name
        assert browser.me().status_code == 401, name
        browser.close()
    for name, make in {"plain": made(), "azp": made(azp="headgate"), "two audiences, azp ours": made(aud=["headgate", "other"], azp="headgate"),
                       "one audience, as a list": made(aud=["headgate"]), "typ JWT": made(headers={"typ": "JWT"}), "typ ID": made(typ="ID"),
                       "a large one": made(groups=[f"group-{n:04}" for n in range(1500)])}.items():
        assert provider.attempt(make)[2].status_code == 200, name
    other.close()
    assert "eyJ" not in gateway.log("controlplane") and "a secret: 100%" not in gateway.log("controlplane")


def test_who_somebody_is_follows_from_the_claim_that_is_set(gateway, provider):
    def refusal(**more):
        answer = provider.attempt(lambda nonce: provider.id_token(nonce, **more))[2]
        assert answer.status_code == 403, answer.text
        return answer.text
    assert "has not verified" in refusal(email_verified=False)
    assert "has not verified" in refusal(email_verified=None)
    assert "has no email" in refusal(email=None)
    assert "has no email" in refusal(email=["ada@example.com"])
    assert "no user can have" in refusal(email="ada@example.com\r\nx: y")
    assert "no user can have" in refusal(email="<script>" + "a" * 200)
    assert "no user can have" in refusal(email="group:admins")
    assert "no user" in refusal(email="ADA@EXAMPLE.COM")
    provider.set(user_claim="preferred_username")
    assert provider.attempt(lambda nonce: provider.id_token(nonce, preferred_username="bob@example.com"))[1].me().json()["user"] == "bob@example.com"


def test_a_name_that_changes_hands_inherits_nothing(gateway, provider):
    assert provider.attempt(lambda nonce: provider.id_token(nonce))[2].status_code == 200
    answer = provider.attempt(lambda nonce: provider.id_token(nonce, sub="s-2"))[2]
    assert answer.status_code == 403 and "another account" in answer.text
    assert provider.attempt(lambda nonce: provider.id_token(nonce))[2].status_code == 200
    gateway.cli("user", "delete", "ada@example.com")
    gateway.cli("user", "create", "ada@example.com")
    assert provider.attempt(lambda nonce: provider.id_token(nonce, sub="s-2"))[2].status_code == 200


def test_a_new_key_is_looked_for_once(gateway, provider):
    assert provider.attempt(lambda nonce: provider.id_token(nonce))[2].status_code == 200
    provider.keys = [Key("r9", "RS256")]
    gateway.sql("UPDATE sign_in_providers SET tried_at = now() - interval '10 s'")
    assert provider.attempt(lambda nonce: provider.id_token(nonce, kid="r9"))[2].status_code == 200
    asked = provider.asked.count("/keys")
    for _ in range(3): # strangers' tokens do not make us ask again and again
        assert provider.attempt(lambda nonce: provider.id_token(nonce, kid="r9", headers={"kid": "zz"}))[2].status_code == 403
    assert provider.asked.count("/keys") == asked


def test_another_provider_under_the_name_starts_anew(gateway, provider):
    """Sessions and keys are of the provider that was asked, not of the name in our configuration."""
    _, browser, answer = provider.attempt(lambda nonce: provider.id_token(nonce))
    assert answer.status_code == 200
    asked = httpx.URL(browser.start(issuer=provider.name).headers["location"])
    other = Issuer()
    try:
        other.down = True
        gateway.apply({"sign_ins": [{**provider.item, "issuer": other.url}]})
        assert browser.me().status_code == 401
        provider.answer = (200, {"id_token": provider.id_token(asked.params["nonce"])})
        late = browser.admin("/auth/callback", params={"code": "c", "state": asked.params["state"]})
        assert late.status_code in (403, 503), late.text
        assert browser.admin("/auth/login", params={"issuer": provider.name}).status_code == 503
    finally:
        other.close()


@pytest.mark.parametrize("wrong", [
    {"authorization_endpoint": None}, {"token_endpoint": "ftp://x/y"}, {"token_endpoint": 7}, {"authorization_endpoint": "http://x/\r\nset-cookie: y"},
    {"authorization_endpoint": "javascript:alert(1)"}, {"token_endpoint": "http://" + "x" * 2100}, {"issuer": "https://someone.else"}])
def test_a_configuration_that_is_not_one_is_not_followed(gateway, wrong):
    made = Issuer()
    name = "idp-" + harness.marker()
    try:
        made.more = {"authorization_endpoint": made.base + "/a", "token_endpoint": made.base + "/t", **wrong}
        gateway.apply({"sign_ins": [{"name": name, "issuer": made.url, "client_id": "c", "allow_private": True}]})
        row = until(lambda: gateway.sql(f"SELECT problem FROM sign_in_providers WHERE sign_in = '{name}'"), 8, "a try")
        assert row[0][0].startswith("OpenID configuration: "), row
        answer = browsers.Browser(gateway).admin("/auth/login", params={"issuer": name})
        assert answer.status_code == 503 and "OpenID configuration" in answer.text
    finally:
        gateway.admin("DELETE", f"/sign_ins/{name}", headers={"if-match": "*"})
        made.close()


def test_a_provider_that_hangs_does_not_hold_up_the_api(gateway, provider):
    """Half of the threads may wait; what is beyond is told to come again, and the API goes on."""
    import concurrent.futures
    import socket
    hole = socket.create_server(("127.0.0.1", 0), backlog=64) # it takes connections and says nothing
    provider.more["token_endpoint"] = f"http://127.0.0.1:{hole.getsockname()[1]}/token"
    provider.set(scopes=["openid"])
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(provider.attempt, lambda nonce: "") for _ in range(6)]
            until(lambda: any(w.done() and w.result()[2].status_code == 503 for w in waiting), 5, "one that is told to come again")
            assert gateway.admin("GET", "/me").status_code == 200
            assert not all(w.done() for w in waiting)
            assert sorted(w.result()[2].status_code for w in waiting) == [502, 502, 503, 503, 503, 503]
    finally:
        hole.close()
