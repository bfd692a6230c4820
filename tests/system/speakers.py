"""Clients of the four dialects, as small as can be: they ask, and say what they were told in one form.

Said = text, reasoning, calls [(name, arguments)], finish (OpenAI's word), usage (prompt, completion, cached), error.
"""

import dataclasses
import json

import httpx

import harness

STOPS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
         "refusal": "content_filter", "pause_turn": "stop", "model_context_window_exceeded": "length",
         "STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "PROHIBITED_CONTENT": "content_filter",
         "RECITATION": "content_filter", "MODEL_ARMOR": "content_filter", "BLOCKLIST": "content_filter", "SPII": "content_filter"}


@dataclasses.dataclass
class Said:
    text: str = ""
    reasoning: str = ""
    calls: list = dataclasses.field(default_factory=list)
    finish: str = None
    usage: tuple = None
    error: object = None
    clean: bool = False


def loads(text):
    """Arguments, parsed; '' and 'null' are none."""
    try:
        return json.loads(text or "{}") or {}
    except ValueError:
        return text


class Chat:
    name, path = "chat", "/v1/chat/completions"

    @staticmethod
    def ask(model, stream, tools):
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        if tools:
            body["tools"] = [{"type": "function", "function": {"name": t, "parameters": {"type": "object"}}} for t in tools]
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    @staticmethod
    def usage(u):
        return u and (u["prompt_tokens"], u["completion_tokens"],
                      (u.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)

    @classmethod
    def whole(cls, answer):
        message, choice = answer["choices"][0]["message"], answer["choices"][0]
        calls = [(c["function"]["name"], loads(c["function"]["arguments"])) if c["type"] == "function"
                 else (c["custom"]["name"], c["custom"]["input"]) for c in message.get("tool_calls") or []]
        old = message.get("function_call")
        if old and old.get("name"):
            calls.append((old["name"], loads(old["arguments"])))
        return Said(message.get("content") or "", message.get("reasoning_content") or "", calls,
                    choice["finish_reason"], cls.usage(answer.get("usage")), clean=True)

    @classmethod
    def stream(cls, text):
        said, calls = Said(), {}
        for event in harness.sse(text):
            if event == "[DONE]":
                said.clean = True
                continue
            data = event
            if data.get("error"):
                said.error = data["error"]
                continue
            said.usage = cls.usage(data.get("usage")) or said.usage
            for choice in (c for c in data.get("choices") or [] if c.get("index", 0) == 0):
                delta = choice.get("delta") or {}
                said.text += delta.get("content") or ""
                said.reasoning += delta.get("reasoning_content") or ""
                said.finish = choice.get("finish_reason") or said.finish
                for c in delta.get("tool_calls") or []:
                    call, of = calls.setdefault(c["index"], ["", ""]), c.get("function") or c.get("custom") or {}
                    call[0] += of.get("name") or ""
                    call[1] += of.get("arguments") or of.get("input") or ""
        said.calls = [(name, loads(arguments)) for _, (name, arguments) in sorted(calls.items())]
        return said


class Responses:
    name, path = "responses", "/v1/responses"

    @staticmethod
    def ask(model, stream, tools):
        body = {"model": model, "input": "hi"}
        if tools:
            body["tools"] = [{"type": "function", "name": t, "parameters": {"type": "object"}} for t in tools]
        return body | ({"stream": True} if stream else {})

    @staticmethod
    def whole(answer):
        said = Said(clean=answer["status"] in ("completed", "incomplete"))
        for item in answer["output"]:
            if item["type"] == "message":
                said.text += "".join(p.get("text") or "" for p in item["content"])
            elif item["type"] == "function_call":
                said.calls.append((item["name"], loads(item["arguments"])))
            elif item["type"] == "custom_tool_call":
                said.calls.append((item["name"], item["input"]))
            elif item["type"] == "reasoning":
                said.reasoning += "".join(p["text"] for p in [*(item.get("summary") or []), *(item.get("content") or [])])
        reason = (answer.get("incomplete_details") or {}).get("reason")
        said.finish = {"max_output_tokens": "length", "content_filter": "content_filter"}.get(
            reason, "tool_calls" if said.calls else "stop")
        u = answer.get("usage")
        said.usage = u and (u["input_tokens"], u["output_tokens"], u["input_tokens_details"]["cached_tokens"])
        said.error = answer.get("error")
        return said

    @classmethod
    def stream(cls, text):
        said, parts = Said(), ""
        for event in harness.sse(text):
            if event == "[DONE]":
                continue
            data = event
            kind = data["type"]
            if kind == "response.output_text.delta":
                parts += data["delta"]
            elif kind in ("response.completed", "response.incomplete"):
                said = cls.whole(data["response"])
            elif kind in ("error", "response.failed"):
                said.error = data.get("message") or data
        said.parts = parts
        return said


class Messages:
    name, path = "messages", "/v1/messages"

    @staticmethod
    def ask(model, stream, tools):
        body = {"model": model, "max_tokens": 4096, "messages": [{"role": "user", "content": "hi"}]}
        if tools:
            body["tools"] = [{"name": t, "input_schema": {"type": "object"}} for t in tools]
        return body | ({"stream": True} if stream else {})

    @staticmethod
    def usage(u):
        read = u.get("cache_read_input_tokens") or 0
        return (u["input_tokens"] + read + (u.get("cache_creation_input_tokens") or 0), u["output_tokens"], read)

    @classmethod
    def whole(cls, answer):
        said = Said(clean=True, finish=STOPS.get(answer["stop_reason"], answer["stop_reason"]))
        for block in answer["content"]:
            if block["type"] == "text":
                said.text += block["text"]
            elif block["type"] == "thinking":
                said.reasoning += block["thinking"]
            elif block["type"] == "tool_use":
                said.calls.append((block["name"], block["input"] or {}))
        said.usage = cls.usage(answer["usage"])
        return said

    @classmethod
    def stream(cls, text):
        message, blocks, said = None, {}, Said()
        for event in harness.sse(text):
            data = event
            kind = data["type"]
            if kind == "message_start":
                message = message or data["message"]
                for n, block in enumerate(data["message"]["content"]):
                    blocks[n] = block
            elif kind == "content_block_start":
                blocks[data["index"]] = dict(data["content_block"], partial="")
            elif kind == "content_block_delta":
                block, delta = blocks[data["index"]], data["delta"]
                for member, into in (("text", "text"), ("thinking", "thinking"), ("partial_json", "partial")):
                    if member in delta:
                        block[into] = block.get(into, "") + delta[member]
            elif kind == "message_delta":
                message["stop_reason"] = data["delta"]["stop_reason"]
                message["usage"] |= {k: v for k, v in data["usage"].items() if v is not None}
            elif kind == "message_stop":
                said.clean = True
            elif kind == "error":
                said.error = data["error"]
        if not message:
            return said
        for block in blocks.values():
            if block["type"] == "tool_use" and block.get("partial"):
                block["input"] = loads(block["partial"])
        whole = cls.whole(message | {"content": list(blocks.values()), "stop_reason": message.get("stop_reason")})
        whole.clean, whole.error = said.clean, said.error
        return whole


class Generate:
    name, path = "generate", "/v1beta/models/{}:generateContent"
    stream_path = "/v1beta/models/{}:streamGenerateContent?alt=sse"

    @staticmethod
    def ask(model, stream, tools):
        body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        if tools:
            body["tools"] = [{"functionDeclarations": [{"name": t, "parametersJsonSchema": {"type": "object"}} for t in tools]}]
        return body

    @staticmethod
    def add(said, chunk):
        if chunk.get("error"):
            said.error = chunk["error"]
            return
        for candidate in (c for c in chunk.get("candidates") or [] if c.get("index", 0) == 0):
            for part in (candidate.get("content") or {}).get("parts") or []:
                if part.get("thought"):
                    said.reasoning += part.get("text") or ""
                elif "text" in part:
                    said.text += part["text"]
                elif "functionCall" in part:
                    call = part["functionCall"]
                    said.calls.append((call.get("name"), call.get("args") or {}))
            reason = candidate.get("finishReason")
            if reason:
                said.clean = True
                said.finish = STOPS.get(reason, reason)
        if (chunk.get("promptFeedback") or {}).get("blockReason"):
            said.clean, said.finish = True, "content_filter"
        if said.finish == "stop" and said.calls:
            said.finish = "tool_calls"
        u = chunk.get("usageMetadata")
        if u and "promptTokenCount" in u:
            said.usage = (u["promptTokenCount"] + u.get("toolUsePromptTokenCount", 0),
                          u.get("candidatesTokenCount", 0) + u.get("thoughtsTokenCount", 0), u.get("cachedContentTokenCount", 0))

    @classmethod
    def whole(cls, answer):
        said = Said()
        cls.add(said, answer)
        return said

    @classmethod
    def stream(cls, text):
        said = Said()
        for event in harness.sse(text):
            cls.add(said, event)
        return said


ALL = [Chat, Responses, Messages, Generate]


def ask(gateway, speaker, model, stream, tools=(), body=None):
    """Gives the response (as httpx has it) and what was said."""
    path = speaker.path
    if speaker is Generate:
        path = (Generate.stream_path if stream else Generate.path).format(model)
    with gateway.http() as http, http.stream("POST", path, json=body or speaker.ask(model, stream, tools)) as response:
        kept = []
        try:
            for piece in response.iter_raw():
                kept.append(piece)
        except httpx.RemoteProtocolError:
            response.broken = True  # what a stream that broke ends with
        response._content = b"".join(kept)
    return response


def heard(speaker, response):
    if response.status_code != 200:
        return Said(error=response.json().get("error"))
    if response.headers["content-type"].startswith("text/event-stream"):
        said = speaker.stream(response.text)
        said.clean = said.clean and not hasattr(response, "broken")
        return said
    return speaker.whole(response.json())
