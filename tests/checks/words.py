#!/usr/bin/env python3
"""Words that must not be in the code: banned functions, unfinished marks, carriage returns.

Comments and strings are taken out before functions are looked for, not before marks are.
"""

import pathlib
import re
import sys

BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|atof|alloca)\s*\(")
MARKS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
FOLDERS = ("lib", "dataplane", "controlplane", "tests", "migrations", "deploy", "proto", ".ci")
SUFFIXES = {".c", ".h", ".py", ".sql", ".proto", ".mk", ".js", ".mjs", ".sh", ""}


def blank(match):
    """Keeps the lines, so that numbers stay right."""
    return re.sub(r"[^\n]", " ", match[0])


def problems(path, text):
    if path.suffix in (".c", ".h"):
        for number, line in enumerate(NOISE.sub(blank, text).splitlines(), 1):
            for match in BANNED.finditer(line):
                yield number, f"{match[1]}() is banned"
    for number, line in enumerate(text.splitlines(), 1):
        for match in MARKS.finditer(line):
            yield number, f"unfinished mark {match[1]}"
    if "\r\n" in text:
        yield 1, "carriage returns at the ends of lines"


def main():
    wrong = files = 0
    for folder in FOLDERS:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if not path.is_file() or path.suffix not in SUFFIXES or "corpus" in path.parts:
                continue
            try:
                text = path.read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                if path.suffix:
                    wrong += 1
                    print(f"{path}: not UTF-8")
                continue
            files += 1
            for number, problem in problems(path, text):
                wrong += 1
                print(f"{path}:{number}: {problem}")
    print(f"check-words: {files} files, {wrong} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
