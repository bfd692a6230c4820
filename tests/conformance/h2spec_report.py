#!/usr/bin/env python3
"""Reads h2spec's junit report: every case must pass but those named in the exceptions file.

    h2spec_report.py REPORT.xml EXCEPTIONS.txt

An exception that passes is an error too, so that the list cannot rot. A line of the exceptions file is
"<way>: <section>: <case>"; what follows a # is the reason.
"""
import pathlib
import sys
import xml.etree.ElementTree as tree


def exceptions(path, way):
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        entry = line.split("#")[0].strip()
        if entry.startswith(way + ": "):
            yield entry[len(way) + 2 :]


def main(report, exceptions_file):
    way = pathlib.Path(report).stem
    expected = set(exceptions(exceptions_file, way))
    try:
        cases = list(tree.parse(report).getroot().iter("testcase"))
    except (OSError, tree.ParseError) as error:
        sys.exit(f"h2spec ({way}): no report: {error}")
    failed = {
        f"{case.get('package')}: {case.get('classname')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    for name in sorted(failed - expected):
        print(f"h2spec ({way}): FAILED {name}")
    for name in sorted(expected - failed):
        print(f"h2spec ({way}): listed as an exception, but passes: {name}")
    if len(cases) < 100:
        sys.exit(f"h2spec ({way}): only {len(cases)} cases ran")
    if failed != expected:
        sys.exit(1)
    print(f"h2spec ({way}): {len(cases)} cases, {len(expected)} exceptions")


main(*sys.argv[1:])
