"""h2spec, all cases, in clear and over TLS: see README.md beside this file."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77


def test_h2spec():
    build = os.environ.get("B", "build")
    subprocess.run(["make", "--no-print-directory", f"B={build}", f"{build}/conformance/echo_server"],
                   cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=900)
    run = subprocess.run([str(ROOT / "tests/conformance/h2spec.sh"), build], cwd=ROOT, check=False,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    if run.returncode == SKIPPED:
        pytest.skip(run.stdout.strip())
    assert run.returncode == 0, run.stdout + run.stderr
