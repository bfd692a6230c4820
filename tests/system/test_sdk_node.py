"""The official OpenAI SDK for Node (sdk_node.mjs) against the gateway."""

import json
import pathlib
import shutil
import subprocess

import pytest

import harness

SDK = "openai@7.57.0"
MODELS = ["simulator", "fake/some-model"]


@pytest.fixture(scope="session")
def node_folder():
    """A folder below build/ with the SDK, installed once."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("node or npm is not installed: the Node SDK is not tested (apt-get install nodejs npm)")
    major = int(subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0])
    if major < 20:
        pytest.skip(f"node {major} is too old for the SDK, which needs 20")
    folder = harness.ROOT / "build" / "node"
    folder.mkdir(parents=True, exist_ok=True)
    installed = folder / "node_modules" / "openai" / "package.json"
    if not installed.exists() or json.loads(installed.read_text())["version"] != SDK.partition("@")[2]:
        (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--silent", SDK], cwd=folder, timeout=110,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm could not install {SDK}: {done.stderr.strip()[-200:]}")
    return folder


@pytest.fixture
def node(gateway, node_folder):
    def run(scenario, model="simulator"):
        script = node_folder / "sdk_node.mjs"  # beside node_modules, where imports are looked for
        script.write_bytes(pathlib.Path(__file__).with_name("sdk_node.mjs").read_bytes())
        env = harness.clean_environment({"GATEWAY_URL": gateway.url, "GATEWAY_KEY": gateway.key})
        done = subprocess.run(["node", str(script), scenario, model], env=env, capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
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
