"""Strict budgets bound what a request may cost: a limit of the output is put in where it names none, and lowered
where it does not fit into what is left; what then goes up is what was reserved."""

import concurrent.futures
import decimal
import http.server
import json
import threading

import httpx
import pytest

import harness
from harness import TRUST, until

IN, OUT = 2500, 10000  # nanodollars a token
KEY = "x" * 20
AWS = json.dumps({"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"})

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ANSWERS = {  # by the end of the path: an answer that its limit has cut
    "/chat/completions": {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE, "choices": [
        {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "Hel"}}]},
    "/v1/completions": {"id": "c", "object": "text_completion", "created": 1, "model": "m", "usage": USAGE,
                        "choices": [{"index": 0, "finish_reason": "length", "text": "Hel"}]},
    "/responses": {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "incomplete", "error": None,
                   "incomplete_details": {"reason": "max_output_tokens"}, "output": [
                       {"type": "message", "id": "msg_1", "role": "assistant", "status": "incomplete",
                        "content": [{"type": "output_text", "text": "Hel", "annotations": []}]}],
                   "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}},
    "/messages": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "max_tokens",
                  "stop_sequence": None, "content": [{"type": "text", "text": "Hel"}],
                  "usage": {"input_tokens": 3, "output_tokens": 2}},
    ":generateContent": {"candidates": [{"index": 0, "finishReason": "MAX_TOKENS", "content": {
        "role": "model", "parts": [{"text": "Hel"}]}}], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}},
    "/converse": {"output": {"message": {"role": "assistant", "content": [{"text": "Hel"}]}}, "stopReason": "max_tokens",
                  "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}},
    "/chat": {"id": "c", "finish_reason": "MAX_TOKENS", "message": {"role": "assistant", "content": [
        {"type": "text", "text": "Hel"}]}, "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}}},
}


class Vendor(http.server.ThreadingHTTPServer):
    """All vendors in one: answers by the path, keeps the bodies; `mute`: closes without an answer; `greedy`: uses all that
    it may (in the dialect of chat)."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), VendorHandler)
        self.bodies, self.mute, self.greedy = [], False, False
        self.gate = threading.Event()
        self.gate.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class VendorHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        self.server.gate.wait(20)
        if self.server.mute:
            self.close_connection = True
            return
        answer = next(a for end, a in ANSWERS.items() if self.path.partition("?")[0].endswith(end))
        if self.server.greedy:
            answer = {**answer, "usage": {**USAGE, "prompt_tokens": 20, "completion_tokens": limit_of(body)}}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format, *args):
        pass


PROVIDERS = {  # kind: (what its base URL ends with, what is needed beside)
    "openai": ("/v1", {}), "openai-compatible": ("/v1", {}), "anthropic": ("/v1", {}), "gemini": ("/v1beta", {}),
    "bedrock": ("", {"region": "eu-west-1"}), "cohere": ("/v2", {}), "mistral": ("/v1", {}), "groq": ("/v1", {}),
}


def configuration(url):
    return {
        "providers": [{"name": kind, "kind": kind, "base_url": url + end, "allow_private": True,
                       "credential": AWS if kind == "bedrock" else KEY, **more} for kind, (end, more) in PROVIDERS.items()],
        "prices": [{"provider": kind, "model": "*", "input_per_mtok_usd": "2.50", "output_per_mtok_usd": "10",
                    **({"max_output_tokens": 3000} if kind == "groq" else {"max_output_tokens": 90000} if kind == "mistral" else {})}
                   for kind in PROVIDERS],
    }


@pytest.fixture(scope="module")
def world():
    gateway, vendor = harness.Gateway(workers=1), Vendor()  # several have their own test, below
    try:
        gateway.up()
        gateway.apply(configuration(vendor.url))
        gateway.vendor = vendor
        yield gateway
    finally:
        gateway.close()
        vendor.shutdown()


@pytest.fixture
def team(world):
    """A function: a team with one strict budget of so many dollars; its key and the budget's name."""
    made = []

    def make(usd):
        name = f"fit-{world.next_team}"
        world.next_team += 1
        world.apply({"teams": [{"name": name}], "budgets": [
            {"name": name, "team": name, "period": "lifetime", "limit_usd": str(usd)}]})
        key = world.cli_json("key", "create", "--name", name, "--team", name)["key"]
        made.append(name)
        until(lambda: all(world.chat("nothing/m", key=key).status_code == 404 for _ in range(8)), 5, "the key in all workers")
        world.vendor.bodies.clear()
        return key, name

    world.next_team = getattr(world, "next_team", 0)
    yield make
    world.vendor.mute = False
    world.vendor.gate.set()


def dollars(nanos):
    return decimal.Decimal(nanos) / 10**9


def spent(gateway, name):
    return int(decimal.Decimal(gateway.admin("GET", f"/budgets/{name}").json()["status"][0]["spent"]) * 10**9)


class Client:
    """A dialect as a client speaks it."""

    def __init__(self, name, path, body, limit, finish):
        self.name, self.path, self.body, self.limit, self.finish = name, path, body, limit, finish

    def request(self, model, limit=None):
        body = json.loads(json.dumps(self.body))
        if "model" in body:
            body["model"] = model
        if limit is not None:
            self.limit(body, limit)
        return self.path.replace("MODEL", model), body


def set_gemini(body, n):
    body["generationConfig"] = {"maxOutputTokens": n}


MESSAGES = [{"role": "user", "content": "Hello!"}]
CLIENTS = {c.name: c for c in [
    Client("chat", "/v1/chat/completions", {"model": "", "messages": MESSAGES}, lambda b, n: b.update(max_tokens=n),
           lambda a: a["choices"][0]["finish_reason"] == "length"),
    Client("responses", "/v1/responses", {"model": "", "input": "Hello!"}, lambda b, n: b.update(max_output_tokens=n),
           lambda a: a["incomplete_details"]["reason"] == "max_output_tokens"),
    Client("anthropic", "/v1/messages", {"model": "", "messages": MESSAGES}, lambda b, n: b.update(max_tokens=n),
           lambda a: a["stop_reason"] == "max_tokens"),
    Client("gemini", "/v1beta/models/MODEL:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hello!"}]}]},
           set_gemini, lambda a: a["candidates"][0]["finishReason"] == "MAX_TOKENS"),
]}


def ask(gateway, key, path, body, **headers):
    return httpx.post(gateway.url + path, json=body, timeout=30, verify=TRUST,
                      headers={"authorization": f"Bearer {key}", **headers})


def limit_of(body):
    """What a provider was told, in whichever way it is told."""
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        if body.get(name) is not None:
            return body[name]
    return body.get("generationConfig", {}).get("maxOutputTokens") or body.get("inferenceConfig", {}).get("maxTokens")


def test_a_limit_is_put_in_for_each_dialect_and_provider(world, team):
    """No limit in the request: one goes up, the client is told which, and the answer says that it was cut."""
    key, _ = team("20")
    for client in CLIENTS.values():
        for kind in PROVIDERS:
            given = 500000 if client.name == "anthropic" else None  # there it is required
            path, body = client.request(f"{kind}/m", given)
            world.vendor.bodies.clear()
            answer = ask(world, key, path, body)
            place = (client.name, kind, answer.text, world.vendor.bodies)
            assert answer.status_code == 200, place
            assert client.finish(answer.json()), place
            sent = limit_of(world.vendor.bodies[-1])
            if given:  # it fits: nothing is changed
                assert "x-headgate-max-tokens" not in answer.headers and sent in (given, 64000, 32000), place
                continue
            assert sent == int(answer.headers["x-headgate-max-tokens"]), place
            assert sent == {"groq": 3000, "mistral": 16384}.get(kind, 4096), place


def test_a_limit_is_lowered_to_fit_for_each_dialect_and_provider(world, team):
    """More than is left: the most that fits goes up. The budget is never passed, whatever is answered."""
    key, name = team(dollars(1000 * OUT))
    for client in CLIENTS.values():
        for kind in PROVIDERS:
            path, body = client.request(f"{kind}/m", 100000)
            world.vendor.bodies.clear()
            answer = ask(world, key, path, body)
            place = (client.name, kind, answer.text, world.vendor.bodies)
            assert answer.status_code == 200 and client.finish(answer.json()), place
            sent = limit_of(world.vendor.bodies[-1])
            assert sent == int(answer.headers["x-headgate-max-tokens"]), place
            assert 800 <= sent <= 1000, place
    assert spent(world, name) <= 1000 * OUT


def test_no_limit_and_little_left(world, team):
    """Put in is what fits, where that is less than the usual."""
    key, _ = team(dollars(1000 * OUT))
    answer = ask(world, key, *CLIENTS["chat"].request("openai/m"))
    assert answer.status_code == 200 and 800 <= int(answer.headers["x-headgate-max-tokens"]) <= 1000
    assert world.vendor.bodies[-1]["max_completion_tokens"] == int(answer.headers["x-headgate-max-tokens"])


def test_below_the_least_it_is_refused(world, team):
    """A quarter of a thousand tokens is the least: below it the budget's own 429, and nothing goes up."""
    key, name = team(dollars(270 * OUT))
    for given in (None, 5000):
        answer = ask(world, key, *CLIENTS["chat"].request("openai/m", given))
        assert answer.status_code == 429 and answer.json()["error"]["code"] == "budget_exceeded", answer.text
        assert f"'{name}'" in answer.json()["error"]["message"] and answer.headers["x-should-retry"] == "false"
    assert ask(world, key, *CLIENTS["chat"].request("openai/m", 100)).status_code == 200  # it asks for so little itself
    assert len(world.vendor.bodies) == 1


def test_exactly_its_own_limit_or_none(world, team):
    key, _ = team(dollars(1000 * OUT))
    path, body = CLIENTS["chat"].request("openai/m", 5000)
    refused = ask(world, key, path, body, **{"x-headgate-max-tokens": "exact"})
    assert refused.status_code == 429 and refused.json()["error"]["code"] == "budget_exceeded"
    assert ask(world, key, path, body).status_code == 200


def test_thinking_keeps_its_room(world, team):
    """A budget of thinking must stay below the limit: it is not lowered further than that."""
    key, _ = team(dollars(2000 * OUT))
    path, body = CLIENTS["anthropic"].request("anthropic/m", 9000)
    answer = ask(world, key, path, {**body, "thinking": {"type": "enabled", "budget_tokens": 1024}})
    assert answer.status_code == 200 and 1025 <= world.vendor.bodies[-1]["max_tokens"] <= 2000
    answer = ask(world, key, path, {**body, "thinking": {"type": "enabled", "budget_tokens": 4000}})
    assert answer.status_code == 429


@pytest.mark.parametrize("path, body, answers, limit", [
    ("/v1/chat/completions", {"model": "openai/m", "messages": MESSAGES, "n": 3}, 3, 4096),
    ("/v1beta/models/gemini/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "x"}]}],
                                                 "generationConfig": {"candidateCount": 2}}, 2, 4096),
    ("/v1/completions", {"model": "openai/m", "prompt": ["a", "b"], "best_of": 2}, 4, 16),
    ("/v1/responses", {"model": "openai/m", "input": "x"}, 1, 4096),
    ("/v1/messages", {"model": "openai/m", "messages": MESSAGES, "max_tokens": 700}, 1, 700),
])
def test_what_nobody_reports_is_booked_at_what_went_up(world, team, path, body, answers, limit):
    """The reservation is the bound of what was sent: the body's bytes, and the limit for each answer."""
    key, name = team("5")
    world.vendor.mute = True
    answer = ask(world, key, path, body)
    assert answer.status_code == 502
    assert limit_of(world.vendor.bodies[-1]) == limit
    size = len(httpx.Request("POST", "http://x", json=body).content)
    until(lambda: spent(world, name) == size * IN + answers * limit * OUT, 5, "the booking of what was reserved")


def test_two_at_once_share_what_is_left(world, team):
    """What one has reserved is not there for the other; together they never pass the limit."""
    key, name = team(dollars(1500 * OUT))
    world.vendor.gate.clear()
    path, body = CLIENTS["chat"].request("openai/m", 1000)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(ask, world, key, path, body) for _ in range(4)]
        until(lambda: sum(c.done() for c in calls) == 2, 10, "the refusal of those that do not fit")
        world.vendor.gate.set()
        answers = [c.result() for c in calls]
    assert sorted(a.status_code for a in answers) == [200, 200, 429, 429]
    sent = sorted(limit_of(b) for b in world.vendor.bodies)
    assert sent[1] == 1000 and 256 <= sent[0] < 500 and sum(sent) <= 1500
    assert spent(world, name) <= 1500 * OUT


def test_a_crowd_without_limits_never_passes_the_budget_and_uses_it(fresh_gateway):
    """Three workers, a provider that takes all it is given: the last requests are lowered until nothing is left that is
    worth an answer, so nearly all of the budget is used and none of it twice."""
    vendor, limit = Vendor(), 50000 * OUT
    vendor.greedy = True
    gateway = fresh_gateway(workers=3)
    gateway.apply({**configuration(vendor.url), "budgets": [
        {"name": "b", "period": "day", "limit_usd": str(dollars(limit))}]})
    path, body = CLIENTS["chat"].request("groq/m")
    seen = []

    def work():
        done = 0
        while done < 12:
            answer = ask(gateway, gateway.key, path, body)
            seen.append(answer.status_code)
            done += answer.status_code == 429
    try:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for each in [pool.submit(work) for _ in range(6)]:
                each.result(120)
    finally:
        vendor.shutdown()
    billed = sum(20 * IN + limit_of(b) * OUT for b in vendor.bodies)
    assert set(seen) == {200, 429} and seen.count(200) == len(vendor.bodies)
    assert limit * 95 // 100 <= billed <= limit
    assert min(limit_of(b) for b in vendor.bodies) < 3000, "none was lowered"
    until(lambda: spent(gateway, "b") == billed, 10, "the booking of all")


def test_embeddings_need_no_limit(world, team):
    key, _ = team("1")
    ANSWERS["/embeddings"] = {"object": "list", "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3},
                              "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
    answer = ask(world, key, "/v1/embeddings", {"model": "openai/m", "input": "x"})
    assert answer.status_code == 200 and "x-headgate-max-tokens" not in answer.headers


@pytest.mark.parametrize("path, body", [
    ("/v1/chat/completions", {"model": "openai/m", "messages": MESSAGES, "max_tokens": "many"}),
    ("/v1beta/models/gemini/m:generateContent", {"contents": [], "generationConfig": []}),
])
def test_what_cannot_be_bounded_is_refused(world, team, path, body):
    key, _ = team("1")
    answer = ask(world, key, path, body)
    assert answer.status_code == 400, answer.text
    assert "strict" in answer.text and not world.vendor.bodies
