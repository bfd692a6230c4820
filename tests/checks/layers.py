#!/usr/bin/env python3
"""Who may include whom: the arrows of the architecture, and one home for each library.

Run from the top of the tree (make check-layers). Prints every wrong include and exits 1 when there is
one. An exception is a line in EXCEPTIONS with its reason.
"""

import pathlib
import re
import sys

# A folder and the folders its files may include, besides itself. What is not listed is refused.
LIB = ["lib/base", "lib/json", "lib/net", "lib/http", "lib/control", "lib/policy", "lib/sign"]
ARROWS = {
    "lib/base": [],
    "lib/json": ["lib/base"],
    "lib/net": ["lib/base"],
    "lib/sign": ["lib/base", "lib/json"],
    "lib/http": ["lib/base", "lib/net", "lib/json"],
    "lib/control": ["lib/base", "lib/net", "lib/json", "proto"],
    "lib/policy": ["lib/base", "lib/json", "lib/http", "lib/control", "lib/sign", "proto"],
    "dataplane/dialects": LIB,
    "dataplane/endpoints": [*LIB, "dataplane/dialects"],
    "dataplane/state": [*LIB, "proto"],
    "dataplane/stream": [*LIB, "dataplane/dialects", "dataplane/state"],
    "dataplane/upstream": [*LIB, "dataplane/state"],
    "dataplane/stages": [*LIB, "dataplane/request", "dataplane/upstream", "dataplane/stream",
                         "dataplane/dialects", "dataplane/endpoints", "dataplane/state"],
    "dataplane/request": [*LIB, "dataplane/stages", "dataplane/upstream", "dataplane/stream",
                          "dataplane/dialects", "dataplane/endpoints", "dataplane/state"],
    "dataplane/front": [*LIB, "dataplane/request", "dataplane/stages", "dataplane/upstream",
                        "dataplane/stream", "dataplane/dialects", "dataplane/endpoints",
                        "dataplane/state"],
    "dataplane": [*LIB, "dataplane/front", "dataplane/request", "dataplane/stages",
                  "dataplane/upstream", "dataplane/stream", "dataplane/dialects", "dataplane/endpoints",
                  "dataplane/state"],
    "controlplane/rules": [*LIB, "controlplane/secrets"],
    "controlplane/store": [*LIB, "controlplane/rules"],
    # scim reads items; it asks nothing.
    "controlplane/scim": [*LIB, "controlplane/rules", "controlplane/store"],
    "controlplane/secrets": [*LIB, "controlplane/store"],
    # publish answers the bus: batches of usage go to the ledger, claims to limits to the leases.
    "controlplane/publish": [*LIB, "proto", "controlplane/rules", "controlplane/secrets",
                             "controlplane/store", "controlplane/ledger", "controlplane/leases"],
    "controlplane/leases": [*LIB, "controlplane/rules", "controlplane/store"],
    "controlplane/alerts": [*LIB, "controlplane/rules", "controlplane/secrets", "controlplane/store"],
    "controlplane/ledger": [*LIB, "proto", "controlplane/rules", "controlplane/store"],
    "controlplane/jobs": [*LIB, "controlplane", "controlplane/alerts", "controlplane/rules", "controlplane/store",
                          "controlplane/secrets", "controlplane/publish", "controlplane/leases",
                          "controlplane/ledger"],
    "controlplane/api": [*LIB, "controlplane", "controlplane/rules", "controlplane/store",
                         "controlplane/scim", "controlplane/secrets", "controlplane/publish",
                         "controlplane/leases",
                         "controlplane/ledger", "controlplane/jobs", "controlplane/compat"],
    "controlplane/compat": ["lib/base", "lib/json"],
    # The command line is a client of the REST API: it has no back door.
    "controlplane/cli": ["lib/base", "lib/json", "lib/net", "lib/http", "controlplane/compat"],
    "controlplane": [*LIB, "controlplane/alerts", "controlplane/api", "controlplane/rules", "controlplane/store",
                     "controlplane/secrets", "controlplane/publish", "controlplane/leases",
                     "controlplane/ledger", "controlplane/jobs"],
}

# The beginning of a library's header names, and where they may be included.
HOMES = {
    "event2/": ["lib/net"],
    "openssl/": ["lib/net", "lib/base/hash.c", "lib/sign/jwt.c", "lib/sign/bearer_key.c"],
    "llhttp": ["lib/http"],
    "nghttp2/": ["lib/http"],
    "jansson": ["lib/json"],
    "nng/": ["lib/control"],
    "protobuf-c/": ["lib/control"],
    "libpq": ["controlplane/store"],
    "yaml.h": ["controlplane/cli"],
    "curl/": ["controlplane/alerts"],
    "hiredis/": ["dataplane/state"],
}

# (file, what it includes): why
EXCEPTIONS = {
    # A usage record carries the token classes that prices are made for; policy.h is plain structs.
    ("lib/control/usage.h", "lib/policy/policy.h"),
    # The same classes are what a snapshot's prices are listed by; rates.h is plain structs.
    ("lib/control/section.h", "lib/policy/rates.h"),
}

SYSTEM = re.compile(
    r"(sys|netinet|arpa|net|linux|sanitizer)/[a-z0-9_]+\.h$|"
    r"(assert|complex|ctype|dirent|errno|fcntl|fnmatch|getopt|glob|grp|inttypes|iso646|limits|locale|"
    r"malloc|math|netdb|poll|pthread|pwd|regex|sched|semaphore|setjmp|signal|spawn|stdalign|stdarg|"
    r"stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|syslog|termios|"
    r"threads|time|ucontext|unistd|wchar|wctype|emmintrin|nmmintrin|immintrin)\.h$"
)
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def folder_of(path):
    return str(pathlib.PurePosixPath(path).parent)


def within(path, home):
    return path == home or path.startswith(home + "/")


def check_library(path, name):
    for prefix, homes in HOMES.items():
        if name.startswith(prefix):
            if any(within(path, home) for home in homes):
                return None
            return f"<{name}> may be included from {', '.join(homes)} only"
    if SYSTEM.match(name):
        return None
    return f"<{name}> belongs to a library without a home: add it to HOMES in tests/checks/layers.py"


def check_project(path, name):
    folder = folder_of(path)
    if name.endswith(".pb-c.h"):
        target = "proto"
    elif name.split("/")[0] in ("lib", "dataplane", "controlplane"):
        target = folder_of(name)
    else:
        return f'"{name}" must be a path from the top of the tree'
    if folder not in ARROWS:
        return f"{folder}/ is not in ARROWS of tests/checks/layers.py"
    if target == folder or target in ARROWS[folder] or (path, name) in EXCEPTIONS:
        return None
    return f'{folder} must not include {target} ("{name}")'


def main():
    wrong = files = 0
    for top in ("lib", "dataplane", "controlplane"):
        for file in sorted(pathlib.Path(top).rglob("*.[ch]")):
            files += 1
            path = str(file)
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                check = check_library if match[1] == "<" else check_project
                problem = check(path, match[2])
                if problem:
                    wrong += 1
                    print(f"{path}:{number}: {problem}")
    print(f"check-layers: {files} files, {wrong} wrong includes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
