#!/usr/bin/env python3
"""A million budgets whose period ends in the same moment, under load: what requests wait for at the boundary.

  rollover.py [--budgets N] [--hot N] [--rate N] [--boundaries N] [--hour SECONDS] [--workers N]

Starts a local gateway (PostgreSQL, control plane, workers: everything shares the machine), in whose database an hour
is --hour seconds long, and two budgets of an hour: one that counts every request, and one for each end user, of which
--budgets are known in each hour, each with what a worker held of it. Requests come at --rate, at intended times, from
--hot end users; all of them go on over --boundaries ends of an hour. Latency counts from the intended time. Seconds
that begin with a boundary are compared with all others of the same run. A second, slow stream draws on any of all the
end users: those that no worker knows.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import harness  # noqa: E402

TESTS = pathlib.Path(os.environ.get("B", "build")) / "tests"
UPSTREAM_PORT = 20814
SETTLE_S = 4     # of load before anything is measured
COLD_RPS = 20
BAR_MS = 5

# An hour is {hour} seconds, and the hours are numbered from {origin} on: the only thing that is not as it is outside.
PERIODS = """
CREATE OR REPLACE FUNCTION headgate_period_start(period text, zone text, t timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    RETURN to_timestamp(floor((extract(epoch FROM t) - {origin}) / {hour}));
CREATE OR REPLACE FUNCTION headgate_period_end(period text, zone text, t timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
    RETURN to_timestamp({origin} + {hour} * (1 + floor((extract(epoch FROM t) - {origin}) / {hour})));
"""
KNOWN = """
INSERT INTO budget_periods (budget, subject, period_start, period_end, unit, amount, spent, held, thresholds)
    SELECT 'each', 'u' || to_char(n, 'FM0000000'), to_timestamp({number}), NULL, 'usd', 100000000000, 5, 5, '{{80,100}}'
    FROM generate_series(0, {budgets} - 1) n;
INSERT INTO budget_slices (budget, subject, period_start, node, slot, started_ms, sequence, granted)
    SELECT 'each', 'u' || to_char(n, 'FM0000000'), to_timestamp({number}), 'elsewhere', 0, 1, 1, 5
    FROM generate_series(0, {budgets} - 1) n;
"""


def quantile(samples, part):
    """A quantile of microseconds, in milliseconds."""
    return samples[min(len(samples) - 1, int(len(samples) * part))] / 1e3 if samples else 0.0


class Load:
    """One load generator and what it saw."""

    def __init__(self, bench, name, rate, subjects, seconds):
        self.log = bench.folder / f"{name}.log"
        address = urllib.parse.urlsplit(bench.gateway.url).port
        self.process = subprocess.Popen(
            [str(TESTS / "bench_load"), "rate", str(address), str(rate), str(seconds), str(bench.body),
             f"authorization: Bearer {bench.gateway.key}"], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "LOAD_SUBJECTS": str(subjects), "LOAD_LOG": str(self.log), "LOAD_RESTS": "1"})

    def answers(self):
        """(seconds of the monotonic clock, microseconds, status) of each."""
        out, _ = self.process.communicate()
        self.total = json.loads(out)
        with open(self.log, encoding="ascii") as log:
            return [(int(at) / 1e9, int(took), int(status)) for at, took, status in map(str.split, log)]


class Bench:
    def __init__(self, args):
        self.args = args
        self.gateway = harness.Gateway(workers=args.workers)
        self.upstream = None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hgb-", dir="/tmp"))

    def close(self):
        if self.upstream:
            self.upstream.kill()
            self.upstream.wait()
        self.gateway.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def script(self, text):
        g = self.gateway
        g._as_owner(g.postgres_program("psql"), "-h", g.setting("run"), "-U", "headgate_owner", "-d", "headgate", "-X",
                    "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", input=text, seconds=1200)

    def start(self):
        self.upstream = subprocess.Popen([str(TESTS / "bench_upstream"), str(UPSTREAM_PORT)])
        self.gateway.up()
        self.script(PERIODS.format(origin=0, hour=10**9))
        self.body = self.folder / "body.json"
        self.body.write_text(json.dumps({"model": "bench/m", "user": "u#######", "max_tokens": 200, "messages": [
            {"role": "user", "content": "Explain why nothing need be done at midnight. " * 16}]}))
        self.gateway.apply({
            "providers": [{"name": "bench", "kind": "openai-compatible", "allow_private": True, "credential": "none",
                           "base_url": f"http://127.0.0.1:{UPSTREAM_PORT}/v1"}],
            "prices": [{"provider": "bench", "model": "*", "input_per_mtok_usd": "0.15", "output_per_mtok_usd": "0.60"}],
            "budgets": [{"name": "all", "period": "hour", "limit_usd": "100000"},
                        {"name": "each", "per": "end_user", "period": "hour", "limit_usd": "100"}]})

    def know(self):
        began = time.monotonic()
        for number in range(self.args.boundaries + 1):
            self.script(KNOWN.format(number=number, budgets=self.args.budgets))
        self.script("VACUUM ANALYZE budget_periods, budget_slices; CHECKPOINT;")
        print(f"known: {self.args.budgets:,} budgets in each of {self.args.boundaries + 1} hours, "
              f"in {time.monotonic() - began:.0f} s", flush=True)

    def counts(self):
        rows = self.gateway.sql("SELECT relname, n_tup_ins, n_tup_upd, n_tup_del, seq_tup_read FROM pg_stat_user_tables "
                                "WHERE relname IN ('budget_periods', 'budget_slices') ORDER BY 1")
        return {row[0]: [int(x) for x in row[1:]] for row in rows}

    def run(self):
        args = self.args
        before = self.counts()
        self.script(PERIODS.format(origin=time.time() + SETTLE_S, hour=args.hour))
        origin = time.monotonic() - time.time() + float(self.gateway.sql(
            "SELECT extract(epoch FROM headgate_period_end('', '', now()))")[0][0])
        seconds = origin - time.monotonic() + args.boundaries * args.hour + args.hour / 2
        hot = Load(self, "hot", args.rate, args.hot, seconds)
        cold = Load(self, "cold", COLD_RPS, args.budgets, seconds)
        time.sleep(seconds)
        boundaries = [origin + n * args.hour for n in range(args.boundaries + 1)]
        self.report(hot, boundaries)
        self.report_cold(cold, boundaries)
        self.report_work(before, self.counts(), hot, cold)

    def seconds(self, answers, boundaries):
        """By second after its boundary (negative: before the next): the latencies of each boundary's."""
        found = {}
        hour = self.args.hour
        for at, took, status in answers:
            n = int((at - boundaries[0] + hour / 2) // hour)
            second = int((at - boundaries[0] - n * hour) // 1)
            # The first hour begins with nobody known, so it is not of the measured.
            if 1 <= n < len(boundaries):
                found.setdefault((n, second), []).append(took)
        return {key: sorted(samples) for key, samples in found.items()}

    def report(self, load, boundaries):
        answers = load.answers()
        seconds = self.seconds(answers, boundaries)
        print(f"load: {load.total['ok'] / load.total['seconds']:,.0f} requests a second answered well, "
              f"{load.total['bad'] + load.total['broken']} otherwise")
        for offset in sorted({second for _, second in seconds}):
            each = [seconds[n, s] for n, s in seconds if s == offset]
            print(f"  second {offset:+3d}: p50 {statistics.median(quantile(x, .5) for x in each):7.2f} ms  "
                  f"p99 {statistics.median(quantile(x, .99) for x in each):7.2f} "
                  f"({min(quantile(x, .99) for x in each):.2f} to {max(quantile(x, .99) for x in each):.2f})  "
                  f"most {max(x[-1] for x in each) / 1e3:7.1f}")
        pooled = [sorted(took for (_, s), x in seconds.items() if (s == 0) == at for took in x) for at in (True, False)]
        print("all together: " + "; ".join(f"{what} p50 {quantile(x, .5):.2f} ms, p99 {quantile(x, .99):.2f}"
                                           for what, x in zip(("at a boundary", "else"), pooled)))
        # Of the seconds' own, so that one in which the machine did something else does not decide.
        at, rest = (sorted(quantile(x, .99) for (_, s), x in seconds.items() if (s == 0) == at) for at in (True, False))
        added = statistics.median(at) - statistics.median(rest)
        print(f"p99 of a second: with a boundary {statistics.median(at):.2f} ms ({at[0]:.2f} to {at[-1]:.2f}, {len(at)} of them); "
              f"without {statistics.median(rest):.2f} (a tenth below {rest[len(rest) // 10]:.2f}, a tenth above "
              f"{rest[-1 - len(rest) // 10]:.2f}, {len(rest)} of them)")
        print(f"a boundary adds to the p99: {added:+.2f} ms; meant: +{BAR_MS} ms at most: {'ok' if added <= BAR_MS else 'MISSED'}")

    def report_cold(self, load, boundaries):
        seconds = self.seconds(load.answers(), boundaries)
        at = sorted(took for (_, s), x in seconds.items() if s == 0 for took in x)
        rest = sorted(took for (_, s), x in seconds.items() if s != 0 for took in x)
        print(f"whom no worker knows: at a boundary p50 {quantile(at, .5):.1f} ms, p90 {quantile(at, .9):.1f}; else p50 "
              f"{quantile(rest, .5):.1f}, p90 {quantile(rest, .9):.1f}; {load.total['bad'] + load.total['broken']} not answered well")

    def report_work(self, before, after, hot, cold):
        print(f"requests in all: {hot.total['ok'] + cold.total['ok']:,}")
        for table, counts in after.items():
            made, changed, gone, read = (a - b for a, b in zip(counts, before[table]))
            print(f"{table}: {made:,} rows made, {changed:,} changed, {gone:,} removed, {read:,} read one after the other")
        with open(f"/proc/{self.gateway.pid('controlplane')}/status", encoding="utf-8") as status:
            kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        print(f"the control plane's memory: at most {kilobytes / 1e3:.0f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budgets", type=int, default=1_000_000)
    parser.add_argument("--hot", type=int, default=100)
    parser.add_argument("--rate", type=int, default=1500)
    parser.add_argument("--boundaries", type=int, default=5)
    parser.add_argument("--hour", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    bench = Bench(parser.parse_args())
    try:
        bench.start()
        bench.know()
        bench.run()
    finally:
        bench.close()


if __name__ == "__main__":
    main()
