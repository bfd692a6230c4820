"""The endpoints beside conversations: embeddings of providers of other shapes, reranking, counting tokens. Each is billed as
its price says, and each row of the ledger says whether it was estimated."""

import base64
import hashlib
import struct

import cohere
import httpx
import pytest

import harness
import rawhttp
from harness import FakeProvider

PRICES = {"input_per_mtok_usd": "1", "output_per_mtok_usd": "5"}


def of_kind(fake, name, kind, **price):
    return {"providers": [{"name": name, "kind": kind, "base_url": fake.url, "credential": "fake-credential",
                           "allow_private": True}],
            "prices": [{"provider": name, "model": "*", **(price or PRICES)}]}


@pytest.fixture(scope="module")
def fake():
    made = FakeProvider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(fake):
    made = harness.Gateway(workers=1)
    try:
        made.up()
        made.apply(fake.provider())
        for name, kind in (("goog", "gemini"), ("claude", "anthropic")):
            made.apply(of_kind(fake, name, kind))
        made.apply(of_kind(fake, "co", "cohere", **PRICES, search_unit_usd="0.002"))
        made.apply(of_kind(fake, "units", "vllm", search_unit_usd="0.002"))
        made.apply(of_kind(fake, "pieces", "openai", image_usd="0.04", audio_minute_usd="0.006", per_mchar_usd="15"))
        made.apply(of_kind(fake, "tokens", "openai", **PRICES, image_output_per_mtok_usd="40", audio_input_per_mtok_usd="6",
                           audio_output_per_mtok_usd="12", image_input_per_mtok_usd="10"))
        yield made
    finally:
        made.close()


def post(gateway, path, body, script=None, **headers):
    if script:
        body = {**body, "x_mock": script}
    return httpx.post(gateway.url + path, json=body, timeout=20, headers={"authorization": "Bearer " + gateway.key, **headers})


def the_event(gateway, answer):
    gateway.wait_idle()
    events = gateway.wait_usage(answer.headers["x-request-id"])
    assert len(events) == 1
    return events[0]


def seen(fake, event):
    return fake.attempt(event["attempt_id"])


# --- embeddings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model, path, each", [("co/embed-v4.0", "/v1/embed", 3),
                                               ("goog/e1", "/v1/models/e1:batchEmbedContents", 2)])
def test_embeddings_of_other_shapes(gateway, fake, model, path, each):
    answer = post(gateway, "/v1/embeddings", {"model": model, "input": ["one", "three"], "encoding_format": "float"})
    assert answer.status_code == 200, answer.text
    got = answer.json()
    assert got["object"] == "list" and got["model"] == model
    assert [(d["object"], d["index"]) for d in got["data"]] == [("embedding", 0), ("embedding", 1)]
    assert got["data"][1]["embedding"] == [0.625, 0.75, 0.875, 1.0]
    assert got["usage"] == {"prompt_tokens": 2 * each, "total_tokens": 2 * each}
    event = the_event(gateway, answer)
    assert (event["endpoint"], event["input_tokens"], event["output_tokens"]) == ("embeddings", 2 * each, 0)
    assert not event["estimated"] and float(event["cost_usd"]) == pytest.approx(2 * each / 1e6)
    assert answer.headers["x-headgate-cost-usd"] == event["cost_usd"]
    assert seen(fake, event)["path"] == path


@pytest.mark.parametrize("model", ["co/embed-v4.0", "goog/e1"])
def test_the_sdk_gets_the_same_vectors_in_base64(gateway, model):
    with gateway.openai() as client:
        raw = client.embeddings.with_raw_response.create(model=model, input="one", encoding_format="base64")
        packed = base64.b64decode(httpx.Response(200, text=raw.text).json()["data"][0]["embedding"])
        assert struct.unpack("<4f", packed) == pytest.approx([0.375, 0.5, 0.625, 0.75])
        assert client.embeddings.create(model=model, input="one").data[0].embedding == pytest.approx([0.375, 0.5, 0.625, 0.75])


def test_tokens_are_refused_where_texts_are_taken(gateway):
    answer = post(gateway, "/v1/embeddings", {"model": "co/embed-v4.0", "input": [[1, 2]]})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "unsupported_feature" and answer.json()["error"]["param"] == "input"


def test_a_provider_without_embeddings(gateway):
    answer = post(gateway, "/v1/embeddings", {"model": "claude/c", "input": "x"})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "endpoint_not_served"


def test_what_a_provider_does_not_count_is_estimated(gateway, fake):
    httpx.post(fake.url.removesuffix("/v1") + "/__script", content="nousage")
    try:
        answer = post(gateway, "/v1/embeddings", {"model": "co/embed-v4.0", "input": "x" * 400})
        event = the_event(gateway, answer)
        assert answer.status_code == 200 and event["estimated"] and event["input_tokens"] > 20
    finally:
        httpx.post(fake.url.removesuffix("/v1") + "/__script", content="")


# --- reranking ------------------------------------------------------------------------------------------

DOCUMENTS = ["short", {"text": "the longest of them"}, "in between"]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_rerank_by_cohere(gateway, path):
    answer = post(gateway, path, {"model": "co/rerank-v3.5", "query": "q", "documents": DOCUMENTS, "top_n": 2,
                                  "return_documents": True})
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"] == [
        {"index": 1, "relevance_score": 1.0, "document": {"text": "the longest of them"}},
        {"index": 2, "relevance_score": 0.5, "document": {"text": "in between"}}]
    assert answer.json()["meta"]["billed_units"]["search_units"] == 1
    event = the_event(gateway, answer)
    assert (event["endpoint"], event["search_units"], event["input_tokens"]) == ("rerank", 1, 0)
    assert float(event["cost_usd"]) == pytest.approx(0.002) and not event["estimated"]


def test_the_sdk_of_cohere_reranks(gateway):
    client = cohere.ClientV2(api_key=gateway.key, base_url=gateway.url)
    got = client.rerank(model="co/rerank-v3.5", query="q", documents=["short", "the longest of them", "in between"], top_n=2)
    assert [(r.index, r.relevance_score) for r in got.results] == [(1, 1.0), (2, 0.5)]
    assert got.meta.billed_units.search_units == 1
    with pytest.raises(cohere.BadRequestError) as refused:
        client.rerank(model="goog/r", query="q", documents=["x"])
    assert refused.value.body["error"]["code"] == "endpoint_not_served"
    with pytest.raises(cohere.UnauthorizedError):
        cohere.ClientV2(api_key="sk-hg-nobodys", base_url=gateway.url).rerank(model="co/r", query="q", documents=["x"])


def test_rerank_passes_untouched_to_a_compatible_server(gateway, fake):
    answer = post(gateway, "/v1/rerank", {"model": "fake/bge", "query": "q", "documents": ["a", "b b"], "custom": 1}, "usage=40")
    assert answer.status_code == 200 and answer.json()["usage"] == {"total_tokens": 40}
    event = the_event(gateway, answer)
    assert (event["input_tokens"], event["search_units"], event["estimated"]) == (40, 0, False)
    assert float(event["cost_usd"]) == pytest.approx(40 * 2.5 / 1e6)
    assert seen(fake, event)["model"] == "bge"


def test_units_that_nobody_counted_are_worked_out(gateway):
    answer = post(gateway, "/v1/rerank", {"model": "units/bge", "query": "q", "documents": ["a"] * 101}, "nousage")
    event = the_event(gateway, answer)
    assert answer.status_code == 200
    assert (event["search_units"], event["input_tokens"], event["estimated"]) == (2, 0, True)
    assert float(event["cost_usd"]) == pytest.approx(0.004)


def test_rerank_is_refused_by_name(gateway):
    answer = post(gateway, "/v1/rerank", {"model": "co/r", "query": "q", "documents": []})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "documents"
    answer = post(gateway, "/v1/rerank", {"model": "goog/r", "query": "q", "documents": ["x"]})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "endpoint_not_served"


# --- counting tokens ------------------------------------------------------------------------------------

ASK = {"messages": [{"role": "user", "content": "how many words are there"}]}


@pytest.mark.parametrize("model, want, estimated, path", [
    ("claude/c", 5, None, "/v1/messages/count_tokens"), ("goog/g", 17, None, "/v1/models/g:countTokens"),
    ("fake/m", None, "true", None)])
def test_counting_tokens(gateway, fake, model, want, estimated, path):
    before = fake.stats()["requests"]
    answer = post(gateway, "/v1/messages/count_tokens", {"model": model, **ASK})
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["input_tokens"] and answer.json()["input_tokens"] == (want or answer.json()["input_tokens"])
    assert answer.json()["input_tokens"] > 0
    assert answer.headers.get("x-headgate-estimated") == estimated
    if path is None:
        assert fake.stats()["requests"] == before
        return
    event = the_event(gateway, answer)
    assert (event["endpoint"], event["input_tokens"], event["output_tokens"]) == ("count_tokens", 0, 0)
    assert float(event["cost_usd"]) == 0 and not event["estimated"]
    assert seen(fake, event)["path"] == path


def test_counting_is_refused_in_anthropics_shape(gateway):
    answer = post(gateway, "/v1/messages/count_tokens", {"model": "claude/c"})
    assert answer.status_code == 400 and answer.json()["type"] == "error"


# --- pictures, sound, moderation ------------------------------------------------------------------------

SOUND = bytes(range(256)) * 64
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(200)


def usage(gateway, raw):
    gateway.wait_idle()
    events = gateway.wait_usage(raw.headers["x-request-id"])
    assert len(events) == 1
    return events[0]


@pytest.fixture
def client(gateway):
    with gateway.openai() as made:
        yield made


def test_pictures_by_the_piece(client, gateway):
    raw = client.images.with_raw_response.generate(model="pieces/dall-e-3", prompt="a cat", n=2)
    assert [d.b64_json for d in raw.parse().data] == ["QUJD", "QUJD"]
    event = usage(gateway, raw)
    assert (event["endpoint"], event["images"], event["input_tokens"], event["output_tokens"]) == ("images.generations", 2, 0, 0)
    assert float(event["cost_usd"]) == pytest.approx(0.08) and not event["estimated"]


def test_pictures_by_tokens(client, gateway):
    raw = client.images.with_raw_response.generate(model="tokens/gpt-image-1", prompt="a cat")
    event = usage(gateway, raw)
    assert (event["images"], event["input_tokens"], event["image_input_tokens"], event["image_output_tokens"]) == (0, 50, 40, 1056)
    assert float(event["cost_usd"]) == pytest.approx((10 * 1 + 40 * 10 + 1056 * 40) / 1e6) and not event["estimated"]
    raw = client.images.with_raw_response.generate(model="tokens/dall-e-3", prompt="a cat")
    event = usage(gateway, raw)
    assert event["estimated"] and event["image_output_tokens"] == 1056 and float(event["cost_usd"]) > 0.04


def test_a_stream_of_pictures_passes_and_is_metered(gateway):
    answer = post(gateway, "/v1/images/generations", {"model": "tokens/gpt-image-1", "prompt": "a", "stream": True})
    assert answer.headers["content-type"] == "text/event-stream" and answer.text.startswith("event: image_generation.completed")
    event = the_event(gateway, answer)
    assert (event["input_tokens"], event["image_output_tokens"], event["estimated"], event["stream"]) == (7, 1056, False, True)


def test_pictures_are_changed(client, gateway, fake):
    raw = client.images.with_raw_response.edit(model="tokens/gpt-image-1", image=("a.png", PICTURE), prompt="more cat")
    assert raw.parse().data[0].b64_json == "QUJD"
    event = usage(gateway, raw)
    assert (event["endpoint"], event["image_input_tokens"]) == ("images.edits", 40)
    raw = client.images.with_raw_response.create_variation(model="pieces/dall-e-2", image=("a.png", PICTURE), n=3)
    event = usage(gateway, raw)
    assert (event["endpoint"], event["images"], float(event["cost_usd"])) == ("images.variations", 3, pytest.approx(0.12))


def test_speech_comes_as_it_is(client, gateway):
    raw = client.audio.speech.with_raw_response.create(model="pieces/tts-1", voice="alloy", input="H\u00e9llo")
    assert raw.content == bytes(range(256)) * 40 and raw.headers["content-type"] == "audio/mpeg"
    event = usage(gateway, raw)
    assert (event["endpoint"], event["characters"], event["estimated"]) == ("audio.speech", 5, False)
    assert float(event["cost_usd"]) == pytest.approx(5 * 15 / 1e6)
    raw = client.audio.speech.with_raw_response.create(model="tokens/gpt-4o-mini-tts", voice="alloy", input="x" * 100)
    event = usage(gateway, raw)
    assert event["estimated"] and event["audio_output_tokens"] == 151 and event["characters"] == 0


@pytest.mark.parametrize("method, endpoint", [("transcriptions", "audio.transcriptions"), ("translations", "audio.translations")])
def test_sound_is_written_down(client, gateway, fake, method, endpoint):
    raw = getattr(client.audio, method).with_raw_response.create(model="pieces/whisper-1", file=("a.wav", SOUND))
    assert raw.parse().text == "hello there"
    event = usage(gateway, raw)
    assert (event["endpoint"], event["audio_ms"], event["estimated"]) == (endpoint, 9000, False)
    assert float(event["cost_usd"]) == pytest.approx(0.0009)


def test_sound_by_tokens_by_length_and_untold(client, gateway):
    create = client.audio.transcriptions.with_raw_response.create
    event = usage(gateway, create(model="tokens/gpt-4o-transcribe", file=("a.wav", SOUND)))
    assert (event["audio_input_tokens"], event["output_tokens"], event["audio_ms"], event["estimated"]) == (14, 5, 0, False)
    event = usage(gateway, create(model="pieces/whisper-1", file=("a.wav", SOUND), response_format="verbose_json"))
    assert (event["audio_ms"], event["estimated"]) == (4200, False)
    raw = create(model="pieces/whisper-1", file=("a.wav", SOUND), response_format="srt")
    assert raw.text == "hello there\n" and raw.headers["content-type"].startswith("text/plain")
    event = usage(gateway, raw)
    assert event["audio_ms"] == len(SOUND) // 16 + 1 and event["estimated"]
    event = usage(gateway, create(model="tokens/whisper-1", file=("a.wav", SOUND), response_format="text"))
    assert event["estimated"] and event["audio_input_tokens"] > 0 and event["output_tokens"] > 0


def test_moderation(client, gateway):
    raw = client.moderations.with_raw_response.create(model="tokens/omni-moderation-latest", input="be nice")
    assert raw.parse().results[0].flagged is False
    event = usage(gateway, raw)
    assert (event["endpoint"], event["output_tokens"], event["estimated"]) == ("moderations", 0, True)


def test_only_the_models_name_is_another_in_a_form(gateway, fake):
    body = (b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + SOUND + b"\r\n--x\r\n"
            b'Content-Disposition: form-data; name=model\r\n\r\nfake/whisper-1\r\n--x--\r\n')
    answer = httpx.post(gateway.url + "/v1/audio/transcriptions", content=body, timeout=20, headers={
        "authorization": "Bearer " + gateway.key, "content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 200, answer.text
    gone = seen(fake, the_event(gateway, answer))
    want = body.replace(b"fake/whisper-1", b"whisper-1")
    assert gone["body_bytes"] == len(want) and gone["body_sha256"] == hashlib.sha256(want).hexdigest()
    assert gone["headers"]["content-type"] == "multipart/form-data; boundary=x"


@pytest.mark.parametrize("fields, status, code", [
    ([("model", b"fake/w"), ("model", b"fake/v")], 400, "invalid_value"), ([("other", b"1")], 400, "missing_required_parameter"),
    ([("model", b"")], 400, "invalid_value")])
def test_forms_that_two_readers_could_read_differently(gateway, fields, status, code):
    body = b"".join(b'--x\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (n.encode(), v) for n, v in fields)
    body += b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--x--'
    answer = httpx.post(gateway.url + "/v1/audio/transcriptions", content=body, timeout=20, headers={
        "authorization": "Bearer " + gateway.key, "content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == status and answer.json()["error"]["code"] == code, answer.text


@pytest.mark.parametrize("content_type, body, status, code", [
    ("application/json", b"{}", 415, "unsupported_media_type"), ("multipart/form-data", b"", 400, "invalid_form"),
    ("multipart/form-data; boundary=x", b"--y\r\n", 400, "invalid_form")])
def test_what_is_no_form(gateway, content_type, body, status, code):
    answer = httpx.post(gateway.url + "/v1/images/edits", content=body, timeout=20, headers={
        "authorization": "Bearer " + gateway.key, "content-type": content_type})
    assert answer.status_code == status and answer.json()["error"]["code"] == code, answer.text


def test_the_simulator_has_none(gateway):
    answer = post(gateway, "/v1/images/generations", {"model": "simulator", "prompt": "x"})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "endpoint_not_served"


# --- files and batches ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(gateway):
    """A key for one provider, and one for a model of each of two."""
    return {name: gateway.cli_json("key", "create", "--name", name, "--models", models)["key"]
            for name, models in (("one", "fake/*"), ("narrow", "fake/m,claude/c"))}


def by(gateway, key, method, path, **more):
    headers = {"authorization": "Bearer " + key, **more.pop("headers", {})}
    return httpx.request(method, gateway.url + path, headers=headers, timeout=20, **more)


def test_files_of_the_only_provider(gateway, keys, fake):
    with gateway.openai(key=keys["one"]) as client:
        raw = client.files.with_raw_response.create(file=("a.jsonl", SOUND), purpose="batch")
        assert raw.parse().id == "file-1" and raw.headers["x-headgate-provider"] == "fake"
        event = usage(gateway, raw)
        assert (event["endpoint"], event["model"], float(event["cost_usd"]), event["estimated"]) == ("files", "fake/*", 0, False)
        assert [f.id for f in client.files.list()] == ["file-1"]
        assert client.files.retrieve("file-1").filename == "a.jsonl"
        raw = client.files.with_raw_response.content("file-1")
        assert raw.content == SOUND and "a.jsonl" in raw.headers["content-disposition"]
        assert client.files.delete("file-1").deleted is True


def test_files_of_a_provider_that_is_named(gateway, fake):
    answer = by(gateway, gateway.key, "GET", "/v1/files")
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "provider_required"
    answer = by(gateway, gateway.key, "GET", "/v1/files?provider=fake&limit=2&key=secret")
    assert answer.status_code == 200
    assert seen(fake, the_event(gateway, answer))["path"] == "/v1/files?limit=2"
    answer = by(gateway, gateway.key, "GET", "/v1/files", headers={"x-headgate-provider": "pieces"})
    assert answer.status_code == 200 and answer.headers["x-headgate-provider"] == "pieces"
    answer = by(gateway, gateway.key, "GET", "/v1/files?provider=claude")
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "endpoint_not_served"
    for name in ("nobody", "simulator"):
        answer = by(gateway, gateway.key, "GET", "/v1/files?provider=" + name)
        assert answer.status_code == 404 and answer.json()["error"]["code"] == "provider_not_found"


def test_batches(gateway, keys):
    with gateway.openai(key=keys["one"]) as client:
        raw = client.batches.with_raw_response.create(input_file_id="file-1", endpoint="/v1/chat/completions",
                                                      completion_window="24h")
        assert raw.parse().id == "batch_1"
        event = usage(gateway, raw)
        assert (event["endpoint"], event["estimated"]) == ("batches", True)
        raw = client.batches.with_raw_response.retrieve("batch_1")
        event = usage(gateway, raw)
        assert (event["input_tokens"], float(event["cost_usd"]), event["estimated"]) == (0, 0, False)
        assert client.batches.cancel("batch_1").status == "cancelling"
        assert [b.id for b in client.batches.list()] == ["batch_1"]


# --- passed on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_any_method_is_passed_on(gateway, fake, method):
    body = {} if method in ("GET", "DELETE") else {"json": {"a": 1}}
    answer = by(gateway, gateway.key, method, "/v1/providers/fake/echo/a%20b?x=1&api_key=k", **body,
                headers={"cookie": "c=1", "x-secret": "s", "openai-beta": "b1"})
    assert answer.status_code == 200, answer.text
    got = answer.json()
    assert (got["method"], got["path"], got["body"]) == (method, "/v1/echo/a%20b?x=1", body.get("json", {}))
    assert not {"cookie", "x-secret"} & set(got["headers"]) and got["headers"]["openai-beta"] == "b1"
    event = the_event(gateway, answer)
    assert (event["endpoint"], event["model"], event["estimated"]) == ("passthrough", "fake/*", method not in ("GET", "DELETE"))
    assert seen(fake, event)["credential"] == "Bearer fake-credential"


@pytest.mark.parametrize("path", ["/v1/providers/fake/../x", "/v1/providers/fake/a/%2e%2e/x", "/v1/providers/fake/a/..%2fx",
                                  "/v1/providers/fake//x", "/v1/providers/fake/a/./x", "/v1/providers/fake/a%5cx",
                                  "/v1/providers/fake/a/%252e", "/v1/providers/fake/a/", "/v1/providers/fake/%2Fx",
                                  "/v1/files/..?provider=fake"])
def test_no_path_leads_elsewhere(gateway, fake, path):
    before = fake.stats()["requests"]
    sock = rawhttp.connect(gateway.url)
    sock.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n\r\n".encode())
    assert b" 404 " in sock.recv(4096).split(b"\r\n")[0]
    sock.close()
    assert fake.stats()["requests"] == before


def test_what_is_passed_on_is_metered(gateway, fake):
    chat = {"model": "m", "messages": [{"role": "user", "content": "one two"}], "x_mock": "usage=100/10"}
    answer = by(gateway, gateway.key, "POST", "/v1/providers/fake/chat/completions", json=chat)
    event = the_event(gateway, answer)
    assert (event["model"], event["provider_model"], event["input_tokens"], event["output_tokens"]) == ("fake/m", "m", 100, 10)
    assert float(event["cost_usd"]) == pytest.approx((100 * 2.5 + 10 * 10) / 1e6) and not event["estimated"]
    answer = by(gateway, gateway.key, "POST", "/v1/providers/fake/chat/completions",
                json={**chat, "stream": True, "x_mock": "ev=20"})
    assert answer.text.endswith("data: [DONE]\n\n")
    event = the_event(gateway, answer)
    assert event["estimated"] and event["output_tokens"] > 20 and event["stream"]


def test_a_model_without_a_price_is_not_passed_on(gateway, fake):
    gateway.apply({"providers": [{"name": "bare", "kind": "openai-compatible", "base_url": fake.url, "allow_private": True}]})
    answer = by(gateway, gateway.key, "POST", "/v1/providers/bare/chat/completions", json={"model": "m", "messages": []})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "unpriced_model"


@pytest.mark.parametrize("method, path, body, status", [
    ("POST", "/v1/providers/fake/chat/completions", {"model": "m", "messages": []}, 200),
    ("POST", "/v1/providers/fake/chat/completions", {"model": "other", "messages": []}, 404),
    ("POST", "/v1/providers/fake/batches", {"model": "m"}, 404), ("POST", "/v1/providers/fake/echo", {"a": 1}, 404), ("GET", "/v1/providers/fake/echo", None, 404),
    ("GET", "/v1/files?provider=fake", None, 404), ("POST", "/v1/batches?provider=fake", {}, 404),
    ("POST", "/v1/providers/goog/models/g:generateContent", {}, 404)])
def test_a_key_limited_to_models_reaches_only_these(gateway, keys, method, path, body, status):
    answer = by(gateway, keys["narrow"], method, path, **({"json": body} if body is not None else {}))
    assert answer.status_code == status, answer.text


def test_path_and_body_must_agree(gateway):
    answer = by(gateway, gateway.key, "POST", "/v1/providers/goog/models/g:generateContent", json={"model": "h"})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "model"


def test_a_strict_budget_needs_a_bound(gateway):
    gateway.apply({"teams": [{"name": "strict"}],
                   "budgets": [{"name": "b", "team": "strict", "limit_usd": "5", "period": "month", "mode": "strict"}]})
    key = gateway.cli_json("key", "create", "--name", "of-strict", "--team", "strict")["key"]
    answer = by(gateway, key, "POST", "/v1/batches?provider=fake", json={"input_file_id": "x"})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "output_limit_required", answer.text
    answer = by(gateway, key, "POST", "/v1/providers/fake/echo", json={"a": 1})
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "output_limit_required"
    assert by(gateway, key, "GET", "/v1/providers/fake/echo").status_code == 200


def test_limits_of_a_key_hold_for_what_is_passed_on(gateway):
    gateway.apply({"teams": [{"name": "short", "allow": {"max_tokens": 50, "stream": False}}]})
    key = gateway.cli_json("key", "create", "--name", "of-short", "--team", "short")["key"]
    chat = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 50}
    for path, body, status in (("chat/completions", chat, 200), ("chat/completions", {**chat, "max_tokens": 51}, 403),
                               ("chat/completions", {**chat, "stream": True}, 403), ("responses", chat, 403),
                               ("echo", {"a": 1}, 403)):
        answer = by(gateway, key, "POST", "/v1/providers/fake/" + path, json=body)
        assert answer.status_code == status, answer.text
    assert by(gateway, key, "POST", "/v1/batches?provider=fake", json={}).status_code == 403
    assert by(gateway, key, "GET", "/v1/batches?provider=fake").status_code == 200


def test_an_answer_without_a_body(gateway, fake):
    httpx.post(fake.url.removesuffix("/v1") + "/__script", content="nousage")
    try:
        answer = by(gateway, gateway.key, "DELETE", "/v1/providers/fake/echo/1")
        assert answer.status_code == 204 and answer.content == b""
    finally:
        httpx.post(fake.url.removesuffix("/v1") + "/__script", content="")


# --- other protocols, and ends that are none --------------------------------------------------------------


@pytest.fixture
def scripted(fake):
    """Sets what the fake provider does by default; afterwards it is honest again."""
    def to(text):
        assert httpx.post(fake.url.removesuffix("/v1") + "/__script", content=text).status_code == 200
    yield to
    to("")


def test_the_same_over_http2_both_ways(gateway, fake):
    gateway.apply({"providers": [{"name": "two", "kind": "openai-compatible", "base_url": fake.url, "http": "2",
                                  "allow_private": True}],
                   "prices": [{"provider": "two", "model": "*", "per_mchar_usd": "15", "audio_minute_usd": "1"}]})
    with httpx.Client(http1=False, http2=True, base_url=gateway.url, timeout=20,
                      headers={"authorization": "Bearer " + gateway.key}) as http:
        for method, body in (("GET", {}), ("DELETE", {}), ("PUT", {"json": {"a": 1}})):
            answer = http.request(method, "/v1/providers/two/echo", **body)
            assert (answer.status_code, answer.json()["method"], answer.json()["version"]) == (200, method, "HTTP/2"), answer.text
        answer = http.post("/v1/audio/speech", json={"model": "two/tts", "voice": "v", "input": "abc"})
        assert answer.content == bytes(range(256)) * 40 and answer.http_version == "HTTP/2"
        assert the_event(gateway, answer)["characters"] == 3
        answer = http.post("/v1/audio/transcriptions", files={"file": ("a.wav", SOUND)}, data={"model": "two/w"})
        assert answer.status_code == 200 and the_event(gateway, answer)["audio_ms"] == 9000


def test_sound_that_breaks_off_is_no_whole_sound(gateway, scripted):
    scripted("cutbytes=3000")
    with httpx.Client(base_url=gateway.url, timeout=20, headers={"authorization": "Bearer " + gateway.key}) as http:
        with http.stream("POST", "/v1/audio/speech", json={"model": "pieces/tts-1", "voice": "v", "input": "abc"}) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                answer.read()
    event = the_event(gateway, answer)
    assert (event["characters"], event["error_code"]) == (3, "upstream_truncated")


@pytest.mark.parametrize("script, status, code", [("status=429;retry_after=7", 429, None), ("status=401", 502, "upstream_auth"),
                                                  ("status=500", 500, None)])
def test_errors_of_the_provider_are_told(gateway, scripted, script, status, code):
    scripted(script)
    for path, body in (("/v1/rerank", {"model": "co/r", "query": "q", "documents": ["x"]}),
                       ("/v1/images/generations", {"model": "pieces/dall-e-3", "prompt": "x"}),
                       ("/v1/providers/fake/echo", {"a": 1})):
        answer = post(gateway, path, body)
        assert answer.status_code == status and answer.json()["error"]["message"], answer.text
        assert code is None or answer.json()["error"]["code"] == code
        event = the_event(gateway, answer)
        assert float(event["cost_usd"]) == 0 and not event["estimated"]
