"""What the fake provider says beside OpenAI's conversations: streams in other dialects, other providers' embeddings,
reranking, counting of tokens, pictures, sound, files and batches."""

import email.parser
import email.policy

from answers import CREATED, Event, Plan, compact, count_in, set_usage, words


def json_plan(value, tokens_in=0):
    plan = Plan()
    plan.body, plan.tokens_in = compact(value), tokens_in
    return plan


def vector(text, size=4):
    return [round((len(text) + i) / 8, 3) for i in range(size)]


# --- streams of text in other dialects ---------------------------------------------------------------


def stream_plan(body, script):
    plan = Plan()
    pieces = words(script, script.int("ev", 5))
    set_usage(plan, script, body, len(pieces))
    plan.done, plan.events = False, []
    return plan, pieces


def named(value, tokens=0):
    return Event(compact(value), tokens, name=value["type"])


def messages(body, script, _request):
    """Anthropic's: the input is counted at the beginning, the output at the end."""
    plan, pieces = stream_plan(body, script)
    begun = {"input_tokens": plan.tokens_in, "output_tokens": 1}
    plan.events = [
        named({"type": "message_start", "message": {
            "id": "msg_fake", "type": "message", "role": "assistant", "model": body["model"], "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": begun}}),
        named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        *[named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": p}}, 1) for p in pieces],
        named({"type": "content_block_stop", "index": 0}),
        named({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
               "usage": {"output_tokens": plan.tokens_out}}),
        named({"type": "message_stop"}),
    ]
    return plan


def gemini_stream(body, script, _request):
    """Each chunk has the usage so far, as Gemini's have."""
    plan, pieces = stream_plan(body, script)
    for i, piece in enumerate(pieces):
        last = {"finishReason": "STOP"} if i == len(pieces) - 1 else {}
        usage = {"promptTokenCount": plan.tokens_in, "candidatesTokenCount": i + 1, "totalTokenCount": plan.tokens_in + i + 1}
        plan.events.append(Event(compact({
            "candidates": [{"content": {"role": "model", "parts": [{"text": piece}]}, "index": 0, **last}],
            "usageMetadata": usage, "modelVersion": "fake", "responseId": "r"}), 1))
    return plan


def responses(body, script, _request):
    plan, pieces = stream_plan(body, script)
    text = "".join(pieces)
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    shell = {"id": "resp_fake", "object": "response", "created_at": CREATED, "model": body["model"], "status": "in_progress",
             "output": [], "usage": None, "error": None}
    usage = {"input_tokens": plan.tokens_in, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": plan.tokens_out,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": plan.tokens_in + plan.tokens_out}
    said = [
        ({"type": "response.created", "response": shell}, 0),
        ({"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}}, 0),
        ({"type": "response.content_part.added", **place, "part": {**part, "text": ""}}, 0),
        *[({"type": "response.output_text.delta", **place, "delta": p}, 1) for p in pieces],
        ({"type": "response.output_text.done", **place, "text": text}, 0),
        ({"type": "response.content_part.done", **place, "part": part}, 0),
        ({"type": "response.output_item.done", "output_index": 0, "item": item}, 0),
        ({"type": "response.completed", "response": {**shell, "status": "completed", "output": [item], "usage": usage}}, 0),
    ]
    plan.events = [named({**event, "sequence_number": n}, tokens) for n, (event, tokens) in enumerate(said)]
    return plan


# --- embeddings of other shapes, reranking, counting -------------------------------------------------


def cohere_embed(body, script, _request):
    texts = body["texts"]
    assert body["input_type"] and body["embedding_types"] == ["float"]
    meta = {} if script.has("nousage") else {"meta": {"billed_units": {"input_tokens": 3 * len(texts)}}}
    return json_plan({"id": "e", "texts": texts, "embeddings": {"float": [vector(t) for t in texts]}, **meta}, 3 * len(texts))


def gemini_embed(body, script, _request):
    texts = [r["content"]["parts"][0]["text"] for r in body["requests"]]
    assert all(r["model"].startswith("models/") for r in body["requests"])
    usage = {} if script.has("nousage") else {"usageMetadata": {"promptTokenCount": 2 * len(texts)}}
    return json_plan({"embeddings": [{"values": vector(t)} for t in texts], **usage}, 2 * len(texts))


def rerank(body, script, _request):
    documents = body["documents"]
    assert isinstance(body["query"], str)
    order = sorted(range(len(documents)), key=lambda i: -len(str(documents[i])))[:body.get("top_n") or len(documents)]
    results = [{"index": i, "relevance_score": 1.0 / (1 + place)} for place, i in enumerate(order)]
    answer = {"id": "r", "results": results}
    if script.has("usage"):
        answer["usage"] = {"total_tokens": int(script.get("usage"))}
    elif not script.has("nousage"):
        answer["meta"] = {"billed_units": {"search_units": 1}}
    return json_plan(answer)


def count_tokens(body, _script, _request):
    return json_plan({"input_tokens": count_in(body)})


def gemini_count(body, _script, _request):
    assert "contents" in body["generateContentRequest"]
    return json_plan({"totalTokens": 17})


# --- pictures, sound, moderation ---------------------------------------------------------------------


def form_of(request):
    """The fields of a form: texts, and files as bytes."""
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"content-type: " + request.headers["content-type"].encode() + b"\r\n\r\n" + request.body)
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        fields.setdefault(name, data if part.get_filename() else data.decode())
    return fields


def pictures(body, script, request):
    form = form_of(request) if request.document is None else body
    assert form["model"] and (request.document is not None or isinstance(form["image"], bytes))
    if body.get("stream"):
        plan = raw_plan(('event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"%s",'
                         '"usage":{"input_tokens":7,"output_tokens":1056,"total_tokens":1063}}\n\n' % ("A" * 5000)).encode(),
                        "text/event-stream")
        return plan
    answer = {"created": CREATED, "data": [{"b64_json": "QUJD"}] * int(form.get("n", 1))}
    if "gpt-image" in form["model"]:
        answer["usage"] = {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106,
                           "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}
    return json_plan(answer)


def raw_plan(data, content_type):
    plan = Plan()
    plan.body = data
    plan.headers.append(("content-type", content_type))
    return plan


def speech(body, _script, _request):
    assert body["voice"]
    return raw_plan(bytes(range(256)) * 40, "audio/mpeg")


def sound(_body, script, request):
    form = form_of(request)
    assert form["file"] == bytes(range(256)) * 64, "the file is not as it was sent"
    shape = form.get("response_format", "json")
    if shape in ("text", "srt", "vtt"):
        return raw_plan(b"hello there\n", "text/plain; charset=utf-8")
    answer = {"text": "hello there"}
    if shape == "verbose_json":
        answer["duration"] = 4.2
    elif "gpt-4o" in form["model"]:
        answer["usage"] = {"type": "tokens", "input_tokens": 14, "output_tokens": 5, "total_tokens": 19,
                           "input_token_details": {"audio_tokens": 14, "text_tokens": 0}}
    else:
        answer["usage"] = {"type": "duration", "seconds": 9}
    return json_plan(answer)


def moderations(body, _script, _request):
    return json_plan({"id": "modr-1", "model": body["model"], "results": [
        {"flagged": False, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}]})


TAILS = {
    "/messages": messages, ":streamGenerateContent": gemini_stream, "/responses": responses,
    "/moderations": moderations, "/images/generations": pictures, "/images/edits": pictures, "/images/variations": pictures,
    "/audio/speech": speech, "/audio/transcriptions": sound, "/audio/translations": sound,
    "/embed": cohere_embed, ":batchEmbedContents": gemini_embed, "/rerank": rerank,
    "/messages/count_tokens": count_tokens, ":countTokens": gemini_count,
}


# --- files and batches, and what is passed on ----------------------------------------------------------

FILE = {"id": "file-1", "object": "file", "bytes": 16384, "created_at": CREATED, "filename": "a.jsonl", "purpose": "batch",
        "status": "processed"}
BATCH = {"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "file-1",
         "completion_window": "24h", "status": "validating", "created_at": CREATED,
         "usage": {"input_tokens": 1000, "output_tokens": 1000, "total_tokens": 2000}}


def files(_body, _script, request):
    path = request.path.split("?")[0]
    if request.method == "POST" and request.headers.get("content-type") == "application/octet-stream":
        return json_plan({**FILE, "bytes": len(request.body)})
    if request.method == "POST":
        form = form_of(request)
        assert form["purpose"] == "batch" and form["file"] == bytes(range(256)) * 64
        return json_plan(FILE)
    if path.endswith("/content"):
        plan = raw_plan(bytes(range(256)) * 64, "application/octet-stream")
        plan.headers.append(("content-disposition", 'attachment; filename="a.jsonl"'))
        return plan
    if path.endswith("/files"):
        return json_plan({"object": "list", "data": [FILE], "has_more": False})
    if request.method == "DELETE":
        return json_plan({"id": "file-1", "object": "file", "deleted": True})
    return json_plan(FILE)


def batches(_body, _script, request):
    if request.method == "GET" and request.path.split("?")[0].endswith("/batches"):
        return json_plan({"object": "list", "data": [BATCH], "has_more": False})
    return json_plan({**BATCH, "status": "cancelling"} if request.path.endswith("/cancel") else BATCH)


def echo(_body, script, request):
    if script.has("nousage"):
        plan = json_plan(None)
        plan.status, plan.body = 204, ""
        return plan
    return json_plan(request.facts())


def find(path):
    for part, answer in (("/files", files), ("/batches", batches), ("/echo", echo)):
        if part in path:
            return answer
    for tail, answer in TAILS.items():
        if path.endswith(tail):
            return answer
    return None
