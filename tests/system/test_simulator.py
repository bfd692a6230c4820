"""What the simulator can be asked for, seen through each of the dialects that clients speak."""

import json

import pytest

import harness

SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "minLength": 40}}, "required": ["city"]}
NAMES = ["first", "second"]


@pytest.fixture(scope="module")
def gateway():
    made = harness.Gateway(workers=1)
    try:
        made.up()
        target = {"provider": "simulator", "model": "simulator-slow+latency:0+gap:0+text:3+reasoning:2"}
        made.apply({"models": [{"name": "told", "targets": [target]}]})
        yield made
    finally:
        made.close()


class Chat:
    path = "/v1/chat/completions"
    body = {"model": "simulator", "messages": [{"role": "user", "content": "Hello!"}]}
    tools = [{"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in NAMES]

    def read(self, answer):
        message = answer["choices"][0]["message"]
        return {"thought": message.get("reasoning_content"), "refusal": message["refusal"], "finish": answer["choices"][0]["finish_reason"],
                "calls": [c["function"]["name"] for c in message.get("tool_calls", [])],
                "sources": [a["url_citation"]["url"] for a in message.get("annotations", [])],
                "cached": answer["usage"]["prompt_tokens_details"]["cached_tokens"]}


class Responses:
    path = "/v1/responses"
    body = {"model": "simulator", "input": "Hello!", "reasoning": {"summary": "auto"}}
    tools = [{"type": "function", "name": n, "parameters": SCHEMA} for n in NAMES]

    def read(self, answer):
        parts = [p for item in answer["output"] if item["type"] == "message" for p in item["content"]]
        thoughts = [s["text"] for item in answer["output"] if item["type"] == "reasoning" for s in item["summary"]]
        return {"thought": "".join(thoughts), "refusal": next((p["refusal"] for p in parts if p["type"] == "refusal"), None),
                "finish": answer["status"],
                "calls": [item["name"] for item in answer["output"] if item["type"] == "function_call"],
                "sources": [a["url"] for p in parts for a in p.get("annotations", [])],
                "cached": answer["usage"]["input_tokens_details"]["cached_tokens"]}


class Messages:
    path = "/v1/messages"
    body = {"model": "simulator", "max_tokens": 4000, "messages": [{"role": "user", "content": "Hello!"}],
            "thinking": {"type": "enabled", "budget_tokens": 1024}}
    tools = [{"name": n, "input_schema": SCHEMA} for n in NAMES]

    def read(self, answer):
        content = answer["content"]
        return {"thought": "".join(b["thinking"] for b in content if b["type"] == "thinking"),
                "refusal": answer["stop_reason"] == "refusal" and "yes" or None, "finish": answer["stop_reason"],
                "calls": [b["name"] for b in content if b["type"] == "tool_use"],
                "sources": [c["url"] for b in content for c in b.get("citations") or []],
                "cached": answer["usage"]["cache_read_input_tokens"]}


class Generate:
    path = "/v1beta/models/simulator:generateContent"
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello!"}]}],
            "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    tools = [{"functionDeclarations": [{"name": n, "parametersJsonSchema": SCHEMA} for n in NAMES]}]

    def read(self, answer):
        parts = answer["candidates"][0]["content"].get("parts", [])
        grounding = answer["candidates"][0].get("groundingMetadata", {})
        return {"thought": "".join(p.get("text", "") for p in parts if p.get("thought")),
                "refusal": None, "finish": answer["candidates"][0]["finishReason"],
                "calls": [p["functionCall"]["name"] for p in parts if "functionCall" in p],
                "sources": [c["web"]["uri"] for c in grounding.get("groundingChunks", [])],
                "cached": answer["usageMetadata"].get("cachedContentTokenCount", 0)}


SPOKEN = [Chat(), Responses(), Messages(), Generate()]


@pytest.mark.parametrize("client", SPOKEN, ids=lambda c: type(c).__name__.lower())
class TestEveryDialect:
    def ask(self, gateway, client, directives, **more):
        with gateway.http() as http:
            answer = http.post(client.path, json={**client.body, **more}, headers={"x-headgate-sim": directives})
        return answer

    def test_it_thinks(self, gateway, client):
        got = client.read(self.ask(gateway, client, "reasoning=4;signature=1").json())
        assert got["thought"] == "Let me think: perhaps"

    def test_it_calls_several_tools(self, gateway, client):
        got = client.read(self.ask(gateway, client, "tools=3", tools=client.tools).json())
        assert got["calls"] == ["first", "second", "first"]

    def test_it_cites(self, gateway, client):
        got = client.read(self.ask(gateway, client, "citations=2").json())
        assert got["sources"] == ["https://example.com/source/1", "https://example.com/source/2"]

    def test_a_cache(self, gateway, client):
        answer = self.ask(gateway, client, "cached=4;usage=10/3")
        assert client.read(answer.json())["cached"] == 4
        event = gateway.wait_usage(answer.headers["x-request-id"])[0]
        assert event["cached_input_tokens"] == 4

    def test_it_filters(self, gateway, client):
        told = {"chat": "content_filter", "responses": "incomplete", "messages": "refusal", "generate": "SAFETY"}
        assert client.read(self.ask(gateway, client, "filter=1").json())["finish"] == told[type(client).__name__.lower()]

    def test_it_fails(self, gateway, client):
        answer = self.ask(gateway, client, "status=429;retry_after=7")
        assert answer.status_code == 429 and answer.headers["retry-after"] == "7"


def test_directives_in_a_models_name(gateway):
    message = gateway.chat("told").json()["choices"][0]["message"]
    assert message["content"] == "This is a" and message["reasoning_content"] == "Let me"


def test_streams_of_calls_interleave(gateway):
    with gateway.http() as http:
        text = http.post("/v1/chat/completions", headers={"x-headgate-sim": "tools=2"},
                         json={**Chat.body, "stream": True, "tools": Chat.tools}).text
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    calls = [call for c in chunks if c["choices"] for call in c["choices"][0]["delta"].get("tool_calls", [])]
    pieces = [call["index"] for call in calls if "id" not in call]
    assert pieces[:4] == [0, 1, 0, 1]
    for index in (0, 1):
        whole = "".join(c["function"].get("arguments", "") for c in calls if c["index"] == index)
        assert len(json.loads(whole)["city"]) == 40


def test_what_a_chat_asks_for(gateway):
    answer = gateway.chat(logprobs=True, top_logprobs=2, service_tier="auto").json()
    tokens = answer["choices"][0]["logprobs"]["content"]
    assert "".join(t["token"] for t in tokens) == answer["choices"][0]["message"]["content"]
    assert all(len(t["top_logprobs"]) == 2 for t in tokens)
    assert answer["service_tier"] == "default"


def test_a_refusal_in_responses(gateway):
    with gateway.http() as http:
        answer = http.post("/v1/responses", json=Responses.body, headers={"x-headgate-sim": "refusal=1;text=2"}).json()
    assert SPOKEN[1].read(answer)["refusal"] == "This is"
