"""The configuration as a file: apply, diff, export, rollback, prune; errors at their line."""

import json
import subprocess

import jsonschema
import pytest
import yaml

from harness import clean_environment, until

BASE = """\
providers:
  - name: sim
    kind: simulator
models:
  - name: smart
    targets:
      - { provider: sim, model: a, weight: 3 }
      - { provider: sim, model: b }
teams:
  - name: research
    allow: { models: [smart, "gpt-*"] }
projects:
  - { name: chatbot, team: research }
users:
  - { name: ada, kind: person, teams: [research] }
keys:
  - { name: ci, team: research, project: chatbot, expires: 2099-01-01 }
prices:
  - { provider: sim, model: "*", input_per_mtok_usd: 2.50, output_per_mtok_usd: "10" }
"""


@pytest.fixture(scope="module")
def shared(request):
    """One gateway for this file; each test leaves it as it found it."""
    from harness import Gateway
    gateway = Gateway(workers=1)
    gateway.up()
    yield gateway
    gateway.close()


@pytest.fixture
def gateway(shared):
    start = json.loads(shared.cli("apply", "-f", "-", "--output", "json", stdin="{}"))["revision"]
    yield shared
    shared.cli("rollback", start)


def apply(gateway, text, *args):
    return json.loads(gateway.cli("apply", "-f", "-", "--output", "json", *args, stdin=text))


def refused(gateway, text, tmp_path, *args):
    """The one line of a file that is refused, without the file's name: "LINE:COLUMN: text"."""
    path = tmp_path / "headgate.yaml"
    path.write_text(text)
    before = gateway.cli("export")
    done = gateway.run("apply", "-f", str(path), *args)
    assert done.returncode == 1, done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    prefix = f"headgate: {path}:"
    assert lines[0].startswith(prefix), lines[0]
    assert gateway.cli("export") == before
    return lines[0][len(prefix):]


# --- apply ------------------------------------------------------------------------------------------


def test_apply_creates_and_prints_keys_once(gateway):
    answer = apply(gateway, BASE)
    assert {(c["kind"], c["name"], c["action"]) for c in answer["changes"]} == {
        ("providers", "sim", "create"), ("models", "smart", "create"), ("teams", "research", "create"),
        ("projects", "chatbot", "create"), ("users", "ada", "create"), ("keys", "ci", "create"),
        ("prices", "sim/*", "create")}
    key = answer["keys"][0]
    assert key["name"] == "ci" and key["key"].startswith("sk-hg-")
    until(lambda: gateway.chat("smart", key=key["key"]).status_code == 200, 5, "the new key")
    again = apply(gateway, BASE)
    assert again["changes"] == [] and again["keys"] == []
    assert again["revision"] == answer["revision"]


def test_apply_as_text_tells_what_changes(gateway):
    apply(gateway, BASE)
    out = gateway.cli("apply", "-f", "-", stdin=BASE.replace("weight: 3", "weight: 4"))
    assert "~ models/smart" in out and "1 change; revision" in out
    assert "4" in out and "3" in out
    assert "no changes" in gateway.cli("apply", "-f", "-", stdin=BASE.replace("weight: 3", "weight: 4"))


def test_apply_leaves_other_lists_alone(gateway):
    apply(gateway, BASE)
    answer = apply(gateway, "teams:\n  - { name: default }\n  - { name: research }\n  - { name: ops }\n", "--prune")
    actions = {(c["kind"], c["name"], c["action"]) for c in answer["changes"]}
    # the list `teams` is owned: what it lacks is deleted, if nothing refers to it; models stay
    assert ("teams", "ops", "create") in actions
    assert all(kind == "teams" for kind, _, _ in actions)


def test_without_prune_nothing_is_deleted(gateway):
    apply(gateway, BASE)
    answer = apply(gateway, "models:\n  - name: other\n    targets: [{ provider: sim, model: x }]\n")
    assert [(c["name"], c["action"]) for c in answer["changes"]] == [("other", "create")]
    names = {m["name"] for m in gateway.cli_json("model", "list")["data"]}
    assert {"smart", "other"} <= names


def test_prune_deletes_what_a_named_list_lacks(gateway):
    apply(gateway, BASE)
    answer = apply(gateway, "models:\n  - name: other\n    targets: [{ provider: sim, model: x }]\n", "--prune")
    actions = {(c["name"], c["action"]) for c in answer["changes"]}
    assert ("smart", "delete") in actions and ("other", "create") in actions
    assert [m["name"] for m in gateway.cli_json("model", "list")["data"]] == ["other"]
    assert "sim" in {p["name"] for p in gateway.cli_json("provider", "list")["data"]}


def test_a_revoked_by_prune_key_stops(gateway):
    key = apply(gateway, BASE)["keys"][0]["key"]
    until(lambda: gateway.chat("smart", key=key).status_code == 200, 5, "the key")
    apply(gateway, "keys:\n  - { name: default, team: default }\n", "--prune")
    until(lambda: gateway.chat("smart", key=key).status_code == 401, 2.5, "the key refused")


def test_dry_run_and_diff_change_nothing(gateway):
    before = gateway.cli("export")
    revision = gateway.cli_json("revisions", "--limit", 1)["data"][0]["revision"]
    out = gateway.cli("diff", "-f", "-", stdin=BASE)
    assert "+ models/smart" in out and "(not made)" in out
    assert apply(gateway, BASE, "--dry-run")["dry_run"] is True
    assert gateway.cli("export") == before
    assert gateway.cli_json("revisions", "--limit", 1)["data"][0]["revision"] == revision
    assert gateway.run("diff", "-f", "-", "--exit-code", stdin=BASE).returncode == 3
    apply(gateway, BASE)
    assert gateway.run("diff", "-f", "-", "--exit-code", stdin=BASE).returncode == 0


def test_json_is_a_configuration_too(gateway, tmp_path):
    path = tmp_path / "headgate.json"
    path.write_text(json.dumps(yaml.safe_load(BASE), default=str))
    gateway.cli("apply", str(path))
    assert apply(gateway, BASE)["changes"] == []


# --- export and history -----------------------------------------------------------------------------


def test_export_applies_as_no_change(gateway, tmp_path):
    apply(gateway, BASE)
    apply(gateway, "providers:\n  - { name: remote, kind: openai, credential: sk-literal-secret }\n")
    text = gateway.cli("export")
    assert "sk-literal-secret" not in text
    document = yaml.safe_load(text)
    assert {"smart"} <= {m["name"] for m in document["models"]}
    assert apply(gateway, text, "--prune")["changes"] == []
    file = tmp_path / "out.yaml"
    gateway.cli("export", "-f", str(file))
    assert file.read_text() == text
    assert json.loads(gateway.cli("export", "--output", "json"))["teams"] == document["teams"]


def test_every_change_is_a_revision_with_its_author(gateway):
    revision = apply(gateway, BASE, "--note", "first try")["revision"]
    rows = gateway.cli_json("revisions", "--limit", 5)["data"]
    row = next(r for r in rows if r["revision"] == revision)
    assert row["note"] == "first try" and row["source"] == "apply" and row["author"]
    assert row["changes"] == 7
    detail = gateway.cli_json("revisions", revision)
    assert len(detail["changes"]) == 7
    assert "first try" in gateway.cli("revisions")
    assert "+ models/smart" in gateway.cli("revisions", revision)


def test_rollback_is_a_new_revision(gateway):
    first = apply(gateway, BASE)
    key = first["keys"][0]["key"]
    second = apply(gateway, BASE.replace("weight: 3", "weight: 9"))["revision"]
    gateway.cli("key", "revoke", "ci")
    out = gateway.cli("rollback", first["revision"], "--dry-run")
    assert "~ models/smart" in out and "+ keys/ci" in out
    answer = gateway.cli_json("rollback", first["revision"], "--note", "oops")
    assert answer["revision"] > second
    assert apply(gateway, BASE)["changes"] == []
    # a key that was revoked since works again with its old secret
    until(lambda: gateway.chat("smart", key=key).status_code == 200, 5, "the key again")
    assert gateway.cli_json("revisions", "--limit", 1)["data"][0]["rollback_of"] == first["revision"]


def test_rollback_to_what_never_was(gateway):
    done = gateway.run("rollback", "999999")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    done = gateway.run("rollback", "yesterday")
    assert done.returncode == 2 and "yesterday" in done.stderr


# --- errors say where -------------------------------------------------------------------------------


def test_unknown_member_names_the_nearest(gateway, tmp_path):
    line = refused(gateway, BASE.replace("provider: sim, model: a", "provder: sim, model: a"), tmp_path)
    assert line.startswith("7:11: ") and "provder" in line and "provider" in line.split("provder", 1)[1]


def test_unknown_list(gateway, tmp_path):
    line = refused(gateway, "team:\n  - name: x\n", tmp_path)
    assert line.startswith("1:1: ") and "teams" in line


@pytest.mark.parametrize("old, new, place, words", [
    ("provider: sim, model: b", "provider: nobody, model: b", "8:11", ["nobody"]),
    ("kind: simulator", "kind: simulater", "3:5", ["did you mean", "simulator"]),
    ("weight: 3", "weight: heavy", "7:36: ", ["weight"]),
    ("weight: 3", "weight: -1", "7:36: ", ["weight"]),
    ("team: research, project: chatbot", "team: reserch", "17:17", ["reserch"]),
    ("expires: 2099-01-01", "expires: soon", "17:51: ", ["2027-01-31"]),
    ("input_per_mtok_usd: 2.50", "input_per_mtok_usd: cheap", "19:34: ", ["2.50"]),
    ("  - name: smart\n", "  - strategy: weighted\n", "5:5", ["name"]),
    ("- { name: ada, kind", "- { name: ada, nickname: x, kind", "15:18: ", ["nickname"]),
])
def test_errors_have_a_line(gateway, tmp_path, old, new, place, words):
    assert old in BASE
    line = refused(gateway, BASE.replace(old, new, 1), tmp_path)
    assert line.startswith(place), line
    for word in words:
        assert word in line


def test_the_same_name_twice(gateway, tmp_path):
    line = refused(gateway, BASE + "  - { provider: sim, model: \"*\", free: true }\n", tmp_path)
    assert line.startswith("20:"), line


@pytest.mark.parametrize("text, place", [
    ("teams:\n  - name: a\n   name: b\n", "3:4"), ("teams: [\n", "2:1"), ("- a\n- b\n", "1:1"),
    ("teams:\n  - name: a\nteams: []\n", "3:1"), ("a: *b\n", "1:4"),
])
def test_broken_yaml(gateway, tmp_path, text, place):
    assert refused(gateway, text, tmp_path).startswith(place + ":")


def test_a_file_that_cannot_be_read(gateway, tmp_path):
    for path, word in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "directory")):
        done = gateway.run("apply", "-f", str(path))
        assert done.returncode == 1 and word in done.stderr.lower() and done.stderr.count("\n") == 1
    assert gateway.run("apply").returncode == 2


def test_no_part_of_a_refused_file_is_applied(gateway, tmp_path):
    refused(gateway, BASE.replace("provider: sim, model: b", "provider: nobody, model: b"), tmp_path)
    assert "research" not in {t["name"] for t in gateway.cli_json("team", "list")["data"]}


# --- single items -----------------------------------------------------------------------------------


def test_items_by_command(gateway):
    made = gateway.cli_json("team", "create", "ops", 'allow.models=["simulator"]')
    assert made["allow"]["models"] == ["simulator"]
    gateway.cli("team", "set", "ops", "disabled=true")
    assert gateway.cli_json("team", "show", "ops")["disabled"] is True
    gateway.cli("team", "set", "ops", "allow=null", "disabled=false")
    assert "allow" not in gateway.cli_json("team", "show", "ops")
    assert "ops" in gateway.cli("team", "list")
    gateway.cli("team", "delete", "ops")
    done = gateway.run("team", "show", "ops")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "ops" in done.stderr
    done = gateway.run("team", "create", "x", "colour=red")
    assert done.returncode == 1 and "colour" in done.stderr


def test_an_item_in_use_is_not_deleted(gateway):
    apply(gateway, BASE)
    done = gateway.run("provider", "delete", "sim")
    assert done.returncode == 1 and "smart" in done.stderr
    assert gateway.cli_json("provider", "show", "sim")["kind"] == "simulator"


# --- the schema -------------------------------------------------------------------------------------


def test_the_schema_takes_the_example_and_refuses_mistakes(gateway):
    schema = json.loads(gateway.cli("schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    good = json.loads(json.dumps(yaml.safe_load(BASE), default=str))
    jsonschema.validate(good, schema)
    for path, value in ((("models", 0, "tragets"), []), (("providers", 0, "kind"), "simulater"),
                        (("keys", 0, "team"), 5)):
        bad = json.loads(json.dumps(good))
        place = bad
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


# --- every command has the same manners -------------------------------------------------------------


def commands():
    from harness import BIN
    out = subprocess.run([BIN / "headgate", "--help"], capture_output=True, text=True, check=False).stdout
    body = out.split("Commands:\n", 1)[1].split("\n\n", 1)[0]
    return [line[2:20].strip() for line in body.splitlines()]


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_with_an_example(name):
    from harness import BIN
    done = subprocess.run([BIN / "headgate", *name.split(), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert f"headgate {name}" in done.stdout and "Example" in done.stdout
    assert "--output" in done.stdout and "--home" in done.stdout
    done = subprocess.run([BIN / "headgate", *name.split(), "--no-such-option"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1


READING = ["team list", "project list", "user list", "provider list", "model list", "price list", "key list",
           "revisions", "usage", "events", "ledger", "workers", "snapshots", "audit list", "audit verify",
           "token list", "whoami", "status", "export", "schema"]


@pytest.mark.parametrize("name", READING)
def test_every_reading_command_speaks_json_and_text(gateway, name):
    json.loads(gateway.cli(*name.split(), "--output", "json"))
    assert gateway.cli(*name.split()).strip()


@pytest.mark.parametrize("name", [n for n in READING if n != "status"])
def test_every_reading_command_fails_in_one_line(name):
    from harness import BIN
    env = clean_environment({"HEADGATE_ADMIN_URL": "http://127.0.0.1:9", "HEADGATE_ADMIN_TOKEN": "hgat_x"})
    done = subprocess.run([BIN / "headgate", *name.split()], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "127.0.0.1:9" in done.stderr
    assert done.stdout == ""
