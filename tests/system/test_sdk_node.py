"""The SDKs for Node against the gateway: the official one of OpenAI in all its ways (sdk_node.mjs), and Anthropic's, OpenAI's
and Vercel's against each family of providers (sdk_vendors.mjs)."""

import json
import pathlib
import shutil
import subprocess

import pytest

import harness

SDKS = ["openai@7.57.0", "@anthropic-ai/sdk@1.14.0", "ai@7.0.173", "@ai-sdk/openai@4.0.118", "@ai-sdk/anthropic@4.0.105",
        "@ai-sdk/google@4.0.121"]
MODELS = ["simulator", "fake/some-model"]
PIXEL = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==")


def is_installed(folder, sdk):
    name, _, version = sdk.rpartition("@")
    package = folder / "node_modules" / name / "package.json"
    return package.exists() and json.loads(package.read_text())["version"] == version


@pytest.fixture(scope="session")
def node_folder():
    """A folder below build/ with the SDKs, installed once."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("node or npm is not installed: the Node SDKs are not tested (apt-get install nodejs npm)")
    major = int(subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0])
    if major < 20:
        pytest.skip(f"node {major} is too old for the SDKs, which need 20")
    folder = harness.ROOT / "build" / "node"
    folder.mkdir(parents=True, exist_ok=True)
    if not all(is_installed(folder, sdk) for sdk in SDKS):
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--silent", *SDKS], cwd=folder, timeout=180,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm could not install {' '.join(SDKS)}: {done.stderr.strip()[-200:]}")
    return folder


def run_script(folder, name, gateway, *args):
    script = folder / name  # beside node_modules, where imports are looked for
    script.write_bytes(pathlib.Path(__file__).with_name(name).read_bytes())
    env = harness.clean_environment({"GATEWAY_URL": gateway.url, "GATEWAY_KEY": gateway.key, "PIXEL": PIXEL})
    done = subprocess.run(["node", str(script), *args], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def node(gateway, node_folder):
    def run(scenario, model="simulator"):
        return run_script(node_folder, "sdk_node.mjs", gateway, scenario, model)
    return run


@pytest.mark.parametrize("model", MODELS)
def test_chat(node, gateway, model):
    got = node("chat", model)
    assert got["content"] and got["finish"] == "stop"
    assert got["provider"] == model.partition("/")[0]
    event = gateway.wait_usage(got["requestId"])[0]
    assert event["output_tokens"] == got["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("model", MODELS)
def test_stream(node, model):
    got = node("stream", model)
    assert got["content"].strip() and got["finish"] == "stop" and got["chunks"] > 2
    assert got["usage"] is None
    got = node("stream_usage", model)
    assert got["usage"]["total_tokens"] > 0 and got["choices"] == 0


@pytest.mark.parametrize("model", MODELS)
def test_tools(node, model):
    for got in (node("tools", model), node("tools_stream", model)):
        assert got["name"] == "get_weather"
        assert set(got["arguments"]) == {"city", "unit"} and got["arguments"]["unit"] in ("C", "F")


@pytest.mark.parametrize("model", MODELS)
def test_images_and_structured_output(node, model):
    assert node("images", model)["content"]
    got = node("structured", model)
    assert set(got) == {"city", "unit"} and got["unit"] in ("C", "F")


@pytest.mark.parametrize("model", MODELS)
def test_embeddings(node, model):
    got = node("embeddings", model)
    assert got["count"] == 2 and got["numbers"] and got["tokens"] > 0


def test_models(node):
    assert "simulator" in node("models")["ids"]


def test_errors_are_the_sdks_own(node):
    got = node("errors")
    kinds = {name: error["kind"] for name, error in got.items()}
    assert kinds == {"key": "AuthenticationError", "model": "NotFoundError", "invalid": "BadRequestError",
                     "limited": "RateLimitError", "broken": "InternalServerError", "truncated": "InternalServerError"}
    assert got["key"]["code"] == "invalid_api_key" and got["key"]["source"] == "gateway"
    assert got["truncated"]["code"] == "upstream_truncated"
    assert all(error["requestId"] for error in got.values())


def test_a_broken_stream_is_an_exception(node):
    got = node("stream_error")
    assert got["content"] == "tok0 tok1 tok2 "
    assert got["error"]["kind"] in ("APIError", "APIConnectionError")


def test_timeout_and_abort(node, gateway, fake):
    assert node("timeout")["kind"] == "APIConnectionTimeoutError"
    got = node("abort")
    assert 4 <= got["chunks"] < 200
    event = gateway.wait_usage(got["requestId"])[0]
    assert event["estimated"] and event["output_tokens"] > 0
    assert fake.attempt(event["attempt_id"])["outcome"] == "client_gone"


# --- the vendors' SDKs, each against each family

FAMILIES = ["", "mirror-openai/", "mirror-anthropic/", "mirror-gemini/"]
VENDORS = ["anthropic", "openai", "ai-chat", "ai-responses", "ai-anthropic", "ai-google"]


def keeps_thoughts(sdk, family):
    """Whether there is a place for signed thoughts all the way: not in chat completions of OpenAI's own."""
    if sdk == "ai-chat":
        return family == "mirror-gemini/"  # in the call's id
    return sdk == "ai-responses" or family != "mirror-openai/"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.rstrip("/") or "simulator")
@pytest.mark.parametrize("sdk", VENDORS)
def test_vendors(node_folder, pair, sdk, family):
    thinker = "thinker" if not family else family.replace("mirror-", "thinker-").rstrip("/")
    got = run_script(node_folder, "sdk_vendors.mjs", pair, sdk, family, thinker if keeps_thoughts(sdk, family) else "")
    if (sdk, family) == ("ai-anthropic", "mirror-gemini/"):  # asks for one call at a time, which Gemini cannot be asked
        assert "tools.parallel_off" in got.pop("structured")["failed"]
    assert not {name: found["failed"] for name, found in got.items() if "failed" in found}

    if "chat" in got:
        assert got["chat"]["text"].startswith("This is a") and got["chat"]["output"] == 12
        assert got["chat"]["finish"] in ("stop", "end_turn")
    assert got["stream"]["text"] == got["stream"]["whole"] != "" and got["stream"]["output"] == 12
    for name in ("loop", "loop_stream", "structured"):
        if name in got:
            value = got[name].get("input", got[name])
            assert set(value) == {"city", "unit"} and value["unit"] in ("C", "F"), name
    assert got["loop"]["text"].startswith("This is a")
    if "loop_stream" in got:
        assert got["loop"]["steps"] == got["loop_stream"]["steps"] == 2 and got["loop_stream"]["text"].startswith("This is a")
    if got.get("thoughts"):
        assert got["thoughts"]["steps"] == 2 and got["thoughts"]["text"].startswith("This is a")
    assert got["image"]["text"]

    errors = got["errors"]
    kinds = {name: error["kind"] for name, error in errors.items()}
    status = {"model": 404, "limited": 429, "key": 401, "invalid": 400}
    assert {name: error["status"] for name, error in errors.items()} == {name: status[name] for name in errors}
    assert all(error["requestId"] for error in errors.values())
    if sdk in ("anthropic", "openai"):
        own = {"model": "NotFoundError", "limited": "RateLimitError", "key": "AuthenticationError", "invalid": "BadRequestError"}
        assert kinds == {name: own[name] for name in errors}

    assert 4 <= got["abort"]["pieces"] < 200
    event = pair.wait_usage(got["abort"]["requestId"])[0]
    assert event["estimated"] and 0 < event["output_tokens"] < 400
