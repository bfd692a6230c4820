#!/usr/bin/env python3
"""Headgate beside nginx as a plain reverse proxy, in one run on one machine.

The gateway has CPU 0 for itself; the upstream and the load generator share the last CPU. Profiles
take turns in every round (A B A B ...), and what counts is the ratio within a round: median, least
and greatest over the rounds. CPU time is that of the gateway's whole process tree.

  tests/bench/run.py                      five rounds of everything (about 12 minutes)
  tests/bench/run.py --quick              one short round: is it working?
  tests/bench/run.py --only closed,sse    some tests
"""
import argparse
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("BENCH_BUILD", os.path.join(TOP, "build"))
UPSTREAM_PORT, NGINX_PORT, NGINX_H2, GATE_PORT = 20810, 20811, 20812, 20813
CLK = os.sysconf("SC_CLK_TCK")
CPUS = sorted(os.sched_getaffinity(0))
GATE_CPU, LOAD_CPU = CPUS[0], CPUS[-1]


def say(*words):
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


# --- processes ----------------------------------------------------------------------------------

def start(argv, cpu, **kw):
    """A process of its own session, bound to a CPU, that dies with this one."""
    def prepare():
        os.setsid()
        os.sched_setaffinity(0, {cpu})
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    kw.setdefault("stdout", subprocess.DEVNULL)
    kw.setdefault("stderr", subprocess.DEVNULL)
    return subprocess.Popen(argv, preexec_fn=prepare, stdin=subprocess.DEVNULL, **kw)


def tree(pid):
    """pid and all its descendants."""
    parents = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                with open(f"/proc/{d}/stat") as f:
                    parents[int(d)] = int(f.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass
    found, grew = {pid}, True
    while grew:
        more = {p for p, up in parents.items() if up in found} - found
        grew = bool(more)
        found |= more
    return found


def cpu_of(pids):
    """(total ns by the scheduler's own clock, user ticks, all ticks)."""
    total = user = ticks = 0
    for pid in pids:
        try:
            for t in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{t}/schedstat") as f:
                    total += int(f.read().split()[0])
            with open(f"/proc/{pid}/stat") as f:
                w = f.read().rsplit(")", 1)[1].split()
            user += int(w[11])
            ticks += int(w[11]) + int(w[12])
        except OSError:
            pass
    return total, user, ticks


def pss_kb(pids):
    kb = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                kb += sum(int(x.split()[1]) for x in f if x.startswith("Pss:"))
        except OSError:
            pass
    return kb


def stop(p):
    if p is None or p.poll() is not None:
        return
    members = tree(p.pid)
    p.terminate()
    try:
        p.wait(5)
    except subprocess.TimeoutExpired:
        pass
    for pid in members:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    p.wait(5)


def http(port, target, body=None, headers=()):
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        verb = "GET" if body is None else "POST"
        head = [f"{verb} {target} HTTP/1.1", f"host: 127.0.0.1:{port}", "connection: close", *headers]
        if body is not None:
            head += ["content-type: application/json", f"content-length: {len(body)}"]
        s.sendall("\r\n".join(head + ["", ""]).encode() + (body or b""))
        got = b""
        while True:
            head_end = got.find(b"\r\n\r\n")
            if head_end >= 0:
                m = re.search(rb"(?i)content-length: *(\d+)", got[:head_end])
                if m and len(got) >= head_end + 4 + int(m.group(1)):
                    break
            more = s.recv(65536)
            if not more:
                break
            got += more
    return (int(got.split(b" ", 2)[1]) if got else 0), got.split(b"\r\n\r\n", 1)[-1]


# --- the contestants ----------------------------------------------------------------------------

NGINX_CONF = """daemon off; worker_processes 1; pid {run}/nginx.pid; error_log {run}/error.log warn;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off; client_body_temp_path {run}/b; proxy_temp_path {run}/p; fastcgi_temp_path {run}/f;
  uwsgi_temp_path {run}/u; scgi_temp_path {run}/s; tcp_nodelay on;
  keepalive_timeout 300s; keepalive_requests 100000000;
  client_max_body_size 64m; client_body_buffer_size 256k;
  upstream up {{ server 127.0.0.1:{up}; keepalive 1024; keepalive_requests 100000000;
                 keepalive_timeout 300s; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    listen 127.0.0.1:{h2} http2 backlog=4096;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_buffering off; proxy_read_timeout 600s; }}
  }}
}}
"""

POLICY = {
    "providers": [{"name": "bench", "kind": "openai-compatible", "allow_private": True,
                   "base_url": f"http://127.0.0.1:{UPSTREAM_PORT}/v1", "credential": "bench-provider-key"},
                  {"name": "other", "kind": "anthropic", "allow_private": True,
                   "base_url": f"http://127.0.0.1:{UPSTREAM_PORT}/v1", "credential": "bench-provider-key"}],
    "models": [{"name": "gpt-4o-mini", "targets": [{"provider": "bench", "model": "gpt-4o-mini"}]},
               {"name": "gpt-other", "targets": [{"provider": "other", "model": "claude-sonnet-4-5"}]}],
    "teams": [{"name": "bench", "allow": {"models": ["gpt-*"]}}],
    "keys": [{"name": "bench", "team": "bench"}],
    "prices": [{"provider": "bench", "model": "gpt-4o-mini", "input_per_mtok_usd": "0.15",
                "cached_input_per_mtok_usd": "0.075", "output_per_mtok_usd": "0.60"},
               {"provider": "other", "model": "claude-sonnet-4-5", "input_per_mtok_usd": "3", "output_per_mtok_usd": "15"}],
}


class Nginx:
    name, port, h2_port, headers = "nginx", NGINX_PORT, NGINX_H2, []

    def start(self, run):
        with open(f"{run}/nginx.conf", "w") as f:
            f.write(NGINX_CONF.format(run=run, up=UPSTREAM_PORT, port=self.port, h2=self.h2_port))
        self.proc = start(["nginx", "-p", run, "-e", f"{run}/error.log", "-c", f"{run}/nginx.conf"], GATE_CPU)


class Headgate:
    """The data plane with one worker, from a policy stored on disk: key checked, price applied, every
    attempt reserved and settled in the spool."""
    name, port, h2_port = "headgate", GATE_PORT, GATE_PORT

    def start(self, run):
        with open(f"{run}/config.json", "w") as f:
            json.dump(POLICY, f)
        subprocess.run([f"{BUILD}/tests/make_policy", f"{run}/config.json", run], check=True)
        with open(f"{run}/keys.json") as f:
            self.headers = [f"authorization: Bearer {json.load(f)['bench']}"]
        log = open(f"{run}/log", "w")
        self.began = time.monotonic()
        self.proc = start([f"{BUILD}/bin/headgate-dataplane", "--listen", f"127.0.0.1:{self.port}",
                           "--workers", "1", "--state-dir", f"{run}/state",
                           "--bus-pub", f"ipc://{run}/pub", "--bus-req", f"ipc://{run}/req",
                           "--verify-key", f"{run}/verify.key", "--seal-key", f"{run}/seal.key",
                           "--spool-bytes", str(4 << 30), "--log-level", "warn"], GATE_CPU,
                          stderr=log)
        log.close()


class Direct:
    name, port, h2_port, headers, proc = "direct", UPSTREAM_PORT, None, [], None

    def start(self, run):
        self.proc = None


# --- the tests ----------------------------------------------------------------------------------

class Rig:
    def __init__(self, opts):
        self.o = opts
        self.dir = tempfile.mkdtemp(prefix="hg-bench-")
        text = "Explain why a reverse proxy keeps upstream connections open, and what a slow reader does. "
        self.bodies = {}
        for name, size, stream in (("small", 1024, False), ("big", 100 * 1024, False), ("stream", 1024, True),
                                   ("tr_small", 1024, False), ("tr_big", 100 * 1024, False), ("tr_stream", 1024, True)):
            doc = {"model": "gpt-other" if name.startswith("tr_") else "gpt-4o-mini", **({"stream": True} if stream else {}),
                   "messages": [{"role": "system", "content": "You are a helpful assistant."},
                                {"role": "user", "content": ""}],
                   "temperature": 0.7, "max_tokens": 256}
            room = size - len(json.dumps(doc))
            doc["messages"][1]["content"] = (text * (room // len(text) + 1))[:room]
            self.bodies[name] = f"{self.dir}/{name}.json"
            with open(self.bodies[name], "w") as f:
                json.dump(doc, f)
        os.chmod(self.dir, 0o755)
        self.upstream = start([f"{BUILD}/tests/bench_upstream", str(UPSTREAM_PORT)], LOAD_CPU)
        self.wait(UPSTREAM_PORT)

    def wait(self, port, seconds=20):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        sys.exit(f"nothing listens on port {port}")

    def upstream_set(self, **knobs):
        knobs = {"chunks": 32, "delay_us": 0, "split": 0, "size": 600, **knobs}
        http(UPSTREAM_PORT, "/bench/set?" + "&".join(f"{k}={v}" for k, v in knobs.items()))

    def load(self, who, mode, amount, seconds, body, per="ok"):
        argv = [f"{BUILD}/tests/bench_load", mode, str(who.port), str(amount), str(seconds),
                self.bodies[body], *who.headers]
        return self.measure(who, argv, seconds, json.loads, per)

    def measure(self, who, argv, seconds, parse, per):
        before = cpu_of(tree(who.proc.pid)) if who.proc else (0, 0, 0)
        p = start(argv, LOAD_CPU, stdout=subprocess.PIPE)
        out, _ = p.communicate(timeout=seconds + 30)
        after = cpu_of(tree(who.proc.pid)) if who.proc else (0, 0, 0)
        r = parse(out.decode())
        n = max(1, r[per])
        used = (after[0] - before[0]) / 1e3
        r["cpu_us"] = used / n
        ticks = after[2] - before[2]
        r["user_us"] = used / n * (after[1] - before[1]) / ticks if ticks else 0.0
        return r

    def cold(self, who, run):
        """Seconds from exec to the first 200 of a POST."""
        body = open(self.bodies["small"], "rb").read()
        began = time.monotonic()
        who.start(run)
        began = max(began, getattr(who, "began", began))
        while time.monotonic() - began < 20:
            try:
                if http(who.port, "/v1/chat/completions", body, who.headers)[0] == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            time.sleep(0.001)
        sys.exit(f"{who.name} did not answer; see {run}")

    def h2(self, who, seconds):
        argv = ["h2load", "-t1", "-c8", "-m8", "-D", f"{seconds * 1000:.0f}ms", "-d", self.bodies["small"],
                "-H", "content-type: application/json"]
        for h in who.headers:
            argv += ["-H", h]

        def parse(text):
            return {"ok": int(re.search(r"status codes: (\d+) 2xx", text).group(1)),
                    "rps": float(re.search(r"([\d.]+) req/s", text).group(1))}
        return self.measure(who, argv + [f"http://127.0.0.1:{who.h2_port}/v1/chat/completions"],
                            seconds, parse, "ok")

    def hold(self, who, n):
        """Memory of n open streams, and how long until a client's abort reaches the upstream."""
        self.upstream_set(chunks=100000, delay_us=1000000)
        idle = pss_kb(tree(who.proc.pid))
        p = start([f"{BUILD}/tests/bench_load", "hold", str(who.port), str(n), "120",
                   self.bodies["stream"], *who.headers], LOAD_CPU, stdout=subprocess.PIPE)
        opened = int(p.stdout.readline().split()[1])
        time.sleep(2)
        held = pss_kb(tree(who.proc.pid))
        p.kill()
        began, left = time.monotonic(), 1
        while left and time.monotonic() - began < 10:
            left = json.loads(http(UPSTREAM_PORT, "/bench/stats")[1])["open_streams"]
        took = time.monotonic() - began
        p.wait()
        self.upstream_set()
        time.sleep(0.5)
        return {"opened": opened, "kb_per_stream": (held - idle) / max(1, opened), "idle_kb": idle,
                "abort_ms": took * 1e3 if not left else None}

    def one(self, who, test, seconds):
        self.upstream_set()
        if test == "abort":  # few streams: what is timed is the way, not the closing of thousands
            return self.hold(who, 100)
        if test == "closed":
            return self.load(who, "closed", 64, seconds, "small")
        if test == "big":
            return self.load(who, "closed", 16, seconds, "big")
        if test == "tr_closed":
            return self.load(who, "closed", 64, seconds, "tr_small")
        if test == "tr_big":
            return self.load(who, "closed", 16, seconds, "tr_big")
        if test == "tr_sse":
            self.upstream_set(chunks=256)
            return self.load(who, "sse", 64, seconds, "tr_stream", "chunks")
        if test.startswith("rate"):
            return self.load(who, "rate", int(test[4:]), seconds, "small")
        if test == "h2":
            return self.h2(who, seconds)
        if test == "sse":
            self.upstream_set(chunks=256)
            return self.load(who, "sse", 64, seconds, "stream", "chunks")
        if test == "sse_split":
            self.upstream_set(chunks=256, split=1)
            return self.load(who, "sse", 64, seconds, "stream", "chunks")
        if test == "sse_paced":
            self.upstream_set(chunks=100, delay_us=10000)
            return self.load(who, "sse", 200, seconds, "stream", "chunks")
        raise ValueError(test)

    def round(self, who, tests):
        run = tempfile.mkdtemp(prefix=f"{who.name}-", dir=self.dir)
        record, s = {}, self.o.seconds
        try:
            if isinstance(who, Direct):
                who.start(run)
            else:
                record["cold_s"] = self.cold(who, run)
                time.sleep(1)
                record["idle_kb"] = pss_kb(tree(who.proc.pid))
                self.one(who, "closed", 0.5)
            for t in tests:
                if t in ("hold", "abort"):
                    if who.proc:
                        record[t] = self.hold(who, self.o.streams) if t == "hold" else self.one(who, t, s)
                elif t.startswith("tr_") and not isinstance(who, Headgate):
                    continue  # nobody else translates
                elif t != "h2" or who.h2_port:
                    record[t] = self.one(who, t, s)
                say(f"  {who.name:9s} {t:10s}", short(record.get(t)))
        finally:
            stop(who.proc)
            shutil.rmtree(run, ignore_errors=True)
        return record


def short(r):
    if not r:
        return "-"
    keys = ("ok", "cpu_us", "user_us", "chunks", "whole", "cut", "bad", "broken", "kb_per_stream",
            "abort_ms", "opened")
    return " ".join(f"{k}={r[k]:.4g}" for k in keys if isinstance(r.get(k), (int, float)))


# --- what is reported -----------------------------------------------------------------------------

# name, how to read it from a round, unit, "first version must" as a ratio to nginx (or absolute)
ROWS = [
    ("CPU per request, 1 KB chat", lambda r: r["closed"]["cpu_us"], "us", 1.25),
    ("  of it in user mode", lambda r: r["closed"]["user_us"], "us", 2.0),
    ("requests per second, one core", lambda r: r["closed"]["ok"] / r["closed"]["seconds"], "/s", -0.8),
    ("CPU per request over h2c", lambda r: r["h2"]["cpu_us"], "us", 1.25),
    ("CPU per SSE chunk, batched", lambda r: r["sse"]["cpu_us"], "us", 1.25),
    ("CPU per SSE chunk, one write each", lambda r: r["sse_split"]["cpu_us"], "us", 1.1),
    ("CPU per SSE chunk, 200 x 10 ms", lambda r: r["sse_paced"]["cpu_us"], "us", 1.1),
    ("CPU per request, 100 KB body", lambda r: r["big"]["cpu_us"], "us", 1.3),
    ("CPU per request, 100 KB translated", lambda r: r["tr_big"]["cpu_us"], "us", 6.0),
    ("memory per open stream", lambda r: r["hold"]["kb_per_stream"], "KB", ("<=", 17.6)),
    ("idle memory (PSS)", lambda r: r["idle_kb"] / 1024, "MB", ("<=", 10.0)),
    ("start to first 200", lambda r: r["cold_s"] * 1e3, "ms", ("<=", 100.0)),
    ("client abort reaches upstream", lambda r: r["abort"]["abort_ms"], "ms", ("<=", 50.0)),
]


# The same, with Headgate's own untouched way in the place of nginx: what translating costs.
TRANSLATED_ROWS = [
    ("translated / untouched: 1 KB chat", "tr_closed", "closed", None),
    ("translated / untouched: SSE chunk", "tr_sse", "sse", 3.0),
]


def added(rounds, name, test, q):
    """Added latency over a direct call, per round."""
    out = []
    for r in rounds:
        try:
            out.append(r[name][test]["latency_us"][q] - r["direct"][test]["latency_us"][q])
        except KeyError:
            pass
    return out


def spread(xs):
    return (statistics.median(xs), min(xs), max(xs))


def figures(rounds):
    rows = []
    for label, read, unit, must in ROWS:
        pairs = []
        for r in rounds:
            try:
                base = r["nginx"] if "translated" not in label else {"tr_big": r["nginx"]["big"]}
                pairs.append((read(r["headgate"]), read(base)))
            except (KeyError, TypeError):
                pass
        if pairs:
            rows.append((label, unit, spread([p[0] for p in pairs]), spread([p[1] for p in pairs]),
                         spread([p[0] / p[1] for p in pairs if p[1]]), must))
    for label, mine, base, must in TRANSLATED_ROWS:
        pairs = [(r["headgate"][mine]["cpu_us"], r["headgate"][base]["cpu_us"]) for r in rounds
                 if mine in r["headgate"] and base in r["headgate"]]
        if pairs:
            rows.append((label, "us", spread([p[0] for p in pairs]), spread([p[1] for p in pairs]),
                         spread([p[0] / p[1] for p in pairs]), must))
    for rate in (1000, 5000):
        for q in ("p50", "p99"):
            a, b = added(rounds, "headgate", f"rate{rate}", q), added(rounds, "nginx", f"rate{rate}", q)
            pairs = [(x, y) for x, y in zip(a, b) if y > 0]
            if pairs:
                rows.append((f"added latency {q}, {rate} rps", "us", spread(a), spread(b),
                             spread([x / y for x, y in pairs]), 1.5 if q == "p50" else None))
    return rows


def verdict(row):
    _, _, mine, _, ratio, must = row
    if must is None:
        return ""
    if isinstance(must, tuple):
        return "ok" if mine[0] <= must[1] else "MISSED"
    if must < 0:
        return "ok" if ratio[0] >= -must else "MISSED"
    return "ok" if ratio[0] <= must else "MISSED"


def target(must):
    if must is None:
        return ""
    if isinstance(must, tuple):
        return f"<= {must[1]:g}"
    return f">= {-must:g}x" if must < 0 else f"<= {must:g}x"


def table(rows):
    print(f"{'figure':36s} {'headgate':>22s} {'nginx':>22s} {'ratio (min-max)':>20s} {'must':>9s}")
    for row in rows:
        label, unit, mine, base, ratio, must = row
        m = f"{mine[0]:.4g} {unit} ({mine[1]:.3g}-{mine[2]:.3g})"
        b = f"{base[0]:.4g} ({base[1]:.3g}-{base[2]:.3g})"
        x = f"{ratio[0]:.2f}x ({ratio[1]:.2f}-{ratio[2]:.2f})"
        print(f"{label:36s} {m:>22s} {b:>22s} {x:>20s} {target(must):>9s} {verdict(row)}")


def picture(rows, path):
    """Ratios to nginx as bars; the line at 1 is nginx, the tick is what the first version must."""
    w, bar, left, scale = 880, 26, 300, 200
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{70 + bar * len(rows)}" '
           'font-family="sans-serif" font-size="13">',
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="16" y="24" font-size="16" font-weight="bold">Headgate beside nginx, ratio per round '
           '(shorter is better, except requests per second)</text>']
    for i, (label, _, mine, _, ratio, must) in enumerate(rows):
        y = 44 + i * bar
        good = verdict(rows[i]) != "MISSED"
        out.append(f'<text x="{left - 10}" y="{y + 15}" text-anchor="end">{label.strip()}</text>')
        out.append(f'<rect x="{left}" y="{y + 3}" width="{max(1, min(ratio[0], 2.6) * scale):.0f}" '
                   f'height="16" fill="{"#3a7d44" if good else "#b3432f"}"/>')
        out.append(f'<text x="{left + min(ratio[0], 2.6) * scale + 6:.0f}" y="{y + 15}">{ratio[0]:.2f}</text>')
        if isinstance(must, float) and abs(must) < 2.6:
            x = left + abs(must) * scale
            out.append(f'<line x1="{x}" x2="{x}" y1="{y}" y2="{y + 22}" stroke="#777" stroke-dasharray="3 2"/>')
    out.append(f'<line x1="{left + scale}" x2="{left + scale}" y1="40" y2="{50 + bar * len(rows)}" stroke="black"/>')
    out.append(f'<text x="{left + scale - 16}" y="{64 + bar * len(rows)}">nginx</text></svg>')
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")


def own_network():
    """A network namespace of our own: own ports, plain loopback. Needs root; else goes on without."""
    if os.geteuid() == 0 and "BENCH_INSIDE" not in os.environ and shutil.which("unshare"):
        os.environ["BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", 'ip link set lo up 2>/dev/null || '
                  'ifconfig lo up; exec "$0" "$@"', sys.executable, os.path.abspath(__file__), *sys.argv[1:]])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--seconds", type=float, default=3)
    ap.add_argument("--streams", type=int, default=5000)
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--only", help="of: closed rate1000 rate5000 h2 sse sse_split sse_paced big tr_closed tr_sse tr_big abort hold")
    ap.add_argument("--out", default=os.path.join(BUILD, "bench"))
    o = ap.parse_args()
    if o.quick:
        o.rounds, o.seconds, o.streams = 1, 1, 500
    own_network()
    try:  # idle CPUs poll instead of halting: a halted one costs the sender of a wake-up dearly
        latency = os.open("/dev/cpu_dma_latency", os.O_WRONLY)
        os.write(latency, struct.pack("i", 0))
    except OSError:
        say("no idle polling: latencies will look like a small cloud machine's")
    tests = o.only.split(",") if o.only else ["closed", "rate1000", "rate5000", "h2", "sse", "sse_split",
                                              "sse_paced", "big", "tr_closed", "tr_sse", "tr_big", "abort", "hold"]
    rig, rounds = Rig(o), []
    try:
        for i in range(o.rounds):
            say(f"round {i + 1} of {o.rounds}")
            order = [Headgate(), Nginx()] if i % 2 else [Nginx(), Headgate()]
            record = {"direct": rig.round(Direct(), [t for t in tests if t.startswith("rate")])}
            for who in order:
                record[who.name] = rig.round(who, tests)
            rounds.append(record)
    finally:
        stop(rig.upstream)
        shutil.rmtree(rig.dir, ignore_errors=True)
    rows = figures(rounds)
    os.makedirs(o.out, exist_ok=True)
    with open(f"{o.out}/rounds.json", "w") as f:
        json.dump(rounds, f, indent=1)
    picture(rows, f"{o.out}/ratios.svg")
    table(rows)
    print(f"\npicture: {os.path.relpath(o.out)}/ratios.svg   all rounds: {os.path.relpath(o.out)}/rounds.json")


if __name__ == "__main__":
    main()
