#!/usr/bin/env python3
"""Runs unit-test programs side by side and counts what cmocka says.

    units.py PROGRAM...      prints a line a program, then "units: N passed, N failed"

A program that dies, hangs, leaks or prints no summary is a failure whatever it said before. The output
of each is kept beside it (PROGRAM.log) and shown when it failed.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time

LIMIT_SECONDS = int(os.environ.get("UNIT_SECONDS", "300"))
PASSED = re.compile(r"^\[  PASSED  \] (\d+) test\(s\)", re.M)
FAILED = re.compile(r"^\[  FAILED  \] (\d+) test\(s\)", re.M)


def run(program):
    """(program, passed, failed, seconds, output)"""
    start = time.monotonic()
    path = program if "/" in program else "./" + program
    try:
        done = subprocess.run([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS, check=False)
        output, status = done.stdout.decode("utf-8", "replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode("utf-8", "replace")
        output += f"\nno end after {LIMIT_SECONDS} s\n"
        status = "timeout"
    except OSError as error:
        output, status = f"{error}\n", "not started"
    passed = sum(map(int, PASSED.findall(output)))
    failed = sum(map(int, FAILED.findall(output)))
    if failed == 0 and (status != 0 or passed == 0):
        output += f"\nended with {status}, {passed} tests passed\n"
        failed = 1
    with open(program + ".log", "w", encoding="utf-8") as log:
        log.write(output)
    return program, passed, failed, time.monotonic() - start, output


def run_all(programs, jobs=None):
    """Total passed and failed; prints as it goes."""
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(jobs or os.cpu_count() or 2) as pool:
        for program, ok, bad, seconds, output in pool.map(run, programs):
            passed += ok
            failed += bad
            if bad:
                print(output[-8000:])
            print(f"  {'FAIL' if bad else 'ok  '}  {program}  {ok} passed, {bad} failed, {seconds:.1f} s",
                  flush=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*")
    parser.add_argument("--jobs", type=int)
    args = parser.parse_args()
    passed, failed = run_all(args.programs, args.jobs)
    print(f"units: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
