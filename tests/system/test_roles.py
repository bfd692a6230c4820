"""Roles decide what may be asked of models: where they are bound, through groups, within what key and team allow; and
`headgate can` says the same as the data plane does."""

import httpx
import pytest

import harness
from harness import TRUST, until

CONFIG = {
    "models": [{"name": n, "free": True, "targets": [{"provider": "simulator", "model": "simulator"}]} for n in ("small", "large", "huge")],
    "teams": [{"name": "red"}, {"name": "blue", "allow": {"models": ["small", "large"]}}],
    "projects": [{"name": "rp", "team": "red"}],
    "users": [{"name": n} for n in ("ann", "ben", "cyd", "dan", "eve", "bot")],
    "groups": [{"name": "inner", "users": ["ben"]}, {"name": "outer", "groups": ["inner"]}],
    "roles": [
        {"name": "small-talk", "allow": {"models": ["small"], "endpoints": ["chat.*", "models"], "tools": False, "max_tokens": 50}},
        {"name": "large-plain", "allow": {"models": ["large"], "stream": False}},
        {"name": "anything", "allow": {"models": ["*"]}},
        {"name": "sees-keys", "permissions": ["keys.read"]},
    ],
    "bindings": [
        {"name": "b-ann", "role": "small-talk", "users": ["ann"]},
        {"name": "b-ann-red", "role": "large-plain", "users": ["ann"], "team": "red"},
        {"name": "b-outer", "role": "small-talk", "groups": ["outer"], "project": "rp"},
        {"name": "b-cyd", "role": "anything", "users": ["cyd"], "team": "blue"},
        {"name": "b-dan", "role": "sees-keys", "users": ["dan"]},
    ],
}
KEYS = {  # name: (team, project, user)
    "ann-red": ("red", None, "ann"), "ann-blue": ("blue", None, "ann"), "ben-rp": ("red", "rp", "ben"), "ben-red": ("red", None, "ben"),
    "cyd-blue": ("blue", None, "cyd"), "cyd-red": ("red", None, "cyd"), "dan-red": ("red", None, "dan"), "none-red": ("red", None, None),
}


@pytest.fixture(scope="module")
def world():
    gateway = harness.Gateway(workers=1)
    try:
        gateway.up()
        gateway.apply(CONFIG)
        gateway.keys = {}
        for name, (team, project, user) in KEYS.items():
            body = {"name": name, "team": team, **({"project": project} if project else {}), **({"user": user} if user else {})}
            answer = gateway.admin("POST", "/keys", json=body)
            assert answer.status_code == 201, answer.text
            gateway.keys[name] = answer.json()["key"]
        until(lambda: all(ask(gateway, n, "small").status_code != 401 for n in KEYS), 10, "the keys in the worker")
        yield gateway
    finally:
        gateway.close()


def ask(gateway, key, model, path="/v1/chat/completions", **members):
    body = {"model": model, "max_tokens": 20, **({"input": "x"} if "embed" in path else {"messages": [{"role": "user", "content": "x"}]})}
    return httpx.post(gateway.url + path, json={**body, **members}, headers={"authorization": f"Bearer {gateway.keys[key]}"},
                      timeout=20, verify=TRUST)


TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("key, model, members, status, code, says", [
    # one role for everywhere, one for a team
    ("ann-red", "small", {}, 200, None, None),
    ("ann-red", "large", {}, 200, None, None),
    ("ann-red", "huge", {}, 404, "model_not_found", None),
    ("ann-blue", "small", {}, 200, None, None),
    ("ann-blue", "large", {}, 404, "model_not_found", None),
    # one role must allow all of it: the tools of one and the models of another are not enough
    ("ann-red", "small", {"tools": TOOLS}, 403, "parameter_not_allowed", "role 'small-talk'"),
    ("ann-red", "large", {"tools": TOOLS}, 200, None, None),
    ("ann-red", "large", {"stream": True}, 403, "parameter_not_allowed", "role 'large-plain'"),
    ("ann-red", "small", {"stream": True}, 200, None, None),
    ("ann-red", "small", {"max_tokens": 51}, 403, "parameter_not_allowed", "from 1 to 50"),
    ("ann-red", "large", {"max_tokens": 51}, 200, None, None),
    ("ann-red", "small", {"max_tokens": None}, 403, "parameter_not_allowed", "must give"),
    ("ann-red", "small", {"path": "/v1/embeddings"}, 403, "role_not_allowed", "'embeddings'"),
    # through groups in groups, for a project
    ("ben-rp", "small", {}, 200, None, None),
    ("ben-rp", "large", {}, 404, "model_not_found", None),
    # denied by default: the user's roles speak, but not of here
    ("ben-red", "small", {}, 403, "role_not_allowed", "team 'red'"),
    ("cyd-red", "small", {}, 403, "role_not_allowed", None),
    # a role widens neither key nor team
    ("cyd-blue", "large", {}, 200, None, None),
    ("cyd-blue", "huge", {}, 404, "model_not_found", None),
    # roles without an `allow`, and no user: as ever
    ("dan-red", "huge", {}, 200, None, None),
    ("none-red", "huge", {"stream": True}, 200, None, None),
])
def test_one_role_must_allow_all_of_it(world, key, model, members, status, code, says):
    answer = ask(world, key, model, **members)
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["error"]["code"] == code, answer.text
    assert says is None or says in answer.json()["error"]["message"], answer.text


def test_the_list_of_models_is_what_may_be_asked(world):
    def listed(key):
        answer = httpx.get(world.url + "/v1/models", headers={"authorization": f"Bearer {world.keys[key]}"}, verify=TRUST)
        return {m["id"] for m in answer.json()["data"]} & {"small", "large", "huge"}
    assert listed("ann-red") == {"small", "large"} and listed("ann-blue") == {"small"}
    assert listed("cyd-blue") == {"small", "large"} and listed("none-red") == {"small", "large", "huge"}


@pytest.mark.parametrize("key", KEYS)
def test_can_says_what_the_data_plane_does(world, key):
    """For each key and model, and with a reason either way."""
    for model in ("small", "large", "huge"):
        for endpoint, path in (("chat.completions", "/v1/chat/completions"), ("embeddings", "/v1/embeddings")):
            done = world.run("can", "--as", f"keys/{key}", endpoint, f"model:{model}", "--output", "json")
            said = harness.json.loads(done.stdout)
            served = ask(world, key, model, path=path)
            assert said["allowed"] == (done.returncode == 0) == (served.status_code == 200), (said, served.text)
            assert bool(said["missing"]) != said["allowed"]


@pytest.mark.parametrize("words, status, part", [
    (["--as", "ann", "chat.completions", "model:large"], 0, "yes: role 'large-plain' for team 'red', by binding 'b-ann-red'"),
    (["--as", "ben", "chat.completions", "model:small"], 0, "through group 'outer'"),
    (["--as", "ben", "chat.completions", "model:large"], 1, "no: no role of user 'ben' allows 'chat.completions' for model 'large'"),
    (["--as", "keys/ben-red", "chat.completions", "model:small"], 1, "no: the roles of user 'ben' that allow requests are bound elsewhere"),
    (["--as", "keys/cyd-blue", "responses", "model:huge"], 1, "no: the `models` of team 'blue' do not include 'huge'"),
    (["--as", "dan", "chat.completions", "model:huge"], 0, "yes: no role of this user says"),
    (["--as", "ann", "chat.completions", "model:nothing"], 1, "no: there is no model 'nothing'"),
    (["--as", "ann", "chat.completion", "model:small"], 1, "no endpoint is called 'chat.completion'"),
    (["--as", "nobody", "chat.completions", "model:small"], 1, "there is no user 'nobody'"),
    (["chat.completions", "model:small"], 1, "whose requests?"),
    (["--as", "dan", "keys.read"], 0, "yes: role 'sees-keys'"),  # the admin API, as before
])
def test_can_in_words(world, words, status, part):
    done = world.run("can", *words)
    assert done.returncode == status and part in done.stdout + done.stderr, (done.stdout, done.stderr)


def test_a_binding_holds_within_seconds(world):
    """Given, taken, and through a group that changes: every worker follows."""
    world.apply({"keys": [{"name": "eve-red", "team": "red", "user": "eve"}]})
    world.keys["eve-red"] = world.cli_json("key", "rotate", "eve-red", "--grace", "0")["key"]
    until(lambda: ask(world, "eve-red", "huge").status_code == 200, 5, "the key")
    world.apply({"bindings": [*CONFIG["bindings"], {"name": "b-eve", "role": "small-talk", "users": ["eve"]}]})
    until(lambda: ask(world, "eve-red", "huge").status_code == 404, 2, "the binding")
    assert ask(world, "eve-red", "small").status_code == 200
    world.apply({"roles": [{"name": "small-talk", "allow": {"models": ["huge"]}}]})
    until(lambda: ask(world, "eve-red", "small").status_code == 404, 2, "the role")
    world.apply({"roles": CONFIG["roles"]})
    world.apply({"bindings": CONFIG["bindings"]}, "--prune")
    until(lambda: ask(world, "eve-red", "huge").status_code == 200, 2, "its end")


@pytest.mark.parametrize("role, place", [
    ({"name": "r"}, "roles[0].permissions"),
    ({"name": "r", "allow": {}}, "roles[0].allow"),
    ({"name": "r", "allow": {"max_tokens": 0}}, "roles[0].allow.max_tokens"),
    ({"name": "r", "allow": {"adresses": []}}, "roles[0].allow.adresses"),
    ({"name": "r", "allow": {"addresses": ["10.0.0.1/8"]}}, "roles[0].allow.addresses[0]"),
])
def test_what_is_no_role_is_refused_with_its_place(world, role, place):
    done = world.run("apply", "-f", "-", stdin=harness.json.dumps({"roles": [role]}))
    assert done.returncode != 0 and place in done.stderr, done.stderr
