"""Alerts of budgets' thresholds, with real receivers: each crossing once to each channel, again until it is taken,
also across kills; and nothing of a secret on the way."""

import email
import email.policy
import ipaddress
import json
import os
import pathlib
import signal
import socket
import tempfile

import httpx
import pytest
import standardwebhooks

import alerted
import harness
from harness import FakeProvider, until

SECRET = "whsec_" + "bXktc2lnbmluZy1rZXktb2YtMzItYnl0ZXMtb3Itc28="


@pytest.fixture(scope="module")
def stand():
    """A gateway whose control plane trusts the mail servers' certificate, a provider, receivers."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hga-", dir="/tmp"))
    os.chmod(folder, 0o755)
    certs = alerted.certificate(folder)
    os.chmod(certs[0], 0o644)
    gateway = harness.Gateway(workers=1, environment={"SSL_CERT_FILE": str(certs[0])})
    gateway.fake, gateway.receiver = FakeProvider(), alerted.Receiver()
    gateway.mail = alerted.MailServer(certs)
    gateway.mail_implicit = alerted.MailServer(certs, implicit=True)
    gateway.certs = certs
    try:
        gateway.up()
        gateway.apply(gateway.fake.provider())
        yield gateway
    finally:
        gateway.close()
        for one in (gateway.fake, gateway.receiver, gateway.mail, gateway.mail_implicit):
            one.close()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def webhook(gateway, name, path, **more):
    return {"name": name, "kind": "webhook", "url": gateway.receiver.url + path, "credential": SECRET,
            "allow_private": True, **more}


def fresh(gateway, name, alerts, limit="1.00", **more):
    """A budget of a key of its own, told to these alerts; gives the key."""
    applied = gateway.apply({"keys": [{"name": name, "team": "default"}],
                             "budgets": [{"name": name, "key": name, "limit_usd": limit, "period": "month", **more}],
                             "alerts": [{**a, "budgets": [name]} for a in alerts]})
    return next(k["key"] for k in applied["keys"] if k["name"] == name)


def spend(gateway, key, usd, **members):
    """One request that costs so many dollars (a token of output: 10 micros)."""
    tokens = round(float(usd) * 100000)

    def served():
        answer = gateway.chat("fake/m", key=key, max_tokens=tokens, x_mock=f"usage=0/{tokens}", **members)
        assert answer.status_code in (200, 503), answer.text  # 503: a new leader of leases begins
        return answer.status_code == 200
    until(served, 20, "a request that is served")


def deliveries(gateway, **filters):
    answer = gateway.admin("GET", "/alert-deliveries", params=filters)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def settled(gateway, budget, count, seconds=20):
    """The deliveries of a budget once there are so many and none is pending."""
    def done():
        rows = deliveries(gateway, budget=budget)
        assert len(rows) == count and all(r["state"] != "pending" for r in rows), rows
        return rows
    return until(done, seconds, f"{count} deliveries of {budget}")


def verified(got):
    """The body of a webhook whose signature Standard Webhooks' own library accepts."""
    body = standardwebhooks.Webhook(SECRET).verify(got.body, {k.lower(): v for k, v in got.headers.items()})
    assert body["id"] == {k.lower(): v for k, v in got.headers.items()}["webhook-id"]
    return body


def test_each_threshold_once(stand):
    """Crossed one after the other and together, while more is spent: one signed message each."""
    key = fresh(stand, "once", [webhook(stand, "once", "once"), webhook(stand, "also", "also")])
    spend(stand, key, "0.49")
    spend(stand, key, "0.02")
    settled(stand, "once", 2)
    spend(stand, key, "0.01")
    spend(stand, key, "0.45")  # 80 and 95 at once
    rows = settled(stand, "once", 6)
    assert {(r["alert"], r["percent"]) for r in rows} == {(a, p) for a in ("once", "also") for p in (50, 80, 95)}
    assert all(r["state"] == "sent" and r["attempts"] == 1 and r["last_error"] is None and r["ended_at"] for r in rows)
    bodies = [verified(g) for g in stand.receiver.at("/once")]
    assert [b["data"]["percent"] for b in bodies] == [50, 80, 95]
    assert {b["id"] for b in bodies} == {r["id"] for r in rows if r["alert"] == "once"}
    first = bodies[0]
    assert (first["type"], first["alert"]) == ("budget.threshold", "once")
    assert first["data"] == {**first["data"], "budget": "once", "percent": 50, "spent": "0.51", "limit": "1.00",
                             "unit": "usd", "period": "month", "subject": "", "per": None}
    assert first["data"]["period_start"] < first["timestamp"] < first["data"]["period_end"]
    assert len(stand.receiver.at("/also")) == 3
    with pytest.raises(standardwebhooks.WebhookVerificationError):  # it is the body that is signed
        got = stand.receiver.at("/once")[0]
        verified(got._replace(body=got.body.replace(b"0.51", b"0.01")))


def test_a_restart_in_between_changes_nothing(stand):
    """What was sent is not sent again by the next control plane, what was not is."""
    key = fresh(stand, "restart", [webhook(stand, "restart", "restart")], thresholds=[10, 20])
    spend(stand, key, "0.11")
    settled(stand, "restart", 1)
    stand.kill("controlplane")
    until(lambda: stand.run("status").returncode == 0, 20, "the control plane")
    spend(stand, key, "0.10")
    settled(stand, "restart", 2)
    assert [verified(g)["data"]["percent"] for g in stand.receiver.at("/restart")] == [10, 20]


def test_each_subject_has_its_own(stand):
    """A budget with `per`: each subject's crossings, with a name that a client chose in it."""
    key = fresh(stand, "subjects", [webhook(stand, "subjects", "subjects")], per="end_user", thresholds=[50])
    chosen = "eve <!channel>\u2028\u00e4\"}"
    spend(stand, key, "0.60", user="ada")
    spend(stand, key, "0.60", user=chosen)
    spend(stand, key, "0.20", user="ada")
    rows = settled(stand, "subjects", 2)
    assert {r["subject"] for r in rows} == {"ada", chosen}
    assert {verified(g)["data"]["subject"] for g in stand.receiver.at("/subjects")} == {"ada", chosen}


def test_again_until_it_is_taken(stand):
    """Refused, broken, redirected: tried again with the same id and a new signature; then taken."""
    stand.receiver.answers = [500, 302, 403]
    key = fresh(stand, "again", [webhook(stand, "again", "again")], thresholds=[50])
    spend(stand, key, "0.60")
    row = settled(stand, "again", 1, 40)[0]
    assert (row["state"], row["attempts"], row["last_error"]) == ("sent", 4, None)
    got = stand.receiver.at("/again")
    assert len(got) == 4 and len({verified(g)["id"] for g in got}) == 1
    assert not stand.receiver.at("/elsewhere")  # no redirect is followed
    gaps = [(b.at - a.at).total_seconds() for a, b in zip(got, got[1:])]
    assert gaps[0] >= 0.9 and gaps[1] >= 1.9 and gaps[2] >= 3.9, gaps
    log = stand.log("controlplane")
    assert '"why":"the webhook: status 500"' in log and '"why":"the webhook: status 302"' in log
    assert SECRET[6:] not in log
    text = httpx.get(stand.admin_url + "/metrics").text
    values = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if not line.startswith("#")}
    assert values["headgate_control_alerts_sent_total"] >= 1
    assert values["headgate_control_alert_failures_total"] >= 3
    assert values["headgate_control_alerts_pending"] == 0


def test_killed_while_it_waits_for_the_answer(stand):
    """kill -9 between sending and the answer: sent again, with the same id, and once only in the end."""
    key = fresh(stand, "killed", [webhook(stand, "killed", "killed")], thresholds=[50])
    stand.receiver.gate.clear()
    try:
        spend(stand, key, "0.60")
        until(lambda: stand.receiver.at("/killed"), 20, "the first attempt")
        stand.kill("controlplane", signal.SIGKILL)
    finally:
        stand.receiver.gate.set()
    until(lambda: stand.run("status").returncode == 0, 20, "the control plane")
    assert deliveries(stand, budget="killed")[0]["state"] == "pending"
    # Nobody is waited for that long in a test: as if the minute of the dead one's claim were over.
    stand.sql("UPDATE alert_deliveries SET claimed_at = now() - interval '1 hour' WHERE claimed_at IS NOT NULL")
    row = settled(stand, "killed", 1)[0]
    assert (row["state"], row["attempts"]) == ("sent", 2)
    assert len({verified(g)["id"] for g in stand.receiver.at("/killed")}) == 1
    assert len(stand.receiver.at("/killed")) == 2


def test_slack(stand):
    """The URL is the secret: sealed, shown nowhere; the message has Slack's shape."""
    url = stand.receiver.url + "services/T0/B0/" + harness.marker()
    key = fresh(stand, "slack", [{"name": "slack", "kind": "slack", "credential": url, "allow_private": True}],
                thresholds=[50], per="end_user")
    spend(stand, key, "0.60", user="<!channel> & <http://x|y>")
    settled(stand, "slack", 1)
    got = next(g for g in stand.receiver.got if g.path.startswith("/services/"))
    body = json.loads(got.body)
    assert set(body) == {"text", "blocks"}
    assert body["text"] == ("Headgate: budget 'slack' has reached 50 % for end_user "
                            "'&lt;!channel&gt; &amp; &lt;http://x|y&gt;'")
    assert [b["type"] for b in body["blocks"]] == ["header", "section", "context"]
    assert "<" not in json.dumps(body["blocks"][1:])
    secret = url.rsplit("/", 1)[1]
    shown = stand.admin("GET", "/alerts/slack").json()["credential"]
    assert shown.startswith("sealed:")
    for text in (stand.cli("export"), stand.cli("alert", "list"), stand.log("controlplane"), stand.dump(),
                 stand.admin("GET", "/audit?limit=1000").text, stand.admin("GET", "/alert-deliveries").text):
        assert secret not in text


def mail_alert(gateway, name, server, password="a password", **smtp):
    return {"name": name, "kind": "email", "from": "headgate@corp.example", "to": ["ada@x.example", "lin@x.example"],
            "smtp": {"host": "127.0.0.1", "port": server.port, "user": "alerts", **smtp}, "credential": password,
            "allow_private": True}


def test_mail(stand):
    """By STARTTLS and a password; refused once, then taken; a name that a client chose makes no header."""
    stand.mail.refusals.append("451 not now")
    key = fresh(stand, "mail", [mail_alert(stand, "mail", stand.mail),
                                mail_alert(stand, "mails", stand.mail_implicit, tls="implicit")],
                thresholds=[50], per="end_user")
    spend(stand, key, "0.60", user="\u00e4\r\nBcc: evil@x.example\r\n\r\n.\r\n")
    rows = settled(stand, "mail", 2)
    assert {(r["alert"], r["state"], r["attempts"]) for r in rows} == {("mail", "sent", 2), ("mails", "sent", 1)}
    for server, alert in ((stand.mail, "mail"), (stand.mail_implicit, "mails")):
        (encrypted, authenticated, envelope), = server.got
        assert encrypted and authenticated
        assert envelope.mail_from == "headgate@corp.example" and envelope.rcpt_tos == ["ada@x.example", "lin@x.example"]
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert message["subject"] == "Headgate: budget 'mail' has reached 50 % for end_user '\u00e4??Bcc: evil@x.example????.??'"
        assert message["bcc"] is None and not message.defects
        row = next(r for r in rows if r["alert"] == alert)
        assert message["x-headgate-alert-id"] == row["id"] and message["message-id"] == f"<{row['id']}@corp.example>"
        text = message.get_content()
        assert "Spent    0.60 USD" in text and "Limit    1.00 USD" in text and row["id"] in text
    assert "451" in stand.log("controlplane") and "a password" not in stand.log("controlplane")


def test_refused_receivers(stand):
    """Who is refused keeps nobody else from the message, and nobody gets it twice for that."""
    server = stand.mail
    to = ["ada@x.example", "gone@x.example", "busy@x.example", "full@x.example"]
    server.unwanted.update({"gone@x.example": ["550 no such user here"],
                            "busy@x.example": ["451-not now\r\n451 later", "250 OK"],
                            "full@x.example": ["452 full", "552 for good"]})
    del server.got[:]
    try:
        key = fresh(stand, "several", [{**mail_alert(stand, "several", server), "to": to}], thresholds=[50])
        spend(stand, key, "0.60")
        row = settled(stand, "several", 1)[0]
        assert [envelope.rcpt_tos for *_, envelope in server.got] == [["ada@x.example"], ["busy@x.example"]]
        assert (row["state"], row["attempts"]) == ("sent", 2)
        assert row["last_error"] == "the mail server refused gone@x.example (550), full@x.example (552)"
        log = stand.log("controlplane")
        assert '"alert.refused"' in log and "gone@x.example (550)" in log
        assert "busy@x.example not taken (status 451), 2 of 4 to be asked again" in log
        # A server that takes nobody is asked again about all: it may be the one that is wrong.
        server.unwanted["ada@x.example"] = ["554 relay denied", "250 OK"]
        key = fresh(stand, "relay", [{**mail_alert(stand, "relay", server), "to": to[:2]}], thresholds=[50])
        spend(stand, key, "0.60")
        row = settled(stand, "relay", 1)[0]
        assert (row["state"], row["attempts"]) == ("sent", 2)
        assert row["last_error"] == "the mail server refused gone@x.example (550)"
        assert [envelope.rcpt_tos for *_, envelope in server.got[2:]] == [["ada@x.example"]]
    finally:
        server.unwanted.clear()


def test_a_test_message(stand):
    """`headgate alert test` says how it went; it is tried once, and is no crossing."""
    other = pathlib.Path(tempfile.mkdtemp(prefix="hgb-", dir="/tmp"))
    stranger, bare = alerted.MailServer(alerted.certificate(other)), alerted.MailServer(None)
    try:
        alerts = [webhook(stand, "tested", "tested"), mail_alert(stand, "wrong", stand.mail, "wrong password"),
                  mail_alert(stand, "stranger", stranger), mail_alert(stand, "bare", bare),
                  {**mail_alert(stand, "lost", stand.mail), "smtp": {"host": "nowhere.invalid", "user": "alerts"}}]
        applied = stand.apply({"budgets": [{"name": "idle", "limit_tokens": 1000000, "period": "day"}],
                               "alerts": [{**a, "budgets": ["idle"]} for a in alerts]})
        assert not applied["warnings"]
        assert "the test message was taken" in stand.cli("alert", "test", "tested")
        body = verified(stand.receiver.at("/tested")[0])
        assert body["type"] == "alert.test"
        for name, why in (("wrong", "535"), ("stranger", "certificate"), ("bare", "SSL"), ("lost", "resolve")):
            done = stand.run("alert", "test", name)
            assert done.returncode == 1 and why in done.stderr, (name, done.stderr)
        assert ("alerts", "wrong password") in stand.mail.passwords
        for server in (stranger, bare):  # nothing is told to who cannot prove its name, or has no TLS
            assert not server.passwords and not server.got
        row = deliveries(stand, alert="wrong")[0]
        assert (row["state"], row["attempts"], row["type"], row["budget"]) == ("failed", 1, "alert.test", None)
        assert stand.run("alert", "test", "nobody").returncode == 1
        table = stand.cli("alert", "deliveries", "--alert", "wrong")
        assert "failed" in table and "535" in table and "STATE" in table
        audit = stand.admin("GET", "/audit", params={"action": "alert.test"}).json()["data"]
        assert audit[0]["object"].startswith("alerts/")
    finally:
        stranger.close()
        bare.close()
        for path in other.iterdir():
            path.unlink()
        other.rmdir()


def test_the_list_pages_and_filters(stand):
    key = fresh(stand, "pages", [webhook(stand, "pages", "pages")], thresholds=[1, 2, 3, 4, 5])
    spend(stand, key, "0.06")
    settled(stand, "pages", 5)
    seen, cursor = [], None
    while True:
        params = {"alert": "pages", "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = stand.admin("GET", "/alert-deliveries", params=params).json()
        seen += [r["percent"] for r in page["data"]]
        cursor = page["next"]
        if not cursor:
            break
    assert sorted(seen) == [1, 2, 3, 4, 5]
    assert len(deliveries(stand, alert="pages", state="sent")) == 5 and not deliveries(stand, alert="pages", state="failed")
    for wrong in ({"state": "lost"}, {"id": "x"}, {"cursor": "AAAA"}):
        assert stand.admin("GET", "/alert-deliveries", params=wrong).status_code == 400


def test_what_is_refused_and_warned_about(stand):
    """Unknown names by path, private addresses, a literal that is none; and an alert that nothing is of."""
    def apply(**members):
        answer = stand.admin("POST", "/config/apply", json={"dry_run": True, "document": {"alerts": [{**webhook(stand, "x", "x"), **members}]}})
        return answer.status_code, answer.json()
    status, problem = apply(budgets=["nobodys"])
    assert status == 400 and problem["path"] == "alerts[0].budgets[0]" and "there is no budget 'nobodys'" in problem["detail"]
    status, problem = apply(teams=["defalt"])
    assert status == 400 and problem["path"] == "alerts[0].teams[0]" and "did you mean 'default'" in problem["detail"]
    status, problem = apply(allow_private=False)
    assert status == 400 and problem["path"] == "alerts[0].url"
    status, problem = apply(credential="env:NOT_SET_ANYWHERE")
    assert status == 400 and problem["path"] == "alerts[0].credential"
    stand.apply({"teams": [{"name": "idle"}]})
    status, applied = apply(teams=["idle"])
    assert status == 200 and applied["warnings"] == [
        "alerts[0]: no budget is of alert 'x': it tells nothing until there is one"]
    fresh(stand, "used", [webhook(stand, "used", "used")])
    in_use = stand.admin("DELETE", "/budgets/used", headers={"if-match": "*"})
    assert in_use.status_code == 409 and "alert 'used'" in in_use.json()["detail"]


def test_f175_a_private_address_is_seen_after_the_name(stand):
    """A name passes the form; the address that it resolves to does not pass the guard, and nobody hears anything."""
    heard = len(stand.receiver.got), len(stand.mail.passwords)
    name = socket.gethostname()
    if not all(ipaddress.ip_address(a[4][0]).is_private for a in socket.getaddrinfo(name, 1)):
        pytest.skip("this machine's name is not of a private address")
    port = int(stand.receiver.url.rstrip("/").rsplit(":", 1)[1])
    stand.apply({"budgets": [{"name": "idle", "limit_tokens": 1000000, "period": "day"}],
                 "alerts": [{"name": "web", "kind": "webhook", "url": f"https://{name}:{port}/", "credential": SECRET, "budgets": ["idle"]},
                            {"name": "post", "kind": "email", "from": "a@b", "to": ["c@d"], "budgets": ["idle"],
                             "smtp": {"host": name, "port": stand.mail.port}}]})
    for alert, why in (("web", "the webhook: denied"), ("post", "the mail server: a private address")):
        done = stand.run("alert", "test", alert)
        assert done.returncode == 1 and why in done.stderr, done.stderr
    assert heard == (len(stand.receiver.got), len(stand.mail.passwords))


def test_the_sealing_key_is_another_one(stand):
    """A credential that was sealed under the key before is one under the new key, and the same."""
    stand.apply({"budgets": [{"name": "idle", "limit_tokens": 1000000, "period": "day"}],
                 "alerts": [webhook(stand, "resealed", "resealed", budgets=["idle"])]})
    before = stand.sql("SELECT body #>> '{credential,sealed}' FROM config_items WHERE kind = 'alerts' AND name = 'resealed'")
    stand.cli("secrets", "rotate-key", timeout=120)
    until(lambda: stand.sql("SELECT body #>> '{credential,sealed}' FROM config_items WHERE kind = 'alerts' AND name = 'resealed'")
          != before, 30, "the sealing anew")
    stand.cli("alert", "test", "resealed")
    assert verified(stand.receiver.at("/resealed")[0])["type"] == "alert.test"
