"""Price lists: what an import changes, what it refuses, and that the next call is billed by it."""

import json

import pytest

from harness import FakeProvider


@pytest.fixture(scope="module")
def fake():
    made = FakeProvider()
    yield made
    made.close()


@pytest.fixture
def priced(fresh_gateway, fake):
    """A gateway whose provider "oai" is of a kind that the book and the lists know."""
    made = fresh_gateway(workers=1)
    document = fake.provider("oai", kind="openai")
    del document["prices"]
    made.apply(document)
    return made


def row(model, **prices):
    return {"provider": "openai", "model": model, "mode": "chat", **prices}


def write(tmp_path, content):
    path = tmp_path / "list.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def bill(gateway, model, script="ev=2;usage=1000/200"):
    """The usage event of one call."""
    answer = gateway.chat(model, x_mock=script)
    assert answer.status_code == 200, answer.text
    return gateway.wait_usage(answer.headers["x-request-id"])[0]


def revision(gateway):
    return gateway.admin("GET", "/revisions").json()["data"][0]["revision"]


def test_an_import_makes_a_revision_and_the_next_call_is_billed_by_it(priced, tmp_path):
    event = bill(priced, "oai/gpt-4o")
    assert event["price_version"].startswith("builtin-")
    assert event["cost_usd"] == "0.0045"  # 1000 at 2.50, 200 at 10
    before = revision(priced)
    path = write(tmp_path, [row("gpt-4o", input_per_mtok_usd="3", output_per_mtok_usd="12"),
                            row("gpt-new", input_per_mtok_usd="1", output_per_mtok_usd="2"),
                            row("gpt-4o-mini", input_per_mtok_usd="0.15", output_per_mtok_usd="0.6")])
    done = priced.cli_json("prices", "import", path)
    assert (done["added"], done["changed"], done["unchanged"]) == (1, 1, 1)
    assert done["applied"] and done["revision"] == before + 1 == revision(priced)
    note = priced.admin("GET", f"/revisions/{before + 1}").json()
    assert note["note"] == "prices import list.json"
    priced.wait_policy(done["revision"])
    event = bill(priced, "oai/gpt-4o")
    assert event["price_version"] == f"r{before + 1}"
    assert event["cost_usd"] == "0.0054"  # 1000 at 3, 200 at 12
    assert bill(priced, "oai/gpt-new")["cost_usd"] == "0.0014"
    # what the list does not say stays as the book has it
    price = priced.admin("GET", "/prices/oai%2Fgpt-4o").json()
    assert price["cached_input_per_mtok_usd"] == "1.25"
    assert [v["service_tier"] for v in price["variants"]] == ["batch", "priority"]
    again = priced.cli_json("prices", "import", path)
    assert not again["applied"] and again["unchanged"] == 3 and revision(priced) == before + 1


def test_a_list_in_single_tokens(priced, tmp_path):
    path = write(tmp_path, '{"sample_spec":{"litellm_provider":"one of","input_cost_per_token":0},'
                           '"gpt-4o":{"litellm_provider":"openai","mode":"chat","input_cost_per_token":2.6e-06,'
                           '"output_cost_per_token":1.1e-05,"input_cost_per_token_above_200k_tokens":5.2e-06}}')
    done = priced.cli_json("prices", "import", path)
    priced.wait_policy(done["revision"])
    assert bill(priced, "oai/gpt-4o")["cost_usd"] == "0.0048"  # 1000 at 2.60, 200 at 11
    assert bill(priced, "oai/gpt-4o", "ev=2;usage=200001/0")["cost_usd"] == "1.0400052"  # all of it at 5.20


def test_what_is_not_plausible_is_named_and_refused(priced, tmp_path):
    before = revision(priced)
    path = write(tmp_path, [row("gpt-4o", input_per_mtok_usd="25.000001", output_per_mtok_usd="0"),
                            row("gpt-5", input_per_mtok_usd="1.5", output_per_mtok_usd="10")])
    refused = priced.run("prices", "import", path)
    assert refused.returncode == 1 and revision(priced) == before
    assert "input of gpt-4o at oai: 2.50 becomes 25.000001" in refused.stderr
    assert "output of gpt-4o at oai: 10.00 becomes 0.00" in refused.stderr
    assert "2 prices would change more than tenfold" in refused.stderr and "gpt-5" not in refused.stderr
    looked = priced.run("prices", "import", path, "--dry-run")
    assert looked.returncode == 1 and "(not imported)" in looked.stdout and revision(priced) == before
    done = priced.cli_json("prices", "import", path, "--confirm")
    assert done["changed"] == 2 and revision(priced) == before + 1


def test_a_dry_run_changes_nothing(priced, tmp_path):
    before = revision(priced)
    path = write(tmp_path, [row("gpt-4o", input_per_mtok_usd="3", output_per_mtok_usd="12")])
    said = priced.cli("prices", "import", path, "--dry-run")
    assert "2.50" in said and "3.00" in said and "0 new, 1 changed, 0 as they were (not imported)" in said
    assert revision(priced) == before


def test_whose_prices_they_become(priced, fake, tmp_path):
    priced.apply(fake.provider("local"))
    path = write(tmp_path, [row("gpt-x", input_per_mtok_usd="1", output_per_mtok_usd="2")])
    assert priced.run("prices", "import", path, "--provider", "nobody").returncode == 1
    assert priced.run("prices", "import", path, "--from", "openai").returncode == 1
    # a kind that no list knows takes what it is told to
    assert priced.cli_json("prices", "import", path, "--provider", "local")["added"] == 0
    done = priced.cli_json("prices", "import", path, "--provider", "local", "--from", "openai")
    assert [c["provider"] for c in done["changes"]] == ["local", "local"]  # its pattern's price changes
    assert priced.admin("GET", "/prices/local%2Fgpt-x").json()["input_per_mtok_usd"] == "1.00"


def test_broken_lists_are_refused_with_their_place(priced, tmp_path):
    for content, said in (("[{", "byte 2"), ("7", "neither a list of models nor a map"),
                          ('[{"provider":"openai"}]', "byte 1: each element needs a provider and a model")):
        refused = priced.run("prices", "import", write(tmp_path, content))
        assert refused.returncode == 1 and said in refused.stderr
    assert priced.run("prices", "import", str(tmp_path / "none.json")).returncode == 1


def test_the_list_tells_where_each_price_comes_from(priced):
    priced.apply({"prices": [{"provider": "oai", "model": "gpt-4o", "input_per_mtok_usd": 3, "output_per_mtok_usd": 9},
                             {"provider": "oai", "model": "own", "image_usd": "0.04"}]})
    rows = {r["model"]: r for r in priced.cli_json("prices", "list", "--provider", "oai")["data"]}
    assert (rows["gpt-4o"]["source"], rows["gpt-4o"]["input_per_mtok_usd"]) == ("configuration", "3.00")
    assert rows["gpt-4o"]["version"] == f"r{revision(priced)}"
    assert rows["own"]["image_usd"] == "0.04"
    assert (rows["gpt-4o-mini"]["source"], rows["gpt-4o-mini"]["version"][:8]) == ("book", "builtin-")
    few = priced.cli_json("prices", "list", "--model", "gpt-4o*")["data"]
    assert {r["model"] for r in few} == {m for m in rows if m.startswith("gpt-4o")}
    assert priced.run("prices", "list", "--provider", "nobody").returncode == 1


def test_the_book_is_a_list_of_pages(priced):
    seen, cursor = [], None
    while True:
        page = priced.admin("GET", "/pricebook", params={"limit": 50, "kind": "openai",
                                                         **({"cursor": cursor} if cursor else {})}).json()
        seen += [r["model"] for r in page["data"]]
        assert all(r["kind"] == "openai" for r in page["data"]) and len(page["data"]) <= 50
        cursor = page["next"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) > 100 and "gpt-4o" in seen


def test_the_ledger_recomputes_what_was_imported(priced, tmp_path):
    path = write(tmp_path, [row("gpt-4o", input_per_mtok_usd="2.6", output_per_mtok_usd="11", variants=[
        {"input_tokens_over": 1000, "input_per_mtok_usd": "5.2", "output_per_mtok_usd": "16.5"}])])
    done = priced.cli_json("prices", "import", path)
    priced.wait_policy(done["revision"])
    assert bill(priced, "oai/gpt-4o", "ev=2;usage=1000/7")["cost_usd"] == "0.002677"
    assert bill(priced, "oai/gpt-4o", "ev=2;usage=1001/7/300/3")["cost_usd"]
    assert priced.sql("SELECT * FROM usage_cost_differences") == []
