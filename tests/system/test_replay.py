"""Conversations that think before they call tools: what a provider signed comes back to it as it was.

The simulator judges: asked to (demand_signature), it refuses a second turn whose reasoning, signatures or ids are not byte for
byte what it gave in the first. Each dialect that clients speak, against the simulator itself and against a second gateway
behind each family of providers, sends back what it got and the tool's result, as an application would.
"""

import json

import pytest

import harness

# What the simulator signs. The second gateway passes for a vendor when the format is that vendor's own.
SIGNED = {
    "text": "reasoning:4+signature:1",
    "sealed": "reasoning:4+encrypted:1",
    "both": "reasoning:4+signature:1+encrypted:1",
    "call": "reasoning:2+call_signature:1",
    "several": "reasoning:4+signature:1+tools:3+call_signature:1",
    "claude": "reasoning:4+signature:1+tools:2+format:anthropic",
    "claudes-sealed": "reasoning:4+encrypted:1+format:anthropic",
    "gemini": "reasoning:4+signature:1+tools:2+call_signature:1+format:gemini",
    "openais": "reasoning:4+encrypted:1+tools:2+format:responses",
}
ROWS = [("simulator", s) for s in SIGNED] + [("compatible", s) for s in SIGNED] + [("openai", s) for s in SIGNED] + [
    ("anthropic", "claude"), ("anthropic", "claudes-sealed"), ("gemini", "call"), ("gemini", "gemini")]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture(scope="module")
def gateway():
    mirror, gateway = harness.Gateway(workers=1), harness.Gateway(workers=1)
    try:
        mirror.up()
        gateway.up()
        names = {f"{name}-{judge}": f"simulator+{directives}" + "+demand_signature:1" * (judge == "judge")
                 for name, directives in SIGNED.items() for judge in ("judge", "free")}
        models = [{"name": name, "targets": [{"provider": "simulator", "model": model}]} for name, model in names.items()]
        mirror.apply({"models": models})
        upstream = {"credential": mirror.key, "allow_private": True}
        providers = [
            {"name": "openai", "kind": "openai", "base_url": mirror.url + "/v1", **upstream},
            {"name": "compatible", "kind": "openai-compatible", "base_url": mirror.url + "/v1", **upstream},
            {"name": "anthropic", "kind": "anthropic", "base_url": mirror.url + "/anthropic/v1", **upstream},
            {"name": "gemini", "kind": "gemini", "base_url": mirror.url + "/genai/v1beta", **upstream},
        ]
        for name in names:
            models += [{"name": f"{p['name']}-{name}", "targets": [{"provider": p["name"], "model": name}]} for p in providers]
        gateway.apply({"providers": providers, "models": models, "prices": [
            {"provider": p["name"], "model": "*", "input_per_mtok_usd": "1", "output_per_mtok_usd": "2"} for p in providers]})
        yield gateway
    finally:
        gateway.close()
        mirror.close()


def events_of(text):
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ") and line != "data: [DONE]"]


class Client:
    """A loop of two turns over plain HTTP, keeping all that came and nothing else."""

    def __init__(self, gateway, model, stream):
        self.http, self.model, self.stream = gateway.http(), model, stream

    def post(self, path, body):
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer

    def turn(self):
        answer = self.post(self.path(), self.body())
        return self.gather(events_of(answer.text)) if self.stream else answer.json()


class Chat(Client):
    def path(self):
        return "/v1/chat/completions"

    def body(self):
        return {"model": self.model, "stream": self.stream, "messages": self.turns, "reasoning_effort": "low", "tools": [
            {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]}

    def gather(self, chunks):
        message = {"role": "assistant", "content": None}
        for chunk in chunks:
            for choice in chunk["choices"]:
                delta = choice["delta"]
                if delta.get("content"):
                    message["content"] = (message["content"] or "") + delta["content"]
                if delta.get("reasoning_content"):
                    message["reasoning_content"] = message.get("reasoning_content", "") + delta["reasoning_content"]
                if delta.get("reasoning_details"):
                    message.setdefault("reasoning_details", []).extend(delta["reasoning_details"])
                for piece in delta.get("tool_calls", []):
                    calls = message.setdefault("tool_calls", [])
                    if piece.get("id"):
                        calls.append({k: v for k, v in piece.items() if k != "index"})
                    else:
                        calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
        return {"choices": [{"message": message}]}

    def loop(self):
        self.turns = [{"role": "user", "content": "Hello!"}]
        message = self.turn()["choices"][0]["message"]
        self.turns += [message] + [{"role": "tool", "tool_call_id": c["id"], "content": "sunny"} for c in message["tool_calls"]]
        return self.turn()["choices"][0]["message"]["content"]


class Responses(Client):
    def path(self):
        return "/v1/responses"

    def body(self):
        return {"model": self.model, "stream": self.stream, "input": self.turns, "store": False,
                "include": ["reasoning.encrypted_content"], "reasoning": {"summary": "auto"},
                "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA}]}

    def gather(self, events):
        return next(e["response"] for e in events if e["type"] == "response.completed")

    def loop(self):
        self.turns = [{"role": "user", "content": "Hello!"}]
        output = self.turn()["output"]
        self.turns += output + [{"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"}
                                for item in output if item["type"] == "function_call"]
        return "".join(p["text"] for item in self.turn()["output"] if item["type"] == "message" for p in item["content"])


class Messages(Client):
    def path(self):
        return "/v1/messages"

    def body(self):
        return {"model": self.model, "stream": self.stream, "messages": self.turns, "max_tokens": 4000,
                "thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": [{"name": "weather", "input_schema": SCHEMA}]}

    def gather(self, events):
        blocks, inputs = {}, {}
        for e in events:
            if e["type"] == "content_block_start":
                blocks[e["index"]] = dict(e["content_block"])
            elif e["type"] == "content_block_delta":
                delta, block = e["delta"], blocks[e["index"]]
                if delta["type"] == "input_json_delta":
                    inputs[e["index"]] = inputs.get(e["index"], "") + delta["partial_json"]
                else:
                    member = {"thinking_delta": "thinking", "signature_delta": "signature", "text_delta": "text"}[delta["type"]]
                    block[member] = block.get(member, "") + delta[member]
        for index, text in inputs.items():
            blocks[index]["input"] = json.loads(text or "{}")
        return {"content": [blocks[i] for i in sorted(blocks)]}

    def loop(self):
        self.turns = [{"role": "user", "content": "Hello!"}]
        content = self.turn()["content"]
        self.turns += [{"role": "assistant", "content": content}, {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": b["id"], "content": "sunny"} for b in content if b["type"] == "tool_use"]}]
        return "".join(b["text"] for b in self.turn()["content"] if b["type"] == "text")


class Generate(Client):
    def path(self):
        return f"/v1beta/models/{self.model}:" + ("streamGenerateContent?alt=sse" if self.stream else "generateContent")

    def body(self):
        return {"contents": self.turns, "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
                "tools": [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": SCHEMA}]}]}

    def gather(self, chunks):
        parts = [p for c in chunks for p in c["candidates"][0].get("content", {}).get("parts", [])]
        return {"candidates": [{"content": {"role": "model", "parts": parts}}]}

    def loop(self):
        self.turns = [{"role": "user", "parts": [{"text": "Hello!"}]}]
        content = self.turn()["candidates"][0]["content"]
        calls = [p["functionCall"] for p in content["parts"] if "functionCall" in p]
        self.turns += [content, {"role": "user", "parts": [
            {"functionResponse": {"name": c["name"], "response": {"result": "sunny"}} | ({"id": c["id"]} if "id" in c else {})}
            for c in calls]}]
        parts = self.turn()["candidates"][0]["content"]["parts"]
        return "".join(p["text"] for p in parts if not p.get("thought") and "text" in p)


CLIENTS = [Chat, Responses, Messages, Generate]
each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda c: c.__name__.lower())


@each_client
@pytest.mark.parametrize(("upstream", "signed"), ROWS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_was_signed_comes_back(gateway, client, upstream, signed, stream):
    if upstream == "openai" and client is Responses and signed != "openais":
        pytest.skip("OpenAI signs nothing else in Responses")
    if upstream == "openai" and client in (Messages, Generate):
        pytest.skip("chat completions of OpenAI's own have no place for reasoning")
    prefix = "" if upstream == "simulator" else upstream + "-"
    assert client(gateway, f"{prefix}{signed}-judge", stream).loop().startswith("This is a")


@each_client
def test_the_judge_judges(gateway, client):
    """What a client alters or forgets is refused: the test above can fail."""
    made = client(gateway, "text-free", False)
    made.loop()
    strip(made.turns)
    answer = made.http.post(made.path().replace("text-free", "text-judge"), json=made.body() | (
        {} if client is Generate else {"model": "text-judge"}))
    assert answer.status_code == 400 and "reasoning" in answer.text


def strip(turns):
    """Takes all reasoning out of a conversation, in whichever dialect."""
    for turn in turns:
        turn.pop("reasoning_details", None)
        for name in ("content", "parts"):
            if isinstance(turn.get(name), list):
                turn[name] = [p for p in turn[name] if p.get("type") != "thinking" and not p.get("thought")]
    turns[:] = [t for t in turns if t.get("type") != "reasoning"]
