"""Recorded provider traffic, replayed through the gateway to a client of each dialect.

Text, tool calls and the reason to stop are those of the recording, whichever dialect the client speaks; the ledger
has the usage that the provider reported; cut streams never end clean; errors keep their status. The recordings are
not part of the project: without them (HEADGATE_SHARED, or ../shared) these tests are skipped. EXCEPTIONS names what
differs, and why; docs/wire.md is the table that `HEADGATE_WIRE_TABLE=docs/wire.md` makes this test write.
"""

import collections
import os
import pathlib
import re
import urllib.parse

import pytest

import harness
import replay
import speakers

ROOT = pathlib.Path(os.environ.get("HEADGATE_SHARED", harness.ROOT.parent / "shared")) / "wire"
KINDS = {"anthropic": "anthropic", "azure": "azure-openai", "bedrock": "bedrock", "cohere": "cohere", "google": "gemini",
         "vertex": "vertex", "openai": "openai", "mistral": "mistral", "groq": "groq", "together": "together",
         "deepseek": "deepseek", "xai": "xai", "openrouter": "openrouter", "cerebras": "cerebras",
         "perplexity": "perplexity", "huggingface": "huggingface", "ollama": "ollama", "vllm": "vllm"}
# The APIs that a turn of a conversation can be asked of, with the path that the gateway adds to an address.
APIS = {"openai.chat": r"/chat/completions$", "openai.responses": r"/responses$", "anthropic.messages": r"/messages$",
        "google.generateContent": r"/models/[^/]+:generateContent$",
        "google.streamGenerateContent": r"/models/[^/]+:stream[A-Za-z]*$",
        "bedrock.converse": r"/model/[^/]+/converse$", "bedrock.converse_stream": r"/model/[^/]+/converse-stream$",
        "cohere.v2.chat": r"/chat$"}
OWN = {"openai.chat": "chat", "openai.responses": "responses", "anthropic.messages": "messages",
       "google.generateContent": "generate", "google.streamGenerateContent": "generate"}

# (case, client or "*"): why what the client is told differs from the recording.
ITERATIONS = "the totals leave out iterations that are billed (advisor, compaction): the ledger has them too"
EXCEPTIONS = {
    ("openai/chat-text-to-audio", "responses"): "what was spoken is told as text",
    ("openai/chat-text-to-audio", "messages"): "what was spoken is told as text",
    ("openai/chat-text-to-audio", "generate"): "what was spoken is told as text",
    ("openai/responses-background-mode-reasoning-vcr-t1", "responses"): "an answer in the background is not there yet",
    **{(f"openai/responses-custom-tool-1{s}", c): "a free-form input is told as the one member of an object"
       for s in ("", "-stream") for c in ("messages", "generate")},
    **{(f"anthropic/messages-refusal{s}", "generate"): "why the model refused is told as text: Gemini has no refusals"
       for s in ("", "-stream")},
    ("google/stream-generate-stream-tool-call-arguments", "generate"):
        "untouched: arguments in pieces, which this test's client does not join",
}
EXCEPTIONS |= {(f"anthropic/messages-{name}", "*"): ITERATIONS for name in (
    "advisor-tool", "advisor-tool-stream", "compaction-end-to-end-t1", "compaction-usage-with-cache-streaming")}

TABLE = {}  # client to (passed, excepted, failed)

if not ROOT.exists():
    pytest.skip("there are no recordings", allow_module_level=True)

CASES = [case for case in replay.load(ROOT) if case.row["api"] in APIS and re.search(os.environ.get("HEADGATE_WIRE_CASES", ""), case.row["api"])]


def provider_of(case, port):
    """A provider of the configuration whose upstream is this one recording."""
    api, meta = case.row["api"], case.request
    kind = KINDS.get(case.row["provider"], "openai-compatible")
    prefix = re.sub(APIS[api], "", meta["path"])
    document = {"name": f"c{case.number}", "kind": kind, "allow_private": True, "credential": "recorded"}
    if api in ("openai.chat", "openai.responses"):
        document["api"] = api.removeprefix("openai.")
    if kind == "azure-openai":
        version = dict(urllib.parse.parse_qsl(meta.get("query") or "")).get("api-version")
        if "/deployments/" in meta["path"] and version:
            document["api_version"] = version
        prefix = ""
    if kind == "vertex":
        place = re.match(r"(/v1(?:beta1)?)/projects/([^/]+)/locations/([^/]+)/", meta["path"])
        prefix, document["project"], document["location"] = place.groups()
    if kind == "bedrock":
        prefix, document["region"] = "", "us-east-1"
    document["base_url"] = f"http://127.0.0.1:{port}/c/{case.number}{prefix}"
    return document


def model_of(case):
    """The provider's own name of the model, as the recorded call says it."""
    found = re.search(r"/model(?:s)?/([^/:]+(?:%3A[^/:]+|:\d+)?)[/:]", case.request["path"])
    if found:
        return found.group(1).replace("%3A", ":")
    found = re.search(r"/deployments/([^/]+)/", case.request["path"])
    return found.group(1) if found else (case.asked or {}).get("model") or case.row["model"] or "m"


@pytest.fixture(scope="module")
def stand():
    gateway, upstream = harness.Gateway(workers=1), replay.Replay(replay.load(ROOT))
    try:
        gateway.up()
        gateway.apply({"providers": [provider_of(case, upstream.port) for case in CASES],
                       "prices": [{"provider": f"c{case.number}", "model": "*", "free": True} for case in CASES]})
        yield gateway, upstream
    finally:
        gateway.close()
        upstream.close()
    if os.environ.get("HEADGATE_WIRE_TABLE"):
        pathlib.Path(os.environ["HEADGATE_WIRE_TABLE"]).write_text(table())


def table():
    """docs/wire.md: how many recordings of each API came through to each client."""
    names = [speaker.name for speaker in speakers.ALL]
    lines = ["# Recorded traffic, replayed", "",
             "Real exchanges with providers, replayed through the gateway to a client of each dialect",
             "(`tests/system/test_wire.py`; the recordings are not part of this repository). A recording passes when the client is",
             "told the recorded text, tool calls and reason to stop, and the ledger has the usage that the provider reported; a cut",
             "stream must not end clean, and an error keeps its status. Streams are replayed whole and in pieces of three bytes.",
             "", "| API of the provider | " + " | ".join(f"{n} clients" for n in names) + " |",
             "| --- |" + " --- |" * len(names)]
    for api in APIS:
        cells = []
        for name in names:
            passed, excepted, failed = TABLE.get(name, ({}, {}, {}))
            bad = sum(1 for case in CASES if case.path in failed and case.row["api"] == api)
            total = passed.get(api, 0) + excepted.get(api, 0) + bad
            cells.append(f"{passed.get(api, 0)} of {total}" + (f", {excepted[api]} excepted" if excepted.get(api) else "")
                         if total else "-")
        lines.append(f"| {api} | " + " | ".join(cells) + " |")
    lines += ["", "Exceptions:", ""]
    reasons = collections.defaultdict(set)
    for (path, _), reason in EXCEPTIONS.items():
        reasons[reason].add(path)
    lines += [f"- {reason}: {', '.join(f'`{p}`' for p in sorted(paths))}" for reason, paths in sorted(reasons.items())]
    return "\n".join(lines) + "\n"


def tools_of(case):
    return sorted({call["name"] for call in (case.expect or {}).get("tool_calls") or []})


def same(a, b):
    """Texts but for blanks at the ends, which translations between blocks do not keep."""
    return a.strip() == (b or "").strip()


def finish_of(want, speaker):
    """Functions, which tools were called before, are told as such only to those who may have asked for them."""
    finish = want["finish_reason_openai"]
    return "tool_calls" if finish == "function_call" and speaker is not speakers.Chat else finish


def differences(case, speaker, said):
    """What the client was told, held against the recording: one line a difference."""
    want = case.expect
    if "choices" in want:
        want = want["choices"][0]
    if not same(said.text, want["text"]):
        yield f"text {said.text[:80]!r}, want {(want['text'] or '')[:80]!r}"
    calls = [(c["name"], c.get("arguments") or c.get("input") or {}) for c in want["tool_calls"]]
    if said.calls != calls:
        yield f"calls {said.calls}, want {calls}"
    finish = finish_of(want, speaker)
    if finish and said.finish != finish:
        yield f"finish {said.finish!r}, want {finish!r}"


def usage_wanted(case):
    u = case.row["usage"]
    if not u or u.get("prompt_tokens") is None or u.get("completion_tokens") is None:
        return None
    output = u["completion_tokens"]
    if u.get("reasoning_outside_completion"):
        output += u.get("reasoning_tokens") or 0
    return u["prompt_tokens"], output, u.get("cached_tokens") or 0


def all_events(gateway):
    found, cursor = {}, None
    while True:
        page = gateway.admin("GET", "/usage/events", params={"limit": 1000, **({"cursor": cursor} if cursor else {})}).json()
        found |= {event["request_id"]: event for event in page["data"]}
        cursor = page["next"]
        if not cursor:
            return found


def events_of(gateway, responses):
    """The usage events of these answers, by request; what does not come in time is missing."""
    wanted = {r.headers["x-request-id"] for r in responses if r.status_code == 200}
    found = {}

    def whole():
        found.update(all_events(gateway))
        return wanted <= found.keys()
    try:
        harness.until(whole, 20, "the usage of all answers", every=0.2)
    except harness.Late:
        pass
    return found


def misbooked(case, response, events):
    """What the ledger has beside what the provider reported."""
    want, event = usage_wanted(case), events.get(response.headers["x-request-id"])
    if not want:
        return
    if not event:
        yield "nothing was booked"
        return
    got = (event["input_tokens"], event["output_tokens"], event["cached_input_tokens"])
    if got != want or event["estimated"]:
        yield f"booked {got}{' (estimated)' if event['estimated'] else ''}, want {want}"


def is_cut(case):
    return "x-stream-" in case.path or {"no_terminal_event", "stream_error", "stream_error_event"} & set(case.row["quirks"])


def check(case, speaker, response, events):
    if case.row["status"] >= 400:
        want = 502 if case.row["status"] == 401 else case.row["status"]
        if response.status_code != want:
            yield f"status {response.status_code}, want {want}: {response.text[:200]}"
        elif response.headers.get("x-headgate-error-source") != "provider":
            yield "the error does not say that it is the provider's"
        return
    if response.status_code != 200 and not is_cut(case):
        yield f"status {response.status_code}: {response.text[:300]}"
        return
    said = speakers.heard(speaker, response)
    if is_cut(case):
        if said.clean and not said.error:
            yield "a cut stream ended clean"
        return
    if said.error or not said.clean:
        yield f"no clean end: {said.error}"
        return
    yield from differences(case, speaker, said)
    yield from misbooked(case, response, events)


def asked(case, speaker):
    return case.expect is not None or case.row["status"] >= 400 or is_cut(case)


def run(stand, speaker, piece):
    gateway, upstream = stand
    upstream.piece = piece
    failed, passed, excepted = {}, collections.Counter(), collections.Counter()
    responses = {}
    for case in CASES:
        if asked(case, speaker) and (case.is_stream or not piece):
            try:
                responses[case] = speakers.ask(gateway, speaker, f"c{case.number}/{model_of(case)}", case.is_stream,
                                               tools_of(case))
            except Exception as e:  # noqa: BLE001: whatever it is, the case has failed
                failed[case.path] = [f"{type(e).__name__}: {e}"]
    events = events_of(gateway, responses.values())
    for case, response in responses.items():
        try:
            found = list(check(case, speaker, response, events))
        except Exception as e:  # noqa: BLE001
            found = [f"{type(e).__name__}: {e}"]
        reason = EXCEPTIONS.get((case.path, speaker.name)) or EXCEPTIONS.get((case.path, "*"))
        if found and reason:
            excepted[case.row["api"]] += 1
        elif found:
            failed[case.path] = found
        else:
            passed[case.row["api"]] += 1
    return failed, passed, excepted


@pytest.mark.timeout(900)
@pytest.mark.parametrize("piece", [0, 3])
@pytest.mark.parametrize("speaker", speakers.ALL, ids=lambda s: s.name)
def test_every_recording(stand, speaker, piece):
    failed, passed, excepted = run(stand, speaker, piece)
    if piece == 0:
        TABLE[speaker.name] = (passed, excepted, failed)
    lines = [f"{path}: {'; '.join(found)}"[:400] for path, found in failed.items()]
    if os.environ.get("HEADGATE_WIRE_FAILURES"):
        pathlib.Path(os.environ["HEADGATE_WIRE_FAILURES"] + f".{speaker.name}.{piece}").write_text("\n".join(lines))
    assert not failed, f"{len(failed)} of {len(failed) + sum(passed.values())} recordings:\n" + "\n".join(lines[:400])
