"""What the fake provider says at the endpoints beside conversations: other providers' embeddings, reranking, counting of
tokens, pictures, sound, files and batches."""

import email.parser
import email.policy

from answers import CREATED, Plan, compact, count_in


def json_plan(value, tokens_in=0):
    plan = Plan()
    plan.body, plan.tokens_in = compact(value), tokens_in
    return plan


def vector(text, size=4):
    return [round((len(text) + i) / 8, 3) for i in range(size)]


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
