"""What the fake provider says: chat completions, completions, embeddings, and their streams.

Nothing here knows sockets. An answer is a Plan: the non-stream JSON body, or the list of events of a
stream with the number of content tokens each carries.
"""

import base64
import hashlib
import json
import struct

CREATED = 1700000000


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Event:
    """One event of a stream: its JSON text (or raw text), and the tokens it carries."""

    __slots__ = ("data", "tokens", "name", "raw")

    def __init__(self, data, tokens=0, name=None, raw=None):
        self.data = data
        self.tokens = tokens
        self.name = name
        self.raw = raw


class Plan:
    def __init__(self):
        self.status = 200
        self.headers = []
        self.body = None      # text of a whole answer
        self.events = None    # list of Event: a stream
        self.done = True      # whether a stream ends with [DONE]
        self.tokens_in = 0
        self.tokens_out = 0
        self.tokens_cached = 0
        self.tokens_reasoning = 0


# --- texts and token counts -------------------------------------------------------------------------


def texts_of(body):
    """All text a request holds, for counting."""
    found = []
    for message in body.get("messages") or []:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            found.append(content)
        elif isinstance(content, list):
            found += [p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)]
    for member in ("prompt", "input"):
        value = body.get(member)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            found += [v for v in value if isinstance(v, str)]
    return found


def count_in(body):
    return max(1, sum(len(t.split()) for t in texts_of(body)))


def set_usage(plan, script, body, generated):
    plan.tokens_in, plan.tokens_out = count_in(body), generated
    text = script.get("usage")
    if text:
        parts = [int(p) for p in text.split("/")]
        plan.tokens_in = parts[0]
        plan.tokens_out = parts[1] if len(parts) > 1 else generated
        plan.tokens_cached = parts[2] if len(parts) > 2 else 0
        plan.tokens_reasoning = parts[3] if len(parts) > 3 else 0


def usage_of(plan, script):
    """The usage object to report, or None; honest unless badusage asks otherwise."""
    if script.has("nousage") or script.get("badusage") == "missing":
        return None
    usage = {
        "prompt_tokens": plan.tokens_in,
        "completion_tokens": plan.tokens_out,
        "total_tokens": plan.tokens_in + plan.tokens_out,
        "prompt_tokens_details": {"cached_tokens": plan.tokens_cached},
        "completion_tokens_details": {"reasoning_tokens": plan.tokens_reasoning},
    }
    bad = {
        "negative": -5, "huge": 2**63, "string": "20", "float": 2.5, "null": None, "bool": True,
        "absurd": 10**12,
    }
    kind = script.get("badusage")
    if kind in bad:
        usage["completion_tokens"] = bad[kind]
    return usage


# --- content ----------------------------------------------------------------------------------------


def words(script, count):
    size = script.int("size", 0)
    if size:
        return [("%d " % i).ljust(size, "x")[:size] for i in range(count)]
    space = " " if script.int("space", 1) else ""
    return ["tok%d%s" % (i, space) for i in range(count)]


def example(schema, depth=0):
    """A value that fits a JSON Schema (the part of it that SDKs produce)."""
    if not isinstance(schema, dict) or depth > 20:
        return None
    for member in ("const", "default"):
        if member in schema:
            return schema[member]
    if schema.get("enum"):
        return schema["enum"][0]
    for member in ("anyOf", "oneOf", "allOf"):
        if schema.get(member):
            return example(schema[member][0], depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if kind == "object" or "properties" in schema:
        return {k: example(v, depth + 1) for k, v in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items", {"type": "string"}), depth + 1)] * max(1, schema.get("minItems", 1))
    if kind in ("integer", "number"):
        return max(1, schema.get("minimum", 1))
    return {"boolean": True, "null": None}.get(kind, "value")


def tool_call_of(body, script):
    tools = body.get("tools")
    if not tools or script.has("notool") or body.get("tool_choice") == "none":
        return None
    if not script.has("tool") and body.get("tool_choice") in (None, "auto"):
        last = (body.get("messages") or [{}])[-1]
        if last.get("role") == "tool":
            return None
    function = tools[0].get("function", {})
    arguments = example(function.get("parameters", {"type": "object"}))
    return {"id": "call_fake_1", "name": function.get("name", "f"), "arguments": compact(arguments)}


def content_of(body, script, request):
    """Pieces of content, one token each."""
    if script.has("echo"):
        return [compact(request.facts())]
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        text = compact(example(wanted.get("json_schema", {}).get("schema", {})))
        return [text[i:i + 8] for i in range(0, len(text), 8)]
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        return ['{"answer":', '"yes"}']
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    count = script.int("ev", 5)
    if isinstance(limit, int) and not script.has("ev"):
        count = min(count, limit)
    return words(script, count)


# --- chat and text completions ---------------------------------------------------------------------


def chat(body, script, request):
    plan = Plan()
    call = tool_call_of(body, script)
    pieces = [] if call else content_of(body, script, request)
    arguments = [call["arguments"][i:i + 6] for i in range(0, len(call["arguments"]), 6)] if call else []
    set_usage(plan, script, body, len(pieces) or max(1, len(arguments)))
    finish = script.get("finish") or ("tool_calls" if call else "stop")
    head = {"id": "chatcmpl-fake%d" % request.serial, "created": CREATED, "model": body.get("model"),
            "system_fingerprint": "fp_fake"}
    if body.get("stream"):
        stream_chat(plan, script, body, head, pieces, call, arguments, finish)
        return plan
    message = {"role": "assistant", "content": None if call else "".join(pieces), "refusal": None}
    if call:
        message["tool_calls"] = [{"id": call["id"], "type": "function", "function": {
            "name": call["name"], "arguments": call["arguments"]}}]
    answer = {**head, "object": "chat.completion", "choices": [
        {"index": i, "message": message, "logprobs": None, "finish_reason": finish}
        for i in range(body.get("n") or 1)]}
    usage = usage_of(plan, script)
    if usage is not None:
        answer["usage"] = usage
    if script.has("nullchoices"):
        answer["choices"] = None
    plan.body = compact(answer)
    if script.has("badjson"):
        plan.body = plan.body[:len(plan.body) // 2]
    return plan


def running(chunk, plan, script, generated):
    """The chunk, with the usage so far where the script wants that."""
    if not script.has("running"):
        return chunk
    usage = {"prompt_tokens": plan.tokens_in, "completion_tokens": generated, "total_tokens": plan.tokens_in + generated}
    return compact({**json.loads(chunk), "usage": usage})


def stream_chat(plan, script, body, head, pieces, call, arguments, finish):
    head = {**head, "object": "chat.completion.chunk"}
    options = body.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    extra = {"usage": None} if with_usage else {}

    def chunk(delta, finish_reason=None, index=0):
        return compact({**head, "choices": [{"index": index, "delta": delta, "logprobs": None,
                                             "finish_reason": finish_reason}], **extra})

    plan.events = [Event(chunk({"role": "assistant", "content": None if call else ""}))]
    if call:
        plan.events.append(Event(chunk({"tool_calls": [{"index": 0, "id": call["id"], "type": "function",
                                                        "function": {"name": call["name"], "arguments": ""}}]})))
        for piece in arguments:
            plan.events.append(Event(chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}), 1))
    for i, piece in enumerate(pieces):
        index = 7 if script.at("indexgap", i) else 0
        plan.events.append(Event(running(chunk({"content": piece}, index=index), plan, script, i + 1), 1))
    if not script.has("nofinish"):
        plan.events.append(Event(chunk({}, finish)))
    usage = usage_of(plan, script)
    if with_usage and usage is not None:
        final = {**head, "choices": [], "usage": usage}
        if script.get("badusage") == "decreasing":
            more = {**usage, "completion_tokens": plan.tokens_out + 50}
            plan.events.append(Event(compact({**head, "choices": [], "usage": more})))
        plan.events.append(Event(compact(final)))
        if script.get("badusage") == "twice":
            plan.events.append(Event(compact(final)))
    plan.done = not script.has("nodone") and not script.has("nofinish")


def completions(body, script, request):
    plan = Plan()
    pieces = words(script, script.int("ev", 5))
    set_usage(plan, script, body, len(pieces))
    finish = script.get("finish") or "stop"
    head = {"id": "cmpl-fake%d" % request.serial, "object": "text_completion", "created": CREATED,
            "model": body.get("model")}
    usage = usage_of(plan, script)
    if not body.get("stream"):
        answer = {**head, "choices": [{"text": "".join(pieces), "index": 0, "logprobs": None,
                                       "finish_reason": finish}]}
        if usage is not None:
            answer["usage"] = usage
        plan.body = compact(answer)
        return plan
    options = body.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True

    def chunk(text, finish_reason=None):
        return compact({**head, "choices": [{"text": text, "index": 0, "logprobs": None,
                                             "finish_reason": finish_reason}]})

    plan.events = [Event(chunk(p), 1) for p in pieces]
    plan.events.append(Event(chunk("", finish)))
    if with_usage and usage is not None:
        plan.events.append(Event(compact({**head, "choices": [], "usage": usage})))
    plan.done = not script.has("nodone")
    return plan


def embeddings(body, script, request):
    plan = Plan()
    inputs = body.get("input")
    inputs = inputs if isinstance(inputs, list) and inputs and not isinstance(inputs[0], int) else [inputs]
    size = body.get("dimensions") or 8
    data = []
    for i, text in enumerate(inputs):
        digest = hashlib.sha256(json.dumps(text).encode()).digest()
        vector = [(digest[k % 32] - 128) / 128 for k in range(size)]
        shown = vector
        if body.get("encoding_format") == "base64":
            shown = base64.b64encode(struct.pack("<%df" % size, *vector)).decode()
        data.append({"object": "embedding", "index": i, "embedding": shown})
    set_usage(plan, script, body, 0)
    plan.tokens_out = 0
    answer = {"object": "list", "data": data, "model": body.get("model")}
    if not script.has("nousage"):
        answer["usage"] = {"prompt_tokens": plan.tokens_in, "total_tokens": plan.tokens_in}
    plan.body = compact(answer)
    return plan


def models():
    plan = Plan()
    plan.body = compact({"object": "list", "data": [
        {"id": "fake-model", "object": "model", "created": CREATED, "owned_by": "fake"}]})
    return plan


# --- errors -----------------------------------------------------------------------------------------


def error_object(script, default_code="server_error"):
    return {"error": {"message": script.get("message") or "the fake provider was told to fail",
                      "type": script.get("type") or "fake_error", "param": None,
                      "code": script.get("code") or default_code}}


def failure(script):
    """The answer of status=N."""
    plan = Plan()
    plan.status = script.int("status", 500)
    if script.get("retry_after") is not None:
        plan.headers.append(("retry-after", script.get("retry_after")))
    if script.has("html"):
        plan.headers.append(("content-type", "text/html"))
        plan.body = "<html><body><h1>FAKE-HTML-%d</h1></body></html>" % plan.status
    else:
        plan.body = compact(error_object(script, "fake_%d" % plan.status))
    size = script.int("errsize", 0)
    if size > len(plan.body):
        plan.body += " " * (size - len(plan.body))
    return plan


def plan_for(path, body, script, request):
    """The plan of a request, or None when there is no such endpoint."""
    if script.has("status"):
        return failure(script)
    if path.endswith("/chat/completions"):
        plan = chat(body, script, request)
    elif path.endswith("/completions"):
        plan = completions(body, script, request)
    elif path.endswith("/embeddings"):
        plan = embeddings(body, script, request)
    elif path.endswith("/models"):
        plan = models()
    else:
        import endpoints  # which builds on this module
        answer = endpoints.find(path)
        if answer is None:
            return None
        plan = answer(body, script, request)
    if script.has("html"):
        plan.events, plan.body = None, "<html><body>FAKE-HTML-200</body></html>"
        plan.headers.append(("content-type", "text/html"))
    if plan.events is not None:
        place_faults(plan, script)
    plan.headers += [("openai-processing-ms", "1"), ("x-request-id", "fake-req-%d" % request.serial),
                     ("x-ratelimit-limit-requests", "1000")]
    return plan


def place_faults(plan, script):
    """Puts events asked for by place among the content events."""
    result, count = [], 0
    waiting = [w for w in ("garbage", "nullchoices", "err", "errevent", "bigevent") if script.place(w) is not None]
    for event in [*plan.events, None]:
        for word in [w for w in waiting if script.at(w, count)]:
            waiting.remove(word)
            result.append(fault_event(plan, script, word))
            if word in ("err", "errevent"):
                plan.events, plan.done = result, False
                plan.tokens_out = count
                return
        if event is not None:
            result.append(event)
            count += event.tokens
    plan.events = result


def fault_event(plan, script, word):
    if word == "garbage":
        return Event('{"id":"x","choices":[{"index":0,"delta":{"content":"cut')
    if word == "nullchoices":
        return Event(compact({"id": "x", "object": "chat.completion.chunk", "created": CREATED,
                              "model": "m", "choices": None}))
    if word == "bigevent":
        base = {"id": "x", "object": "chat.completion.chunk", "created": CREATED, "model": "m",
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": None}]}
        room = script.int("bigevent") - len(compact(base)) - len("data: ") - 2
        base["choices"][0]["delta"]["content"] = "B" * max(0, room)
        return Event(compact(base))
    return Event(compact(error_object(script)), name="error" if word == "errevent" else None)
