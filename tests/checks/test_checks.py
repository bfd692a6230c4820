"""The checks check: each rule refuses what it is there for. Run by make check-checks (unittest)."""

import pathlib
import subprocess
import tempfile
import unittest

import layers
import run
import units
import words


class Layers(unittest.TestCase):
    def allowed(self, path, name):
        self.assertIsNone(layers.check_project(path, name), (path, name))

    def refused(self, path, name):
        self.assertIsNotNone(layers.check_project(path, name), (path, name))

    def test_arrows(self):
        self.allowed("lib/json/scan.c", "lib/base/buf.h")
        self.allowed("dataplane/stages/route.c", "lib/policy/policy.h")
        self.refused("lib/base/buf.c", "lib/json/scan.h")
        self.refused("lib/http/server.c", "dataplane/request/request.h")
        self.refused("lib/policy/compile.c", "controlplane/rules/item.h")
        self.refused("dataplane/main.c", "controlplane/api/api.h")
        self.refused("controlplane/api/keys.c", "dataplane/worker.h")
        self.refused("dataplane/dialects/openai.c", "dataplane/stages/stages.h")
        self.refused("dataplane/state/spool.c", "dataplane/request/request.h")
        self.refused("controlplane/rules/kinds.c", "controlplane/store/db.h")
        self.refused("controlplane/cli/cli.c", "controlplane/store/db.h")

    def test_paths_are_rooted(self):
        self.refused("lib/json/scan.c", "scan.h")
        self.refused("lib/json/scan.c", "../base/buf.h")

    def test_generated_code_stays_where_it_belongs(self):
        self.allowed("lib/control/bus.c", "proto/bus.pb-c.h")
        self.refused("dataplane/request/settle.c", "proto/bus.pb-c.h")
        self.refused("controlplane/api/usage.c", "proto/bus.pb-c.h")

    def test_a_new_folder_needs_a_row(self):
        self.refused("dataplane/magic/x.c", "lib/base/buf.h")

    def test_libraries_have_one_home(self):
        for path, name in (("lib/net/loop.c", "event2/event.h"), ("lib/base/hash.c", "openssl/evp.h"),
                           ("lib/http/h1_head.c", "llhttp.h"), ("controlplane/store/db.c", "libpq-fe.h"),
                           ("lib/json/own.h", "jansson.h"), ("dataplane/main.c", "sys/prctl.h")):
            self.assertIsNone(layers.check_library(path, name), (path, name))
        for path, name in (("dataplane/worker.c", "event2/event.h"), ("lib/base/encode.c", "openssl/evp.h"),
                           ("controlplane/api/keys.c", "libpq-fe.h"), ("dataplane/dialects/x.c", "jansson.h"),
                           ("dataplane/state/upload.c", "nng/nng.h"), ("lib/net/tls.c", "curl/curl.h")):
            self.assertIsNotNone(layers.check_library(path, name), (path, name))


class Words(unittest.TestCase):
    def found(self, text, suffix=".c"):
        return [problem for _, problem in words.problems(pathlib.Path("x" + suffix), text)]

    def test_banned_functions(self):
        self.assertEqual(self.found("strcpy(a, b);"), ["strcpy() is banned"])
        self.assertEqual(self.found("n = atoi (s);"), ["atoi() is banned"])
        self.assertEqual(self.found("my_strcpy(a); snprintf(a, n, f); strcpy;"), [])

    def test_not_in_comments_and_strings(self):
        self.assertEqual(self.found('/* never strcpy(a, b) */ x = "sprintf(\\"";'), [])

    def test_marks(self):
        self.assertEqual(len(self.found("/* TO" "DO: later */")), 1)
        self.assertEqual(len(self.found("-- FIX" "ME", ".sql")), 1)
        self.assertEqual(self.found("mktemp -d " + "X" * 6), [])


class Counting(unittest.TestCase):
    def program(self, text):
        folder = tempfile.mkdtemp()
        path = pathlib.Path(folder, "test_x")
        path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
        path.chmod(0o755)
        return units.run(str(path))[1:3]

    def test_what_cmocka_says(self):
        self.assertEqual(self.program("echo '[  PASSED  ] 3 test(s).'"), (3, 0))
        self.assertEqual(
            self.program("echo '[  PASSED  ] 2 test(s).'; echo '[  FAILED  ] 1 test(s), listed'; exit 1"), (2, 1))

    def test_a_program_that_dies_has_failed(self):
        self.assertEqual(self.program("echo '[  PASSED  ] 3 test(s).'; kill -SEGV $$"), (3, 1))
        self.assertEqual(self.program("echo '[  PASSED  ] 3 test(s).'; exit 1"), (3, 1))  # a leak
        self.assertEqual(self.program("exit 0"), (0, 1))
        self.assertEqual(units.run(self.missing())[1:3], (0, 1))

    def missing(self):
        return str(pathlib.Path(tempfile.mkdtemp(), "test_missing"))

    def test_junit(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as report:
            report.write('<testsuites><testsuite tests="10" failures="2" errors="1" skipped="3"/></testsuites>')
            report.flush()
            self.assertEqual(run.counts_of(report.name), (4, 3))


class Scripts(unittest.TestCase):
    def test_shell_scripts_parse(self):
        for script in (".ci/run", "deploy/install-deps"):
            subprocess.run(["bash", "-n", script], check=True)


if __name__ == "__main__":
    unittest.main()
