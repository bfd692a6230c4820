"""Fixtures of the system tests. `gateway` and `fake` are shared by a session; tests that kill or
reconfigure take `fresh_gateway`, a function that makes one of their own."""

import signal

import pytest

import harness

_live = []


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
        for gateway in _live:
            report.sections.append((f"logs of {gateway.home}", gateway.tails()))


@pytest.fixture(scope="session")
def fake():
    provider = harness.FakeProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="session")
def session_gateway(fake):
    gateway = harness.Gateway(workers=2)
    _live.append(gateway)
    try:
        gateway.up()
        gateway.apply(fake.provider())
        yield gateway
    finally:
        _live.remove(gateway)
        gateway.close()


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
        _live.append(gateway)
        if start:
            gateway.up()
        return gateway

    yield make
    for gateway in made:
        _live.remove(gateway)
        gateway.close()
