"""Fixtures of the system tests. `gateway` and `fake` are shared by a session; tests that kill or
reconfigure take `fresh_gateway`, a function that makes one of their own."""

import signal

import pytest

import harness


def _on_terminate(signo, frame):
    raise KeyboardInterrupt  # so that fixtures still stop what they started


def pytest_configure(config):
    signal.signal(signal.SIGTERM, _on_terminate)
    for name in ("headgate", "headgate-controlplane", "headgate-dataplane"):
        if not (harness.BIN / name).exists():
            raise pytest.UsageError(f"{harness.BIN / name} is missing: run `make` first (or set HEADGATE_BIN)")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for gateway in harness.Gateway.live:
            report.sections.append((f"logs of {gateway.home}", gateway.tails()))


@pytest.fixture(scope="session")
def fake():
    provider = harness.FakeProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="session")
def session_gateway(fake):
    gateway = harness.Gateway(workers=2)
    gateway.options[:4] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]  # one that has its addresses chosen
    try:
        gateway.up()
        gateway.apply(fake.provider())
        yield gateway
    finally:
        gateway.close()


# Models of both gateways of a pair: one that takes its time, and one for each vendor whose signed thoughts must come back.
PAIR_MODELS = {
    "simulator-error-429": "simulator-error-429",
    "slow": "simulator+chunks:400+gap:10",
    "thinker": "simulator+reasoning:4+signature:1+demand_signature:1",
    "thinker-openai": "simulator+reasoning:4+encrypted:1+format:responses+demand_signature:1",
    "thinker-anthropic": "simulator+reasoning:4+signature:1+format:anthropic+demand_signature:1",
    "thinker-gemini": "simulator+reasoning:4+call_signature:1+demand_signature:1",
}


@pytest.fixture(scope="module")
def pair():
    """Two gateways: the one under test, and one that stands for all vendors, in front of its own simulator."""
    mirror, gateway = harness.Gateway(workers=1), harness.Gateway(workers=1)
    try:
        mirror.up()
        gateway.up()
        models = [{"name": name, "targets": [{"provider": "simulator", "model": model}]} for name, model in PAIR_MODELS.items()]
        mirror.apply({"models": models})
        upstream = {"credential": mirror.key, "allow_private": True}
        providers = [
            {"name": "mirror-openai", "kind": "openai", "base_url": mirror.url + "/v1", **upstream},
            {"name": "mirror-anthropic", "kind": "anthropic", "base_url": mirror.url + "/anthropic/v1", **upstream},
            {"name": "mirror-gemini", "kind": "gemini", "base_url": mirror.url + "/genai/v1beta", **upstream},
        ]
        gateway.apply({"providers": providers, "models": models, "prices": [
            {"provider": p["name"], "model": "*", "input_per_mtok_usd": "1", "output_per_mtok_usd": "2"} for p in providers]})
        yield gateway
    finally:
        gateway.close()
        mirror.close()


@pytest.fixture
def gateway(session_gateway):
    """The shared gateway, with provider "fake": after each test it must be idle again."""
    yield session_gateway
    session_gateway.wait_idle()


@pytest.fixture
def fresh_gateway():
    """A function that makes gateways of this test's own; they are stopped afterwards."""
    made = []

    def make(**arguments):
        start = arguments.pop("start", True)
        gateway = harness.Gateway(**arguments)
        made.append(gateway)
        if start:
            gateway.up()
        return gateway

    yield make
    for gateway in made:
        gateway.close()
