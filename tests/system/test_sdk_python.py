"""The official OpenAI SDK for Python against the gateway: what works with OpenAI works here."""

import base64
import json
import struct
import threading
import time

import httpx
import openai
import pydantic
import pytest

from harness import marker, until

PIXEL = base64.b64encode(bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000" "1f15c4890000000d49444154789c6360606060000000050001a5f6"
    "45400000000049454e44ae426082")).decode()
HELLO = [{"role": "user", "content": "Hello there!"}]
WEATHER = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather in a place.", "strict": True,
    "parameters": {"type": "object", "additionalProperties": False, "required": ["city", "unit", "days"],
                   "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]},
                                  "days": {"type": "integer", "minimum": 1, "maximum": 7}}}}}]
MODELS = ["simulator", "fake/some-model"]


@pytest.fixture
def client(gateway):
    with gateway.openai() as made:
        yield made


@pytest.mark.parametrize("model", MODELS)
def test_chat(client, gateway, model):
    raw = client.chat.completions.with_raw_response.create(model=model, messages=HELLO)
    answer = raw.parse()
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    provider, _, _ = model.partition("/")
    assert raw.headers["x-headgate-provider"] == provider
    assert raw.headers["x-headgate-attempts"] == "1"
    assert raw.headers["x-headgate-policy"]
    event = gateway.wait_usage(raw.headers["x-request-id"])[0]
    assert (event["input_tokens"], event["output_tokens"]) == (answer.usage.prompt_tokens,
                                                               answer.usage.completion_tokens)


@pytest.mark.parametrize("model", MODELS)
def test_stream(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks).strip()
    assert chunks[-1].choices[0].finish_reason == "stop"
    # usage was not asked for: no chunk of it reaches the client
    assert all(c.choices and c.usage is None for c in chunks)


@pytest.mark.parametrize("model", MODELS)
def test_stream_with_usage(client, gateway, model):
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True})
    chunks = list(raw.parse())
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    assert all(c.usage is None for c in chunks[:-1])
    event = gateway.wait_usage(raw.headers["x-request-id"])[0]
    assert event["output_tokens"] == chunks[-1].usage.completion_tokens
    assert not event["estimated"]


@pytest.mark.parametrize("model", MODELS)
def test_stream_is_accounted_though_the_client_did_not_ask(client, gateway, model):
    raw = client.chat.completions.with_raw_response.create(model=model, messages=HELLO, stream=True)
    list(raw.parse())
    event = gateway.wait_usage(raw.headers["x-request-id"])[0]
    assert event["output_tokens"] > 0 and not event["estimated"]


@pytest.mark.parametrize("model", MODELS)
def test_tools(client, model):
    answer = client.chat.completions.create(model=model, messages=HELLO, tools=WEATHER, tool_choice="required")
    call = answer.choices[0].message.tool_calls[0]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"city", "unit", "days"}
    assert arguments["unit"] in ("C", "F") and 1 <= arguments["days"] <= 7
    followed = client.chat.completions.create(model=model, tools=WEATHER, messages=[
        *HELLO, answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}])
    assert followed.choices[0].message.content


@pytest.mark.parametrize("model", MODELS)
def test_tools_streamed(client, model):
    """The SDK's own accumulator puts the pieces together."""
    with client.chat.completions.stream(model=model, messages=HELLO, tools=WEATHER,
                                        tool_choice="required") as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments)["unit"] in ("C", "F")


@pytest.mark.parametrize("url", ["https://images.example/cat.png", f"data:image/png;base64,{PIXEL}"])
@pytest.mark.parametrize("model", MODELS)
def test_images(client, fake, model, url):
    seen = len(fake.records())
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}],
                                            extra_body={"x_mock": "echo"} if model.startswith("fake") else None)
    assert answer.choices[0].message.content
    if model.startswith("fake"):
        received = json.loads(answer.choices[0].message.content)
        assert received["body"]["messages"][0]["content"] == content  # untouched, and never fetched
        assert len(fake.records()) > seen


class Recipe(pydantic.BaseModel):
    title: str
    minutes: int
    steps: list[str]


@pytest.mark.parametrize("model", MODELS)
def test_structured_output(client, model):
    answer = client.chat.completions.parse(model=model, messages=HELLO, response_format=Recipe)
    recipe = answer.choices[0].message.parsed
    assert isinstance(recipe, Recipe) and isinstance(recipe.steps, list)


@pytest.mark.parametrize("model", MODELS)
def test_embeddings(client, gateway, model):
    raw = client.embeddings.with_raw_response.create(model=model, input=["one", "two"], encoding_format="float")
    answer = raw.parse()
    assert [e.index for e in answer.data] == [0, 1]
    assert all(isinstance(v, float) for e in answer.data for v in e.embedding)
    assert answer.usage.prompt_tokens > 0
    event = gateway.wait_usage(raw.headers["x-request-id"])[0]
    assert event["input_tokens"] == answer.usage.prompt_tokens and event["output_tokens"] == 0
    # the SDK's default is base64, which it decodes itself
    again = client.embeddings.create(model=model, input="one")
    assert again.data[0].embedding == pytest.approx(answer.data[0].embedding, abs=1e-6)
    raw64 = client.embeddings.with_raw_response.create(model=model, input="one", encoding_format="base64")
    packed = base64.b64decode(json.loads(raw64.text)["data"][0]["embedding"])
    assert len(struct.unpack(f"<{len(packed) // 4}f", packed)) == len(answer.data[0].embedding)


@pytest.mark.parametrize("model", MODELS)
def test_text_completions(client, model):
    answer = client.completions.create(model=model, prompt="Once upon a time", max_tokens=8)
    assert answer.choices[0].text
    chunks = list(client.completions.create(model=model, prompt="Once upon a time", stream=True))
    assert "".join(c.choices[0].text for c in chunks)


def test_models(client):
    served = [m.id for m in client.models.list()]
    assert "simulator" in served


# --- errors are the SDK's own exceptions ------------------------------------------------------------


def assert_ours(error, code):
    assert error.code == code
    assert error.body["source"] == "gateway"
    assert error.response.headers["x-headgate-error"] == code
    assert error.response.headers["x-request-id"]


def test_wrong_key(gateway):
    with gateway.openai(key="sk-hg-" + "x" * 43) as client, pytest.raises(openai.AuthenticationError) as error:
        client.chat.completions.create(model="simulator", messages=HELLO)
    assert_ours(error.value, "invalid_api_key")
    assert "sk-hg" not in error.value.message or "xxxx" not in error.value.message


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="no-such-model", messages=HELLO)
    assert_ours(error.value, "model_not_found")


def test_missing_member(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.post("/chat/completions", body={"messages": HELLO}, cast_to=httpx.Response)
    assert error.value.response.headers["x-headgate-error"]


@pytest.mark.parametrize("status, kind", [
    (400, openai.BadRequestError), (403, openai.PermissionDeniedError), (404, openai.NotFoundError),
    (409, openai.ConflictError), (422, openai.UnprocessableEntityError), (429, openai.RateLimitError),
    (500, openai.InternalServerError), (503, openai.InternalServerError),
])
def test_the_providers_errors_pass(client, status, kind):
    with pytest.raises(kind) as error:
        client.chat.completions.create(model="fake/m", messages=HELLO, extra_body={"x_mock": f"status={status}"})
    assert error.value.response.headers["x-headgate-error-source"] == "provider"
    assert error.value.code == f"fake_{status}"


def test_retry_after_passes(client):
    with pytest.raises(openai.RateLimitError) as error:
        client.chat.completions.create(model="fake/m", messages=HELLO,
                                       extra_body={"x_mock": "status=429;retry_after=7"})
    assert error.value.response.headers["retry-after"] == "7"


def test_an_error_inside_a_stream_is_an_exception(client):
    stream = client.chat.completions.create(model="fake/m", messages=HELLO, stream=True,
                                            extra_body={"x_mock": "ev=5;err@3"})
    got = []
    with pytest.raises(openai.APIError):
        for chunk in stream:
            got.append(chunk.choices[0].delta.content or "")
    assert "".join(got) == "tok0 tok1 tok2 "


def test_a_broken_stream_is_an_exception(client):
    stream = client.chat.completions.create(model="fake/m", messages=HELLO, stream=True,
                                            extra_body={"x_mock": "ev=5;rst@3"})
    with pytest.raises(openai.APIError):
        list(stream)


# --- time-outs and leaving --------------------------------------------------------------------------


def test_client_timeout(gateway, fake):
    """A stream's client that closes has left; for a whole answer a half-close is no cancel (F004)."""
    with gateway.openai(timeout=0.3) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="fake/m", messages=HELLO, stream=True,
                                       extra_body={"x_mock": "ttfb=20000"})
    # the gateway notices, and cancels upstream
    until(lambda: fake.stats()["in_flight"] == 0, 2, "the upstream call cancelled")


def test_client_abort_reaches_the_provider(client, gateway, fake):
    raw = client.chat.completions.with_raw_response.create(
        model="fake/m", messages=HELLO, stream=True, extra_body={"x_mock": "ev=2000;gap=10"})
    stream = iter(raw.parse())
    for _ in range(4):
        next(stream)
    raw.http_response.close()
    event = gateway.wait_usage(raw.headers["x-request-id"])[0]
    record = fake.attempt(event["attempt_id"])
    assert record["outcome"] == "client_gone"
    assert record["tokens_sent"] < 200
    # what was used is accounted, as an estimate
    assert event["estimated"] and event["output_tokens"] > 0


def test_many_at_once(gateway):
    failures = []

    def work(i):
        try:
            with gateway.openai() as client:
                for k in range(5):
                    text = f"{marker()} {i} {k}"
                    answer = client.chat.completions.create(
                        model="fake/m", messages=[{"role": "user", "content": text}], extra_body={"x_mock": "echo"})
                    got = json.loads(answer.choices[0].message.content)["body"]["messages"][0]["content"]
                    assert got == text
        except Exception as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_streaming_arrives_as_it_is_made(client):
    """Events pass one by one: nothing is held back until the end."""
    stream = client.chat.completions.create(model="fake/m", messages=HELLO, stream=True,
                                            extra_body={"x_mock": "ev=5;gap=300"})
    seen = []
    for chunk in stream:
        if chunk.choices[0].delta.content:
            seen.append(time.monotonic())
    assert len(seen) == 5
    assert seen[-1] - seen[0] > 0.9
