#!/usr/bin/env python3
"""Runs fuzz targets for a while each, several at once, and reports findings.

    fuzz.py --seconds 60 --jobs 2 TARGET...

Seeds are read from tests/fuzz/corpus/NAME (NAME without "fuzz_"); new inputs go to a folder beside the
target, never into the source tree. A finding is kept beside the target and fails the run.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ENDED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


def run(target, seconds):
    """(name, executions, output, ok)"""
    target = pathlib.Path(target)
    name = target.name.removeprefix("fuzz_")
    seeds = pathlib.Path("tests/fuzz/corpus") / name
    grown = target.parent / "corpus" / name
    found = target.parent / "findings" / name
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    dictionary = pathlib.Path("tests/fuzz") / f"{name}.dict"
    command = [str(target), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
               "-print_final_stats=1", "-verbosity=1", f"-artifact_prefix={found}/", str(grown)]
    if seeds.is_dir():
        command.append(str(seeds))
    if dictionary.is_file():
        command.insert(1, f"-dict={dictionary}")
    log = target.with_suffix(".log")
    with open(log, "wb") as out:
        try:
            status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL, timeout=seconds + 120,
                                    check=False).returncode
        except subprocess.TimeoutExpired:
            status = "timeout"
    output = log.read_text(encoding="utf-8", errors="replace")
    match = ENDED.search(output)
    return name, int(match[1]) if match else 0, output, status == 0 and match is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    args = parser.parse_args()
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, count, output, ok in pool.map(lambda t: run(t, args.seconds), args.targets):
            if ok:
                passed += 1
            else:
                failed += 1
                print(output[-12000:])
            print(f"  {'ok  ' if ok else 'FAIL'}  fuzz {name}: {count} inputs", flush=True)
    print(f"fuzz: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
