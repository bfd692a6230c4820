#!/usr/bin/env python3
"""`make test`: builds everything and runs every test there is, in one go.

    run.py [--steps build,unit,source,conformance,system] [-- pytest arguments]

Goes on after a failed step as far as that makes sense; the last line is "N passed, N failed" and the
status is 0 only when nothing failed. The tools are there already (make test installs them first).
"""

import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import units

BUILD = os.environ.get("B", "build")
SKIPPED = 77
JOBS = os.cpu_count() or 2
SYSTEM_SECONDS = int(os.environ.get("SYSTEM_SECONDS", "1800"))
# Most of a system test is waiting for processes: two at a time, each file's tests by one of them.
SYSTEM_JOBS = int(os.environ.get("SYSTEM_JOBS", min(JOBS, 2)))


def say(text):
    print(f"== {text}", flush=True)


def make(*goals):
    """Whether it worked. A new make: the packages may have been installed after the first one began."""
    return subprocess.run(["make", "--no-print-directory", f"-j{JOBS}", f"B={BUILD}", *goals],
                          stdin=subprocess.DEVNULL, check=False).returncode == 0


def build():
    return (1, 0) if make("all", "units") else (0, 1)


def unit():
    # What did not build is missing here and was counted by build().
    programs = sorted(str(p)[:-2] for p in pathlib.Path(BUILD, "unit").rglob("test_*.d"))
    return units.run_all([p for p in programs if os.access(p, os.X_OK)], JOBS)


def source():
    """Each check counts as one test."""
    results = [make(goal) for goal in ("check-layers", "check-headers", "check-words", "check-checks", "check-model")]
    return results.count(True), results.count(False)


def counts_of(report):
    """(passed, failed) of a JUnit file; a skipped test is neither."""
    passed = failed = 0
    for suite in xml.parse(report).getroot().iter("testsuite"):
        total, bad, skipped = (int(suite.get(k, 0)) for k in ("tests", "failures", "skipped"))
        bad += int(suite.get("errors", 0))
        passed += total - bad - skipped
        failed += bad
    return passed, failed


def run_for(command, seconds):
    """The status, or None when it had to be ended: interrupted first, so that it can clean up."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as running:
        for signal_to_send in (signal.SIGINT, signal.SIGKILL):
            try:
                return running.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                running.send_signal(signal_to_send)
                seconds = 60
    return None


def system(extra):
    folders = [f for f in ("tests/system",) if any(pathlib.Path(f).glob("test_*.py"))]
    if not folders:
        return 0, 0
    if not make("venv"):
        return 0, 1
    report = pathlib.Path(BUILD, "system.xml")
    report.unlink(missing_ok=True)
    command = [str(pathlib.Path(os.environ.get("VENV", "build/venv"), "bin/python")), "-m", "pytest", "-q",
               "-ra", f"--junitxml={report}", "-n", str(SYSTEM_JOBS), "--dist", "loadfile", *folders, *extra]
    status = run_for(command, SYSTEM_SECONDS)
    if status is None:
        print(f"the system tests did not end within {SYSTEM_SECONDS} s", flush=True)
    passed, failed = counts_of(report) if report.is_file() else (0, 0)
    return passed, failed or (1 if status not in (0, 5) else 0)


def conformance():
    """h2spec's own counts; what it does not pass is explained one by one or fails the run."""
    if not make(f"{BUILD}/conformance/echo_server"):
        return 0, 1
    done = subprocess.run(["tests/conformance/h2spec.sh", BUILD], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    output = done.stdout.decode("utf-8", "replace")
    print(output[-6000:], flush=True)
    passed = sum(int(n) for n in re.findall(r"\d+ tests, (\d+) passed", output))
    if done.returncode == SKIPPED:
        return 0, 0
    return passed, 0 if done.returncode == 0 and passed else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", default="build,unit,source,conformance,system")
    parser.add_argument("pytest", nargs="*", help="further arguments of pytest")
    args = parser.parse_args()
    steps = {"build": build, "unit": unit, "source": source,
             "conformance": conformance, "system": lambda: system(args.pytest)}
    passed = failed = 0
    summary = []
    for name in args.steps.split(","):
        start = time.monotonic()
        say(name)
        ok, bad = steps[name]()
        passed += ok
        failed += bad
        summary.append(f"{name} {ok} passed {bad} failed in {time.monotonic() - start:.0f} s")
    say("; ".join(summary))
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
