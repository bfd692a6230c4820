"""Quotas with very many subjects: thousands of end users of a day's quota, on two workers."""

import asyncio
import collections

import httpx
import pytest

from harness import TRUST, FakeProvider, until

USERS = 9000  # of two workers one has more than 4,096 of them, whichever it is


@pytest.fixture
def gateway(fresh_gateway):
    fake = FakeProvider()
    made = fresh_gateway(workers=2)
    made.apply(fake.provider())
    made.apply({"quotas": [{"name": "each", "per": "end_user", "requests_per_day": 1}]})
    yield made
    fake.close()


async def ask_all(gateway, users):
    """Each of them once, some at a time; again where the leader took longer than a request waits for it."""
    left, seen = collections.deque((user, 0) for user in users), collections.Counter()
    headers = {"authorization": f"Bearer {gateway.key}"}

    async def work():
        async with httpx.AsyncClient(verify=TRUST, timeout=30, headers=headers) as http:
            while left:
                user, tries = left.popleft()
                answer = await http.post(gateway.url + "/v1/chat/completions", json={
                    "model": "fake/m", "user": user, "messages": [{"role": "user", "content": "x"}]})
                if answer.status_code == 503 and answer.json()["error"]["code"] == "budget_unverifiable" and tries < 20:
                    await asyncio.sleep(0.2)
                    left.append((user, tries + 1))
                else:
                    seen[answer.status_code] += 1
    await asyncio.gather(*[work() for _ in range(48)])
    return seen


def test_thousands_of_end_users(gateway):
    """All are served; a second request of one is not, by neither worker, and not after another leader took over either."""
    users = [f"user-{i}@example.com" for i in range(USERS)]
    assert asyncio.run(ask_all(gateway, users)) == {200: USERS}
    again = users[::USERS // 96]
    assert asyncio.run(ask_all(gateway, again)) == {429: len(again)}
    gateway.kill("controlplane")
    until(lambda: gateway.admin("GET", "/quotas").status_code == 200, 20, "the control plane")
    assert asyncio.run(ask_all(gateway, again)) == {429: len(again)}
