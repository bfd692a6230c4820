"""Usage and cost: visible within 2 s, exact to the nanodollar, as the admin API and the tool show them."""

import decimal

import pytest

from harness import marker, until

IN, CACHED, OUT = decimal.Decimal("2.50"), decimal.Decimal("1.25"), decimal.Decimal("10")
MILLION = decimal.Decimal(1_000_000)
NANO = decimal.Decimal("0.000000001")


def cost_of(fresh, cached, out):
    exact = (fresh * IN + cached * CACHED + out * OUT) / MILLION
    return exact.quantize(NANO, decimal.ROUND_HALF_UP)


@pytest.mark.parametrize("tokens", [(10, 20), (1, 0), (0, 1), (7, 3, 2), (1000, 1, 1000), (123456, 98765, 23456, 1234)])
@pytest.mark.parametrize("stream", [False, True])
def test_the_cost_is_exact(gateway, tokens, stream):
    answer = gateway.chat("fake/m", x_mock="usage=" + "/".join(map(str, tokens)), stream=stream)
    assert answer.status_code == 200
    event = gateway.wait_usage(answer.headers["x-request-id"], seconds=2)[0]
    cached = tokens[2] if len(tokens) > 2 else 0
    assert event["input_tokens"] == tokens[0]
    assert event["cached_input_tokens"] == cached
    assert event["output_tokens"] == tokens[1]
    assert decimal.Decimal(event["cost_usd"]) == cost_of(tokens[0] - cached, cached, tokens[1])
    assert event["estimated"] is False and event["incomplete"] is False
    assert event["price_version"]


def test_an_event_tells_who_and_what(gateway, fake):
    answer = gateway.chat("fake/some-model")
    event = gateway.wait_usage(answer.headers["x-request-id"], seconds=2)[0]
    assert event["team"] == "default" and event["key"] == "default"
    assert event["model"] == "fake/some-model" and event["provider"] == "fake"
    assert event["provider_model"] == "some-model"
    assert event["status"] == 200 and event["cached"] is False
    assert event["latency_ms"] >= 0 and event["request_id"] == answer.headers["x-request-id"]
    # the provider saw the same attempt, with the provider's own credential
    record = fake.attempt(event["attempt_id"])
    assert record["credential"] == "Bearer fake-credential"
    assert record["model"] == "some-model" and record["clean"]


def test_sums_by_group(gateway):
    """A key of its own: its sums are those of its requests."""
    name = "sum-" + marker()
    key = gateway.cli_json("key", "create", "--name", name, "--team", "default", "--tags", "purpose=test")["key"]
    until(lambda: gateway.chat(key=key).status_code == 200, 5, "the key")
    before = gateway.admin("GET", "/usage", params={"key": name, "group_by": "model"}).json()["data"]
    assert {r["model"] for r in before} <= {"simulator"}
    ids = [gateway.chat("fake/m", key=key, x_mock="usage=100/50/40").headers["x-request-id"] for _ in range(5)]
    ids.append(gateway.chat("fake/m", key=key, x_mock="status=500").headers["x-request-id"])
    for request_id in ids:
        gateway.wait_usage(request_id, seconds=2)
    rows = gateway.admin("GET", "/usage", params={"key": name, "group_by": "key,model"}).json()["data"]
    row = next(r for r in rows if r["model"] == "fake/m")
    assert row["key"] == name and row["requests"] == 6 and row["errors"] == 1
    assert row["input_tokens"] == 500 and row["cached_input_tokens"] == 200 and row["output_tokens"] == 250
    assert decimal.Decimal(row["cost_usd"]) == 5 * cost_of(60, 40, 50)
    gateway.cli("key", "revoke", name)
    # revoked, and its usage stays
    assert gateway.admin("GET", "/usage", params={"key": name, "group_by": "key"}).json()["data"]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_table_fits_the_terminal(gateway, width):
    request_id = gateway.chat("fake/a-model-with-a-rather-long-name").headers["x-request-id"]
    gateway.wait_usage(request_id)
    for command in (("usage", "--group-by", "team,key,model,provider"), ("events",), ("workers",), ("key", "list")):
        out = gateway.cli(*command, environment={"COLUMNS": str(width)})
        for line in out.splitlines():
            assert len(line) <= width, (command, line)
    out = gateway.cli("usage", environment={"COLUMNS": "100"})
    assert "COST USD" in out and "TOTAL" in out


def test_the_table_has_exact_totals(gateway):
    key_name = "total-" + marker()
    key = gateway.cli_json("key", "create", "--name", key_name, "--team", "default")["key"]
    answers = []

    def first():
        answers.append(gateway.chat("fake/x", key=key, x_mock="usage=3/1"))
        return answers[-1].status_code == 200

    until(first, 5, "the key")
    answers.append(gateway.chat("fake/y", key=key, x_mock="usage=1/1"))
    for answer in answers[-2:]:  # of two workers, perhaps: neither waits for the other
        gateway.wait_usage(answer.headers["x-request-id"], seconds=2)
    rows = gateway.cli_json("usage", "--key", key_name, "--group-by", "model")["data"]
    total = sum(decimal.Decimal(r["cost_usd"]) for r in rows)
    line = next(x for x in gateway.cli("usage", "--key", key_name, "--group-by", "model").splitlines()
                if x.startswith("TOTAL"))
    assert decimal.Decimal(line.split()[-1]) == total
    gateway.cli("key", "revoke", key_name)


def test_an_unpriced_model_is_refused(gateway, fake):
    """I4: what has no price is not served for nothing."""
    gateway.apply({"providers": [{"name": "unpriced", "kind": "openai-compatible", "base_url": fake.url,
                                  "allow_private": True}]})
    seen = len(fake.records())
    answer = gateway.chat("unpriced/m")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "unpriced_model"
    assert len(fake.records()) == seen
    gateway.apply({"prices": [{"provider": "unpriced", "model": "m", "free": True}]})
    answer = gateway.chat("unpriced/m")
    assert answer.status_code == 200
    event = gateway.wait_usage(answer.headers["x-request-id"], seconds=2)[0]
    assert decimal.Decimal(event["cost_usd"]) == 0 and event["output_tokens"] > 0


def test_missing_usage_is_estimated_and_marked(gateway):
    """I4: a provider that reports none is not free."""
    for stream in (False, True):
        answer = gateway.chat("fake/m", x_mock="ev=12;nousage", stream=stream)
        event = gateway.wait_usage(answer.headers["x-request-id"], seconds=2)[0]
        assert event["estimated"] is True
        assert event["input_tokens"] > 0 and event["output_tokens"] > 0
        assert decimal.Decimal(event["cost_usd"]) > 0


def test_a_price_change_does_not_touch_the_past(gateway, fake):
    gateway.apply(fake.provider("changing"))
    first = gateway.chat("changing/m", x_mock="usage=10/10").headers["x-request-id"]
    before = gateway.wait_usage(first, seconds=2)[0]
    gateway.apply({"prices": [{"provider": "changing", "model": "*", "input_per_mtok_usd": "100",
                               "output_per_mtok_usd": "100"}]})
    second = gateway.chat("changing/m", x_mock="usage=10/10").headers["x-request-id"]
    after = gateway.wait_usage(second, seconds=2)[0]
    assert gateway.wait_usage(first)[0] == before
    assert after["price_version"] != before["price_version"]
    assert decimal.Decimal(after["cost_usd"]) == decimal.Decimal("0.002")


def test_the_ledger_balances(gateway):
    """I2: every transaction sums to zero, and the accounts together too."""
    request_id = gateway.chat("fake/m").headers["x-request-id"]
    gateway.wait_usage(request_id)
    accounts = gateway.cli_json("ledger")["data"]
    assert accounts
    assert sum(decimal.Decimal(a["balance_usd"]) for a in accounts) == 0


def test_output_to_a_pipe_is_not_narrowed(gateway):
    name = "fake/" + "n" * 90
    gateway.wait_usage(gateway.chat(name).headers["x-request-id"])
    assert name in gateway.cli("usage", environment={"COLUMNS": ""})


def test_idle_is_no_old_news(fresh_gateway, fake):
    """Whoever sees an answer's end and then neither a request nor a record waiting finds the record in the ledger: gauges that
    are a second old would say so too early."""
    gateway = fresh_gateway(workers=2)
    gateway.apply(fake.provider())
    for sent in range(1, 31):
        assert gateway.chat("fake/m").status_code == 200
        gateway.wait_idle()
        assert gateway.sql("SELECT count(*) FROM usage_events") == [[str(sent)]]
