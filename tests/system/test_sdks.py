"""The vendors' own SDKs, each against each family of providers: what works with the vendor works here.

The upstreams are the simulator, and a second gateway that speaks every vendor's dialect in front of its own simulator: so
each request of an SDK goes through the client's dialect, through the provider's, and back.
"""

import base64
import json
import os

import pytest

import harness

anthropic = pytest.importorskip("anthropic")
genai = pytest.importorskip("google.genai")
openai = pytest.importorskip("openai")
pydantic = pytest.importorskip("pydantic")
langchain_openai = pytest.importorskip("langchain_openai")
langchain_anthropic = pytest.importorskip("langchain_anthropic")

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000"
                    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082")
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["city", "unit", "days"],
          "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]},
                         "days": {"type": "integer", "minimum": 1, "maximum": 7}}}
FAMILIES = ["simulator", "mirror-openai/simulator", "mirror-anthropic/simulator", "mirror-gemini/simulator"]


class Recipe(pydantic.BaseModel):
    title: str
    minutes: int
    steps: list[str]


def good(arguments):
    return set(arguments) == {"city", "unit", "days"} and arguments["unit"] in ("C", "F") and 1 <= arguments["days"] <= 7


# --- OpenAI: chat and Responses

@pytest.fixture
def chat(pair):
    return pair.openai()


TOOL = {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": SCHEMA}}
HELLO = [{"role": "user", "content": "Hello there!"}]


@pytest.mark.parametrize("model", FAMILIES)
class TestOpenAI:
    def test_chat_and_usage(self, pair, chat, model):
        raw = chat.chat.completions.with_raw_response.create(model=model, messages=HELLO, max_tokens=100)
        answer = raw.parse()
        assert answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"
        event = pair.wait_usage(raw.headers["x-request-id"])[0]
        assert (event["input_tokens"], event["output_tokens"]) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
        assert not event["estimated"]

    def test_stream_is_the_whole(self, chat, model):
        whole = chat.chat.completions.create(model=model, messages=HELLO, max_tokens=100)
        chunks = list(chat.chat.completions.create(model=model, messages=HELLO, max_tokens=100, stream=True,
                                                   stream_options={"include_usage": True}))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == whole.choices[0].message.content
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens

    def test_tool_loop(self, chat, model):
        messages = list(HELLO)
        answer = chat.chat.completions.create(model=model, messages=messages, tools=[TOOL], tool_choice="required",
                                              max_tokens=100)
        call = answer.choices[0].message.tool_calls[0]
        assert answer.choices[0].finish_reason == "tool_calls" and call.function.name == "get_weather"
        assert good(json.loads(call.function.arguments))
        messages += [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        final = chat.chat.completions.create(model=model, messages=messages, tools=[TOOL], max_tokens=100)
        assert final.choices[0].message.content and final.choices[0].finish_reason == "stop"

    def test_tools_streamed(self, chat, model):
        with chat.chat.completions.stream(model=model, messages=HELLO, tools=[TOOL | {"function": TOOL["function"] | {"strict": False}}],
                                          tool_choice="required", max_tokens=100) as stream:
            for _ in stream:
                pass
            final = stream.get_final_completion()
        assert good(json.loads(final.choices[0].message.tool_calls[0].function.arguments))

    def test_structured_output(self, chat, model):
        answer = chat.chat.completions.parse(model=model, messages=HELLO, response_format=Recipe, max_tokens=200)
        assert isinstance(answer.choices[0].message.parsed, Recipe)

    def test_image(self, chat, model):
        url = "data:image/png;base64," + base64.b64encode(PNG).decode()
        content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
        answer = chat.chat.completions.create(model=model, messages=[{"role": "user", "content": content}], max_tokens=100)
        assert answer.choices[0].message.content

    def test_errors_are_the_sdks_own(self, chat, model):
        with pytest.raises(openai.NotFoundError):
            chat.chat.completions.create(model="nothing-of-the-kind", messages=HELLO)
        with pytest.raises(openai.RateLimitError):
            chat.chat.completions.create(model=model + "-error-429", messages=HELLO, max_tokens=100)
        with pytest.raises(openai.BadRequestError):
            chat.chat.completions.create(model=model, messages=HELLO, stream="maybe")

    def test_responses(self, pair, chat, model):
        raw = chat.responses.with_raw_response.create(model=model, input="Hello there!", max_output_tokens=100)
        answer = raw.parse()
        assert answer.status == "completed" and answer.output_text
        event = pair.wait_usage(raw.headers["x-request-id"])[0]
        assert (event["input_tokens"], event["output_tokens"]) == (answer.usage.input_tokens, answer.usage.output_tokens)

    def test_responses_streamed(self, chat, model):
        with chat.responses.stream(model=model, input="Hello there!", max_output_tokens=100) as stream:
            text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
            final = stream.get_final_response()
        assert text == final.output_text and final.usage.output_tokens > 0

    def test_responses_tool_loop(self, chat, model):
        tool = {"type": "function", "name": "get_weather", "description": "The weather.", "parameters": SCHEMA, "strict": True}
        items = [{"role": "user", "content": "Hello there!"}]
        answer = chat.responses.create(model=model, input=items, tools=[tool], tool_choice="required", max_output_tokens=100)
        call = next(item for item in answer.output if item.type == "function_call")
        assert call.name == "get_weather" and good(json.loads(call.arguments))
        items += [item.model_dump(exclude_none=True) for item in answer.output]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
        assert chat.responses.create(model=model, input=items, tools=[tool], max_output_tokens=100).output_text

    def test_responses_parsed(self, chat, model):
        answer = chat.responses.parse(model=model, input="Hello there!", text_format=Recipe, max_output_tokens=200)
        assert isinstance(answer.output_parsed, Recipe)


# --- Anthropic

@pytest.fixture(params=["", "/anthropic"])
def claude(pair, request):
    return anthropic.Anthropic(base_url=pair.url + request.param, api_key=pair.key, max_retries=0)


@pytest.mark.parametrize("model", FAMILIES)
class TestAnthropic:
    def test_message_and_usage(self, pair, claude, model):
        raw = claude.messages.with_raw_response.create(model=model, max_tokens=100, system="Be brief.", messages=HELLO)
        answer = raw.parse()
        assert answer.content[0].text and answer.stop_reason == "end_turn" and answer.type == "message"
        event = pair.wait_usage(raw.headers["x-request-id"])[0]
        assert (event["input_tokens"], event["output_tokens"]) == (answer.usage.input_tokens, answer.usage.output_tokens)

    def test_stream(self, claude, model):
        with claude.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert text == final.content[0].text and final.stop_reason == "end_turn" and final.usage.output_tokens > 0

    def test_tool_loop(self, claude, model):
        tools = [{"name": "get_weather", "description": "The weather.", "input_schema": SCHEMA}]
        with claude.messages.stream(model=model, max_tokens=100, messages=HELLO, tools=tools,
                                    tool_choice={"type": "any"}) as stream:
            answer = stream.get_final_message()
        call = next(block for block in answer.content if block.type == "tool_use")
        assert answer.stop_reason == "tool_use" and good(call.input)
        messages = [*HELLO, {"role": "assistant", "content": answer.content},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}]
        final = claude.messages.create(model=model, max_tokens=100, messages=messages, tools=tools)
        assert final.content[0].text and final.stop_reason == "end_turn"

    def test_image(self, claude, model):
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
        content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
        answer = claude.messages.create(model=model, max_tokens=100, messages=[{"role": "user", "content": content}])
        assert answer.content[0].text

    def test_errors_are_the_sdks_own(self, pair, claude, model):
        with pytest.raises(anthropic.NotFoundError) as caught:
            claude.messages.create(model="nothing-of-the-kind", max_tokens=10, messages=HELLO)
        assert caught.value.body["error"]["type"] == "not_found_error" and caught.value.request_id
        with pytest.raises(anthropic.RateLimitError):
            claude.messages.create(model=model + "-error-429", max_tokens=10, messages=HELLO)
        with pytest.raises(anthropic.AuthenticationError):
            anthropic.Anthropic(base_url=pair.url, api_key="sk-hg-no", max_retries=0).messages.create(
                model=model, max_tokens=10, messages=HELLO)
        with pytest.raises(anthropic.BadRequestError):
            claude.messages.create(model=model, max_tokens=0, messages=HELLO)


def test_anthropic_lists_models(pair):
    client = anthropic.Anthropic(base_url=pair.url, api_key=pair.key)
    assert "simulator" in [m.id for m in client.models.list()]


# --- Gemini

@pytest.fixture
def gemini(pair):
    os.environ.pop("GOOGLE_API_KEY", None)
    return genai.Client(api_key=pair.key, http_options={"base_url": pair.url + "/genai"})


@pytest.mark.parametrize("model", FAMILIES)
class TestGemini:
    def test_generate(self, gemini, model):
        answer = gemini.models.generate_content(model=model, contents="Hello there!", config={"max_output_tokens": 100})
        assert answer.text and answer.candidates[0].finish_reason.name == "STOP"
        assert answer.usage_metadata.total_token_count > 0

    def test_stream(self, gemini, model):
        chunks = list(gemini.models.generate_content_stream(model=model, contents="Hello there!", config={"max_output_tokens": 100}))
        assert "".join(c.text or "" for c in chunks) and chunks[-1].candidates[0].finish_reason.name == "STOP"
        assert chunks[-1].usage_metadata.candidates_token_count > 0

    def test_tool_loop(self, gemini, model):
        types = genai.types
        declaration = types.FunctionDeclaration(name="get_weather", description="The weather.", parameters_json_schema=SCHEMA)
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[declaration])], max_output_tokens=100,
            tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY")))
        answer = gemini.models.generate_content(model=model, contents="Hello there!", config=config)
        call = answer.function_calls[0]
        assert call.name == "get_weather" and good(call.args)
        contents = [types.UserContent(parts=[types.Part(text="Hello there!")]), answer.candidates[0].content,
                    types.Content(role="user", parts=[types.Part(function_response=types.FunctionResponse(
                        id=call.id, name=call.name, response={"result": "sunny"}))])]
        config.tool_config = None
        assert gemini.models.generate_content(model=model, contents=contents, config=config).text

    def test_structured_output(self, gemini, model):
        answer = gemini.models.generate_content(model=model, contents="Hello there!", config={
            "response_mime_type": "application/json", "response_schema": Recipe, "max_output_tokens": 200})
        assert isinstance(answer.parsed, Recipe)

    def test_image(self, gemini, model):
        part = genai.types.Part.from_bytes(data=PNG, mime_type="image/png")
        assert gemini.models.generate_content(model=model, contents=[part, "What is this?"]).text

    def test_errors_are_the_sdks_own(self, gemini, model):
        with pytest.raises(genai.errors.ClientError) as caught:
            gemini.models.generate_content(model="nothing-of-the-kind", contents="Hello")
        assert caught.value.code == 404 and caught.value.status == "NOT_FOUND"
        with pytest.raises(genai.errors.ClientError) as caught:
            gemini.models.generate_content(model=model + "-error-429", contents="Hello")
        assert caught.value.code == 429 and caught.value.status == "RESOURCE_EXHAUSTED"


# --- clients that leave in the middle of a stream

def left(pair, request_id):
    """What was given is booked, at an estimate, and nothing goes on for nobody."""
    event = pair.wait_usage(request_id)[0]
    assert event["estimated"] and 0 < event["output_tokens"] < 400 and event["input_tokens"] > 0
    pair.wait_idle()


def slow(model):
    return model.replace("simulator", "slow")


@pytest.mark.parametrize("model", FAMILIES)
class TestAbort:
    def test_openai(self, pair, chat, model):
        raw = chat.chat.completions.with_raw_response.create(model=slow(model), messages=HELLO, stream=True)
        with raw.parse() as stream:
            for _, chunk in zip(range(4), stream):
                assert chunk.choices
        left(pair, raw.headers["x-request-id"])

    def test_responses(self, pair, chat, model):
        raw = chat.responses.with_raw_response.create(model=slow(model), input="Hello there!", stream=True)
        with raw.parse() as stream:
            assert any(event.type == "response.output_text.delta" for event in stream)
        left(pair, raw.headers["x-request-id"])

    def test_anthropic(self, pair, model):
        client = anthropic.Anthropic(base_url=pair.url, api_key=pair.key, max_retries=0)
        with client.messages.stream(model=slow(model), max_tokens=5000, messages=HELLO) as stream:
            for _, text in zip(range(4), stream.text_stream):
                assert text
            request_id = stream.response.headers["x-request-id"]
        left(pair, request_id)

    def test_gemini(self, pair, gemini, model):
        stream = gemini.models.generate_content_stream(model=slow(model), contents="Hello there!")
        chunk = next(stream)
        for _ in range(3):
            next(stream)
        stream.close()
        left(pair, chunk.sdk_http_response.headers["x-request-id"])


# --- LangChain

@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_langchain(pair, vendor, model):
    if vendor == "openai":
        llm = langchain_openai.ChatOpenAI(model=model, base_url=pair.url + "/v1", api_key=pair.key, max_retries=0,
                                          max_completion_tokens=200)
    else:
        llm = langchain_anthropic.ChatAnthropic(model=model, base_url=pair.url, api_key=pair.key, max_retries=0, max_tokens=200)
    assert llm.invoke("Hello there!").text
    assert "".join(chunk.text for chunk in llm.stream("Hello there!"))
    tool = {"name": "get_weather", "description": "The weather.", "parameters": SCHEMA}
    answer = llm.bind_tools([tool], tool_choice="any").invoke("Hello there!")
    assert good(answer.tool_calls[0]["args"])
    assert isinstance(llm.with_structured_output(Recipe).invoke("Hello there!"), Recipe)
