"""F158: every operation of docs/openapi.yaml, called by everybody, gives what authz_matrix.txt says.

The table is reviewed by people: a cell is what the caller gets (yes: it is let in, whatever becomes of the call
then). An operation without a row fails. After a change that is meant, HEADGATE_WRITE_MATRIX=1 writes the table anew;
read its diff before you commit it.
"""

import base64
import concurrent.futures
import hashlib
import os
import pathlib
import uuid

import httpx
import pytest
import yaml

import harness

GOLDEN = pathlib.Path(__file__).with_name("authz_matrix.txt")
OPENAPI = yaml.safe_load((harness.ROOT / "docs" / "openapi.yaml").read_text())
ROLES = ("owner", "admin", "team-admin", "developer", "auditor", "billing", "provisioner")
STRANGERS = ("none", "bad", "expired", "inference-key", "no-role")
# Who has a role for a part only, and is asked about what is in that part and what is not.
PARTS = {"team-admin@team": ("team-admin", {"team": "own"}), "developer@team": ("developer", {"team": "own"}),
         "billing@team": ("billing", {"team": "own"}), "developer@project": ("developer", {"project": "own-p"})}
# Who signed in, with a session's cookie: from a page of ours, without its CSRF token, and after the session's end.
COOKIES = ("no-role+cookie", "owner+cookie", "auditor+cookie", "owner+no-csrf", "owner+ended", "developer@team+cookie:own",
           "developer@team+cookie:other")
COLUMNS = [*STRANGERS, *ROLES, *(f"{who}:{where}" for who in PARTS for where in ("own", "other")), *COOKIES]


def objects(where):
    """One item of each kind, in a form that POST takes; what belongs to no team is the same for both."""
    return {
        "providers": {"name": "matrix", "kind": "simulator"},
        "models": {"name": "matrix-m", "targets": [{"provider": "matrix", "model": "simulator"}]},
        "teams": {"name": where},
        "projects": {"name": f"{where}-p", "team": where},
        "users": {"name": "somebody"},
        "roles": {"name": "matrix-r", "permissions": ["teams.read"]},
        "groups": {"name": "matrix-g", "users": ["somebody"]},
        "bindings": {"name": f"{where}-b", "role": "developer", "users": ["somebody"], "team": where},
        "issuers": {"name": f"{where}-i", "issuer": f"https://{where}.invalid", "audience": "a", "team": where},
        "sign_ins": {"name": "matrix-s", "issuer": "https://matrix.invalid", "client_id": "c"},
        "keys": {"name": f"{where}-k", "team": where, "project": f"{where}-p"},
        "prices": {"name": "matrix/x", "provider": "matrix", "model": "x", "free": True},
        "quotas": {"name": f"{where}-q", "team": where, "requests_per_minute": 1000000},
        "budgets": {"name": f"{where}-bu", "team": where, "limit_usd": "1000000", "period": "month"},
        "alerts": {"name": "matrix-a", "kind": "webhook", "url": "https://matrix.invalid/", "credential": "0123456789abcdef"},
    }


def litellm(where):
    """What LiteLLM's calls are asked, so that who is let in changes nothing that another cell depends on: names are
    taken, durations are none, what would be deleted is in use."""
    return {
        "/key/generate": {"key_alias": f"{where}-k", "team_id": where}, "/key/update": {"key": f"{where}-k", "duration": "x"},
        "/key/delete": {"keys": [f"{where}-k"]}, "/key/info": {"key": f"{where}-k"}, "/key/block": {"key": f"{where}-k"},
        "/key/unblock": {"key": f"{where}-k"}, "/key/regenerate": {"key": f"{where}-k"}, "/key/{key}/regenerate": {},
        "/team/new": {"team_id": where}, "/team/update": {"team_id": where, "budget_duration": "x"},
        "/team/delete": {"team_ids": [where]}, "/team/info": {"team_id": where}, "/team/block": {"team_id": where},
        "/team/unblock": {"team_id": where}, "/team/member_add": {"team_id": where, "member": {"role": "user"}},
        "/team/member_delete": {"team_id": where, "user_id": "no-role"},
        "/user/new": {"user_id": "somebody"}, "/user/update": {"user_id": "somebody", "budget_duration": "x"},
        "/user/delete": {"user_ids": ["somebody"]}, "/user/info": {"user_id": "somebody"},
    }


def kinds():
    """The kinds that this version has, in the order of the document."""
    known = [k for k in OPENAPI["components"]["schemas"]["Document"]["properties"]]
    missing = set(known) - set(objects("own"))
    assert not missing, f"give objects() one of {missing}"
    return known


def operations():
    for path, methods in OPENAPI["paths"].items():
        for method, operation in methods.items():
            yield operation["operationId"], method.upper(), path


class Callers:
    def __init__(self, gateway):
        self.gateway = gateway
        document = {kind: [objects(w)[kind] for w in ("own", "other")] for kind in kinds()}
        document = {kind: list({i["name"]: i for i in items}.values()) for kind, items in document.items()}
        users = {**{role: (role, {}) for role in ROLES}, **PARTS}
        document["users"] += [{"name": who.replace("@", "-at-")} for who in [*users, "no-role"]]
        document["bindings"] += [{"name": "of-" + who.replace("@", "-at-"), "role": role, **part,
                                  "users": [who.replace("@", "-at-")]} for who, (role, part) in users.items()]
        # So that no call can delete the keys.
        document["quotas"] += [{"name": f"of-{w}-k", "key": f"{w}-k", "requests_per_minute": 1000} for w in ("own", "other")]
        # What SCIM may touch; its own schema and type have no other names.
        document["users"].append({"name": "provisioned", "provisioned": True})
        document["groups"].append({"name": "provisioned", "provisioned": True})
        gateway.apply(document)
        self.ids = {kind.capitalize(): gateway.admin("GET", f"/{kind}/provisioned").json()["id"]
                    for kind in ("users", "groups")}
        gateway.sql("INSERT INTO sign_in_providers (sign_in, issuer, revision, endpoints, keys) VALUES ('matrix-s', "
                    "'https://matrix.invalid', 0, '{\"authorization\": \"https://matrix.invalid/a\"}', '[]') "
                    "ON CONFLICT (sign_in) DO UPDATE SET endpoints = excluded.endpoints, keys = excluded.keys")
        self.ids |= {"ResourceTypes": "User", "Schemas": "urn:ietf:params:scim:schemas:core:2.0:User"}
        self.tokens = {who: self.token(user=who.replace("@", "-at-")) for who in [*users, "no-role"]}
        self.tokens.update({"bad": "hgat_" + "x" * 43, "inference-key": gateway.key,
                            "expired": self.token(role="admin", expires="2020-01-01")})
        self.cookies = {who: self.cookie(who) for who in ("no-role", "owner", "auditor", "developer@team")}
        self.ended = self.cookie("owner", "1 s")

    def cookie(self, who, ago=None):
        """A session as a sign-in leaves it; ago: how long it has been over."""
        text = "hgse_" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        ends = f"now() - interval '{ago}'" if ago else "now() + interval '1 hour'"
        self.gateway.sql("INSERT INTO admin_sessions (id, digest, kind, user_name, sign_in, idle_s, ends_at) VALUES "
                         f"('{uuid.uuid4()}', decode('{hashlib.sha256(text.encode()).hexdigest()}', 'hex'), 'browser', "
                         f"'{who.replace('@', '-at-')}', 'matrix-s', 3600, {ends})")
        return text

    def proof(self, operation, who):
        """The headers that say who calls."""
        who, _, how = who.partition("+")
        if who == "none":
            return {}
        if not how:
            return {"authorization": "Bearer " + self.tokens[who]}
        text = self.ended if how == "ended" else self.cookie(who) if operation == "logout" else self.cookies[who]
        csrf = base64.urlsafe_b64encode(hashlib.sha256(b"headgate csrf v1 " + text.encode()).digest()).decode().rstrip("=")
        page = {"origin": self.gateway.admin_url, "x-csrf-token": csrf} if how != "no-csrf" else {}
        return {"cookie": "headgate_session=" + text, **page}

    def token(self, **members):
        answer = self.gateway.admin("POST", "/tokens", json={"name": "t-" + harness.marker(), **members})
        assert answer.status_code == 201, answer.text
        return answer.json()["token"]

    def prepare(self, operation):
        if operation in ("create_token", "delete_token"):
            self.gateway.admin("POST", "/tokens", json={"name": "doomed", "role": "read-only"})

    def body(self, operation, method, path, where):
        special = {"redeem_code": {}, "logout": None, "apply_config": {"document": {}, "dry_run": True}, "rollback": {"dry_run": True},
                   "rotate_key": {"grace_s": 0}, "refresh_secrets": {}, "reseal_secrets": None, "create_token": {"name": "doomed", "role": "read-only"},
                   "rerate": {"provider": "matrix", "model": "*", "from": "2026-01-01", "to": "2026-01-02", "dry_run": True}}
        if operation in special:
            return special[operation]
        if path.startswith("/scim/"):
            return {} if method in ("POST", "PUT", "PATCH") else None
        if not path.startswith("/api/"):
            return litellm(where)[path] if method == "POST" else None
        if "config/apply" in path:
            return special["apply_config"]
        if "rollback" in path:
            return special["rollback"]
        if operation == "test_alert":
            return None
        if method == "PATCH" or (method == "POST" and "{name}/" in path):
            return {}
        return objects(where)[path.split("/")[3]] if method in ("POST", "PUT") else None

    def call(self, operation, method, path, who, where):
        """What is let in changes nothing: names are taken, ETags are stale."""
        self.prepare(operation)
        kind = path.split("/")[3] if path.startswith("/api/v1/") else ""
        name = "doomed" if kind == "tokens" else objects(where).get(kind, {}).get("name", "x")
        url = path.replace("{name}", name.replace("/", "%2F")).replace("{revision}", "1").replace("{key}", f"{where}-k")
        url = url.replace("{id}", self.ids.get(path.split("/")[3], str(uuid.uuid4())) if "{id}" in path else "")
        query = litellm(where).get(path) if method == "GET" else None
        headers = {"if-match": '"999999"', **self.proof(operation, who)}
        answer = httpx.request(method, self.gateway.admin_url + url, headers=headers, timeout=30, params=query,
                               verify=harness.TRUST, json=self.body(operation, method, path, where))
        if operation == "litellm_team_block":
            self.gateway.admin("PATCH", f"/teams/{where}", json={"disabled": False}, headers={"if-match": "*"})
        assert answer.status_code < 500, f"{operation} by {who}: {answer.text}"
        return answer

    def cell(self, operation, method, path, column):
        who, _, where = column.partition(":")
        status = self.call(operation, method, path, who, where or "other").status_code
        return str(status) if status in (401, 403, 404) else "yes"

    def row(self, operation, method, path):
        return [self.cell(operation, method, path, column) for column in COLUMNS]


@pytest.fixture(scope="module")
def callers():
    gateway = harness.Gateway(workers=1, environment={
        "HEADGATE_LITELLM_SHIM": "1", "HEADGATE_WRONG_CREDENTIALS_PER_MINUTE": "0"}) # strangers have a column
    try:
        gateway.up()
        yield Callers(gateway)
    finally:
        gateway.close()


def written(table):
    widths = [max(len(name) for name in table)] + [max(len(c), 4) for c in COLUMNS]
    lines = [["operation", *COLUMNS], *([name, *table[name]] for name in sorted(table))]
    return "".join("  ".join(f"{cell:{w}}" for cell, w in zip(line, widths)).rstrip() + "\n" for line in lines)


def golden():
    lines = [line.split() for line in GOLDEN.read_text().splitlines()]
    assert lines[0][1:] == COLUMNS, "the table has other columns"
    return {line[0]: line[1:] for line in lines[1:]}


def test_f158_everybody_gets_what_the_table_says(callers):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = {op: pool.submit(callers.row, op, method, path) for op, method, path in operations()
                if "token" not in op}
        found = {op: job.result() for op, job in jobs.items()}
    for op, method, path in operations():
        if op not in found: # one at a time: they share a token
            found[op] = callers.row(op, method, path)
    if os.environ.get("HEADGATE_WRITE_MATRIX"):
        GOLDEN.write_text(written(found))
    expected = golden()
    assert not set(found) - set(expected), f"operations without a row: {sorted(set(found) - set(expected))}"
    assert not set(expected) - set(found), f"rows without an operation: {sorted(set(expected) - set(found))}"
    wrong = [f"{op} by {column}: {got}, the table says {want}"
             for op in sorted(found) for column, got, want in zip(COLUMNS, found[op], expected[op]) if got != want]
    assert not wrong, "\n".join(wrong)


def test_the_table_is_sorted_and_denies_by_default():
    """What a reviewer relies on, held by itself: strangers are let in nowhere but at the probes, and nobody with a
    part gets at what is outside of it."""
    assert GOLDEN.read_text() == written(golden())
    document = {o["operationId"]: o for methods in OPENAPI["paths"].values() for o in methods.values()}
    public = {op for op, o in document.items() if o.get("security") == []}
    assert public == {"healthz", "readyz", "metrics", "login", "callback", "redeem_code"}
    # For any caller: itself, and what is its own. One that is not there is 404 for all alike.
    free = {op for op, o in document.items() if o.get("x-permission", "").partition(":")[0] in ("self", "own")}
    reads = {op for op, method, _ in operations() if method == "GET"}
    # A team's own list is filtered: it is let in, and shows nothing of others (test_authority.c).
    lists = {op for op, method, path in operations() if method == "GET" and "{" not in path}
    for op, cells in golden().items():
        for column, cell in zip(COLUMNS, cells):
            if column in ("none", "bad", "expired", "inference-key", "owner+ended"):
                assert cell == ("yes" if op in public else "401"), (op, column)
            elif column.startswith("no-role"):
                assert cell == ("404" if op == "delete_session" else "yes" if op in public | free else "403"), (op, column)
            elif column == "owner+no-csrf":
                assert cell == ("yes" if op in public | reads else "403"), (op, column)
            elif column.endswith("+cookie") or "+cookie:" in column: # as with a token of the same user
                assert cell == cells[COLUMNS.index(column.replace("+cookie", ""))], (op, column)
            elif column.endswith(":other"):
                assert cell != "yes" or op in public | free | lists, (op, column)


def test_f177_foreign_and_missing_get_the_same_answer(callers):
    """By a lead of a team, on each operation with a name: but for the name, byte for byte."""
    token = {"authorization": "Bearer " + callers.tokens["team-admin@team"], "if-match": "*"}
    for op, method, path in operations():
        kind = path.split("/")[3] if path.startswith("/api/v1/") else ""
        if "{name}" not in path or kind not in ("teams", "projects", "keys", "bindings", "issuers", "quotas", "budgets"):
            continue
        name = objects("other")[kind]["name"]
        answers = []
        for asked in (name, "x" * len(name)):
            answer = httpx.request(method, callers.gateway.admin_url + path.replace("{name}", asked), headers=token,
                                   json=callers.body(op, method, path, "other"), timeout=30, verify=harness.TRUST)
            document = {k: v for k, v in answer.json().items() if k != "request_id"}
            answers.append((answer.status_code, str(document).replace(asked, "NAME")))
        assert answers[0] == answers[1], op
        assert answers[0][0] in (403, 404), op


def test_f177_foreign_and_missing_get_the_same_answer_from_litellms_calls(callers):
    token = {"authorization": "Bearer " + callers.tokens["team-admin@team"]}
    other = callers.gateway.admin("GET", "/keys/other-k").json()
    for path, body in litellm("other").items():
        method = "POST" if "post" in OPENAPI["paths"][path] else "GET"
        if path.split("/")[1] == "user" or path.endswith("/new") or "member" in path or path == "/key/generate":
            continue
        for names in (("other-k", "other"), (other["id"], "other")):
            answers = []
            for asked in (names, ("x" * len(names[0]), "xxxxx")):
                def of(value, asked=asked):
                    return value if value == "x" else asked["key" not in path] if isinstance(value, str) else [of(v) for v in value]
                members = {k: of(v) for k, v in body.items()}
                url = callers.gateway.admin_url + path.replace("{key}", asked[0])
                more = {"json": members} if method == "POST" else {"params": members}
                answer = httpx.request(method, url, headers=token, timeout=30, verify=harness.TRUST, **more)
                answers.append((answer.status_code, answer.text))
            assert answers[0] == answers[1] and answers[0][0] in (403, 404), (path, answers)


def test_f158_usage_and_ledger_show_ones_own(callers):
    """Sums, attempts and accounts, asked in every way: a team's lead sees the team's, a developer the project's."""
    gateway = callers.gateway
    used = {}
    for name, members in (("in-own", {"team": "own"}), ("in-own-p", {"team": "own", "project": "own-p"}),
                          ("in-other", {"team": "other", "project": "other-p"})):
        key = gateway.admin("POST", "/keys", json={"name": name, **members}).json()["key"]
        def ask(k=key):
            got = gateway.chat(key=k, max_tokens=5)  # a strict budget wants a bound
            assert got.status_code == 200, got.text
            return got
        answer = harness.until(ask, 5, "the key")
        used[name] = gateway.wait_usage(answer.headers["x-request-id"])[0]["attempt_id"]

    def seen(who, path):
        answer = httpx.get(gateway.admin_url + "/api/v1" + path, timeout=30, verify=harness.TRUST,
                           headers={"authorization": "Bearer " + callers.tokens[who]})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    assert {e["key"] for e in seen("owner", "/usage/events")} >= set(used)
    for query in ("", "?team=own", "?key=in-other", "?team=other", "?project=other-p", "?from=2020-01-01"):
        lead = {e["key"] for e in seen("team-admin@team", "/usage/events" + query)}
        assert lead <= {"in-own", "in-own-p"}, query
        developer = {e["key"] for e in seen("developer@project", "/usage/events" + query)}
        assert developer <= {"in-own-p"}, query
    assert {e["key"] for e in seen("team-admin@team", "/usage/events")} == {"in-own", "in-own-p"}
    assert {e["key"] for e in seen("developer@project", "/usage/events")} == {"in-own-p"}
    for query in ("?group_by=team", "?group_by=team&from=2020-01-01T00:00:01Z"): # from the hours, and from the attempts
        assert {r["team"] for r in seen("team-admin@team", "/usage" + query)} == {"own"}
        assert sum(r["requests"] for r in seen("developer@project", "/usage" + query)) == 1
    accounts = harness.until(lambda: seen("team-admin@team", "/ledger/accounts"), 5, "the accounts")
    assert {a["team"] for a in accounts} == {"own"}
    assert all(a["team"] != "other" for a in seen("billing@team", "/ledger/accounts"))
