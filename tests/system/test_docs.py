"""The documentation says what is so: the reference follows the server's tables, examples work as they are
printed, and every command that a page names exists."""

import json
import re
import subprocess

import pytest

import harness
import reference

PAGES = sorted(reference.DOCS.glob("*.md")) + [harness.ROOT / "README.md"]


@pytest.fixture(scope="module")
def schema(session_gateway):
    return json.loads(session_gateway.cli("schema"))


def test_the_reference_is_that_of_the_server(schema):
    page = (reference.DOCS / "configuration.md").read_text()
    assert page == reference.with_reference(page, schema), "run: headgate schema | tests/system/reference.py"
    assert (reference.DOCS / "headgate.schema.json").read_text() == reference.schema_text(schema)


@pytest.mark.parametrize("page", ["configuration.md", "quickstart.md"])
def test_yaml_examples_apply(fresh_gateway, page):
    gateway = fresh_gateway(workers=1, environment={"OPENAI_API_KEY": "sk-not-a-real-key", "MAIL_PASSWORD": "not a real one",
                                                    "HOOK_SECRET": "not a real secret"})
    examples = re.findall(r"```yaml\n(.*?)```", (reference.DOCS / page).read_text(), re.S)
    assert examples
    for text in examples:
        gateway.cli("apply", "-f", "-", stdin=text)
        assert json.loads(gateway.cli("apply", "-f", "-", "--output", "json", stdin=text))["changes"] == []


def test_the_python_example_runs(session_gateway):
    """As the reader would: the environment from the file, the code as it is printed."""
    import sys
    text = (reference.DOCS / "quickstart.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    command = re.search(r"^    (set -a;.*)$", text, re.M).group(1).replace("~/.headgate", str(session_gateway.home))
    done = subprocess.run(["sh", "-c", f'{command}\nexec "{sys.executable}" -'], input=code, capture_output=True,
                          text=True, timeout=60, env=harness.clean_environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_snippets_run(session_gateway):
    import sys
    env = harness.clean_environment()
    line = session_gateway.cli("snippets", "--language", "curl")
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=env, timeout=30, check=False)
    assert json.loads(done.stdout)["object"] == "chat.completion"
    code = session_gateway.cli("snippets", "--language", "python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=60,
                          check=False)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_named_exist(page):
    """`headgate NOUN VERB` in any page is a row of the table."""
    if not page.exists():
        pytest.skip("not written yet")
    out = subprocess.run([harness.BIN / "headgate", "--help"], capture_output=True, text=True, check=True).stdout
    known = {line[2:20].strip() for line in out.split("Commands:\n", 1)[1].split("\n\n", 1)[0].splitlines()}
    first = {k.split()[0] for k in known}
    for named in re.findall(r"^    (?:build/bin/)?headgate ([a-z]+)(?: ([a-z][a-z-]*)\b)?", page.read_text(), re.M):
        noun, verb = named
        assert noun in first, f"headgate {noun}"
        if noun not in known:
            assert f"{noun} {verb}" in known, f"headgate {noun} {verb}"
