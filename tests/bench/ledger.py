#!/usr/bin/env python3
"""How many usage records a second the ledger books, against a PostgreSQL of its own (fsync on).

  ledger.py [--records N] [--batch N] [--rounds N]

Starts a cluster in a temporary directory, migrates it, and runs build/tests/bench_ingest on one and on
two connections, several rounds of each. Everything shares the machine: PostgreSQL, the writers, the disk.
"""

import argparse
import glob
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

BUILD = pathlib.Path(os.environ.get("B", "build"))


class Cluster:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hgb-", dir="/tmp"))
        self.bin = pathlib.Path(sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1])
        self.prefix = []
        if os.geteuid() == 0:  # PostgreSQL refuses root
            self.prefix = ["runuser", "-u", "postgres", "--"]
            shutil.chown(self.dir, "postgres")
        self.run("initdb", "-D", f"{self.dir}/data", "-A", "trust", "-U", "owner")
        self.ctl("start", "-o", f"-c listen_addresses='' -k {self.dir} -c shared_buffers=256MB -c max_wal_size=4GB")

    def run(self, program, *args):
        subprocess.run([*self.prefix, str(self.bin / program), *args], check=True, stdout=subprocess.DEVNULL,
                       stdin=subprocess.DEVNULL)

    def ctl(self, what, *more):
        self.run("pg_ctl", "-D", f"{self.dir}/data", "-w", "-l", f"{self.dir}/log", *more, what)

    def dsn(self, user):
        return f"host={self.dir} user={user} dbname=postgres"

    def close(self):
        self.ctl("stop", "-m", "immediate")
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    cluster = Cluster()
    try:
        subprocess.run([str(BUILD / "bin" / "headgate-controlplane"), "migrate", "--owner-database",
                        cluster.dsn("owner")], check=True, stdout=subprocess.DEVNULL)
        found = {1: [], 2: []}
        for _ in range(args.rounds):
            for threads, rates in found.items():
                out = subprocess.run([str(BUILD / "tests" / "bench_ingest"), cluster.dsn("headgate_app"),
                                      str(args.records), str(args.batch), str(threads)], check=True,
                                     capture_output=True, text=True).stdout
                rates.append(json.loads(out)["records_per_second"])
        for threads, rates in found.items():
            rates.sort()
            print(f"ledger: {rates[len(rates) // 2]:,} records a second on {threads} connection(s) "
                  f"(min {rates[0]:,}, max {rates[-1]:,}, {len(rates)} rounds of {args.records:,})")
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
