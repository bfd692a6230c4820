"""Signing in with a real identity provider (Canaille), as a browser does it; sessions, and the command line."""

import base64
import json
import re
import subprocess
import threading
import time

import httpx
import pytest

import browsers
import harness
from harness import until

FAR = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "forwarded": "host=evil.example",
       "x-original-url": "/auth/login", "x-rewrite-url": "/auth/login"}


@pytest.fixture(scope="module")
def gateway():
    made = harness.Gateway(workers=1)
    try:
        made.up()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def idp(gateway):
    made = browsers.Canaille(gateway)
    try:
        yield made
    finally:
        made.close()


DOCUMENT = {
    "teams": [{"name": "default"}, {"name": "lab"}],
    "users": [{"name": "ada"}, {"name": "bob"}],
    "groups": [{"name": "admins"}, {"name": "readers"}],
    "bindings": [{"name": "admins", "role": "owner", "groups": ["admins"]},
                 {"name": "readers", "role": "auditor", "groups": ["readers"]},
                 {"name": "bobs", "role": "developer", "users": ["bob"], "team": "lab"}],
}
GROUPS = [{"claim": "platform", "group": "admins"}]


@pytest.fixture
def configured(gateway, idp):
    """The document above with the provider; a function to change the provider's item."""
    def set_item(**members):
        gateway.apply({**DOCUMENT, "sign_ins": [idp.item(**{"groups": GROUPS, **members})]}, "--prune")
        until(lambda: gateway.sql("SELECT 1 FROM sign_in_providers WHERE endpoints IS NOT NULL AND problem = ''"), 8, "the provider")
    set_item()
    yield set_item
    gateway.sql("DELETE FROM admin_sessions")


@pytest.fixture
def browser(gateway):
    made = browsers.Browser(gateway)
    yield made
    made.close()


def audit(gateway, action):
    return gateway.admin("GET", "/audit", params={"action": action, "limit": 1000}).json()["data"]


# ---- in and out


def test_a_person_signs_in_works_and_signs_out(gateway, configured, browser):
    landed = browser.sign_in("ada", issuer="canaille", return_to="/api/v1/teams?limit=3")
    # A redirect would not do: browsers send a SameSite=Strict cookie to where a page of ours leads, not a provider.
    assert landed.status_code == 200 and '<meta http-equiv="refresh" content="0;url=/api/v1/teams?limit=3">' in landed.text
    assert "default-src 'none'" in landed.headers["content-security-policy"] and "location" not in landed.headers
    cookies = [v for k, v in landed.headers.multi_items() if k == "set-cookie"]
    session = next(c for c in cookies if c.startswith("headgate_session=hgse_"))
    assert "; HttpOnly" in session and "; SameSite=Strict" in session and "; Path=/" in session and "Domain" not in session
    assert any(c.startswith("headgate_sign_in=;") and "Max-Age=0" in c for c in cookies)
    value = session.split("=", 1)[1].split(";")[0]
    assert len(base64.urlsafe_b64decode(value.removeprefix("hgse_") + "=")) == 32

    me = browser.me().json()
    assert (me["user"], me["name"], me["roles"], me["permissions"]) == ("ada", "user:ada", ["owner"], ["*"])
    assert me["grants"][0]["group"] == "admins" and me["session"]["kind"] == "browser"
    assert browser.admin("/api/v1/teams").status_code == 200
    made = browser.http.post(gateway.admin_url + "/api/v1/teams", json={"name": "by-ada"}, headers=browser.csrf)
    assert made.status_code == 201, made.text
    assert audit(gateway, "team.create")[0]["actor"] == "user:ada"
    gone = browser.http.delete(gateway.admin_url + "/api/v1/teams/by-ada", headers={**browser.csrf, "if-match": "*"})
    assert gone.status_code == 204, gone.text
    row = audit(gateway, "session.create")[0]
    assert row["actor"] == "user:ada" and row["detail"] == {"sign_in": "canaille", "kind": "browser", "claims": ["platform"]}

    out = browser.http.post(gateway.admin_url + "/auth/logout", headers=browser.csrf)
    assert out.status_code == 204, out.text
    browser.http.cookies.set("headgate_session", value, domain="127.0.0.1") # as if it were kept
    assert browser.me().status_code == 401
    # Nothing that opens anything was written down.
    everything = gateway.dump() + gateway.log("controlplane")
    code = re.search(r"[?&]code=([^&]+)", next(u for u in browser.visited if u.startswith(gateway.admin_url + "/auth/callback"))).group(1)
    for secret in (value, code, browsers.Canaille.client_secret, browsers.Canaille.password):
        assert secret not in everything
    assert not any(value in url for url in browser.visited)


def test_rights_are_those_of_user_and_groups_only(gateway, configured, browser):
    """bob's group is not mapped: he has what his own binding gives. Memberships of the token last for the session."""
    browser.sign_in("bob")
    me = browser.me().json()
    assert (me["user"], me["permissions"], me["roles"]) == ("bob", [], ["developer"])
    assert browser.admin("/api/v1/users").status_code == 403
    asked = browser.admin("/api/v1/can", params={"action": "keys.create", "resource": "teams/lab"}).json()
    assert asked["allowed"] is True
    # His session began before: now his group is one that means something; the token had said it, but nobody had mapped it.
    configured(groups=[*GROUPS, {"claim": "everybody", "group": "readers"}])
    assert "auditor" not in browser.me().json()["roles"]
    again = browsers.Browser(gateway)
    again.sign_in("bob")
    assert sorted(again.me().json()["roles"]) == ["auditor", "developer"]
    configured() # what is no longer mapped is no longer had, at once
    assert again.me().json()["roles"] == ["developer"]
    # A token made for him does not have what the provider said of a session.
    assert gateway.sql("SELECT count(*) FROM config_items WHERE kind = 'groups' AND body ? 'users'") == [["0"]]
    again.close()


def test_who_is_no_user_is_not_let_in_unless_it_is_said(gateway, configured, browser):
    refused = browser.sign_in("eve")
    assert refused.status_code == 403 and "no user &#39;eve&#39;" in refused.text, refused.text
    assert refused.headers["content-type"].startswith("text/html") and "default-src 'none'" in refused.headers["content-security-policy"]
    assert browser.me().status_code == 401
    configured(create_users=True)
    other = browsers.Browser(gateway)
    assert other.sign_in("eve").status_code == 200
    me = other.me().json()
    assert (me["user"], me["permissions"], me["grants"]) == ("eve", [], [])
    assert other.admin("/api/v1/teams").status_code == 403
    row = audit(gateway, "user.create")[0]
    assert (row["actor"], row["object"]) == ("sign_in:canaille", "users/eve")
    gateway.cli("user", "delete", "eve")
    assert other.me().status_code == 401
    other.close()


def test_disabled_and_deleted_users_are_out(gateway, configured, browser):
    browser.sign_in("ada")
    assert browser.me().status_code == 200
    gateway.cli("user", "set", "ada", "disabled=true")
    assert browser.me().status_code == 401
    refused = browsers.Browser(gateway)
    assert "disabled" in refused.sign_in("ada").text
    refused.close()
    gateway.cli("user", "set", "ada", "disabled=false") # a session that ended does not come back
    assert browser.me().status_code == 401
    again = browsers.Browser(gateway)
    again.sign_in("ada")
    gateway.cli("user", "delete", "ada")
    gateway.cli("user", "create", "ada")
    assert again.me().status_code == 401
    again.close()


def test_sessions_end_by_themselves_and_by_others(gateway, configured, browser):
    browser.sign_in("ada")
    mine = browser.me().json()["session"]["id"]
    bob = browsers.Browser(gateway)
    bob.sign_in("bob")
    listed = browser.admin("/api/v1/sessions").json()["data"]
    assert {(s["user"], s["current"]) for s in listed} == {("ada", True), ("bob", False)}
    assert [s["user"] for s in bob.admin("/api/v1/sessions").json()["data"]] == ["bob"]
    assert bob.admin("/api/v1/sessions", params={"user": "ada"}).status_code == 403
    his = next(s["id"] for s in listed if s["user"] == "bob")
    page = browser.admin("/api/v1/sessions", params={"limit": 1}).json()
    assert browser.admin("/api/v1/sessions", params={"limit": 1, "cursor": page["next"]}).json()["data"][0]["id"] != page["data"][0]["id"]

    foreign = bob.http.delete(gateway.admin_url + f"/api/v1/sessions/{mine}", headers=bob.csrf)
    assert foreign.status_code == 404 and browser.me().status_code == 200
    assert browser.http.delete(gateway.admin_url + f"/api/v1/sessions/{his}", headers=browser.csrf).status_code == 204
    assert bob.me().status_code == 401 and audit(gateway, "session.delete")[0]["object"] == f"sessions/{his}"

    # Idle, then at its end in any case: by the clock of the database.
    gateway.sql("UPDATE admin_sessions SET seen_at = now() - interval '3590 s'")
    assert browser.me().status_code == 200
    assert gateway.sql("SELECT seen_at > now() - interval '60 s' FROM admin_sessions") == [["t"]]
    gateway.sql("UPDATE admin_sessions SET seen_at = now() - interval '3601 s'")
    assert browser.me().status_code == 401
    gateway.sql("UPDATE admin_sessions SET seen_at = now()")
    assert browser.me().status_code == 200
    gateway.sql("UPDATE admin_sessions SET ends_at = now() - interval '1 s'")
    assert browser.me().status_code == 401
    gateway.sql("UPDATE admin_sessions SET ends_at = now() + interval '1 hour'")
    gateway.cli("sign-in", "set", "canaille", "disabled=true")
    assert browser.me().status_code == 401
    bob.close()


# ---- what an attacker tries


def test_login_csrf_another_browsers_answer_is_not_taken(gateway, configured, browser):
    """The attacker's own code and state, in the victim's browser."""
    attacker = browsers.Browser(gateway)
    link = attacker.to_callback("bob").headers["location"]
    for victim in (browsers.Browser(gateway), browser):
        if victim is browser:
            victim.start() # it has a sign-in of its own under way
        refused = victim.get(link)
        assert refused.status_code == 403 and "does not belong" in refused.text
        assert not any(c.startswith("headgate_session=h") for c in refused.headers.get_list("set-cookie"))
        assert victim.me().status_code == 401
    assert attacker.get(link).status_code == 200 # where it began it is good
    attacker.close()


def test_replay_an_answer_is_good_once_and_for_ten_minutes(gateway, configured, browser):
    link = browser.to_callback("ada").headers["location"]
    kept = browser.http.cookies.get("headgate_sign_in")
    assert browser.get(link).status_code == 200
    browser.http.cookies.clear()
    browser.http.cookies.set("headgate_sign_in", kept, domain="127.0.0.1")
    again = browser.get(link)
    assert again.status_code == 403 and "used already" in again.text
    assert browser.me().status_code == 401
    # Nor with another code: state and cookie are spent.
    assert browser.get(re.sub(r"code=[^&]+", "code=another", link)).status_code == 403
    # Parts of it, changed.
    fresh = browser.to_callback("ada").headers["location"]
    state = re.search(r"state=([^&]+)", fresh).group(1)
    for bad in (fresh.replace(state, state[:-1] + ("A" if state[-1] != "A" else "B")), fresh.replace("state=" + state, "state="),
                re.sub(r"&?state=[^&]+", "", fresh), re.sub(r"code=[^&]+", "code=", fresh), fresh + "&iss=https://evil.example"
                if "iss=" not in fresh else re.sub(r"iss=[^&]+", "iss=https%3A%2F%2Fevil.example", fresh)):
        kept = dict(browser.http.cookies)
        assert browser.get(bad).status_code in (400, 403), bad
        for name, value in kept.items():
            browser.http.cookies.set(name, value, domain="127.0.0.1")
    cookie = browser.http.cookies.get("headgate_sign_in")
    changed = cookie[:40] + ("A" if cookie[40] != "A" else "B") + cookie[41:]
    for bad in (cookie[:-2], changed, "", cookie + "AAAA", "x" * 3000):
        with httpx.Client() as bare:
            assert bare.get(fresh, headers={"cookie": f"headgate_sign_in={bad}"}).status_code == 403
    with httpx.Client() as bare: # two of the name: somebody else set one
        assert bare.get(fresh, headers={"cookie": f"headgate_sign_in={cookie}; headgate_sign_in={cookie}"}).status_code == 403
    assert browser.get(fresh).status_code == 200


def test_fixation_a_session_is_always_a_new_one(gateway, configured, browser):
    planted = "hgse_" + "A" * 43
    browser.http.cookies.set("headgate_session", planted, domain="127.0.0.1")
    landed = browser.sign_in("ada")
    first = next(c for c in landed.headers.get_list("set-cookie") if c.startswith("headgate_session=")).split("=", 1)[1].split(";")[0]
    assert first != planted
    with httpx.Client() as bare:
        assert bare.get(gateway.admin_url + "/api/v1/me", headers={"cookie": f"headgate_session={planted}"}).status_code == 401
        assert bare.get(gateway.admin_url + "/api/v1/me", headers={"cookie": f"headgate_session={first}"}).status_code == 200
        browser.http.cookies.clear()
        browser.http.cookies.set("headgate_session", first, domain="127.0.0.1")
        browser.sign_in("ada") # again: the one before ends
        assert bare.get(gateway.admin_url + "/api/v1/me", headers={"cookie": f"headgate_session={first}"}).status_code == 401
    assert gateway.sql("SELECT count(*) FROM admin_sessions") == [["1"]]


def test_csrf_a_cookie_alone_changes_nothing(gateway, configured, browser):
    browser.sign_in("ada")
    good = browser.csrf
    url = gateway.admin_url + "/api/v1/teams"
    bad = {
        "nothing": {}, "no token": {"origin": good["origin"]}, "no origin": {"x-csrf-token": good["x-csrf-token"]},
        "another origin": {**good, "origin": "https://evil.example"}, "null": {**good, "origin": "null"},
        "a neighbour's port": {**good, "origin": "http://127.0.0.1:1"},
        "our name inside": {**good, "origin": good["origin"] + ".evil.example"},
        "cross-site": {**good, "sec-fetch-site": "cross-site"}, "same-site": {**good, "sec-fetch-site": "same-site"},
        "typed": {**good, "sec-fetch-site": "none"}, "a wrong token": {**good, "x-csrf-token": "A" * 43},
        "a short token": {**good, "x-csrf-token": good["x-csrf-token"][:20]},
        "host says so": {**good, "origin": "https://evil.example", "host": "evil.example"},
    }
    for name, headers in bad.items():
        answer = browser.http.post(url, json={"name": "by-csrf"}, headers=headers)
        assert answer.status_code == 403 and answer.json()["code"] in ("cross_site", "csrf_token"), (name, answer.text)
        assert browser.http.post(gateway.admin_url + "/auth/logout", headers=headers).status_code == 403, name
    form = browser.http.post(url, data={"name": "by-csrf"}, headers=good)
    assert form.status_code == 415
    assert browser.http.post(url, json={"name": "by-page"}, headers={**good, "sec-fetch-site": "same-origin"}).status_code == 201
    with_token = httpx.post(url, json={"name": "by-token"}, headers={"authorization": f"Bearer {gateway.token}", "origin": "https://evil.example"})
    assert with_token.status_code == 201 # what is shown on purpose needs no such defence
    assert {"by-page", "by-token"} <= {t["name"] for t in browser.admin("/api/v1/teams").json()["data"]}
    for name in ("by-page", "by-token"):
        gateway.cli("team", "delete", name)


def test_no_open_redirect_and_f153_no_word_of_host(gateway, configured, browser):
    for bad in ("https://evil.example", "//evil.example", "/\\evil.example", "\\/evil.example", "/a b", "javascript:alert(1)", "",
                "evil", "/%0d%0aset-cookie:x", "/" + "a" * 1100, "/\tevil"):
        answer = browser.admin("/auth/login", params={"return_to": bad})
        if bad.startswith("/%0d"):
            assert answer.status_code == 303 # as text: it stays a path
        else:
            assert answer.status_code == 400 and "location" not in answer.headers, bad
    plain = browser.start()
    for headers in ({}, FAR):
        at = httpx.URL(browser.admin("/auth/login", headers=headers).headers["location"])
        assert at.params["redirect_uri"] == gateway.admin_url + "/auth/callback"
        assert at.params["code_challenge_method"] == "S256" and at.params["response_type"] == "code"
    assert httpx.URL(plain.headers["location"]).params["state"] != at.params["state"]
    # F153: what decides is the path that is routed, whatever else the request says.
    sneaky = ["/auth/login/../../api/v1/keys", "/auth/login/..;/api/v1/keys", "/auth/login%2f..%2f..%2fapi/v1/keys", "//auth/login",
              "/auth/login/api/v1/keys", "/healthz/../api/v1/keys", "/api/v1/keys?/auth/login", "/api/v1/keys;/auth/login",
              "/api/v1/keys/..%2f..%2fauth%2flogin", "/AUTH/LOGIN", "/auth/callback/", "/api/v1/%6beys"]
    host, port = gateway.admin_url.removeprefix("http://").split(":")
    import socket
    for path in sneaky:
        for line in (f"GET {path} HTTP/1.1", f"GET http://evil.example{path} HTTP/1.1"):
            with socket.create_connection((host, int(port)), 5) as s:
                s.sendall((line + "\r\n" + "".join(f"{k}: {v}\r\n" for k, v in FAR.items()) + "connection: close\r\n\r\n").encode())
                got = b""
                while more := s.recv(65536):
                    got += more
            assert got.split(b" ", 2)[1] in (b"400", b"401", b"404"), (line, got[:200])


def test_pages_show_what_they_are_given_as_text(gateway, configured, browser):
    for query in ({"issuer": "<script>alert(1)</script>"}, {"issuer": "x" * 300}, {"cli_port": "<b>"}, {"issuer": "a\"'&"}):
        answer = browser.admin("/auth/login", params=query)
        assert answer.status_code in (400, 404) and "<script" not in answer.text and "<b>" not in answer.text
    browser.start()
    state = "A" * 43
    answer = browser.admin("/auth/callback", params={"error": "<script>", "error_description": "<img src=x>", "state": state})
    assert answer.status_code == 403 and "<script" not in answer.text and "<img" not in answer.text
    # The provider's own refusal, for our question.
    state = httpx.URL(browser.start().headers["location"]).params["state"]
    answer = browser.admin("/auth/callback", params={"error": "access_denied", "error_description": "<img src=x>", "state": state})
    assert answer.status_code == 403 and "<img" not in answer.text and "did not let you in" in answer.text


def test_f152_a_session_is_known_by_all_of_its_text(gateway, configured, browser):
    landed = browser.sign_in("ada")
    value = next(c for c in landed.headers.get_list("set-cookie") if c.startswith("headgate_session=")).split("=", 1)[1].split(";")[0]
    with httpx.Client() as bare:
        def ask(**headers):
            return bare.get(gateway.admin_url + "/api/v1/me", headers=headers).status_code
        assert ask(cookie=f"headgate_session={value}") == 200
        for bad in (value[:-1] + ("A" if value[-1] != "A" else "E"), value[:24] + "A" * 24, value + "A", value[:-1], value.upper(), value[5:]):
            assert ask(cookie=f"headgate_session={bad}") == 401, bad
        assert ask(authorization=f"Bearer {value}") == 401 # a cookie's is no token
        assert ask(cookie=f"headgate_session={value}; headgate_session={value}") == 401
        assert ask(cookie=f"x=1; headgate_session={value}; y=2") == 200
        assert ask(cookie=f"xheadgate_session={value}") == 401
        # A token that is wrong is not made good by a cookie.
        assert ask(authorization="Bearer hgat_" + "x" * 43, cookie=f"headgate_session={value}") == 401


def test_strangers_store_nothing_and_send_little(gateway, configured, browser):
    for _ in range(20):
        browser.admin("/auth/login")
        browser.admin("/auth/callback", params={"code": "x", "state": "A" * 43})
    assert gateway.sql("SELECT (SELECT count(*) FROM sign_in_codes) + (SELECT count(*) FROM admin_sessions)") == [["0"]]
    large = httpx.post(gateway.admin_url + "/auth/token", content=b'{"code":"' + b"x" * 9000 + b'"}', headers={"content-type": "application/json"})
    assert large.status_code == 413
    assert httpx.post(gateway.admin_url + "/auth/token", json={"code": "x", "code_verifier": "v" * 43}).json()["code"] == "invalid_code"


# ---- who may configure it


def test_who_configures_a_sign_in_must_be_owner(gateway, configured, idp):
    """Through it one can become anybody; and a mapped group is somebody's rights, though nobody is in it by name."""
    configured(groups=[*GROUPS, {"claim": "everybody", "group": "readers"}])
    gateway.apply({"users": [{"name": "chief"}, {"name": "lead"}],
                   "roles": [{"name": "keeper", "permissions": ["sign_ins.*", "groups.*", "users.*"]}],
                   "bindings": [{"name": "chiefs", "role": "keeper", "users": ["chief"]},
                                {"name": "leads", "role": "team-admin", "users": ["lead"], "team": "lab"},
                                *DOCUMENT["bindings"]]})
    chief, lead = ({"authorization": "Bearer " + gateway.admin("POST", "/tokens", json={"name": f"{n}-{harness.marker()}", "user": n}).json()["token"],
                    "if-match": "*"} for n in ("chief", "lead"))
    def ask(who, method, path, body=None):
        return httpx.request(method, gateway.admin_url + "/api/v1" + path, headers=who, json=body, timeout=30)
    refused = ask(chief, "POST", "/sign_ins", idp.item("mine"))
    assert refused.status_code == 403 and refused.json()["code"] == "escalation", refused.text
    assert ask(chief, "PATCH", "/sign_ins/canaille", {"create_users": True}).status_code == 403
    assert ask(chief, "DELETE", "/sign_ins/canaille").status_code == 403
    # 'readers' is empty, but those whom the provider calls everybody are in it: what it is given counts.
    refused = ask(lead, "POST", "/bindings", {"name": "up", "role": "owner", "groups": ["readers"], "team": "lab"})
    assert refused.status_code == 403 and refused.json()["code"] == "escalation", refused.text
    assert ask(lead, "POST", "/bindings", {"name": "fair", "role": "developer", "groups": ["readers"], "team": "lab"}).status_code == 201
    assert ask(chief, "POST", "/groups", {"name": "around", "groups": ["readers"]}).status_code == 201 # it is in nothing that is bound
    refused = ask(chief, "PATCH", "/groups/admins", {"groups": ["readers"]})
    assert refused.status_code == 403 and refused.json()["code"] == "escalation", refused.text
    gone = gateway.admin("DELETE", "/groups/admins", headers={"if-match": "*"})
    assert gone.status_code == 409, gone.text


@pytest.mark.parametrize("members, path", [
    ({"issuer": "http://idp.example"}, "issuer"), ({"issuer": "https://127.0.0.1/x"}, "issuer"), ({"issuer": "https://idp.example?x"}, "issuer"),
    ({"scopes": ["email"]}, "scopes"), ({"scopes": ["open id"]}, "scopes[0]"), ({"session_idle_s": 7200, "session_max_s": 3600}, "session_idle_s"),
    ({"groups": [{"claim": "x", "group": "nobody"}]}, "groups[0].group"), ({"credential": "env:HEADGATE_DATABASE_URL"}, "credential"),
    ({"client_secret": "x"}, "client_secret")])
def test_f175_an_item_is_held_to_its_form(gateway, members, path):
    answer = gateway.admin("POST", "/sign_ins", json={"name": "bad", "issuer": "https://idp.example", "client_id": "c", **members})
    assert answer.status_code == 400 and answer.json()["path"] == path, answer.text


def test_the_secret_is_sealed_and_marked(gateway, configured, idp):
    seen = gateway.admin("GET", "/sign_ins/canaille").json()
    assert re.fullmatch(r"sealed:[0-9a-f]{16}", seen["credential"])
    assert gateway.cli_json("diff", "-f", "-", stdin=gateway.cli("export"))["changes"] == []


# ---- the command line


class Login(threading.Thread):
    """`headgate login` as a process, with the address it asks to open."""

    def __init__(self, gateway, *args, environment=None):
        super().__init__(daemon=True)
        self.process = subprocess.Popen(gateway.command("login", *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        stdin=subprocess.DEVNULL, env=harness.clean_environment(environment))
        self.url = None
        for line in self.process.stderr:
            if line.strip().startswith("http"):
                self.url = line.strip()
                break
        assert self.url, self.process.stderr.read()

    def done(self):
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def allow(browser, url, name):
    """Opens the address, goes through the provider, and clicks what lets the command line in."""
    page = browser.to_callback(name, **dict(httpx.URL(url).params))
    asked = browser.get(page.headers["location"])
    assert asked.status_code == 200 and "Sign in the command line?" in asked.text, asked.text
    assert not any(c.startswith("headgate_session=h") for c in asked.headers.get_list("set-cookie"))
    return re.search(r'<a href="(http://127.0.0.1:\d+/[^"]*)"', asked.text).group(1).replace("&#38;", "&")


def test_the_command_line_signs_in(gateway, configured, browser):
    login = Login(gateway)
    link = allow(browser, login.url, "ada")
    wrong = httpx.get(re.sub(r"state=[^&]+", "state=" + "A" * 43, link))
    assert wrong.status_code == 404 and httpx.get(httpx.URL(link).copy_with(path="/favicon.ico", query=None)).status_code == 404
    assert "You can close this window" in httpx.get(link).text
    code, out, err = login.done()
    assert code == 0 and out.startswith("signed in as ada until "), err
    file = gateway.home / "login.json"
    assert file.stat().st_mode & 0o777 == 0o600
    kept = json.loads(file.read_text())
    me = gateway.cli_json("whoami")
    assert (me["user"], me["permissions"], me["session"]["kind"]) == ("ada", ["*"], "cli")
    gateway.cli("team", "create", "by-cli")
    assert audit(gateway, "team.create")[0]["actor"] == "user:ada"
    gateway.cli("team", "delete", "by-cli")
    assert "ada" in gateway.cli("session", "list")
    # It is a token, not a cookie; the code was good once.
    assert httpx.get(gateway.admin_url + "/api/v1/me", headers={"cookie": "headgate_session=" + kept["token"]}).status_code == 401
    assert kept["token"] not in gateway.dump() + gateway.log("controlplane")
    # It is over: said so, and nothing else is used in its place.
    file.write_text(json.dumps({**kept, "expires": "2020-01-01T00:00:00Z"}))
    done = gateway.run("whoami")
    assert done.returncode == 1 and "headgate login again" in done.stderr
    file.write_text(json.dumps(kept))
    gateway.cli("session", "end", gateway.cli_json("whoami")["session"]["id"])
    assert gateway.run("whoami").returncode == 1
    assert "signed out" in gateway.cli("logout") and not file.exists()
    assert gateway.cli_json("whoami")["name"] == "local"
    assert gateway.run("logout").returncode == 1


def test_the_command_line_signs_in_elsewhere(gateway, configured, browser, tmp_path):
    """Without a home: by the address; kept below XDG_CONFIG_HOME."""
    environment = harness.clean_environment({"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)})
    tool = str(harness.BIN / "headgate")
    def run(*args, **more):
        return subprocess.run([tool, *args], env={**environment, **more}, capture_output=True, text=True, timeout=30, check=False)
    process = subprocess.Popen([tool, "login", "--url", gateway.admin_url + "/", "--issuer", "canaille", "--output", "json"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    url = next(line.strip() for line in process.stderr if line.strip().startswith("http"))
    httpx.get(allow(browser, url, "bob"))
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and set(json.loads(out)) == {"user", "expires"}, err
    file = tmp_path / "config" / "headgate" / "login.json"
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(run("whoami", "--output", "json").stdout)["user"] == "bob"
    assert json.loads(run("whoami", "--output", "json", HEADGATE_ADMIN_URL=gateway.admin_url).stdout)["user"] == "bob"
    other = run("whoami", HEADGATE_ADMIN_URL="http://127.0.0.1:1")
    assert other.returncode == 1 and "headgate login --url http://127.0.0.1:1" in other.stderr # never to another gateway
    assert run("logout").returncode == 0 and not file.exists()
    assert gateway.sql("SELECT count(*) FROM admin_sessions") == [["0"]]


def test_a_code_is_for_the_program_that_asked(gateway, configured, browser):
    login = Login(gateway)
    link = allow(browser, login.url, "ada")
    code = re.search(r"code=([^&]+)", link).group(1)
    def redeem(verifier):
        return httpx.post(gateway.admin_url + "/auth/token", json={"code": code, "code_verifier": verifier})
    stolen = redeem("A" * 43)
    assert stolen.status_code == 400 and stolen.json()["code"] == "invalid_code"
    httpx.get(link) # spent: the rightful one learns of it
    status, _, err = login.done()
    assert status == 1 and "invalid_code" in err
    late = Login(gateway)
    link = allow(browser, late.url, "ada")
    gateway.sql("UPDATE sign_in_codes SET made_at = now() - interval '121 s'")
    httpx.get(link)
    assert late.done()[0] == 1
    out = Login(gateway)
    link = allow(browser, out.url, "ada")
    gateway.cli("user", "set", "ada", "disabled=true")
    httpx.get(link)
    assert out.done()[0] == 1
    assert gateway.sql("SELECT count(*) FROM admin_sessions") == [["0"]]


# ---- the provider goes away


def test_the_providers_absence_is_said_and_sessions_go_on(gateway, configured, idp, browser):
    browser.sign_in("ada")
    gateway.apply({"sign_ins": [idp.item(groups=GROUPS), idp.item("away", issuer="http://127.0.0.1:1")]})
    until(lambda: gateway.sql("SELECT 1 FROM sign_in_providers WHERE sign_in = 'away' AND problem <> ''"), 8, "the try")
    other = browsers.Browser(gateway)
    answer = other.admin("/auth/login", params={"issuer": "away"})
    assert answer.status_code == 503 and "could not be reached yet" in answer.text
    choice = other.admin("/auth/login", params={"return_to": "/x?a=b&c"})
    assert choice.status_code == 200 and "/auth/login?issuer&#61;" not in choice.text
    links = [link.replace("&#38;", "&") for link in re.findall(r'href="([^"]+)"', choice.text)]
    assert [httpx.URL(link).params["issuer"] for link in links] == ["away", "canaille"]
    assert httpx.URL(links[1]).params["return_to"] == "/x?a=b&c"
    assert other.admin(links[1]).status_code == 303
    assert browser.me().status_code == 200
    other.close()
