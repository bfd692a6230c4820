"""The admin API of a real gateway: every answer has the form that docs/openapi.yaml promises."""

import json
import re

import jsonschema
import pytest
import yaml

from harness import ROOT

OPENAPI = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())


def resolve(node):
    while "$ref" in node:
        found = OPENAPI
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def check(response, method, path):
    """The response against what the operation documents; gives its document."""
    operation = OPENAPI["paths"][path][method.lower()]
    documented = operation["responses"].get(str(response.status_code))
    assert documented, f"{method} {path}: {response.status_code} is not documented: {response.text}"
    assert response.headers["x-request-id"]
    assert response.headers["cache-control"] == "no-store"
    content = resolve(documented).get("content")
    if not content:
        assert response.content == b""
        return None
    kind = response.headers["content-type"].split(";")[0]
    assert kind in content, f"{method} {path}: {kind}"
    if kind in ("text/plain", "text/html"):
        return response.text
    # The schemas refer to each other as "#/components/schemas/...".
    schema = {**content[kind]["schema"], "components": OPENAPI["components"]}
    document = response.json()
    jsonschema.Draft202012Validator(schema).validate(document)
    if response.status_code >= 400 and kind == "application/problem+json":
        assert document["status"] == response.status_code
        assert document["request_id"] == response.headers["x-request-id"]
    return document


def call(gateway, method, path, template=None, **more):
    return check(gateway.admin(method, path, **more), method, "/api/v1" + (template or path))


# LiteLLM's calls are off here: test_litellm_shim.py has them.
@pytest.mark.parametrize("path", sorted(p for p, ops in OPENAPI["paths"].items()
                                        if "get" in ops and "{" not in p and ops["get"]["tags"] != ["LiteLLM compatibility"]))
def test_every_list_has_its_documented_form(gateway, path):
    gateway.chat()
    if path.startswith("/api/v1"):
        call(gateway, "GET", path.removeprefix("/api/v1"))
    else:
        import httpx
        headers = {"authorization": f"Bearer {gateway.token}"} if path.startswith("/scim/") else {}
        check(httpx.get(gateway.admin_url + path, headers=headers, timeout=30), "GET", path)


def test_an_items_life_has_its_documented_forms(gateway):
    made = call(gateway, "POST", "/teams", json={"name": "life"})
    call(gateway, "GET", "/teams/life", "/teams/{name}")
    call(gateway, "GET", "/teams/" + made["id"], "/teams/{name}")
    etag = {"If-Match": f'"{made["revision"]}"'}
    call(gateway, "PATCH", "/teams/life", "/teams/{name}", json={"disabled": True}, headers=etag)
    stale = call(gateway, "PATCH", "/teams/life", "/teams/{name}", json={"disabled": False}, headers=etag)
    assert stale["code"] == "stale"
    call(gateway, "PUT", "/teams/life", "/teams/{name}", json={"name": "life"}, headers={"If-Match": "*"})
    assert call(gateway, "DELETE", "/teams/life", "/teams/{name}")["code"] == "if_match_required"
    key = call(gateway, "POST", "/keys", json={"name": "life", "team": "life"})
    assert re.fullmatch(r"sk-hg-[A-Za-z0-9_-]{43}", key["key"])
    used = call(gateway, "DELETE", "/teams/life", "/teams/{name}", headers={"If-Match": "*"})
    assert used["code"] == "in_use" and "key 'life'" in used["detail"]
    call(gateway, "DELETE", "/keys/life", "/keys/{name}", headers={"If-Match": "*"})
    call(gateway, "DELETE", "/teams/life", "/teams/{name}", headers={"If-Match": "*"})
    assert call(gateway, "GET", "/teams/life", "/teams/{name}")["code"] == "not_found"


def test_documents_and_revisions_have_their_documented_forms(gateway):
    applied = call(gateway, "POST", "/config/apply", json={"document": {"teams": [{"name": "doc"}]}, "note": "x"})
    assert [c["action"] for c in applied["changes"]] == ["create"]
    number = applied["revision"]
    call(gateway, "GET", f"/revisions/{number}", "/revisions/{revision}")
    back = call(gateway, "POST", f"/revisions/{number - 1}/rollback", "/revisions/{revision}/rollback", json={})
    assert [c["action"] for c in back["changes"]] == ["delete"]
    wrong = call(gateway, "POST", "/config/apply",
                 json={"document": {"models": [{"name": "m", "targets": [{"provder": "x", "model": "y"}]}]}})
    assert wrong["path"] == "models[0].targets[0].provder" and "provider" in wrong["detail"]


def test_tokens_have_their_documented_forms(gateway):
    made = call(gateway, "POST", "/tokens", json={"name": "reader", "role": "read-only"})
    reader = {"authorization": f"Bearer {made['token']}"}
    assert check(gateway.admin("GET", "/whoami", headers=reader), "GET", "/api/v1/whoami")["role"] == "read-only"
    denied = check(gateway.admin("POST", "/teams", json={"name": "no"}, headers=reader), "POST", "/api/v1/teams")
    assert denied["code"] == "forbidden"
    call(gateway, "DELETE", "/tokens/reader", "/tokens/{name}")
    gone = check(gateway.admin("GET", "/whoami", headers=reader), "GET", "/api/v1/whoami")
    assert gone["code"] == "unauthorized"


def test_the_examples_of_the_document_are_valid(gateway):
    schemas = OPENAPI["components"]["schemas"]
    for name, schema in schemas.items():
        for example in schema.get("examples", []):
            jsonschema.Draft202012Validator({**schema, "components": OPENAPI["components"]}).validate(example)
    examples = {name: schemas[name]["examples"][0] for name in schemas
                if name.endswith("Input") and "examples" in schemas[name]}
    order = [("providers", "ProviderInput"), ("teams", "TeamInput"), ("projects", "ProjectInput"),
             ("users", "UserInput"), ("keys", "KeyInput")]
    document = {plural: [dict(examples[name])] for plural, name in order}
    document["providers"][0]["credential"] = "an example"
    answer = call(gateway, "POST", "/config/apply", json={"document": document, "dry_run": True})
    assert {c["kind"] for c in answer["changes"]} == {plural for plural, _ in order}


def test_an_inference_key_is_no_admin_token(gateway):
    for value in (f"Bearer {gateway.key}", "Bearer " + gateway.token[:-1], "Bearer " + gateway.token + "x",
                  "Bearer  " + gateway.token, gateway.token, "Bearer " + gateway.token.lower()):
        answer = gateway.admin("GET", "/teams", headers={"authorization": value})
        assert answer.status_code == 401, value
        assert gateway.token not in answer.text and "www-authenticate" in answer.headers
    assert gateway.chat(key=gateway.token).status_code == 401


def test_http2_and_http1_answer_alike(gateway):
    import httpx
    headers = {"authorization": f"Bearer {gateway.token}"}
    url = gateway.admin_url + "/api/v1/whoami"
    with httpx.Client(http1=False, http2=True) as two, httpx.Client() as one:
        a, b = two.get(url, headers=headers), one.get(url, headers=headers)
    assert (a.http_version, b.http_version) == ("HTTP/2", "HTTP/1.1")
    assert json.loads(a.text) == json.loads(b.text)


def test_bodies_are_held_within_bounds(gateway):
    """Strangers with something like a token cannot fill the memory: beyond 256 MiB of bodies, 503."""
    import socket
    host, port = gateway.admin_url.removeprefix("http://").split(":")
    head = (f"POST /api/v1/teams HTTP/1.1\r\nhost: x\r\nauthorization: Bearer hgat_{'x' * 43}\r\n"
            f"content-type: application/json\r\ncontent-length: {31 << 20}\r\n\r\n").encode()
    piece, answers, held = b"x" * (1 << 20), [], []
    try:
        for _ in range(12):
            peer = socket.create_connection((host, int(port)), timeout=20)
            held.append(peer)
            try:
                peer.sendall(head)
                for _ in range(30):
                    peer.sendall(piece)
            except OSError:
                pass # refused while we were still sending
            peer.settimeout(0.5)
            try:
                answers.append(peer.recv(4096))
            except OSError:
                answers.append(b"")
        refused = [a for a in answers if a.startswith(b"HTTP/1.1 503")]
        assert refused and b"overloaded" in refused[0], answers
        assert gateway.admin("GET", "/whoami").status_code == 200
    finally:
        for peer in held:
            peer.close()
