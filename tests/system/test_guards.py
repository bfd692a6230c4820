"""Guards at the doors, from outside: hostile credentials, paths and addresses, on both planes (faults F150 to F161)."""

import base64
import pathlib
import re
import socket
import urllib.parse

import httpx
import pytest

import harness
from harness import until

BODY = b'{"model":"simulator","messages":[{"role":"user","content":"x"}]}'


def raw(url, request, timeout=30):
    """Sends bytes; gives the status of the first answer, and all of the text."""
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout) as peer:
        try:
            peer.sendall(request)
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while we were still sending
        got = b""
        try:
            while piece := peer.recv(65536):
                got += piece
        except OSError:
            pass
    match = re.match(rb"HTTP/1\.1 (\d+)", got)
    return (int(match.group(1)) if match else 0), got


def request(method, path, headers=(), body=b""):
    lines = [f"{method} {path} HTTP/1.1".encode(), b"host: x", b"connection: close"]
    lines += [name + b": " + value for name, value in headers]
    lines += [b"content-type: application/json", b"content-length: %d" % len(body)] if body else []
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


# --- F150: each provider sees its own credential only

def test_f150_a_clients_credentials_end_at_the_gateway(gateway, fake):
    """In whichever field or parameter they come: upstream there is the provider's own, once."""
    forms = [({"authorization": f"Bearer {gateway.key}"}, ""), ({"x-api-key": gateway.key}, ""),
             ({"api-key": gateway.key}, ""), ({"x-goog-api-key": gateway.key}, ""),
             ({"authorization": f"Bearer {gateway.key}", "x-api-key": gateway.key, "cookie": "s=CANARY-c",
               "proxy-authorization": "Basic CANARY-p", "x-amz-security-token": "CANARY-a"}, "?key=CANARY-q")]
    for headers, query in forms:
        answer = httpx.post(f"{gateway.url}/v1/chat/completions{query}", headers=headers, timeout=30,
                            json={"model": "fake/m", "messages": [{"role": "user", "content": "x"}]})
        assert answer.status_code == 200, answer.text
        event = gateway.wait_usage(answer.headers["x-request-id"])[0]
        seen = str(fake.attempt(event["attempt_id"]))
        assert gateway.key not in seen and gateway.key[8:] not in seen and "CANARY" not in seen
    journal = pathlib.Path(fake.journal_path).read_text()
    assert gateway.key not in journal and "CANARY" not in journal


# --- F151: hostile credentials

SQLMAP = ["' OR '1'='1", "1' AND SLEEP(5)-- ", "'; DROP TABLE config_items; --", "\" OR \"\"=\"", "1 UNION SELECT NULL--",
          "${jndi:ldap://x}", "{{7*7}}", "%00", "%27%20OR%201=1", "../../etc/passwd", "+ADw-script+AD4-", "admin'/*",
          "0x27206f72", "||(SELECT 1)||", "a" * 7000]


def hostile_values(real):
    for text in SQLMAP:
        for form in (text, "Bearer " + text, "Bearer Bearer " + text, "Basic " + base64.b64encode(text.encode()).decode(),
                     "Bearer " + real[:12] + text, "Bearer " + real + text):
            yield form.encode("latin-1")
    yield from (b"Bearer " + real.encode() + b"\xc2\xa0", b"Bearer \xff\xfe", b"Bearer\t" + real.encode() + b"x",
                real.encode(), b"bearer", b"Bearer ", b"", b"Negotiate " + real.encode())


def test_f151_hostile_authorization_on_every_path(gateway):
    """401 (or a 400 of the parser, or 431 for size), soon, and nothing that looks like a database."""
    rows = int(gateway.sql("SELECT count(*) FROM config_items")[0][0])
    paths = {gateway.url: ["/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/models/x"],
             gateway.admin_url: ["/api/v1/keys", "/api/v1/nothing", "/api/v1/keys/'%20OR%201=1", "/api/v1/config/apply"]}
    for url, real in ((gateway.url, gateway.key), (gateway.admin_url, gateway.token)):
        for i, value in enumerate(hostile_values(real)):
            path = paths[url][i % 4]
            method = "GET" if path.startswith(("/v1/models", "/api")) and "apply" not in path else "POST"
            status, text = raw(url, request(method, path, [(b"authorization", value)],
                                            BODY if method == "POST" else b""))
            assert status in (400, 401, 431), (path, value[:60], status)
            assert not re.search(rb"(?i)sql|syntax error|postgres|column|relation", text), (path, value[:60])
    assert int(gateway.sql("SELECT count(*) FROM config_items")[0][0]) == rows
    for url, real, path in ((gateway.url, gateway.key, "/v1/models"), (gateway.admin_url, gateway.token, "/api/v1/keys")):
        two = [(b"authorization", b"Bearer " + real.encode()), (b"authorization", b"Bearer x")]
        assert raw(url, request("GET", path, two))[0] in (400, 401)
        assert raw(url, request("GET", path, two[:1]))[0] == 200


# --- F153: one meaning of a path

TRICKS = [(b"host-override", b"localhost"), (b"x-forwarded-host", b"admin"), (b"x-forwarded-prefix", b"/api/v1"),
          (b"x-original-url", b"/healthz"), (b"x-rewrite-url", b"/healthz"), (b"x-http-method-override", b"GET"),
          (b"x-method-override", b"GET"), (b"x-forwarded-for", b"127.0.0.1"), (b"x-real-ip", b"127.0.0.1"),
          (b"forwarded", b"for=127.0.0.1;host=admin"), (b"x-remote-user", b"root"), (b"x-headgate-user", b"root")]
PATHS = ["//api/v1/keys", "/api//v1/keys", "/api/v1/./keys", "/healthz/../api/v1/keys", "/healthz/..%2fapi/v1/keys",
         "/api%2fv1%2fkeys", "/API/V1/keys", "/api/v1/keys/", "/api/v1/keys%00", "/api/v1/keys;x=1", "/api/v1/keys%20",
         "/healthz?/api/v1/keys", "/healthz%3f/api/v1/keys", "/api/v1/keys#x", "http://x/api/v1/keys", "\\api\\v1\\keys"]


def test_f153_headers_that_name_another_path_are_nothing(gateway):
    for header in TRICKS:
        assert raw(gateway.admin_url, request("GET", "/api/v1/keys", [header]))[0] == 401, header
        assert raw(gateway.admin_url, request("POST", "/api/v1/teams", [header], b'{"name":"x"}'))[0] == 401, header
        assert raw(gateway.url, request("GET", "/v1/models", [header]))[0] == 401, header
    host = b"GET /api/v1/keys HTTP/1.1\r\nhost: x/healthz?\r\nconnection: close\r\n\r\n"
    assert raw(gateway.admin_url, host)[0] in (400, 401)


def test_f153_spellings_of_a_path_open_nothing(gateway):
    """Without a token: none of them gets at the list, and none is taken for a probe that needs no token."""
    for path in PATHS:
        status, text = raw(gateway.admin_url, request("GET", path))
        assert status in (400, 401, 404) or (status == 200 and path.startswith("/healthz?")), (path, status)
        assert b'"data"' not in text, path
    for path in ("//v1/models", "/v1/models/..%2fchat", "/V1/models", "/v1//models", "/healthz/../v1/models"):
        assert raw(gateway.url, request("GET", path))[0] in (400, 401, 404), path


# --- F154, F155, F156: what a configuration may not smuggle in

@pytest.mark.parametrize("value", ["os.environ/OPENAI_API_KEY", "${HOME}", "$(id)", "`id`", "@/etc/passwd", "|id",
                                   "file:///etc/passwd", "{{config}}", "%{env:HOME}"])
def test_f154_texts_stay_texts(gateway, value):
    """Stored as they are, shown as they are; only `credential` knows references, and only its own two."""
    made = gateway.admin("POST", "/roles", json={"name": "literal", "description": value, "permissions": ["teams.read"]})
    try:
        assert made.status_code == 201, made.text
        assert gateway.admin("GET", "/roles/literal").json()["description"] == value
    finally:
        gateway.admin("DELETE", "/roles/literal", headers={"if-match": "*"})


PRIVATE = ["127.0.0.1", "127.1", "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:7f00:1]", "0x7f.1", "0177.0.0.1", "2130706433",
           "169.254.169.254", "[fd00::1]", "[fe80::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "localhost",
           "localhost.", "a.localhost", "[64:ff9b::7f00:1]"]


@pytest.mark.parametrize("host", PRIVATE)
def test_f155_private_addresses_need_a_word(gateway, host):
    """By default, with no configuration of the guard: refused when it is written, or when it is connected to."""
    name = "f155-" + harness.marker()
    made = gateway.admin("POST", "/providers", json={"name": name, "kind": "openai-compatible",
                                                     "base_url": f"http://{host}:9/v1"})
    if made.status_code == 400:
        assert made.json()["path"] == "base_url"
        return
    try:
        assert made.status_code == 201, made.text
        gateway.wait_policy(made.json()["revision"])
        answer = gateway.admin("POST", "/prices", json={"provider": name, "model": "*", "free": True})
        gateway.wait_policy(answer.json()["revision"])
        refused = gateway.chat(f"{name}/m")
        assert refused.status_code == 502
        assert refused.json()["error"]["code"] in ("upstream_address_refused", "upstream_unreachable"), refused.text
        if refused.json()["error"]["code"] == "upstream_unreachable":  # a name that is none
            assert not re.fullmatch(r"[0-9.x\[\]:a-f]+", host), refused.text
    finally:
        gateway.admin("DELETE", f"/prices/{name}%2F*", headers={"if-match": "*"})
        gateway.admin("DELETE", f"/providers/{name}", headers={"if-match": "*"})


@pytest.mark.parametrize("url", ["http://a@b/v1", "http://u:p@host/v1", "gopher://x/", "file:///etc/passwd",
                                 "unix:/run/x.sock", "ftp://x/", "http:///v1", "http://h/v1?x=1", "http://h/v1#x",
                                 "http://h/\r\nx: y", "http://h/ v1", "//host/v1", "http://h:99999/", "javascript:x",
                                 "http://evil.example\\@good.example/", "http://\u0430.example/v1"])
def test_f155_what_is_no_plain_url(gateway, url):
    answer = gateway.admin("POST", "/providers", json={"name": "f155", "kind": "openai-compatible", "base_url": url})
    assert answer.status_code == 400 and answer.json()["path"] == "base_url", answer.text


@pytest.mark.parametrize("text", ["a#b", "a?b", "a b", "a\\b", "a\r\nb", "a\nb", "a\x00b", "a@b#", "\u202eb", "a%23b", ""])
def test_f156_names_that_would_change_an_address(gateway, text):
    """In names, targets and (where the kind has them) regions: refused, with the member."""
    for document, place in (({"teams": [{"name": text}]}, "teams[0].name"),
                            ({"models": [{"name": "m", "targets": [{"provider": "fake", "model": text}]}]},
                             "models[0].targets[0].model"),
                            ({"models": [{"name": "m", "targets": [{"provider": text, "model": "x"}]}]},
                             "models[0].targets[0].provider")):
        answer = gateway.admin("POST", "/config/apply", json={"document": document, "dry_run": True})
        assert answer.status_code == 400, (document, answer.text)
        assert "\x00" in text or answer.json()["path"] == place, answer.text


def test_f156_a_model_of_the_callers_changes_no_address(gateway, fake):
    """Inference callers choose a model's name, never a path: what is odd is not found, or passes inside the body."""
    for text in ("fake/../../x", "fake/m?x=1", "fake/m#y", "fake/%2e%2e/x", "fake/m\r\nx: y", "fake/a b",
                 "fake/m\x01", "fake/m\x7f", "fake/\u00e9", "fake/ m", "fake/m\n"):
        answer = gateway.chat(text)
        assert answer.status_code in (200, 404), (text, answer.text)
        assert answer.status_code == 404 or not re.search(r"[\x00-\x1f\x7f]", text), text
        assert "x" not in answer.headers
        if answer.status_code == 200:
            event = gateway.wait_usage(answer.headers["x-request-id"])[0]
            opened = fake.attempt(event["attempt_id"])
            assert "/v1/chat/completions" in str(opened) and "x=1" not in str(opened.get("path", ""))


# --- F161: keys at rest

def files_of(gateway):
    data = pathlib.Path(gateway.setting("data"))
    for folder in {data, gateway.home}:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 64 << 20:
                yield path


def test_f161_keys_at_rest_are_digests(fresh_gateway):
    """After creation, rotation and revocation: no file of the installation, and no row, has a key that is not in the
    file made for its owner."""
    gateway = fresh_gateway(workers=1)
    first = gateway.cli_json("key", "create", "--name", "rest", "--team", "default")["key"]
    second = gateway.cli_json("key", "rotate", "rest")["key"]
    until(lambda: gateway.chat(key=second).status_code == 200, 5, "the new secret")
    assert gateway.chat(key=first).status_code == 200
    gateway.cli("key", "revoke", "rest")
    until(lambda: gateway.chat(key=second).status_code == 401, 2.5, "the revocation")
    places = {"dump": gateway.dump().encode()}
    places.update({str(p): p.read_bytes() for p in files_of(gateway) if p.name not in ("env",)})
    for secret in (first, second):
        needles = [secret.encode(), secret[8:].encode(), secret[8:].encode().hex().encode(),
                   base64.b64encode(secret.encode())[:40]]
        for place, content in places.items():
            assert not any(n in content for n in needles), place
    # What is kept for people is the prefix: eight characters.
    kept = gateway.sql("SELECT before ->> 'prefix' FROM revision_changes WHERE kind = 'keys' AND name = 'rest' "
                       "AND before IS NOT NULL")
    assert {row[0] for row in kept} == {first[:8], second[:8]}


# --- F177 on the data plane: who guesses learns nothing

def test_f177_all_bad_keys_are_alike(gateway):
    revoked = gateway.cli_json("key", "create", "--name", "f177-revoked", "--team", "default")["key"]
    off = gateway.admin("POST", "/keys", json={"name": "f177-off", "team": "default", "disabled": True}).json()["key"]
    gone = gateway.admin("POST", "/keys", json={"name": "f177-gone", "team": "default", "expires": "2020-01-01"}).json()["key"]
    try:
        until(lambda: gateway.chat(key=revoked).status_code == 200, 5, "the key")
        gateway.cli("key", "revoke", "f177-revoked")
        until(lambda: gateway.chat(key=revoked).status_code == 401, 2.5, "the revocation")
        bad = [revoked, off, gone, "sk-hg-" + "A" * 43, "sk-other", gateway.key[:-1] + "_"]
        answers = {(a.status_code, a.text, a.headers.get("www-authenticate"))
                   for a in (gateway.chat(key=k) for k in bad)}
        assert len(answers) == 1 and answers.pop()[0] == 401
    finally:
        for name in ("f177-off", "f177-gone"):
            gateway.run("key", "revoke", name)
