"""The response cache with real processes (F159). The provider's own journal says how often it was asked: an answer
that was given again left no trace there."""

import decimal
import json

import httpx
import pytest

from harness import TRUST, FakeProvider, Gateway, marker, until

SCOPES = ("team", "project", "user", "key")


def models(**more):
    """One a scope, and one without a cache."""
    rows = [{"name": f"by-{scope}", "targets": [{"provider": "fake", "model": "m"}], "cache": {"ttl_s": 3600, "scope": scope}}
            for scope in SCOPES]
    return {"models": [*rows, {"name": "never", "targets": [{"provider": "fake", "model": "m"}]}], **more}


class Cached:
    """A gateway of one worker (each worker has its own cache), two teams, and a provider that is watched."""

    KEYS = {"a1": ("a",), "a2": ("a",), "b1": ("b",), "p1": ("a", "--project", "p"), "p2": ("a", "--project", "p"),
            "q1": ("a", "--project", "q"), "u1": ("a", "--user", "ada"), "u2": ("a", "--user", "ada"),
            "v1": ("a", "--user", "bob"), "ub": ("b", "--user", "ada")}

    def __init__(self, gateway, fake):
        self.gateway, self.fake = gateway, fake
        gateway.apply({**fake.provider(), **models(
            teams=[{"name": "a"}, {"name": "b"}], users=[{"name": "ada"}, {"name": "bob"}],
            projects=[{"name": "p", "team": "a"}, {"name": "q", "team": "a"}])})
        self.keys = {name: self.new_key(name, *rest) for name, rest in self.KEYS.items()}

    def new_key(self, name, team, *more):
        key = self.gateway.cli_json("key", "create", "--name", name, "--team", team, *more)["key"]
        until(lambda: self.gateway.http(key).get("/v1/models").status_code == 200, 10, f"key {name} in the worker")
        return key

    def post(self, key, body, path="/v1/chat/completions", **headers):
        """The answer, and whether the provider was asked. body: bytes go as they are."""
        before = len(self.fake.attempts())
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = httpx.post(self.gateway.url + path, content=content, timeout=30, verify=TRUST, headers={
            "authorization": f"Bearer {self.keys.get(key, key)}", "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()}})
        return answer, len(self.fake.attempts()) - before

    def expect(self, word, key, body, path="/v1/chat/completions", **headers):
        answer, asked = self.post(key, body, path, **headers)
        assert answer.status_code == 200, answer.text
        assert (answer.headers["x-headgate-cache"], asked) == (word, 0 if word == "hit" else 1), answer.headers
        assert ("age" in answer.headers) == (word == "hit")
        return answer


@pytest.fixture(scope="module")
def shared():
    fake, gateway = FakeProvider(), Gateway(workers=1)
    try:
        gateway.up()
        yield Cached(gateway, fake)
    finally:
        gateway.close()
        fake.close()


@pytest.fixture
def cached(shared):
    yield shared
    shared.gateway.wait_idle()


@pytest.fixture
def own(fresh_gateway):
    """A gateway of this test's own, to be reconfigured."""
    fake = FakeProvider()
    yield Cached(fresh_gateway(workers=1), fake)
    fake.close()


def chat(model="by-team", text=None, **members):
    return {"model": model, "messages": [{"role": "user", "content": text or marker()}], **members}


def test_f159_the_same_request_of_another_team_misses(cached):
    for body in (chat(), chat(stream=True), chat("by-team", stream=True, stream_options={"include_usage": True})):
        first = cached.expect("miss", "a1", body)
        again = cached.expect("hit", "a1", body)
        assert again.content == first.content
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
        assert again.headers["x-headgate-cost-usd"] == "0.00"
        assert again.headers["x-headgate-attempts"] == "0" and first.headers["x-headgate-attempts"] == "1"
        assert (again.headers["x-headgate-provider"], again.headers["x-headgate-model"]) == ("fake", "m")
        assert again.headers["cache-control"] == "no-store" and int(again.headers["age"]) >= 0
        cached.expect("hit", "a2", body)
        cached.expect("miss", "b1", body)
        cached.expect("hit", "b1", body)


@pytest.mark.parametrize("scope, same, others", [
    ("team", ("a2", "p1", "u1"), ("b1",)),
    ("project", (), ("a2", "p1", "b1")),      # a1 is in none: it shares with nobody
    ("user", (), ("a2", "u1", "b1")),         # nobody's
    ("key", (), ("a2", "b1", "p1", "u1")),
])
def test_f159_who_shares_with_a_key_of_a_team_alone(cached, scope, same, others):
    body = chat("by-" + scope)
    cached.expect("miss", "a1", body)
    for key in same:
        cached.expect("hit", key, body)
    for key in others:
        cached.expect("miss", key, body)
    cached.expect("hit", "a1", body)


def test_f159_who_shares_within_a_project_and_a_user(cached):
    body = chat("by-project")
    cached.expect("miss", "p1", body)
    cached.expect("hit", "p2", body)
    cached.expect("miss", "q1", body)
    body = chat("by-user")
    cached.expect("miss", "u1", body)
    cached.expect("hit", "u2", body)
    cached.expect("miss", "v1", body)
    cached.expect("miss", "ub", body)  # the same person, in another team


def test_f159_no_body_and_no_field_spells_another_scope(cached):
    text = marker()
    plain = json.dumps(chat(text=text)).encode()
    cached.expect("miss", "a1", plain)
    for body in (chat(text=text, user="a"), chat(text=text, metadata={"team": "a", "scope": "team", "key": "a1"}),
                 chat(text=text, cache={"scope": "team", "team": "a"}), chat(text=text, cache_key="a", namespace="a"),
                 chat(text="a" + text), chat(text=text + "a"), chat(text="a\x01by-team" + text)):
        cached.expect("miss", "a1", body)
        cached.expect("miss", "b1", body)
    theirs = cached.expect("miss", "b1", plain)
    for headers in ({"x_headgate_team": "a"}, {"x_headgate_scope": "team:a"}, {"x_headgate_cache_key": "a"},
                    {"x_headgate_key": "a1"}, {"x_headgate_cache": "hit"}, {"cookie": "team=a"}, {"openai_organization": "a"},
                    {"x_forwarded_for": "127.0.0.1"}, {"cache_control": "max-stale=99999"}, {"cache_control": "only-if-cached"}):
        assert cached.expect("hit", "b1", plain, **headers).content == theirs.content
    assert cached.expect("hit", "a1", plain).json()["id"] != theirs.json()["id"]


def test_f159_what_changes_an_answer_is_part_of_the_key(cached):
    text = marker()
    body = json.dumps(chat(text=text)).encode()
    cached.expect("miss", "a1", body)
    cached.expect("miss", "a1", body + b" ")  # the bytes, not what they mean
    cached.expect("miss", "a1", body, openai_beta="x=1")
    cached.expect("hit", "a1", body, openai_beta="x=1")
    cached.expect("miss", "a1", body, path="/v1/chat/completions?x=1")
    cached.expect("miss", "a1", json.dumps(chat(text=text, stream=True)).encode())
    cached.expect("hit", "a1", body, user_agent="another")
    prompt = json.dumps({"model": "by-team", "prompt": text, "max_tokens": 4}).encode()
    cached.expect("miss", "a1", prompt, path="/v1/completions")
    cached.expect("hit", "a1", prompt, path="/v1/completions")


def test_f159_another_dialect_is_given_again_as_it_was(cached):
    text = marker()
    body = {"model": "by-team", "max_tokens": 50, "messages": [{"role": "user", "content": text}]}
    for more in ({}, {"stream": True}):
        first = cached.expect("miss", "a1", {**body, **more}, path="/v1/messages")
        again = cached.expect("hit", "a1", {**body, **more}, path="/v1/messages")
        assert again.content == first.content and again.headers["request-id"] != first.headers["request-id"]
    gemini = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    for call in ("generateContent", "streamGenerateContent?alt=sse"):
        path = f"/v1beta/models/by-team:{call}"
        first = cached.expect("miss", "a1", gemini, path=path)
        assert cached.expect("hit", "a1", gemini, path=path).content == first.content


def test_errors_and_broken_streams_are_not_kept(cached):
    for script, stream in (("status=500", False), ("status=429", False), ("status=400", True), ("badjson", False),
                           ("err@0", True), ("rst@2", True), ("cut@2", True), ("errevent@1", True), ("nodone;cut@2", True)):
        body = chat(stream=stream, x_mock=script)
        for turn in range(1, 3):
            before = len(cached.fake.attempts())
            try:
                answer, _ = cached.post("a1", body)
                assert answer.status_code >= 400 or '"error"' in answer.text, (script, answer.text)
                assert answer.headers["x-headgate-cache"] == "miss"
            except httpx.RemoteProtocolError:
                pass  # broken off, as it must be
            assert len(cached.fake.attempts()) == before + 1, (script, turn)
    body = chat(x_mock="status=500;times=1")
    assert cached.post("a1", body)[0].status_code >= 500
    cached.expect("miss", "a1", body)
    cached.expect("hit", "a1", body)


def test_what_is_too_long_is_not_kept(cached):
    for body in (chat(x_mock="ev=1;size=1200000"), chat(x_mock="ev=300;size=4096", stream=True)):
        for _ in range(2):
            assert len(cached.expect("miss", "a1", body).content) > 1 << 20


def test_f159_a_key_that_takes_less_gets_its_own(cached):
    """What a provider cannot do may be left out for a key that says so: others must not get that answer."""
    made = cached.gateway.admin("POST", "/keys", json={"name": "degraded", "team": "a", "degrade": True})
    assert made.status_code == 201, made.text
    key, body = made.json()["key"], chat()
    until(lambda: cached.gateway.http(key).get("/v1/models").status_code == 200, 10, "the key in the worker")
    cached.expect("miss", key, body)
    cached.expect("miss", "a1", body)
    cached.expect("hit", key, body)


def test_what_reads_or_leaves_something_elsewhere_passes_by(cached):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    for members in ({"tools": [tool]}, {"store": True}, {"web_search_options": {}}, {"plugins": [{"id": "web"}]}):
        body = chat(**members)
        cached.expect("bypass", "a1", body)
        cached.expect("bypass", "a1", body)
    responses = {"model": "by-team", "input": marker()}
    for members in ({}, {"store": True}, {"store": None}):
        answer, _ = cached.post("a1", {**responses, **members}, path="/v1/responses")
        assert answer.headers.get("x-headgate-cache") in ("bypass", None), answer.headers
    cached.expect("miss", "a1", {**responses, "store": False}, path="/v1/responses")
    cached.expect("hit", "a1", {**responses, "store": False}, path="/v1/responses")
    body = chat("never")
    cached.expect("none", "a1", body)
    cached.expect("none", "a1", body)


def test_the_client_may_want_none(cached):
    body = chat()
    cached.expect("bypass", "a1", body, cache_control="no-store")
    cached.expect("miss", "a1", body)
    first = cached.expect("hit", "a1", body)
    cached.expect("bypass", "a1", body, cache_control="private, No-Store")
    for wish in ("no-cache", "max-age=0", "max-age=x", "max-age=600, no-cache"):
        fresh = cached.expect("miss", "a1", body, cache_control=wish)  # and is kept
        assert fresh.json()["id"] != first.json()["id"]
        first = cached.expect("hit", "a1", body)
        assert first.content == fresh.content
    cached.expect("hit", "a1", body, cache_control="max-age=86400")


def test_a_hit_is_in_the_books_and_costs_nothing(cached):
    gateway, body = cached.gateway, chat(x_mock="usage=100/20")
    first = cached.expect("miss", "a1", body)
    again = cached.expect("hit", "a1", body)
    paid, = gateway.wait_usage(first.headers["x-request-id"])
    free, = gateway.wait_usage(again.headers["x-request-id"])
    assert decimal.Decimal(paid["cost_usd"]) > 0 and paid["cached"] is False and paid["input_tokens"] == 100
    assert decimal.Decimal(free["cost_usd"]) == 0 and free["cached"] is True
    assert [free[n] for n in ("input_tokens", "output_tokens", "upstream_status", "status")] == [0, 0, 0, 200]
    assert [free[n] for n in ("team", "key", "model", "provider", "provider_model", "outcome", "error_code")] == \
        ["a", "a1", "by-team", "fake", "m", "done", ""]
    assert free["estimated"] is False and free["incomplete"] is False
    gateway.wait_idle()
    ids = {row[0] for row in gateway.sql("SELECT attempt_id FROM usage_events WHERE NOT cached")}
    assert ids == set(cached.fake.attempts()), "an attempt has its record, and no hit is one"
    done = gateway.run("ledger", "verify", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert gateway.metric("headgate_cache_hits_total") > 0 and gateway.metric("headgate_cache_misses_total") > 0
    until(lambda: gateway.metric("headgate_cache_bytes") > 0, 10, "the gauge of the cache")


def test_f159_a_key_without_the_right_gets_none(own):
    body, by_key = chat(), chat("by-key")
    extra = own.new_key("extra", "a")
    own.expect("miss", "a1", body)
    own.expect("hit", extra, body)
    own.gateway.cli("key", "revoke", "extra")
    until(lambda: own.post(extra, body)[0].status_code == 401, 10, "the key is refused")
    assert own.post(extra, body)[1] == 0
    # What the team may not use any more, it does not get from memory.
    own.gateway.apply({"teams": [{"name": "a", "allow": {"models": ["by-key"]}}, {"name": "b"}]})
    answer, asked = own.post("a1", body)
    assert (answer.status_code, asked) == (404, 0)
    own.expect("miss", "a1", by_key)
    own.gateway.apply({"teams": [{"name": "a", "disabled": True}, {"name": "b"}]})
    answer, asked = own.post("a1", by_key)
    assert (answer.status_code, asked) == (403, 0)
    own.gateway.apply({"teams": [{"name": "a"}, {"name": "b"}]})
    own.expect("hit", "a1", by_key)
    # A stream that the key may not have.
    stream = chat(stream=True)
    own.expect("miss", "a1", stream)
    quiet = own.gateway.apply({"teams": [{"name": "a", "allow": {"stream": False}}, {"name": "b"}]})
    assert quiet and own.post("a1", stream)[0].status_code == 403


def test_a_change_of_configuration_ends_what_was_kept(own):
    body = chat()
    own.expect("miss", "a1", body)
    own.gateway.apply({"teams": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})
    own.gateway.apply({"models": [{"name": "elsewhere", "targets": [{"provider": "fake", "model": "m"}]}]})
    own.expect("hit", "a1", body)  # neither is of that model
    changed = models()
    changed["models"][0]["targets"][0]["model"] = "m2"
    own.gateway.apply(changed)
    until(lambda: own.gateway.metric("headgate_cache_answers") == 0, 10, "the answer is dropped")
    own.expect("miss", "a1", body)
    own.gateway.apply(own.fake.provider(headers={"x-new": "1"}))  # the provider of its target
    own.expect("miss", "a1", body)
    own.expect("hit", "a1", body)
    without = models()
    del without["models"][0]["cache"]
    without["models"][0]["targets"][0]["model"] = "m2"
    own.gateway.apply(without)
    until(lambda: own.gateway.metric("headgate_cache_answers") == 0, 10, "the answer is dropped")
    own.expect("none", "a1", body)
    own.gateway.apply(changed)
    own.expect("miss", "a1", body)


def test_a_hit_counts_as_a_request_and_not_as_money(own):
    own.gateway.apply({"budgets": [{"name": "tight", "key": "a1", "limit_usd": "0.05", "period": "month", "mode": "estimate"}],
                       "quotas": [{"name": "few", "key": "a2", "requests_per_day": 2, "input_tokens_per_day": 1000000}]})
    kept = chat(x_mock="usage=1000/2000")
    own.expect("miss", "a1", kept)

    def spent():
        return own.post("a1", chat(x_mock="usage=1000/2000"))[0].status_code == 429
    until(spent, 30, "the budget is used up")
    own.expect("hit", "a1", kept)  # it costs nothing
    own.expect("hit", "a2", kept)
    own.expect("hit", "a2", kept)
    answer, asked = own.post("a2", kept)
    assert (answer.status_code, asked, answer.headers["x-headgate-error"]) == (429, 0, "quota_exceeded")
    assert answer.headers["x-headgate-cache"] == "none"


def test_an_answer_made_shorter_for_a_budget_is_not_kept(own):
    own.gateway.apply({"budgets": [{"name": "strict", "key": "b1", "limit_usd": "100", "period": "month", "mode": "strict"}]})
    body = chat()
    for _ in range(2):
        assert "x-headgate-max-tokens" in own.expect("miss", "b1", body).headers
    limited = chat(max_tokens=100)  # the client's own limit
    own.expect("miss", "b1", limited)
    own.expect("hit", "b1", limited)
    # A budget has nothing to say about what it does not pay for.
    own.gateway.apply({"budgets": [{"name": "other", "key": "a2", "limit_usd": "100", "period": "month", "mode": "strict"}]})
    own.expect("miss", "a1", body)
    assert "x-headgate-max-tokens" not in own.expect("hit", "a2", body).headers


def test_a_rule_is_checked_when_it_is_applied(cached):
    for rule, place in (({"ttl_s": 0, "scope": "team"}, "ttl_s"), ({"ttl_s": 86401, "scope": "team"}, "ttl_s"), ({"scope": "team"}, "ttl_s"),
                        ({"ttl_s": 60}, "scope"), ({"ttl_s": 60, "scope": "everyone"}, "scope"), ({"ttl_s": 60, "scope": "team", "x": 1}, "x")):
        document = {"models": [{"name": "bad", "targets": [{"provider": "fake", "model": "m"}], "cache": rule}]}
        done = cached.gateway.run("apply", "-f", "-", stdin=json.dumps(document))
        assert done.returncode != 0 and "cache" in done.stderr and place in done.stderr, done.stderr
