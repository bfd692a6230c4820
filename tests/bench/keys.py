#!/usr/bin/env python3
"""A million keys of a hundred thousand teams: what they cost a worker, and how fast one that is taken back is refused.

  keys.py [--keys N] [--teams N] [--workers N] [--changes N]

Starts a local gateway (PostgreSQL, control plane, workers: everything shares the machine), puts teams and keys into
the configuration as one revision each, as an apply would have written them, and waits until all workers hold them.
Then keys are disabled one after the other by the admin API, and connections to all workers ask until each is refused:
the time runs from before the call. Look-ups are timed by build/tests/bench_keys in the policy that a worker saved.
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import harness  # noqa: E402

BENCH = pathlib.Path(os.environ.get("B", "build")) / "tests" / "bench_keys"
LOCK = "SELECT pg_advisory_xact_lock(7523094288201235)"  # what each writer of the configuration takes
TEAMS = """
BEGIN; {lock};
INSERT INTO revisions (revision, author, source) SELECT max(revision) + 1, 'bench', 'apply' FROM revisions;
INSERT INTO config_items (kind, name, id, body, revision)
    SELECT 'teams', 'team-' || i, gen_random_uuid(), '{{}}', (SELECT max(revision) FROM revisions)
    FROM generate_series(0, {teams} - 1) i;
{changes} COMMIT;
"""
KEYS = """
CREATE TEMP TABLE made (i serial, digest text);
\\copy made (digest) FROM '{file}'
BEGIN; {lock};
INSERT INTO revisions (revision, author, source) SELECT max(revision) + 1, 'bench', 'apply' FROM revisions;
INSERT INTO config_items (kind, name, id, body, revision)
    SELECT 'keys', 'key-' || (i - 1), gen_random_uuid(), jsonb_build_object('team', 'team-' || (i - 1) % {teams},
           'digest', digest, 'prefix', 'sk-hg-be'), (SELECT max(revision) FROM revisions) FROM made;
{changes} COMMIT;
"""
CHANGES = """
INSERT INTO revision_changes (revision, kind, name, id, after)
    SELECT revision, kind, name, id, body FROM config_items WHERE revision = (SELECT max(revision) FROM revisions);
"""


def memory(pid, name="Pss"):
    """Bytes: Pss of smaps_rollup, or a line of status."""
    path = f"/proc/{pid}/smaps_rollup" if name == "Pss" else f"/proc/{pid}/status"
    with open(path, encoding="utf-8") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


class Bench:
    def __init__(self, args):
        self.args = args
        self.gateway = harness.Gateway(workers=args.workers)
        self.folder = self.gateway.home.parent

    def script(self, text):
        """As the owner of the database. Returns the revision that it made."""
        file = self.folder / "bench.sql"
        file.write_text(text)
        g = self.gateway
        g._as_owner(g.postgres_program("psql"), "-h", g.setting("run"), "-U", "headgate_owner", "-d", "headgate", "-X",
                    "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file), seconds=900)
        return int(g.sql("SELECT max(revision) FROM revisions")[0][0])

    def reach(self, revision):
        began = time.monotonic()
        g = self.gateway
        harness.until(lambda: all(v >= revision for v in g.metrics("headgate_policy_revision").values()), 900,
                      f"revision {revision} in all workers", every=0.1)
        return time.monotonic() - began

    def policy_dir(self):
        """A copy of what the workers saved, this user's own."""
        copy = self.folder / "policy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(pathlib.Path(self.gateway.setting("data")) / "state" / "policy", copy,
                        ignore=shutil.ignore_patterns("*.new-*"))
        copy.chmod(0o700)
        return copy

    def tool(self, what, stderr=None):
        secrets = pathlib.Path(self.gateway.setting("data")) / "secrets"
        return subprocess.run([str(BENCH), what, str(self.policy_dir()), str(secrets / "seal.key"),
                               str(secrets / "verify.pub"), str(self.args.keys)], check=True, stdout=subprocess.PIPE,
                              stderr=stderr, text=True).stdout

    def workers_pss(self):
        return max(memory(pid) for pid in self.gateway.workers().values())

    def load(self):
        g, args = self.gateway, self.args
        small = self.workers_pss()
        made = self.script(TEAMS.format(lock=LOCK, teams=args.teams, changes=CHANGES))
        teams_s = self.reach(made)
        with_teams = self.workers_pss()
        digests = self.folder / "digests"
        digests.write_text(self.tool("digests"))
        digests.chmod(0o644)
        made = self.script(KEYS.format(lock=LOCK, teams=args.teams, changes=CHANGES, file=digests))
        keys_s = self.reach(made)
        most = self.workers_pss()
        print(f"published: {args.teams:,} teams in {teams_s:.1f} s, {args.keys:,} keys in {keys_s:.1f} s")
        found = harness.until(self.saved, 120, "the policy on the workers' disk", every=1)
        with_keys = self.workers_pss()
        print(f"a worker's memory: {small / 1e6:.1f} MB, with the teams {with_teams / 1e6:.1f} MB, with the keys "
              f"{with_keys / 1e6:.1f} MB ({most / 1e6:.1f} MB until they are on its disk): "
              f"{(with_keys - with_teams) / args.keys:.0f} bytes a key, {(with_teams - small) / args.teams:.0f} a team")
        print(f"the control plane's: {memory(g.pid('controlplane')) / 1e6:.0f} MB, at most "
              f"{memory(g.pid('controlplane'), 'VmHWM') / 1e6:.0f} MB")
        self.lookups(found)

    def saved(self):
        """Workers write what they hold behind their traffic's back."""
        try:
            return json.loads(self.tool("lookup", subprocess.DEVNULL))
        except subprocess.CalledProcessError:
            return None

    def lookups(self, found):
        for what, name in (("digest_ns", "by its digest"), ("text_ns", "by its text, HMAC included"),
                           ("clock_ns", "of it the two looks at the clock")):
            t = found[what]
            print(f"look-up {name}: mean {t['mean']} ns, p50 {t['p50']}, p99 {t['p99']}, p99.9 {t['p999']}")
        print(f"from the disk, a worker's start: {found['load_seconds']:.2f} s")

    def key(self, i):
        return subprocess.run([str(BENCH), "key", str(i)], check=True, capture_output=True, text=True).stdout.strip()

    def connections(self):
        """Enough that each worker has some."""
        address = urllib.parse.urlsplit(self.gateway.url).netloc
        return [http.client.HTTPConnection(address, timeout=10) for _ in range(8 * self.args.workers)]

    def change(self, connections, i):
        """Milliseconds until the admin API answered, and until the last connection was refused."""
        headers = {"authorization": "Bearer " + self.key(i)}

        def allowed(connection):
            connection.request("GET", "/v1/models", headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status == 200
        assert all(allowed(c) for c in connections), f"key {i} is not taken"
        began = time.monotonic()
        answer = self.gateway.admin("PATCH", f"/keys/key-{i}", json={"disabled": True}, headers={"if-match": "*"})
        answered = time.monotonic()
        assert answer.status_code == 200, answer.text
        for connection in connections:
            while allowed(connection):
                pass
        return (answered - began) * 1e3, (time.monotonic() - began) * 1e3

    def changes(self):
        connections = self.connections()
        step = self.args.keys // self.args.changes
        times = [self.change(connections, n * step) for n in range(self.args.changes)]
        answered, refused = (sorted(t) for t in zip(*times))
        print(f"a key disabled: answered after {statistics.median(answered):.0f} ms (at most {answered[-1]:.0f}), refused "
              f"by every worker after {statistics.median(refused):.0f} ms (at most {refused[-1]:.0f}, "
              f"{len(refused)} changes)")
        print(f"a worker's memory after them: {self.workers_pss() / 1e6:.1f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--teams", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--changes", type=int, default=20)
    bench = Bench(parser.parse_args())
    try:
        bench.gateway.up()
        bench.load()
        bench.changes()
    finally:
        bench.gateway.close()


if __name__ == "__main__":
    main()
