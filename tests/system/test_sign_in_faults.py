"""F165 and F167 against a control plane as it runs behind a TLS proxy: its cookies are __Host- ones. What a page elsewhere
can make a browser do, what a guesser gets, and how soon what was taken away is gone, on a second control plane too."""

import base64
import concurrent.futures
import hashlib
import json
import os
import re
import socket
import time

import httpx
import pytest
import yaml

import fleet
import harness
from harness import until
from issuers import SignInProvider

ORIGIN = "https://admin.headgate.example"
SESSION, SIGN_IN = "__Host-headgate_session", "__Host-headgate_sign_in"
OPENAPI = yaml.safe_load((harness.ROOT / "docs" / "openapi.yaml").read_text())["paths"]
PER_MINUTE, TIMES = 20, 16 # THROTTLE_PER_MINUTE, THROTTLE_ADDRESS_TIMES
THREADS = 4                # of the API: what is looked up at the same time may all be wrong
ITEM = {"user_claim": "sub", "groups": [{"claim": "platform", "group": "admins"}]}
GUESSES = int(os.environ.get("HEADGATE_GUESSES", "100000"))


@pytest.fixture(scope="module")
def gateway():
    made = harness.Gateway(workers=1, environment={"HEADGATE_ADMIN_PUBLIC_URL": ORIGIN, "HEADGATE_LITELLM_SHIM": "1"})
    try:
        made.up()
        made.apply({"teams": [{"name": "default"}], "users": [{"name": "ada"}, {"name": "bob"}], "groups": [{"name": "admins"}],
                    "bindings": [{"name": "adas", "role": "owner", "users": ["ada"]}]})
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def idp(gateway):
    made = SignInProvider(gateway, "idp", **ITEM)
    yield made
    made.close()


@pytest.fixture(scope="module")
def second(gateway, idp):
    """Another control plane over the same database."""
    made = fleet.ControlPlane(gateway, "second")
    made.start({"HEADGATE_ADMIN_PUBLIC_URL": ORIGIN})
    until(made.is_ready, 30, "the second control plane")
    yield f"http://{made.admin}"
    made.close()


class Person:
    """A browser by hand: over loopback httpx would not send Secure cookies. Each has an address of its own, so that no
    test is throttled for another's guesses."""

    count = 0

    def __init__(self, gateway, address=None):
        Person.count += 1
        self.address = address or f"127.1.{Person.count // 250}.{Person.count % 250 + 1}"
        self.base, self.cookies = gateway.admin_url, {}
        self.http = httpx.Client(timeout=30, transport=httpx.HTTPTransport(local_address=self.address))

    def ask(self, method, path, base=None, headers=None, **more):
        cookie = {"cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())} if self.cookies else {}
        return self.http.request(method, (base or self.base) + path, headers={**cookie, **(headers or {})}, **more)

    def keep(self, answer):
        self.set = {c.split("=", 1)[0]: c for c in answer.headers.get_list("set-cookie")}
        for name, text in self.set.items():
            value = text.split("=", 1)[1].split(";")[0]
            if value:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        return answer

    def to_callback(self, idp, user, claims=(), **query):
        """Up to the provider's answer, as the path that it sends the browser to."""
        answer = self.keep(self.ask("GET", "/auth/login", params={"issuer": idp.name, **query}))
        assert answer.status_code == 303, answer.text
        asked = httpx.URL(answer.headers["location"])
        token = idp.id_token(asked.params["nonce"], sub=user, groups=list(claims))
        idp.answer = (200, {"access_token": "opaque", "token_type": "Bearer", "id_token": token})
        return f"/auth/callback?code=c0de&state={asked.params['state']}"

    def sign_in(self, idp, user, claims=(), **query):
        return self.keep(self.ask("GET", self.to_callback(idp, user, claims, **query)))

    def me(self, base=None):
        return self.ask("GET", "/api/v1/me", base)

    @property
    def page(self):
        """What a page of ours sends along."""
        return {"origin": ORIGIN, "sec-fetch-site": "same-origin", "x-csrf-token": self.me().json()["session"]["csrf_token"]}


@pytest.fixture
def person(gateway, idp):
    made = Person(gateway)
    assert made.sign_in(idp, "ada").status_code == 200
    yield made
    gateway.sql("DELETE FROM admin_sessions")


def assert_page(answer):
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script-src" not in policy
    assert answer.headers["referrer-policy"] == "no-referrer" and "<script" not in answer.text


def state_of(gateway):
    """What a change would change."""
    return gateway.sql("SELECT (SELECT max(revision) FROM revisions), (SELECT count(*) FROM audit_log), (SELECT count(*) FROM admin_tokens), "
                       "(SELECT count(*) FROM admin_sessions)")


# ---- F165


def test_f165_a_page_elsewhere_changes_nothing(gateway, idp, person):
    """Every operation that is no GET, with the cookie, in each way that a page of others has to call it."""
    good = person.page
    form = {"content-type": "application/x-www-form-urlencoded"}
    plain = {"content-type": "text/plain"}
    evil = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    ways = {
        "a form": {**evil, **form}, "a form of an old browser": form, "a form without Origin": {**form, "sec-fetch-site": "cross-site"},
        "JSON as text/plain": {**evil, **plain}, "the same without a word of where": plain,
        "fetch": {**evil, "content-type": "application/json"}, "fetch with a token it guessed": {**evil, "x-csrf-token": "A" * 43},
        "fetch with the very token": {**good, **evil},
        "no Origin": {"x-csrf-token": good["x-csrf-token"]}, "Origin: null": {**good, "origin": "null"},
        "Origin in other words": {**good, "origin": ORIGIN + "/"}, "a name below ours": {**good, "origin": ORIGIN.replace("://", "://evil.")},
        "clear": {**good, "origin": ORIGIN.replace("https", "http")}, "only cross-site": {**good, "sec-fetch-site": "cross-site"},
        "a neighbour": {**good, "sec-fetch-site": "same-site"}, "typed": {**good, "sec-fetch-site": "none"},
        "our page without the token": {"origin": ORIGIN, "sec-fetch-site": "same-origin"},
        "with another session's token": {**good, "x-csrf-token": base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")},
    }
    before, tried = state_of(gateway), 0
    for path, methods in OPENAPI.items():
        for method, operation in methods.items():
            if method == "get" or operation["operationId"] == "redeem_code": # a code is its own proof, and no cookie is looked at
                continue
            at = re.sub(r"\{\w+\}", "default", path)
            for way, headers in ways.items():
                answer = person.ask(method.upper(), at, headers=headers, content=b'{"name": "by-csrf", "document": {}}')
                problem = answer.json()
                said = problem.get("code") or problem.get("detail") or problem.get("error", {}).get("message")
                assert answer.status_code == 403 and said, (way, method, path, answer.text)
                assert "access-control-allow-origin" not in answer.headers
                tried += 1
    assert tried > 1000
    assert state_of(gateway) == before
    assert person.me().status_code == 200 # nor was it signed out


def test_f165_json_as_text_plain_is_not_read(gateway, idp, person):
    """A page of ours that sends it is told; so is whoever has a token."""
    before = state_of(gateway)
    for kind in ("text/plain", "text/plain;application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        for headers in (person.page, {"authorization": f"Bearer {gateway.token}"}):
            answer = person.ask("POST", "/api/v1/teams", headers={**headers, "content-type": kind}, content=b'{"name": "plain"}')
            assert answer.status_code == 415 and answer.json()["code"] == "unsupported_media_type", (kind, answer.text)
    assert state_of(gateway) == before


def test_f165_a_preflight_lets_nobody_in(gateway, idp, person):
    for method in ("POST", "DELETE"):
        answer = person.ask("OPTIONS", "/api/v1/teams", headers={
            "origin": "https://evil.example", "access-control-request-method": method, "access-control-request-headers": "x-csrf-token"})
        assert answer.status_code >= 400 and not [h for h in answer.headers if h.startswith("access-control")], answer.headers


def test_f165_login_csrf(gateway, idp, person):
    """The attacker's own answer in the victim's browser: signed in or not, in the middle of its own sign-in or not."""
    attacker, stranger, midway = Person(gateway), Person(gateway), Person(gateway)
    link = attacker.to_callback(idp, "bob")
    said = idp.answer
    midway.to_callback(idp, "ada")
    mine = person.cookies[SESSION]
    for victim in (person, stranger, midway):
        refused = victim.ask("GET", link, headers={"sec-fetch-site": "cross-site"})
        assert refused.status_code == 403 and "does not belong" in refused.text
        assert_page(refused)
        assert not any(c.startswith(SESSION) for c in refused.headers.get_list("set-cookie"))
    assert person.cookies[SESSION] == mine and person.me().json()["user"] == "ada"
    assert stranger.me().status_code == 401 and midway.me().status_code == 401
    # Nor does the attacker's cookie help, planted under the name that a neighbour could set.
    stranger.cookies["headgate_sign_in"] = attacker.cookies[SIGN_IN]
    assert stranger.ask("GET", link).status_code == 403
    idp.answer = said # where it began it is good, once
    assert attacker.ask("GET", link).status_code == 200 and attacker.ask("GET", link).status_code == 403


def test_f165_the_cookies_and_pages_are_as_tight_as_can_be(gateway, idp, person):
    fresh = Person(gateway)
    link = fresh.to_callback(idp, "ada", return_to="/api/v1/teams?a=1&b=2")
    # This one must come along with the provider's redirect: Lax. It holds no session.
    assert re.fullmatch(SIGN_IN + r"=[\w-]+; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600", fresh.set[SIGN_IN])
    landed = fresh.keep(fresh.ask("GET", link))
    assert re.fullmatch(SESSION + r"=hgse_[\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Secure", fresh.set[SESSION])
    assert_page(landed)
    # A Strict cookie goes where our own page leads; it is not sent where the provider's redirect does.
    assert landed.status_code == 200 and 'content="0;url=/api/v1/teams?a=1&#38;b=2"' in landed.text
    out = fresh.keep(fresh.ask("POST", "/auth/logout", headers=fresh.page))
    assert out.status_code == 204 and re.fullmatch(SESSION + r"=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0", fresh.set[SESSION])
    # Only under its whole name, and nowhere but in a cookie; what goes with a token goes without one.
    value = person.cookies[SESSION]
    bare = Person(gateway)
    for headers in ({"cookie": f"headgate_session={value}"}, {"authorization": f"Bearer {value}"}, {"x-litellm-api-key": value}):
        assert bare.ask("GET", "/api/v1/me", headers=headers).status_code == 401, headers
    made = bare.ask("POST", "/api/v1/teams", headers={"authorization": f"Bearer {gateway.token}", "origin": "https://evil.example"}, json={"name": "by-token"})
    assert made.status_code == 201 and gateway.cli("team", "delete", "by-token")
    for path in ("/auth/login?issuer=nobody", "/auth/login?return_to=//x", "/auth/callback", "/auth/callback?state=x&code=y"):
        answer = bare.ask("GET", path)
        assert answer.status_code in (400, 403, 404), path
        assert_page(answer)


# ---- F167: guessing


def guess(address, target, tokens, method="GET", path="/api/v1/me", field="authorization: Bearer "):
    """Shows each token, many calls in flight on one kept connection: [(status, fields, body)]."""
    host, port = target.removeprefix("http://").split(":")
    answers, buffer = [], b""
    with socket.create_connection((host, int(port)), 30, source_address=(address, 0)) as s:
        file = s.makefile("rb")
        for start in range(0, len(tokens), 50):
            some = tokens[start:start + 50]
            s.sendall("".join(f"{method} {path} HTTP/1.1\r\nhost: x\r\n{field}{t}\r\n\r\n" for t in some).encode())
            for _ in some:
                status = int(file.readline().split()[1])
                fields = {}
                while (line := file.readline().decode().strip()):
                    name, _, value = line.partition(":")
                    fields[name.lower()] = value.strip()
                answers.append((status, fields, file.read(int(fields["content-length"]))))
    return answers


def token(prefix=""):
    return "hgat_" + prefix + base64.urlsafe_b64encode(os.urandom(32)).decode()[len(prefix):43]


def control_metric(gateway, name):
    text = httpx.get(gateway.admin_url + "/metrics", headers={"authorization": f"Bearer {gateway.token}"}).text
    return int(re.search(rf"^headgate_control_{name} (\d+)$", text, re.M).group(1))


def most(rate, since):
    """How many can have been looked at: the burst, what the time gave since then, and what was under way."""
    return rate + int((time.monotonic() - since) * rate / 60) + 1 + THREADS


def test_f167_brute_force_is_throttled_by_account_and_address(gateway, idp):
    guesser, elsewhere = "127.0.2.1", "127.0.2.2"
    mine = gateway.admin("POST", "/tokens", json={"name": "guessed-at", "role": "admin"}).json()
    prefix = mine["token"][5:8]
    assert mine["prefix"] == mine["token"][:8]

    def shows(address, text):
        return guess(address, gateway.admin_url, [text])[0]
    assert shows(guesser, mine["token"])[0] == 200 # the same address: others work there
    before, since = control_metric(gateway, "throttled_total"), time.monotonic()
    guesses = [token(prefix) for _ in range(GUESSES)]
    answers = guess(guesser, gateway.admin_url, guesses)
    statuses = [a[0] for a in answers]
    assert set(statuses) == {401, 429} and PER_MINUTE <= statuses.count(401) <= most(PER_MINUTE, since)
    assert control_metric(gateway, "throttled_total") - before == statuses.count(429)
    _, fields, body = next(a for a in answers if a[0] == 429)
    problem = json.loads(body)
    assert fields["content-type"] == "application/problem+json" and problem["code"] == "too_many_failures" and problem["status"] == 429
    assert 1 <= int(fields["retry-after"]) <= 60 // PER_MINUTE + THREADS * 60 // PER_MINUTE
    assert problem["request_id"] and "wait" in problem["detail"]

    # Nobody is shut out: not who calls from elsewhere, not who is known here, not another token's first guess here.
    assert shows(elsewhere, mine["token"])[0] == 200 and shows(elsewhere, token(prefix))[0] == 401
    assert shows(guesser, mine["token"])[0] == 200
    assert shows(guesser, token("zz" + prefix[:1]))[0] == 401

    # Another account with each guess: the address has a bucket too.
    answers = guess(guesser, gateway.admin_url, [token() for _ in range(GUESSES // 4)])
    looked_at = [a[0] for a in answers].count(401)
    assert PER_MINUTE < looked_at <= most(PER_MINUTE * TIMES, since)
    assert shows(guesser, mine["token"])[0] == 200 and shows(elsewhere, token())[0] == 401
    # A token that is good but was never seen here is not looked at either: to be right tells a guesser nothing. Behind so
    # many wrong ones there is room for it with a new minute's share only.
    def right_at_last():
        unseen = gateway.admin("POST", "/tokens", json={"name": "unseen-" + harness.marker(), "role": "admin"}).json()["token"]
        return guess(guesser, gateway.admin_url, [token(unseen[5:8]) for _ in range(100)] + [unseen])[-1][0]
    assert any(right_at_last() == 429 for _ in range(5))
    # In the words of each API.
    def refused(**more):
        return next(a for a in guess(guesser, gateway.admin_url, [token(prefix) for _ in range(50)], **more) if a[0] == 429)
    _, fields, body = refused(path="/scim/v2/Users")
    assert fields["content-type"] == "application/scim+json" and json.loads(body)["status"] == "429"
    assert json.loads(refused(path="/key/info?key=x", field="x-litellm-api-key: ")[2])["error"]["code"] == "429"

    # Said once, by what is no secret.
    lines = [json.loads(line) for line in gateway.log("controlplane").splitlines() if '"api.throttled"' in line]
    ours = [line for line in lines if line["peer"] == guesser]
    assert ours[0]["by"] == "account" and ours[0]["account"] == mine["prefix"] and any(line["by"] == "address" for line in ours)
    log = gateway.log("controlplane")
    assert not any(g in log for g in guesses[:100]) and mine["token"] not in log
    assert control_metric(gateway, "wrong_credentials_total") >= PER_MINUTE
    gateway.sql("DELETE FROM admin_tokens WHERE name LIKE 'unseen-%' OR name = 'guessed-at'")


def test_f167_guesses_at_the_same_moment_are_no_more(gateway):
    """Each on a connection of its own, all under way before the first of them has failed."""
    host, port = gateway.admin_url.removeprefix("http://").split(":")
    since = time.monotonic()
    sockets = [socket.create_connection((host, int(port)), 30, source_address=("127.0.2.3", 0)) for _ in range(400)]
    for s in sockets:
        s.sendall(f"GET /api/v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token('abc')}\r\nconnection: close\r\n\r\n".encode())
    statuses = [int(s.makefile("rb").readline().split()[1]) for s in sockets]
    for s in sockets:
        s.close()
    assert set(statuses) == {401, 429} and PER_MINUTE <= statuses.count(401) <= most(PER_MINUTE, since)


def test_f167_a_session_is_guessed_no_better_and_who_is_in_goes_on(gateway, idp, person):
    """All behind one address, as behind a proxy."""
    def cookie(text):
        return guess(person.address, gateway.admin_url, [text], field=f"cookie: {SESSION}=")[0][0]
    assert person.me().status_code == 200
    since = time.monotonic()
    shown = ["hgse_abc" + token()[8:] for _ in range(2000)]
    statuses = [a[0] for a in guess(person.address, gateway.admin_url, shown, field=f"cookie: {SESSION}=")]
    assert set(statuses) == {401, 429} and statuses.count(401) <= most(PER_MINUTE, since)
    assert cookie(person.cookies[SESSION]) == 200 and person.me().status_code == 200
    log = gateway.log("controlplane")
    assert '"account":"a session"' in log and "hgse_" not in log
    # It ends all the same, and is then one of the wrong ones.
    assert person.ask("POST", "/auth/logout", headers=person.page).status_code == 204
    assert cookie(person.cookies[SESSION]) == 401


def test_f167_what_strangers_may_ask_is_throttled_by_address(gateway, idp):
    """Answers that nobody asked for, and codes of the command line."""
    crowd, since, refused = Person(gateway), time.monotonic(), 0
    answers = [crowd.ask("GET", "/auth/callback?code=x&state=" + "A" * 43) for _ in range(PER_MINUTE * TIMES)]
    assert {a.status_code for a in answers} <= {403, 429}
    for n in range(60):
        page = crowd.ask("GET", "/auth/callback?code=x&state=" + "A" * 43)
        code = crowd.ask("POST", "/auth/token", json={"code": f"{n}", "code_verifier": "v" * 43})
        refused += (page.status_code == 429) + (code.status_code == 429)
        if page.status_code == 429:
            assert_page(page)
            assert "Too many" in page.text and int(page.headers["retry-after"]) >= 1
        if code.status_code == 429:
            assert code.json()["code"] == "too_many_failures" and int(code.headers["retry-after"]) >= 1
    looked_at = PER_MINUTE * TIMES + 120 - refused - sum(a.status_code == 429 for a in answers)
    assert PER_MINUTE * TIMES <= looked_at <= most(PER_MINUTE * TIMES, since)
    assert Person(gateway).sign_in(idp, "bob").status_code == 200 # elsewhere
    gateway.sql("DELETE FROM admin_sessions")


def test_f167_sign_ins_of_one_user_are_throttled_where_they_fail(gateway, idp):
    """The account that the provider named: it may not come in, and tries all the same."""
    gateway.apply({"users": [{"name": "eve", "disabled": True}]})
    eve = Person(gateway)
    answers = []
    while not answers or (answers[-1].status_code == 403 and len(answers) < 10 * PER_MINUTE):
        answers.append(eve.sign_in(idp, "eve"))
    assert len(answers) > PER_MINUTE and answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) >= 1
    assert_page(answers[-1])
    assert Person(gateway, eve.address).sign_in(idp, "bob").status_code == 200 # another account there
    assert Person(gateway).sign_in(idp, "eve").status_code == 403              # the same elsewhere is looked at
    assert f'"peer":"{eve.address}","by":"account","account":"eve"' in gateway.log("controlplane")
    gateway.cli("user", "delete", "eve")
    gateway.sql("DELETE FROM admin_sessions")


# ---- F167: sessions


def test_f167_fixation(gateway, idp, second):
    planted, victim = "hgse_" + token()[5:], Person(gateway)
    victim.cookies[SESSION] = planted
    assert victim.me().status_code == 401 and victim.me(second).status_code == 401
    assert victim.sign_in(idp, "ada").status_code == 200
    first = victim.cookies[SESSION]
    assert first != planted
    attacker = Person(gateway)
    attacker.cookies[SESSION] = planted
    assert attacker.me().status_code == 401 and attacker.me(second).status_code == 401
    # An attacker's own good session, planted before the victim signs in: it ends, and is not the victim's.
    assert attacker.sign_in(idp, "bob").status_code == 200
    victim.cookies[SESSION] = attacker.cookies[SESSION]
    assert victim.sign_in(idp, "ada").status_code == 200
    assert victim.me().json()["user"] == "ada" and attacker.me().status_code == 401 and attacker.me(second).status_code == 401
    gateway.sql("DELETE FROM admin_sessions")


def cli_session(gateway, idp, user):
    """What `headgate login` gets: its token; and the question that it asks for it."""
    verifier = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    page = Person(gateway).sign_in(idp, user, cli_port=4711, cli_challenge=challenge, cli_state="s")
    assert page.status_code == 200 and "Sign in the command line?" in page.text, page.text
    assert_page(page)
    return {"code": re.search(r"code=([\w-]+)", page.text).group(1), "code_verifier": verifier}


@pytest.mark.parametrize("how", ["logout", "ended by another", "disabled", "deactivated by SCIM", "deleted by SCIM", "sign-in disabled", "idle", "token deleted"])
def test_f167_what_is_over_is_over_at_once_everywhere(gateway, idp, second, how):
    """Kept and shown again at the very next call: its control plane's, and another's. Both kinds of sessions, and a token."""
    name = "leaver-" + harness.marker()
    scim_token = gateway.admin("POST", "/tokens", json={"name": name, "role": "admin"}).json()["token"]
    def scim(method, path, **body):
        answer = httpx.request(method, gateway.admin_url + "/scim/v2/Users" + path, json=body or None, timeout=30,
                               headers={"authorization": f"Bearer {scim_token}", "content-type": "application/scim+json"})
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None
    user = scim("POST", "", schemas=["urn:ietf:params:scim:schemas:core:2.0:User"], userName=name)
    person, chief = Person(gateway), Person(gateway)
    assert person.sign_in(idp, name).status_code == 200 and chief.sign_in(idp, "ada").status_code == 200
    shell = person.ask("POST", "/auth/token", json=cli_session(gateway, idp, name)).json()["token"]
    own = gateway.admin("POST", "/tokens", json={"name": name + "-own", "user": name}).json()["token"]
    kept = dict(person.cookies)

    def shown():
        """By the cookie, the command line's token and the admin token, at both."""
        person.cookies = dict(kept)
        bare = Person(gateway)
        return [[person.me(base).status_code, *(bare.ask("GET", "/api/v1/me", base, {"authorization": f"Bearer {t}"}).status_code for t in (shell, own))]
                for base in (None, second)]
    assert shown() == [[200, 200, 200]] * 2
    page, at = person.page, f"/{user['id']}"
    both = [401, 401, 401]
    if how == "logout":
        assert person.keep(person.ask("POST", "/auth/logout", headers=page)).status_code == 204
        want = [401, 200, 200] # the other two were not signed out
    elif how == "ended by another":
        for session in chief.ask("GET", "/api/v1/sessions", params={"user": name}).json()["data"]:
            assert chief.ask("DELETE", f"/api/v1/sessions/{session['id']}", second, chief.page).status_code == 204
        want = [401, 401, 200]
    elif how == "disabled":
        gateway.cli("user", "set", name, "disabled=true")
        want = both
    elif how == "deactivated by SCIM":
        scim("PATCH", at, schemas=["urn:ietf:params:scim:api:messages:2.0:PatchOp"], Operations=[{"op": "replace", "value": {"active": False}}])
        want = both
    elif how == "deleted by SCIM":
        scim("DELETE", at)
        want = both
    elif how == "sign-in disabled":
        gateway.cli("sign-in", "set", idp.name, "disabled=true")
        want = [401, 401, 200]
    elif how == "idle":
        gateway.sql("UPDATE admin_sessions SET seen_at = now() - interval '3601 s'")
        want = [401, 401, 200]
    else:
        assert gateway.admin("DELETE", f"/tokens/{name}-own").status_code == 204
        want = [200, 200, 401]
    assert shown() == [want] * 2
    if how in ("disabled", "deactivated by SCIM"): # a session that ended does not come back with its user
        gateway.cli("user", "set", name, "disabled=false")
        assert shown() == [[401, 401, 200]] * 2
    if how == "sign-in disabled":
        gateway.cli("sign-in", "set", idp.name, "disabled=false")
        idp.known()
    gateway.admin("DELETE", f"/users/{name}", headers={"if-match": "*"})
    gateway.admin("DELETE", f"/tokens/{name}")
    gateway.sql("DELETE FROM admin_sessions")


def test_f167_a_session_has_the_rights_of_now(gateway, idp, second):
    """A role that is taken or given counts at the next call, wherever it is made."""
    by_group, by_name = Person(gateway), Person(gateway)
    assert by_group.sign_in(idp, "bob", claims=["platform"]).status_code == 200

    def may(who):
        return [who.ask("GET", "/api/v1/users", base).status_code for base in (None, second)]
    assert may(by_group) == [403, 403]
    gateway.apply({"bindings": [{"name": "admins", "role": "owner", "groups": ["admins"]}]})
    assert may(by_group) == [200, 200]
    gateway.cli("binding", "set", "admins", "role=billing")
    assert may(by_group) == [403, 403] and by_group.me().json()["roles"] == ["billing"]
    gateway.cli("binding", "set", "admins", "role=owner")
    assert may(by_group) == [200, 200]
    idp.set(**{**ITEM, "groups": []}) # what the provider says means nothing any more
    assert may(by_group) == [403, 403]
    gateway.cli("binding", "delete", "admins")
    idp.set(**ITEM)
    gateway.apply({"roles": [{"name": "looker", "permissions": ["users.read"]}], "users": [{"name": "carl"}],
                   "bindings": [{"name": "carls", "role": "looker", "users": ["carl"]}]})
    assert by_name.sign_in(idp, "carl").status_code == 200 and may(by_name) == [200, 200]
    gateway.apply({"roles": [{"name": "looker", "permissions": ["teams.read"]}]})
    assert may(by_name) == [403, 403]
    gateway.apply({"roles": [{"name": "looker", "permissions": ["users.read"]}]})
    assert may(by_name) == [200, 200]
    gateway.cli("binding", "delete", "carls")
    assert may(by_name) == [403, 403]
    gateway.cli("role", "delete", "looker")
    gateway.cli("user", "delete", "carl")
    gateway.sql("DELETE FROM admin_sessions")


# ---- F167: two at once


def at_once(calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(c) for c in calls]]


def test_f167_parallel_refreshes_mint_one(gateway, idp, second):
    """What is good once is good once: the provider's answer, the command line's code. There are no refresh tokens."""
    for _ in range(5):
        gateway.sql("DELETE FROM admin_sessions")
        browser = Person(gateway)
        link = browser.to_callback(idp, "ada")
        cookie = {"cookie": f"{SIGN_IN}={browser.cookies[SIGN_IN]}"}
        answers = at_once([lambda b=base: httpx.get(b + link, headers=cookie, timeout=30) for base in (gateway.admin_url, second) * 2])
        minted = [c for a in answers for c in a.headers.get_list("set-cookie") if c.startswith(SESSION + "=hgse_")]
        assert len(minted) == 1 and sorted(a.status_code for a in answers)[0] == 200, [a.status_code for a in answers]
        assert gateway.sql("SELECT count(*) FROM admin_sessions") == [["1"]]
        question = cli_session(gateway, idp, "ada")
        answers = at_once([lambda b=base: httpx.post(b + "/auth/token", json=question, timeout=30) for base in (gateway.admin_url, second) * 4])
        assert sorted(a.status_code for a in answers) == [201] + [400] * 7
        assert gateway.sql("SELECT count(*) FROM admin_sessions WHERE kind = 'cli'") == [["1"]]
    gateway.sql("DELETE FROM admin_sessions")


def test_f167_parallel_calls_move_an_idle_end_and_nothing_else(gateway, idp, second, person):
    """Use extends a session, without a new one: in parallel it is the same session, with the end it had. One that is being
    ended meanwhile is not kept alive by its use."""
    before = person.me().json()["session"]
    for _ in range(5):
        gateway.sql("UPDATE admin_sessions SET seen_at = now() - interval '30 minutes'")
        others = [Person(gateway) for _ in range(6)]
        for other in others:
            other.cookies = dict(person.cookies)
        answers = at_once([lambda o=o, b=b: o.me(b) for o, b in zip(others, (None, second) * 3)])
        assert [a.status_code for a in answers] == [200] * 6
        assert not any(a.headers.get_list("set-cookie") for a in answers)
        assert {(a.json()["session"]["id"], a.json()["session"]["ends_at"]) for a in answers} == {(before["id"], before["ends_at"])}
        assert gateway.sql("SELECT count(*), bool_and(seen_at > now() - interval '1 minute') FROM admin_sessions") == [["1", "t"]]
    page = person.page
    gateway.sql("UPDATE admin_sessions SET seen_at = now() - interval '30 minutes'")
    out, *_ = at_once([lambda: person.ask("POST", "/auth/logout", headers=page), *[lambda o=o: o.me() for o in others]])
    assert out.status_code == 204 and [o.me(b).status_code for o in others for b in (None, second)] == [401] * 12
    assert gateway.sql("SELECT count(*) FROM admin_sessions") == [["0"]]
