"""SCIM 2.0 against a real control plane: what an independent suite finds, what Okta and Entra ID are documented to
send, who may do what by it, and what becomes of a user's keys."""

import httpx
import pytest
import scim2_client
import scim2_tester

import harness

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


class Scim:
    """A client of /scim/v2 as one admin token."""

    def __init__(self, gateway, token):
        self.http = httpx.Client(base_url=gateway.admin_url + "/scim/v2", timeout=30, verify=harness.TRUST,
                                 headers={"authorization": f"Bearer {token}", "content-type": "application/scim+json"})

    def ask(self, method, path, status, **more):
        answer = self.http.request(method, path, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        if answer.content:
            assert answer.headers["content-type"] == "application/scim+json"
        document = answer.json() if answer.content else None
        if status >= 400:
            assert document["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
            assert document["status"] == str(status) and document["detail"]
        return document

    def user(self, user_name, status=201, **members):
        return self.ask("POST", "/Users", status, json={"schemas": [USER], "userName": user_name, **members})

    def group(self, name, members=(), status=201, **more):
        return self.ask("POST", "/Groups", status, json={"schemas": [GROUP], "displayName": name, **more,
                                                         "members": [{"value": m["id"]} for m in members]})

    def patch(self, path, *operations, status=200):
        return self.ask("PATCH", path, status, json={"schemas": [PATCH], "Operations": list(operations)})

    def found(self, kind, text, **more):
        return self.ask("GET", f"/{kind}", 200, params={"filter": text, **more})


def provisioner(gateway, name="okta"):
    """A token as docs/operations.md says to make one."""
    gateway.apply({"users": [{"name": name, "kind": "service"}],
                   "bindings": [{"name": f"{name}-provisions", "role": "provisioner", "users": [name]}]})
    return gateway.cli_json("token", "create", "--name", f"{name}-scim", "--user", name)["token"]


@pytest.fixture(scope="module")
def scim_gateway():
    gateway = harness.Gateway(workers=1)
    try:
        gateway.up()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def scim(scim_gateway):
    return Scim(scim_gateway, provisioner(scim_gateway))


# --- the judge


class Judge(scim2_client.BaseSyncSCIMClient):
    """scim2-client over the HTTP library that the other tests use."""

    def __init__(self, http):
        super().__init__()
        self.http = http

    def request(self, method, url, **more):
        return self.http.request(method, url, **more)

    def _parse_json(self, response):
        return response.json()

    def _stays_under_base_url(self, endpoint):
        return str(self.http.build_request("GET", endpoint).url).startswith(str(self.http.base_url))


def test_scim2_tester_finds_nothing(scim_gateway, scim):
    results = scim2_tester.check_server(Judge(scim.http))
    bad = [f"{r.title} ({r.resource_type}): {r.status.name}: {r.reason}" for r in results
           if r.status != scim2_tester.Status.SUCCESS]
    # A user is active or not: removing that would enable who is disabled, or say nothing. It is refused.
    assert bad == ["check_remove_attribute (User): ERROR: Failed to remove attribute 'active': active: cannot be removed"]
    assert len(results) > 50


# --- as the identity providers are documented to speak


def test_oktas_calls(scim_gateway, scim):
    """Okta: look up, create, replace, deactivate by PATCH without a path, activate by PUT; push a group."""
    name = "ada.lovelace@example.com"
    assert scim.found("Users", f'userName eq "{name}"', startIndex=1, count=100)["totalResults"] == 0
    made = scim.user(name, name={"givenName": "Ada", "familyName": "Lovelace"}, displayName="Ada Lovelace", locale="en-US",
                     emails=[{"primary": True, "value": name, "type": "work"}], externalId="00ujl29u0le5T6Aj10h7",
                     groups=[], password="1mz050nq", active=True)
    assert made["active"] is True and made["userName"] == name and "password" not in made
    stored = scim_gateway.admin("GET", f"/users/{made['id']}").json()
    assert stored["name"] == name and stored["provisioned"] is True and stored["disabled"] is False
    assert stored["scim"]["external_id"] == "00ujl29u0le5T6Aj10h7"
    found = scim.found("Users", f'userName eq "{name.upper()}"')
    assert [u["id"] for u in found["Resources"]] == [made["id"]]
    scim.user(name.upper(), status=409)

    changed = scim.ask("PUT", f"/Users/{made['id']}", 200, json={
        "schemas": [USER], "id": made["id"], "userName": name, "name": {"givenName": "Augusta", "familyName": "King"},
        "emails": [{"primary": True, "value": name, "type": "work"}], "active": True, "groups": [],
        "meta": {"resourceType": "User"}})
    assert changed["name"] == {"givenName": "Augusta", "familyName": "King"} and "displayName" not in changed
    assert "externalId" not in changed and changed["meta"]["version"] != made["meta"]["version"]
    off = scim.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": False}})
    assert off["active"] is False
    assert scim_gateway.admin("GET", f"/users/{made['id']}").json()["disabled"] is True

    group = scim.group("Engineering Team", [made])
    assert scim_gateway.admin("GET", f"/groups/{group['id']}").json()["users"] == [name]
    assert scim.ask("GET", f"/Users/{made['id']}", 200)["groups"] == [
        {"value": group["id"], "$ref": f"/scim/v2/Groups/{group['id']}", "display": "Engineering Team", "type": "direct"}]
    grace = scim.user("grace@example.com")
    renamed = scim.patch(f"/Groups/{group['id']}",
                         {"op": "replace", "value": {"id": group["id"], "displayName": "Platform Team"}})
    assert renamed["displayName"] == "Platform Team"
    both = scim.patch(f"/Groups/{group['id']}",
                      {"op": "remove", "path": f"members[value eq \"{made['id']}\"]"},
                      {"op": "add", "path": "members", "value": [{"value": grace["id"], "display": "grace@example.com"}]})
    assert [m["value"] for m in both["members"]] == [grace["id"]]
    # The item keeps its name, whatever the provider calls it: bindings name it.
    assert scim_gateway.admin("GET", "/groups/Engineering-Team").json()["users"] == ["grace@example.com"]
    scim.ask("DELETE", f"/Groups/{group['id']}", 204)
    scim.ask("GET", f"/Groups/{group['id']}", 404)


def test_entra_ids_calls(scim_gateway, scim):
    """Entra ID: capital operations, booleans as texts, paths with filters, members removed by value."""
    assert scim.found("Users", 'externalId eq "58342554"')["totalResults"] == 0
    made = scim.ask("POST", "/Users", 201, json={
        "schemas": [USER, ENTERPRISE], "externalId": "58342554", "userName": "o'brien_x.com#EXT#@contoso.com", "active": "True",
        "addresses": [{"primary": False, "type": "work", "country": "IE"}], "displayName": "Lennie O'Brien",
        "emails": [{"primary": True, "type": "work", "value": "lennie@contoso.com"}], "meta": {"resourceType": "User"},
        "name": {"familyName": "O'Brien", "formatted": "Lennie O'Brien", "givenName": "Lennie"}, "preferredLanguage": "en",
        "title": "Engineer", ENTERPRISE: {"department": "R&D"}})
    assert made["active"] is True and made["userName"] == "o'brien_x.com#EXT#@contoso.com" and "title" not in made
    assert scim_gateway.admin("GET", f"/users/{made['id']}").json()["name"] == "o-brien_x.com-EXT-@contoso.com"
    path = f"/Users/{made['id']}"
    found = scim.found("Users", 'externalId eq "58342554"', attributes="userName,emails.value")["Resources"]
    assert found == [{"schemas": [USER], "id": made["id"], "userName": made["userName"],
                      "emails": [{"value": "lennie@contoso.com"}]}]
    changed = scim.patch(path, {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "new@contoso.com"},
                         {"op": "Add", "path": "emails[type eq \"home\"].value", "value": "home@contoso.com"},
                         {"op": "Replace", "path": "name.familyName", "value": "Byrne"},
                         {"op": "Replace", "path": f"{ENTERPRISE}:department", "value": "Sales"},
                         {"op": "Add", "path": "title", "value": "Lead"},
                         {"op": "Add", "value": {"displayName": "L. Byrne", "name.givenName": "Leonard"}})
    assert sorted(e["value"] for e in changed["emails"]) == ["home@contoso.com", "new@contoso.com"]
    assert changed["name"] == {"familyName": "Byrne", "formatted": "Lennie O'Brien", "givenName": "Leonard"}
    assert changed["displayName"] == "L. Byrne"
    assert scim.patch(path, {"op": "Replace", "path": "active", "value": "False"})["active"] is False
    assert scim.patch(path, {"op": "Replace", "path": "active", "value": "True"})["active"] is True
    renamed = scim.patch(path, {"op": "Replace", "path": "userName", "value": "lennie@contoso.com"})
    assert renamed["userName"] == "lennie@contoso.com" and renamed["id"] == made["id"]
    scim.user("LENNIE@contoso.com", status=409)

    group = scim.group("Sales", externalId="8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159")
    where = f"/Groups/{group['id']}"
    assert "members" not in scim.ask("GET", where + "?excludedAttributes=members", 200)
    for _ in range(2):  # again changes nothing
        added = scim.patch(where, {"op": "Add", "path": "members", "value": [{"$ref": None, "value": made["id"]}]})
        assert [m["value"] for m in added["members"]] == [made["id"]]
    gone = scim.patch(where, {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": made["id"]}]})
    assert "members" not in gone
    scim.ask("DELETE", path, 204)
    scim.ask("GET", path, 404)
    assert scim.found("Users", 'userName eq "lennie@contoso.com"')["totalResults"] == 0
    again = scim.user("lennie@contoso.com")
    assert again["id"] != made["id"]


def test_filters_pages_and_etags(scim_gateway, scim):
    for i in range(5):
        scim.user(f"page-{i}", displayName=f"Page {i}", active=i != 3, emails=[{"value": f"p{i}@example.org", "type": "work"}])

    def names(text):
        return [u["userName"] for u in scim.found("Users", text)["Resources"]]

    assert names('userName sw "PAGE-" and active eq false') == ["page-3"]
    assert names('emails[type eq "work" and value ew "@example.org"] and not (userName eq "page-0")') == [
        "page-1", "page-2", "page-3", "page-4"]
    assert names('displayName co "age 2" or displayName eq "page 4"') == ["page-2", "page-4"]
    assert names('userName sw "page-" and meta.lastModified lt "2020-01-01T00:00:00Z"') == []
    page = scim.found("Users", 'userName sw "page-"', startIndex=2, count=2)
    assert [u["userName"] for u in page["Resources"]] == ["page-1", "page-2"]
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (5, 2, 2)
    assert scim.ask("GET", "/Users?count=0", 200)["Resources"] == []
    everybody = scim.ask("GET", "/Users?count=-1", 200)["totalResults"]
    walked = [u["id"] for start in range(1, everybody + 1, 3)
              for u in scim.ask("GET", f"/Users?startIndex={start}&count=3", 200)["Resources"]]
    assert len(walked) == len(set(walked)) == everybody
    posted = scim.ask("POST", "/Users/.search", 200, json={"filter": 'userName eq "page-1"', "attributes": ["userName"]})
    assert [u["userName"] for u in posted["Resources"]] == ["page-1"]
    anything = scim.ask("POST", "/.search", 200, json={"filter": 'displayName sw "page"', "count": 100})
    assert {u["meta"]["resourceType"] for u in anything["Resources"]} == {"User"} and anything["totalResults"] == 5

    for bad in ("userName eq", "nope eq \"x\"", "userName zz \"x\"", "(userName pr", "active gt true", "userName eq \"x",
                "emails[type eq \"work\"", "(" * 40 + "userName pr" + ")" * 40, "userName eq \"" + "x" * 5000 + "\""):
        assert scim.ask("GET", "/Users", 400, params={"filter": bad})["scimType"] == "invalidFilter", bad

    user = scim.found("Users", 'userName eq "page-1"')["Resources"][0]
    off = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "displayName", "value": "Other"}]}
    answer = scim.http.patch(f"/Users/{user['id']}", json=off, headers={"if-match": user["meta"]["version"]})
    assert answer.status_code == 200 and answer.headers["etag"] == answer.json()["meta"]["version"]
    scim.ask("PATCH", f"/Users/{user['id']}", 412, json=off, headers={"if-match": user["meta"]["version"]})
    revision = answer.json()["meta"]["version"]
    assert scim.ask("PATCH", f"/Users/{user['id']}", 200, json=off)["meta"]["version"] == revision  # nothing to do


def test_bad_input_is_named(scim_gateway, scim):
    user = scim.user("bad-input")
    where = f"/Users/{user['id']}"
    cases = [({"op": "explode", "path": "active", "value": True}, "invalidSyntax"),
             ({"op": "remove"}, "noTarget"),
             ({"op": "replace", "path": "nope", "value": 1}, "invalidPath"),
             ({"op": "replace", "path": "emails[type eq", "value": 1}, "invalidPath"),
             ({"op": "replace", "path": "emails[type eq \"work\"].value", "value": "x"}, "noTarget"),
             ({"op": "replace", "path": "id", "value": "x"}, "mutability"),
             ({"op": "replace", "path": "active", "value": "perhaps"}, "invalidValue"),
             ({"op": "remove", "path": "userName"}, "invalidValue"),
             ({"op": "replace", "path": "displayName", "value": "x" * 300}, "invalidValue")]
    for operation, kind in cases:
        assert scim.patch(where, operation, status=400)["scimType"] == kind, operation
    assert scim.ask("GET", where, 200) == user
    assert scim.ask("POST", "/Users", 400, json={"schemas": [USER]})["scimType"] == "invalidValue"
    assert scim.ask("POST", "/Users", 400, content="{")["scimType"] == "invalidSyntax"
    scim.ask("POST", "/Users", 415, content="userName=x", headers={"content-type": "text/plain"})
    missing = [{"id": "01a21a04-6ebf-7446-938e-c0ea374c3e41"}]
    assert "members[0].value" in scim.group("bad members", missing, status=400)["detail"]
    assert scim.group("bad members", [{"id": "x"}], status=400)["scimType"] == "invalidValue"
    scim.ask("POST", "/Bulk", 404, json={})
    scim.ask("GET", "/Users/okta", 404)
    inner = scim.group("inner")
    outer = scim.group("outer", [inner])
    loop = scim.patch(f"/Groups/{inner['id']}", {"op": "add", "path": "members", "value": [{"value": outer["id"]}]}, status=400)
    assert loop["scimType"] == "invalidValue"
    assert [m["type"] for m in scim.ask("GET", f"/Groups/{outer['id']}", 200)["members"]] == ["Group"]


# --- who may do what


def test_only_who_provisions_gets_in(scim_gateway, scim):
    scim_gateway.apply({"users": [{"name": "an-admin"}, {"name": "an-auditor"}], "bindings": [
        {"name": "an-admin", "role": "admin", "users": ["an-admin"]},
        {"name": "an-auditor", "role": "auditor", "users": ["an-auditor"]}]})
    for user in ("an-admin", "an-auditor"):
        token = scim_gateway.cli_json("token", "create", "--name", "scim-" + user, "--user", user)["token"]
        other = Scim(scim_gateway, token)
        for path in ("/Users", "/Groups", "/Schemas", "/ServiceProviderConfig"):
            other.ask("GET", path, 403)
        other.user("by-" + user, status=403)
    stranger = Scim(scim_gateway, "hgat_" + "x" * 43)
    stranger.ask("GET", "/Users", 401)
    Scim(scim_gateway, "nonsense").ask("GET", "/Users", 401)
    # Nor does it get in anywhere else.
    for path in ("/users", "/groups", "/keys", "/tokens", "/config"):
        answer = scim_gateway.admin("GET", path, headers={"authorization": scim.http.headers["authorization"]})
        assert answer.status_code == 403, path


def test_what_scim_did_not_make_is_not_its_to_change(scim_gateway, scim):
    scim_gateway.apply({"users": [{"name": "byhand"}, {"name": "robot", "kind": "service"}],
                        "groups": [{"name": "handmade", "users": ["byhand", "robot"]}]})
    user = scim.found("Users", 'userName eq "byhand"')["Resources"][0]
    group = scim.found("Groups", 'displayName eq "handmade"')["Resources"][0]
    assert [m["value"] for m in group["members"]] == [user["id"]]  # service accounts are not shown
    robot = scim_gateway.admin("GET", "/users/robot").json()["id"]
    scim.ask("GET", f"/Users/{robot}", 404)
    for where in (f"/Users/{user['id']}", f"/Groups/{group['id']}"):
        scim.patch(where, {"op": "replace", "value": {"displayName": "taken"}}, status=403)
        scim.ask("DELETE", where, 403)
    scim.user("BYHAND", status=409)
    # An administrator hands them over; a service account in the group stays in it.
    scim_gateway.apply({"users": [{"name": "byhand", "provisioned": True}],
                        "groups": [{"name": "handmade", "users": ["byhand", "robot"], "provisioned": True}]})
    scim.patch(f"/Users/{user['id']}", {"op": "replace", "value": {"active": False}})
    scim.ask("PUT", f"/Groups/{group['id']}", 200, json={"displayName": "handmade", "members": []})
    assert scim_gateway.admin("GET", "/groups/handmade").json()["users"] == ["robot"]


def test_no_rights_are_raised(scim_gateway, scim):
    """Members of a provisioned group get what an owner bound it to; of what is not marked, nothing; and who marks or binds
    must have what that gives."""
    mallory = scim.user("mallory")
    admins = scim.group("Admins of it")
    name = scim_gateway.admin("GET", f"/groups/{admins['id']}").json()["name"]
    scim_gateway.apply({"users": [{"name": "lead"}], "roles": [{"name": "binder", "permissions": [
                            "bindings.*", "groups.*", "users.*", "teams.*"]}],
                        "groups": [{"name": "owners"}],
                        "bindings": [{"name": "of-lead", "role": "binder", "users": ["lead"]},
                                     {"name": "of-owners", "role": "owner", "groups": ["owners"]}]})
    lead = scim_gateway.cli_json("token", "create", "--name", "lead", "--user", "lead")["token"]
    by_lead = {"authorization": f"Bearer {lead}", "if-match": "*"}

    # A binding to a provisioned group gives, whoever is in it today; so does the mark.
    binding = {"name": "of-admins", "role": "owner", "groups": [name]}
    refused = scim_gateway.admin("POST", "/bindings", json=binding, headers=by_lead)
    assert refused.status_code == 403 and refused.json()["code"] == "escalation", refused.text
    refused = scim_gateway.admin("PATCH", "/groups/owners", json={"provisioned": True}, headers=by_lead)
    assert refused.status_code == 403 and refused.json()["code"] == "escalation", refused.text
    nested = scim_gateway.admin("PATCH", "/groups/owners", json={"groups": [name]}, headers=by_lead)
    assert nested.status_code == 403 and nested.json()["code"] == "escalation", nested.text

    # The token by itself: it is in no group that gives more, and cannot make one that does.
    owners = scim.found("Groups", 'displayName eq "owners"')["Resources"][0]
    scim.patch(f"/Groups/{owners['id']}", {"op": "add", "path": "members", "value": [{"value": mallory["id"]}]}, status=403)
    scim.patch(f"/Groups/{admins['id']}", {"op": "add", "path": "members", "value": [{"value": mallory["id"]}]})
    can = {"as": "mallory", "action": "config.apply"}
    assert scim_gateway.admin("GET", "/can", params=can).json()["allowed"] is False

    # An owner says that the provider decides who is in it.
    assert scim_gateway.admin("POST", "/bindings", json=binding).status_code == 201
    assert scim_gateway.admin("GET", "/can", params=can).json()["allowed"] is True
    scim.patch(f"/Groups/{admins['id']}", {"op": "remove", "path": f"members[value eq \"{mallory['id']}\"]"})
    assert scim_gateway.admin("GET", "/can", params=can).json()["allowed"] is False
    scim.patch(f"/Groups/{admins['id']}", {"op": "add", "path": "members", "value": [{"value": mallory["id"]}]})

    # Disabled and enabled again it has what it had; who was marked by somebody without that is not to be taken down.
    scim.patch(f"/Users/{mallory['id']}", {"op": "replace", "value": {"active": False}})
    assert scim_gateway.admin("GET", "/can", params=can).status_code == 404 or \
        scim_gateway.admin("GET", "/can", params=can).json()["allowed"] is False
    scim.patch(f"/Users/{mallory['id']}", {"op": "replace", "value": {"active": True}})
    assert scim_gateway.admin("GET", "/can", params=can).json()["allowed"] is True
    scim_gateway.apply({"users": [{"name": "boss"}], "bindings": [{"name": "of-boss", "role": "owner", "users": ["boss"]}]})
    refused = scim_gateway.admin("PATCH", "/users/boss", json={"provisioned": True}, headers=by_lead)
    assert refused.status_code == 403 and refused.json()["code"] == "escalation", refused.text
    scim.ask("DELETE", f"/Groups/{admins['id']}", 204)
    assert scim_gateway.admin("GET", "/bindings/of-admins").json()["groups"] == []
    assert scim_gateway.admin("GET", "/can", params=can).json()["allowed"] is False


# --- what becomes of keys


def test_a_users_keys_and_tokens_go_with_it(scim_gateway, scim):
    user = scim.user("leaver")
    scim_gateway.apply({"teams": [{"name": "leaving"}], "bindings": [{"name": "of-leaver", "role": "owner", "users": ["leaver"]}]})
    key = scim_gateway.admin("POST", "/keys", json={"name": "leavers", "team": "leaving", "user": "leaver"}).json()["key"]
    scim_gateway.apply({"budgets": [{"name": "of-leaver", "user": "leaver", "limit_usd": "1", "period": "day"},
                                    {"name": "of-key", "key": "leavers", "limit_usd": "1", "period": "day"},
                                    {"name": "of-team", "team": "leaving", "limit_usd": "1", "period": "day"}],
                        "alerts": [{"name": "of-it", "kind": "webhook", "url": "https://example.invalid/", "credential": "a secret to sign with, long enough",
                                    "budgets": ["of-leaver", "of-key"]},
                                   {"name": "of-more", "kind": "webhook", "url": "https://example.invalid/", "credential": "a secret to sign with, long enough",
                                    "budgets": ["of-key", "of-team", "of-leaver"]}]})
    token = scim_gateway.cli_json("token", "create", "--name", "leaver", "--user", "leaver")["token"]

    def works():
        return scim_gateway.chat(key=key, max_tokens=5).status_code

    def signed_in():
        return scim_gateway.admin("GET", "/whoami", headers={"authorization": f"Bearer {token}"}).status_code

    harness.until(lambda: works() == 200, 5, "the key")
    assert signed_in() == 200
    scim.patch(f"/Users/{user['id']}", {"op": "replace", "value": {"active": False}})
    harness.until(lambda: works() == 401, 5, "the key's end")
    assert signed_in() == 401
    scim.patch(f"/Users/{user['id']}", {"op": "replace", "value": {"active": True}})
    harness.until(lambda: works() == 200, 5, "the key again")
    assert signed_in() == 200

    group = scim.group("of leavers", [user])
    scim.ask("DELETE", f"/Users/{user['id']}", 204)
    harness.until(lambda: works() == 401, 5, "the key to be gone")
    assert signed_in() == 401
    for path in ("/keys/leavers", "/budgets/of-leaver", "/budgets/of-key", "/users/leaver", "/alerts/of-it"):
        assert scim_gateway.admin("GET", path).status_code == 404, path
    assert scim_gateway.admin("GET", "/bindings/of-leaver").json()["users"] == []
    assert scim_gateway.admin("GET", "/alerts/of-more").json()["budgets"] == ["of-team"]
    assert "members" not in scim.ask("GET", f"/Groups/{group['id']}", 200)
    # The same name again is somebody else: nothing of it comes back.
    assert scim.user("leaver")["id"] != user["id"]
    assert works() == 401 and signed_in() == 401
    # One revision, one row of the audit log, by the token's name.
    entry = scim_gateway.admin("GET", "/audit", params={"action": "scim.user.delete", "object": "users/leaver"}).json()["data"][0]
    assert entry["actor"] == "okta-scim" and entry["detail"]["count"] == 8
    kinds = {(c["kind"], c["action"]) for c in entry["detail"]["changes"]}
    assert ("keys", "delete") in kinds and ("bindings", "update") in kinds
