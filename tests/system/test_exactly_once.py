"""Exactly once, under kills: workers, the control plane and PostgreSQL die at random while clients call,
stream and leave. Afterwards the clients' log, the provider's journal and the ledger agree on everything.

HEADGATE_TEST_SEED repeats a run's choices; HEADGATE_CHAOS_REQUESTS makes it longer.
"""

import collections
import json
import os
import random
import signal
import threading

import httpx
import pytest

import harness
import reconcile

REQUESTS = int(os.environ.get("HEADGATE_CHAOS_REQUESTS", "5000"))
CLIENTS = 24

# What the provider does to a request, and how often.
SCRIPTS = [
    (50, "ev=8"),
    (20, "ev=20;gap=2"),
    (8, "ev=30;gap=5"),
    (4, "ev=10;usage=120/40/30/12"),
    (4, "ttfb=30;ev=5"),
    (3, "ev=10;rst@4"),
    (3, "ev=10;cut@6"),
    (2, "ev=10;nodone"),
    (2, "ev=8;nousage"),
    (2, "status=500"),
    (2, "status=429;retry_after=1"),
]


class Client(threading.Thread):
    """Calls, one after the other, until the shared counter is used up."""

    def __init__(self, gateway, seed, counter):
        super().__init__(daemon=True)
        self.url = gateway.url
        self.key = gateway.key
        self.random = random.Random(seed)
        self.counter = counter
        self.log = []

    def run(self):
        with httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=30) as http:
            while self.counter.take():
                self.one(http)

    def one(self, http):
        stream = self.random.random() < 0.5
        leaves = stream and self.random.random() < 0.15
        script = self.random.choices([s for _, s in SCRIPTS], [w for w, _ in SCRIPTS])[0]
        entry = {"marker": harness.marker(), "status": None, "clean": False, "left": False, "usage": None,
                 "script": script, "stream": stream, "error": ""}
        self.log.append(entry)
        body = {"model": "fake/m1", "user": entry["marker"], "x_mock": script, "stream": stream,
                "messages": [{"role": "user", "content": "count to ten"}]}
        if stream:
            body["stream_options"] = {"include_usage": True}
        try:
            if stream:
                self.stream(http, body, entry, self.random.randrange(1, 6) if leaves else 0)
            else:
                self.whole(http, body, entry)
        except (httpx.HTTPError, ValueError) as error:
            entry["error"] = type(error).__name__
            if isinstance(error, httpx.ConnectError):
                self.wait_for_port()

    def wait_for_port(self):
        """Both workers are down: go on when one is back, instead of using up the requests."""
        def answers():
            try:
                return httpx.get(self.url + "/healthz", timeout=5).status_code == 200
            except httpx.HTTPError:
                return False
        harness.until(answers, 60, "a worker's return", every=0.1)

    @staticmethod
    def whole(http, body, entry):
        response = http.post("/v1/chat/completions", json=body)
        entry["status"] = response.status_code
        answer = response.json()
        entry["clean"] = True
        if response.status_code == 200 and answer.get("usage"):
            entry["usage"] = (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"])

    @staticmethod
    def stream(http, body, entry, leave_after):
        with http.stream("POST", "/v1/chat/completions", json=body) as response:
            entry["status"] = response.status_code
            if response.status_code != 200:
                response.read()
                entry["clean"] = True
                return
            events, failed, done = 0, False, False
            for line in response.iter_lines():
                if not line.startswith("data:"):
                    continue
                data = line[5:].strip()
                if data == "[DONE]":
                    done = True
                    continue
                event = json.loads(data)
                failed = failed or "error" in event
                if event.get("usage"):
                    entry["usage"] = (event["usage"]["prompt_tokens"], event["usage"]["completion_tokens"])
                events += 1
                if events == leave_after:
                    entry["left"] = True
                    return
            # Only now: a worker killed between [DONE] and the end of the answer has not ended it.
            entry["clean"] = done and not failed


class Counter:
    """Hands out requests: so many, and on until enough was killed meanwhile."""

    def __init__(self, count, enough):
        self.left = count
        self.enough = enough
        self.lock = threading.Lock()

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0 or not self.enough()


class Chaos(threading.Thread):
    """Kills something every now and then: a shuffled deck of kinds, and again, as the seed says."""

    DECK = ["worker"] * 6 + ["controlplane"] * 2 + ["postgres"]
    ENOUGH = 2 * len(DECK)

    def __init__(self, gateway, seed):
        super().__init__(daemon=True)
        self.gateway = gateway
        self.random = random.Random(seed)
        self.ended = threading.Event()
        self.kills = collections.Counter()

    def run(self):
        deck = []
        while not self.ended.wait(self.random.uniform(0.2, 0.8)):
            deck = deck or self.random.sample(self.DECK, len(self.DECK))
            kind = deck[-1]
            try:
                if kind == "worker":
                    os.kill(self.random.choice(sorted(self.gateway.workers().values())), signal.SIGKILL)
                else:
                    pid = self.gateway.pid(kind)
                    if not pid:
                        continue
                    # What `pg_ctl restart -m immediate` sends; the rest just dies.
                    os.kill(pid, signal.SIGQUIT if kind == "postgres" else signal.SIGKILL)
            except (IndexError, ProcessLookupError):
                continue
            self.kills[deck.pop()] += 1

    def stop(self):
        self.ended.set()
        self.join(30)


def wait_settled(gateway, fake):
    """Everything runs, nothing is in flight, nothing waits in a spool."""
    harness.until(lambda: all(gateway.pid(n) for n in ("postgres", "controlplane", "dataplane")), 30, "all back")
    harness.until(lambda: len(gateway.workers()) == 2, 30, "both workers")
    harness.until(lambda: fake.stats()["in_flight"] == 0, 60, "the provider at rest")
    gateway.wait_idle(60)


@pytest.mark.timeout(600)
def test_exactly_once_under_kills(fresh_gateway):
    seed = int(os.environ.get("HEADGATE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"HEADGATE_TEST_SEED={seed}")
    fake = harness.FakeProvider()
    try:
        gateway = fresh_gateway(workers=2)
        gateway.apply(fake.provider())
        chaos = Chaos(gateway, seed)
        counter = Counter(REQUESTS, lambda: chaos.kills.total() >= chaos.ENOUGH)
        clients = [Client(gateway, seed + i, counter) for i in range(CLIENTS)]
        for thread in (chaos, *clients):
            thread.start()
        for client in clients:
            client.join()
        chaos.stop()
        wait_settled(gateway, fake)
        log = [entry for client in clients for entry in client.log]
        found = reconcile.settle(gateway.sql, fake.journal_path, log)
        summary = collections.Counter((e["status"], e["clean"], e["left"]) for e in log)
        print(f"kills {dict(chaos.kills)}, requests {dict(summary)}, attempts {len(fake.attempts())}")
        assert not found, f"{len(found)} differences (seed {seed}):\n" + "\n".join(found[:40])
        # The run was worth something: much went well, much was killed, and both in the ledger.
        assert len(log) >= REQUESTS
        assert sum(e["clean"] and e["status"] == 200 for e in log) > REQUESTS / 2
        assert min(chaos.kills[kind] for kind in chaos.DECK) >= 1
        assert any(e["left"] for e in log)
    finally:
        fake.close()
