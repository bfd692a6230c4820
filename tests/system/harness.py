"""Real gateways and the fake provider, for the system tests.

A Gateway is a home directory under /tmp and the `headgate` program; nothing here knows more of the
gateway than a user does, but for the pids in HOME/pid. Nothing sleeps to synchronise: until() polls
with a deadline.
"""

import decimal
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid

import httpx
import openai
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HEADGATE_BIN", ROOT / "build" / "bin")).resolve()
FAKES = ROOT / "tests" / "fakes"
sys.path.insert(0, str(FAKES))
import journal as journals  # noqa: E402

# Made once: reading the system's certificates takes longer than most requests.
TRUST = ssl.create_default_context()

# What must not leak from the developer's shell into a test.
FOREIGN = re.compile(r"^(HEADGATE_(?!BIN)|OPENAI_|ANTHROPIC_|PG|COLUMNS$)|_API_KEY$|^(HTTPS?|ALL|NO)_PROXY$", re.IGNORECASE)


def clean_environment(extra=None):
    env = {k: v for k, v in os.environ.items() if not FOREIGN.search(k)}
    env.update(extra or {})
    return env


class Late(AssertionError):
    """Something did not happen in time."""


PATIENCE = 30.0  # seconds: when to give up says nothing of how long it should take, least of all on a busy machine


def until(condition, seconds=5.0, what="it", every=0.02):
    """The first true value of condition(), or Late. Exceptions of assertions count as not yet."""
    seconds = max(seconds, PATIENCE)
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (AssertionError, httpx.TransportError) as error:
            last = error
        if time.monotonic() >= deadline:
            raise Late(f"{what} did not happen within {seconds} s (last: {last!r})")
        time.sleep(every)


def free_port():
    """Below those that the kernel gives to outgoing connections: none of them takes it while its owner is down."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        low = int(file.read().split()[0])
    for _ in range(1000):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", random.SystemRandom().randrange(10240, low) if low > 16384 else 0))
            except OSError:
                continue
            return s.getsockname()[1]
    raise AssertionError("no port is free")


def free_address():
    return f"127.0.0.1:{free_port()}"


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    """Direct children, by /proc."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                    if int(file.read().rpartition(")")[2].split()[1]) == pid:
                        found.append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def make_home():
    """A directory that an unprivileged user can pass through, with a short path."""
    path = tempfile.mkdtemp(prefix="hgt-", dir="/tmp")
    os.chmod(path, 0o755)
    return pathlib.Path(path) / "home"


class Failed(AssertionError):
    """A command that should have worked did not."""


def nanos(usd):
    """A price or a sum as the API has it, in nanodollars."""
    return int(decimal.Decimal(usd) * 10**9)


class Gateway:
    """One local gateway. Options of `up` are given once and used by every up()."""

    live = []  # those that are not closed: a failed test shows their logs

    def __init__(self, home=None, options=(), environment=None, run_as=None, workers=2, bin_dir=BIN):
        self.bin = pathlib.Path(bin_dir)
        self.home = pathlib.Path(home) if home else make_home()
        self.made_home = home is None
        self.options = ["--listen", free_address(), "--admin", free_address()]
        self.options += ["--workers", str(workers)] if workers else []
        self.options += list(options)
        self.environment = environment or {}
        self.run_as = run_as
        self.live.append(self)  # when it is whole: another thread's failure may show its logs at once

    # --- the program

    def command(self, *args):
        command = [str(self.bin / "headgate"), *map(str, args), "--home", str(self.home)]
        return ["runuser", "-u", self.run_as, "--", *command] if self.run_as else command

    def run(self, *args, timeout=60, environment=None, stdin=None):
        """Runs `headgate ARGS --home HOME`; gives the finished process."""
        env = clean_environment({**self.environment, **(environment or {})})
        return subprocess.run(self.command(*args), env=env, timeout=timeout, input=stdin or "",
                              capture_output=True, text=True, check=False)

    def cli(self, *args, **more):
        """The standard output of a command that must succeed."""
        done = self.run(*args, **more)
        if done.returncode != 0:
            raise Failed(f"headgate {' '.join(map(str, args))}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def cli_json(self, *args, **more):
        return json.loads(self.cli(*args, "--output", "json", **more))

    def up(self, *args, timeout=90):
        # Once its addresses are chosen they are given again: the very same line works too.
        out = self.cli("up", "--detach", *self.options, *args, timeout=timeout)
        self._keep_addresses()
        return out

    def _keep_addresses(self):
        settings = json.loads((self.home / "gateway.json").read_text())
        for name in ("listen", "admin"):
            self.options[self.options.index("--" + name) + 1] = settings[name]

    def down(self, *args):
        return self.cli("down", *args, timeout=90)

    def close(self):
        """Stops everything that is left, and removes the home."""
        if self in self.live:
            self.live.remove(self)
        if (self.home / "gateway.json").exists():
            self.run("down", "--quick", timeout=90)
        if not self.made_home:
            return
        data = self.setting("data") if (self.home / "gateway.json").exists() else None
        if data and data.startswith("/var/lib/headgate/"):
            shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(self.home.parent, ignore_errors=True)

    # --- what it says of itself

    def setting(self, name):
        return json.loads((self.home / "gateway.json").read_text())[name]

    def variable(self, name):
        for line in (self.home / "env").read_text().splitlines():
            key, _, value = line.partition("=")
            if key == name:
                return value
        raise KeyError(name)

    @property
    def url(self):
        return self.variable("HEADGATE_URL")

    @property
    def key(self):
        return self.variable("HEADGATE_API_KEY")

    @property
    def admin_url(self):
        return self.variable("HEADGATE_ADMIN_URL")

    @property
    def token(self):
        return self.variable("HEADGATE_ADMIN_TOKEN")

    # --- processes

    def pid(self, name):
        """postgres, controlplane, dataplane or supervisor; 0 when it is not running."""
        try:
            pid = int((self.home / "pid" / name).read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return 0
        return pid if alive(pid) else 0

    def workers(self):
        """Pids of the workers, by slot."""
        found = {}
        for pid in children(self.pid("dataplane")):
            match = re.search(r"worker (\d+)", cmdline(pid))
            if match:
                found[int(match.group(1))] = pid
        return found

    def kill(self, name, signo=signal.SIGKILL):
        pid = self.pid(name)
        assert pid, f"{name} does not run"
        os.kill(pid, signo)
        return pid

    def kill_worker(self, slot=0, signo=signal.SIGKILL):
        pid = self.workers()[slot]
        os.kill(pid, signo)
        return pid

    # --- calls

    def openai(self, key=None, **more):
        more.setdefault("max_retries", 0)
        more.setdefault("timeout", 30)
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key or self.key, **more)

    def http(self, key=None, **more):
        more.setdefault("timeout", 30)
        more.setdefault("verify", TRUST)
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {key or self.key}"}, **more)

    def chat(self, model="simulator", key=None, **members):
        """One chat completion over plain HTTP; gives the response."""
        headers = members.pop("headers", {})
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}], **members}
        with self.http(key) as client:
            return client.post("/v1/chat/completions", json=body, headers=headers)

    def admin(self, method, path, **more):
        headers = {"authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return httpx.request(method, self.admin_url + "/api/v1" + path, headers=headers, timeout=30, verify=TRUST, **more)

    def apply(self, document, *args):
        """Applies a document (or YAML text), and waits until all workers have it."""
        text = document if isinstance(document, str) else yaml.safe_dump(document)
        answer = json.loads(self.cli("apply", "-f", "-", "--output", "json", *args, stdin=text))
        self.wait_policy(answer["revision"])
        return answer

    def wait_policy(self, revision):
        def reached():
            rows = self.metrics("headgate_policy_revision")
            return rows and len(rows) == len(self.workers()) and all(v >= revision for v in rows.values())
        until(reached, 10, f"revision {revision} in all workers")

    # --- usage and metrics

    def wait_usage(self, request_id, count=1, seconds=5.0):
        """The usage events of a request, once there are `count`."""
        def events():
            answer = self.admin("GET", "/usage/events", params={"request_id": request_id})
            assert answer.status_code == 200, answer.text
            data = answer.json()["data"]
            return data if len(data) >= count else None
        return until(events, seconds, f"{count} usage event(s) of {request_id}")

    def all_metrics(self):
        """Samples of all metrics: name, then labels' text, to value."""
        text = httpx.get(self.variable("HEADGATE_METRICS_URL"), timeout=30, verify=TRUST).text
        found = {}
        for line in text.splitlines():
            match = re.match(r"^(\w+)(?:\{(.*)\})? (\S+)$", line)
            if match:
                found.setdefault(match.group(1), {})[match.group(2) or ""] = float(match.group(3))
        return found

    def metrics(self, name):
        """Samples of one metric: labels' text to value."""
        return self.all_metrics().get(name, {})

    def metric(self, name):
        return sum(self.metrics(name).values())

    def wait_idle(self, seconds=10.0):
        """The standard end of a test: nothing in flight, nothing reserved, all usage acknowledged."""
        def idle():
            names = ("headgate_open_requests", "headgate_spool_open_reservations", "headgate_spool_records")
            all_of_them = self.all_metrics()
            values = {n: sum(all_of_them.get(n, {}).values()) for n in names}
            assert not any(values.values()), values
            return True
        until(idle, seconds, "idle")

    # --- the database, as its owner

    def postgres_program(self, name):
        version = (self.home / "postgres" / "PG_VERSION").read_text().strip()
        return f"/usr/lib/postgresql/{version}/bin/{name}"

    def _as_owner(self, *command, seconds=60, **more):
        prefix = ["runuser", "-u", self.run_as, "--"] if self.run_as else []
        done = subprocess.run([*prefix, *command], capture_output=True, text=True, timeout=seconds, check=False,
                              env=clean_environment({"LC_ALL": "C.UTF-8"}), **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sql(self, statement):
        """Rows of a statement, as lists of text."""
        out = self._as_owner(self.postgres_program("psql"), "-h", self.setting("run"), "-U", "headgate_owner",
                             "-d", "headgate", "-X", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1",
                             "-c", statement)
        return [line.split("\x1f") for line in out.splitlines() if line]

    def dump(self):
        return self._as_owner(self.postgres_program("pg_dump"), "-h", self.setting("run"), "-U", "headgate_owner",
                              "headgate")

    # --- logs

    def log(self, name):
        path = self.home / "log" / (name + ".log")
        return path.read_text(errors="replace") if path.exists() else ""

    def tails(self, lines=25):
        """The ends of all logs, but for what went well, for a failed test's report."""
        found = []
        folder = self.home / "log"
        for path in sorted(folder.glob("*.log")) if folder.exists() else []:
            text = path.read_text(errors="replace").splitlines()
            text = [line[:400] for line in text if '"event":"api.request"' not in line][-lines:]
            if text:
                found.append(f"--- {path}\n" + "\n".join(text))
        return "\n".join(found)


class FakeProvider:
    """tests/fakes/provider.py as a process, with its journal."""

    def __init__(self, *args, scheme="http"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hgf-", dir="/tmp"))
        self.journal_path = self.folder / "journal.jsonl"
        self.args = args
        self.scheme = scheme
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        """Also again after stop(), on the same port."""
        self.process = subprocess.Popen(
            [sys.executable, str(FAKES / "provider.py"), "--listen", f"127.0.0.1:{self.port}", "--journal",
             str(self.journal_path), *self.args], stdout=subprocess.PIPE, text=True, env=clean_environment())
        line = self.process.stdout.readline()
        assert line.startswith("listening "), "the fake provider did not start"
        self.port = int(line.split()[1])

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()

    def close(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def records(self):
        return journals.read(self.journal_path)

    def attempts(self):
        return journals.attempts(self.journal_path)

    def stats(self):
        return httpx.get(f"{self.scheme}://127.0.0.1:{self.port}/__stats", timeout=30,
                         verify=TRUST if self.scheme == "http" else False).json()

    def attempt(self, attempt_id, seconds=5.0):
        """The closed record of one attempt."""
        def found():
            record = self.attempts().get(attempt_id)
            return record if record and record["ends"] else None
        return until(found, seconds, f"the journal's end of attempt {attempt_id}")

    def provider(self, name="fake", **members):
        """The configuration that points at it, with a price for each of its models."""
        return {
            "providers": [{"name": name, "kind": "openai-compatible", "base_url": self.url,
                           "credential": "fake-credential", "allow_private": True, **members}],
            "prices": [{"provider": name, "model": "*", "input_per_mtok_usd": "2.50",
                        "cached_input_per_mtok_usd": "1.25", "output_per_mtok_usd": "10"}],
        }


def marker():
    """A short text no other test has."""
    return uuid.uuid4().hex[:12]


def sse(text):
    """The data of all events of a stream; "[DONE]" stays text."""
    found = []
    for block in re.split(r"\r\n\r\n|\n\n|\r\r", text):
        data = [line[5:].removeprefix(" ") for line in re.split(r"\r\n|\n|\r", block) if line.startswith("data:")]
        if data:
            joined = "\n".join(data)
            found.append(joined if joined == "[DONE]" else json.loads(joined))
    return found
