#!/usr/bin/env python3
"""Runs fuzz targets for a while each, several at once, and reports findings.

    fuzz.py --seconds 60 --jobs 2 TARGET...
    fuzz.py --seconds 60 --runs 100000 --seed 1 TARGET...    the same inputs each time

Inputs to begin with are read from tests/fuzz/corpus/NAME (NAME without "fuzz_"); new ones go to a folder
beside the target, never into the source tree. A finding is kept beside the target, printed in base64 (the
machine it was found on may be gone), and fails the run.
"""

import argparse
import base64
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ENDED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


def findings(folder, since):
    """The inputs that this run found, each as a line to make it again from."""
    for path in sorted(folder.iterdir()):
        if path.stat().st_mtime >= since:
            text = base64.b64encode(path.read_bytes()).decode()
            yield f"input {path.name}: echo {text} | base64 -d"


def run(target, options):
    """(name, executions, output, ok)"""
    target = pathlib.Path(target)
    name = target.name.removeprefix("fuzz_")
    seeds = pathlib.Path("tests/fuzz/corpus") / name
    # A run that is to be repeated begins from nothing but what the tree holds.
    grown = target.parent / ("repeated" if options.seed else "corpus") / name
    if options.seed:
        shutil.rmtree(grown, ignore_errors=True)
    found = target.parent / "findings" / name
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    dictionary = pathlib.Path("tests/fuzz") / f"{name}.dict"
    command = [str(target), f"-max_total_time={options.seconds}", f"-runs={options.runs}",
               f"-seed={options.seed}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=1", f"-artifact_prefix={found}/", str(grown)]
    if seeds.is_dir():
        command.append(str(seeds))
    if dictionary.is_file():
        command.insert(1, f"-dict={dictionary}")
    log = target.with_suffix(".log")
    start = time.time()
    with open(log, "wb") as out:
        try:
            status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL, timeout=options.seconds + 120,
                                    check=False).returncode
        except subprocess.TimeoutExpired:
            status = "timeout"
    output = log.read_text(encoding="utf-8", errors="replace")
    match = ENDED.search(output)
    output = "\n".join([output[-6000:], *findings(found, start)])
    return name, int(match[1]) if match else 0, output, status == 0 and match is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="at most so many inputs; -1: by time alone")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations; 0: another each time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    args = parser.parse_args()
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, count, output, ok in pool.map(lambda t: run(t, args), args.targets):
            if ok:
                passed += 1
            else:
                failed += 1
                print(output)
            print(f"  {'ok  ' if ok else 'FAIL'}  fuzz {name}: {count} inputs", flush=True)
    print(f"fuzz: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
