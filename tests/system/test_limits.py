"""Quotas and budgets over several workers, with real processes: what the provider's own journal says was
billed never passes the limit, and the limit can be used."""

import collections
import concurrent.futures
import decimal
import itertools
import json
import os
import signal
import threading
import time

import httpx
import pytest

from harness import TRUST, FakeProvider, nanos, until

IN, OUT = 2500, 10000  # nanodollars a token: the fake provider's prices in harness.py


@pytest.fixture
def limited(fresh_gateway):
    """A function: a gateway of this test's own with N workers and a provider "fake"."""
    fakes = []

    def make(workers=2, **more):
        fakes.append(FakeProvider(*more.pop("fake", ())))
        gateway = fresh_gateway(workers=workers, **more)
        gateway.apply(fakes[-1].provider())
        gateway.fake = fakes[-1]
        return gateway

    yield make
    for fake in fakes:
        fake.close()


def billed(fake):
    """What the provider would bill, in nanodollars: every attempt that reached it, at what it was to report."""
    return sum(a.get("tokens_in", 0) * IN + a.get("tokens_out", 0) * OUT for a in fake.attempts().values())


def budget(gateway, name):
    return gateway.admin("GET", f"/budgets/{name}").json()["status"][0]


class Crowd:
    """Many clients at once, each on connections of its own, so that the kernel spreads them over workers."""

    def __init__(self, gateway, size, **members):
        self.gateway, self.size = gateway, size
        self.body = {"model": "fake/m", "messages": [{"role": "user", "content": "Hello!"}], **members}
        self.seen = collections.Counter()
        self.stopped = threading.Event()
        self.refusals = []

    def ask(self, key=None):
        headers = {"authorization": f"Bearer {key or self.gateway.key}"}
        try:
            answer = httpx.post(self.gateway.url + "/v1/chat/completions", json=self.body, headers=headers, timeout=30,
                                verify=TRUST)
        except httpx.TransportError:
            self.seen["broken"] += 1
            return None
        self.seen[answer.status_code] += 1
        if answer.status_code >= 400:
            self.refusals.append(answer)
        return answer

    def run(self, count):
        """So many requests, `size` at a time, all released together."""
        barrier = threading.Barrier(self.size)

        def one(i):
            if i < self.size:
                barrier.wait(20)
            return self.ask()
        with concurrent.futures.ThreadPoolExecutor(self.size) as pool:
            return [a for a in pool.map(one, range(count)) if a is not None]

    def until(self, condition, seconds):
        """Goes on until condition() or the time is over."""
        deadline = time.monotonic() + seconds

        def work():
            while time.monotonic() < deadline and not self.stopped.is_set():
                if self.ask() is not None and condition():
                    self.stopped.set()
        with concurrent.futures.ThreadPoolExecutor(self.size) as pool:
            for done in [pool.submit(work) for _ in range(self.size)]:
                done.result()


def test_f121_one_of_a_crowd_fits(limited):
    """200 requests on one barrier against a budget that holds one: exactly one is admitted."""
    gateway = limited(workers=2)
    crowd = Crowd(gateway, 50, max_tokens=100, x_mock="usage=60/100")
    bound = len(httpx.Request("POST", "http://x", json=crowd.body).content) * IN + 100 * OUT
    gateway.apply({"budgets": [{"name": "one", "team": "default", "period": "lifetime",
                                "limit_usd": str(decimal.Decimal(bound + bound // 4) / 10**9)}]})
    answers = crowd.run(200)
    # 503: PostgreSQL took longer than a request waits for it.
    assert crowd.seen[200] == 1 and sum(crowd.seen[s] for s in (200, 429, 503)) == len(answers) == 200, crowd.seen
    refused = until(lambda: (lambda a: a if a.status_code == 429 else None)(crowd.ask()), 20, "a refusal")
    assert refused.json()["error"]["code"] == "budget_exceeded" and "'one'" in refused.json()["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert len(gateway.fake.attempts()) == 1


def test_a_budget_is_never_passed_and_is_used(limited):
    """Four workers race for one budget: no overshoot, and at least 95 % of it is spent when all is over."""
    gateway = limited(workers=4)
    limit = "0.20"
    gateway.apply({"budgets": [{"name": "cap", "period": "lifetime", "limit_usd": limit}]})
    crowd = Crowd(gateway, 12, max_tokens=20, x_mock="usage=20/20")
    crowd.until(lambda: crowd.seen[429] > 100, 60)
    until(lambda: nanos(budget(gateway, "cap")["spent"]) == billed(gateway.fake), 10, "the booking of all")
    state = budget(gateway, "cap")
    assert billed(gateway.fake) <= nanos(limit)
    assert billed(gateway.fake) >= nanos(limit) * 95 // 100, state
    assert {50, 80, 95} <= set(state["crossed"])
    assert crowd.seen[200] == len(gateway.fake.attempts())
    assert not {s for s in crowd.seen if s not in (200, 429, 503)}, crowd.seen


def test_f122_kills_in_between(limited):
    """The same while workers and the control plane are killed: the provider's journal stays within the limit."""
    gateway = limited(workers=3)
    limit = "0.30"
    gateway.apply({"budgets": [{"name": "cap", "period": "lifetime", "limit_usd": limit}]})
    crowd = Crowd(gateway, 9, max_tokens=20, x_mock="usage=20/20")
    over = threading.Event()

    def kill():
        for turn in itertools.count():
            if over.wait(0.7):
                return
            try:
                if turn % 4 == 3:
                    gateway.kill("controlplane")
                else:
                    os.kill(list(gateway.workers().values())[turn % 3 % max(1, len(gateway.workers()))], signal.SIGKILL)
            except (AssertionError, ProcessLookupError, IndexError):
                pass
    killer = threading.Thread(target=kill)
    killer.start()
    crowd.until(lambda: crowd.seen[429] > 60, 25)
    over.set()
    killer.join()
    until(lambda: gateway.admin("GET", "/budgets").status_code == 200, 20, "the control plane")
    assert billed(gateway.fake) <= nanos(limit)
    crowd.until(lambda: crowd.seen[429] > 200, 40)  # nobody is killed any more: what was held comes back
    until(lambda: gateway.metric("headgate_spool_records") == 0, 20, "the last records")
    state = budget(gateway, "cap")
    assert billed(gateway.fake) <= nanos(limit), state
    assert nanos(state["spent"]) >= billed(gateway.fake), state
    assert nanos(state["spent"]) <= nanos(limit), state
    assert nanos(state["spent"]) >= nanos(limit) * 90 // 100, (state, crowd.seen)


def test_a_rate_holds_over_skewed_workers(limited):
    """Whoever gets the connections: in the minute no more than the limit, and at least 95 % of it."""
    gateway = limited(workers=4)
    gateway.apply({"quotas": [{"name": "rpm", "requests_per_minute": 200}]})
    with gateway.http() as kept:  # one worker has much more to do than the others
        for _ in range(100):
            kept.post("/v1/chat/completions", json={"model": "fake/m", "messages": [{"role": "user", "content": "x"}]})
        crowd = Crowd(gateway, 8)
        crowd.until(lambda: crowd.seen[429] > 150, 20)
    assert 190 <= len(gateway.fake.attempts()) <= 200
    refused = crowd.refusals[-1]
    assert refused.json()["error"]["code"] == "quota_exceeded"
    assert refused.headers["x-ratelimit-limit-requests"] == "200"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    state = gateway.admin("GET", "/quotas/rpm").json()["status"][0]
    assert state["metric"] == "requests" and state["limit"] == 200


def test_concurrency(limited):
    gateway = limited(workers=2, fake=("--script", "ttfb=400"))
    gateway.apply({"quotas": [{"name": "two", "concurrent_requests": 2}]})
    crowd = Crowd(gateway, 10)
    crowd.run(30)
    assert gateway.fake.stats()["max_in_flight"] <= 2
    assert crowd.seen[200] >= 2
    until(lambda: crowd.ask().status_code == 200, 5, "room again")


def test_tokens_are_corrected_by_what_was_used(limited):
    """Reserved at 1000 each, used at 10: more fit than the reservations say."""
    gateway = limited(workers=1)
    gateway.apply({"quotas": [{"name": "tpm", "tokens_per_minute": 3000}]})
    crowd = Crowd(gateway, 1, max_tokens=1000, x_mock="usage=5/5")
    until(lambda: crowd.ask().status_code == 200, 20, "the first share")
    crowd.run(19)
    assert crowd.seen[200] >= 20 and not crowd.seen[429], crowd.seen
    crowd.body["max_tokens"] = 5000
    assert crowd.ask().status_code == 429
    assert crowd.refusals[-1].headers["x-should-retry"] == "false"  # it will never fit


def test_each_end_user_has_a_counter(limited):
    gateway = limited(workers=2)
    gateway.apply({"quotas": [{"name": "each", "per": "end_user", "requests_per_minute": 3}]})
    for user in ("ada", "bob"):
        crowd = Crowd(gateway, 2, user=user)
        began = time.monotonic()
        until(lambda c=crowd: c.run(2) and c.seen[200] >= 3 and c.seen[429] >= 5, 30, f"three of {user}'s requests, and refusals")
        assert crowd.seen[200] == 3 or time.monotonic() - began > 59, crowd.seen


def test_shadow_refuses_nothing_and_tells(limited):
    gateway = limited(workers=1)
    gateway.apply({"quotas": [{"name": "s", "requests_per_minute": 1, "mode": "shadow"}],
                   "budgets": [{"name": "b", "period": "day", "limit_usd": "0.000001", "mode": "shadow"}]})
    crowd = Crowd(gateway, 2)
    crowd.run(6)
    assert crowd.seen == {200: 6}
    until(lambda: gateway.metric("headgate_limit_shadowed_total") >= 5, 5, "the count of what would have been refused")


def test_a_strict_budget_needs_a_bound(limited):
    """Where there can be none, as with a limit that is no number, nothing goes up. (Others: test_limits_to_fit.py.)"""
    gateway = limited(workers=1)
    gateway.apply({"budgets": [{"name": "b", "period": "day", "limit_usd": "1"}]})
    answer = gateway.chat("fake/m", max_tokens="five")
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "output_limit_required"
    assert answer.json()["error"]["param"] == "max_tokens"
    until(lambda: gateway.chat("fake/m", max_tokens=5).status_code == 200, 20, "what has a bound")


@pytest.mark.parametrize("policy, status", [("deny", 503), ("allow", 200)])
def test_f091_the_control_plane_is_away(limited, policy, status):
    """Within the slice in hand requests go on; then as the budget says. 503, not 429."""
    gateway = limited(workers=1)
    gateway.apply({"budgets": [{"name": "b", "period": "lifetime", "limit_usd": "0.05", "on_unverifiable": policy}]})
    crowd = Crowd(gateway, 1, max_tokens=20, x_mock="usage=20/20")
    until(lambda: crowd.ask().status_code == 200, 20, "a slice")
    crowd.seen.clear()
    os.kill(gateway.pid("controlplane"), signal.SIGSTOP)
    try:
        assert crowd.ask().status_code == 200  # of the slice in hand
        deadline = time.monotonic() + 20
        while crowd.seen[503] == 0 and crowd.seen[200] < 60 and time.monotonic() < deadline:
            crowd.ask()
        if status == 503:
            assert crowd.seen[503] == 1 and crowd.refusals[-1].json()["error"]["code"] == "budget_unverifiable"
            assert crowd.refusals[-1].headers["retry-after"]
            assert billed(gateway.fake) <= nanos("0.05")
        else:
            assert set(crowd.seen) == {200}
    finally:
        os.kill(gateway.pid("controlplane"), signal.SIGCONT)
    until(lambda: crowd.ask().status_code == 200, 10, "the slice of a control plane that is back")


def test_a_lowered_budget_is_in_force_at_once(limited):
    gateway = limited(workers=2)
    gateway.apply({"budgets": [{"name": "b", "period": "lifetime", "limit_usd": "10"}]})
    crowd = Crowd(gateway, 4, max_tokens=20, x_mock="usage=20/20")
    crowd.run(20)
    until(lambda: nanos(budget(gateway, "b")["spent"]) == billed(gateway.fake) > 0, 5, "the booking")
    gateway.apply({"budgets": [{"name": "b", "period": "lifetime", "limit_usd": "0.001"}]})
    until(lambda: crowd.ask().status_code == 429, 2, "the refusal")


def test_an_override_for_a_while(limited):
    gateway = limited(workers=1)
    gateway.apply({"budgets": [{"name": "b", "period": "day", "limit_usd": "0.0001"}]})
    until(lambda: gateway.chat("fake/m", max_tokens=20).status_code == 429, 20, "the refusal")
    gateway.cli("budget", "override", "b", "--add-usd", "1", "--until", "2099-01-01", "--reason", "the demonstration")
    until(lambda: gateway.chat("fake/m", max_tokens=20).status_code == 200, 5, "the override's effect")
    state = budget(gateway, "b")
    assert state["limit"] == "1.0001" and state["period_end"]
    rows = gateway.cli("budget", "list").splitlines()
    assert rows[0].split()[0] == "NAME" and rows[1].startswith("b ")
    audit = gateway.admin("GET", "/audit", params={"action": "budget.override"}).json()["data"][0]
    assert audit["object"] == "budgets/b" and audit["detail"]["reason"] == "the demonstration"
    past = gateway.run("budget", "override", "b", "--add-usd", "1", "--until", "2001-01-01")
    assert past.returncode != 0 and "time to come" in past.stderr


@pytest.mark.parametrize("document, place", [
    ({"quotas": [{"name": "q", "team": "nobody", "requests_per_minute": 1}]}, "quotas[0].team"),
    ({"quotas": [{"name": "q", "model": "nothing", "requests_per_minute": 1}]}, "model"),
    ({"quotas": [{"name": "q", "requests_per_minute": 0}]}, "quotas[0].requests_per_minute"),
    ({"budgets": [{"name": "b", "period": "day", "limit_usd": "0"}]}, "budgets[0].limit_usd"),
    ({"budgets": [{"name": "b", "period": "day", "limit_usd": "1", "time_zone": "Mars/Olympus"}]}, "time_zone"),
])
def test_what_can_never_hold_is_refused(gateway, document, place):
    done = gateway.run("apply", "-f", "-", stdin=json.dumps(document))
    assert done.returncode != 0 and place in done.stderr


def test_a_worker_that_leaves_gives_back(limited):
    gateway = limited(workers=2)
    gateway.apply({"budgets": [{"name": "b", "period": "day", "limit_usd": "1"}]})
    crowd = Crowd(gateway, 4, max_tokens=20, x_mock="usage=20/20")
    crowd.run(20)
    assert nanos(budget(gateway, "b")["held"]) > 0
    os.kill(gateway.pid("dataplane"), signal.SIGTERM)
    until(lambda: nanos(budget(gateway, "b")["held"]) == 0, 10, "the return of what was held")
    assert nanos(budget(gateway, "b")["spent"]) == 20 * (20 * IN + 20 * OUT)
