"""What the fake provider says at the endpoints beside conversations: other providers' embeddings, reranking, counting of
tokens, pictures, sound, files and batches."""

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


TAILS = {
    "/embed": cohere_embed, ":batchEmbedContents": gemini_embed, "/rerank": rerank,
    "/messages/count_tokens": count_tokens, ":countTokens": gemini_count,
}


def find(path):
    for tail, answer in TAILS.items():
        if path.endswith(tail):
            return answer
    return None
