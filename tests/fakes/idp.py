#!/usr/bin/env python3
"""Canaille, an identity provider as people run it, with a few accounts, in memory, on loopback.

    idp.py --redirect URI    prints "listening PORT" and serves until it is ended

Accounts: ada in the groups platform and everybody, bob in everybody, eve in none; the password of each is PASSWORD.
"""

import argparse
import datetime
import secrets
import socket
import threading

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from canaille.oidc.jose import make_default_rsa_jwk
from werkzeug.serving import make_server

PASSWORD = "correct horse battery staple"
CLIENT_ID, CLIENT_SECRET = "headgate-test", "s3cret/with+odd=characters%&"
ACCOUNTS = {"ada": ["platform", "everybody"], "bob": ["everybody"], "eve": []}


def settings(port):
    return {
        "SECRET_KEY": secrets.token_hex(16),
        "SERVER_NAME": f"127.0.0.1:{port}",
        "PREFERRED_URL_SCHEME": "http",
        "CANAILLE": {"DATABASE": "memory", "JAVASCRIPT": False, "SMTP": None, "CAPTCHA_ENABLED": False,
                     "ENABLE_PASSWORD_COMPROMISSION_CHECK": False},
        "CANAILLE_OIDC": {"ACTIVE_JWKS": [make_default_rsa_jwk().as_dict(private=True)], "TRUSTED_DOMAINS": ["127.0.0.1"]},
    }


def fill(app, redirect):
    now = datetime.datetime.now(datetime.timezone.utc)
    with app.app_context():
        backend = Backend.instance
        people = {}
        for name in ACCOUNTS:
            people[name] = models.User(user_name=name, formatted_name=name.title(), family_name=name.title(), display_name=name,
                                       emails=[f"{name}@example.com"], password=PASSWORD)
            backend.save(people[name])
        for group in sorted({g for groups in ACCOUNTS.values() for g in groups}):
            backend.save(models.Group(display_name=group, members=[people[n] for n, g in ACCOUNTS.items() if group in g]))
        client = models.Client(
            client_id=CLIENT_ID, client_secret=CLIENT_SECRET, client_id_issued_at=now, client_name="Headgate",
            client_uri="http://127.0.0.1", redirect_uris=[redirect], scope=["openid", "profile", "email", "groups"],
            grant_types=["authorization_code"], response_types=["code"], token_endpoint_auth_method="client_secret_basic",
            id_token_signed_response_alg="RS256")
        backend.save(client)
        client.audience = [client]
        backend.save(client)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--redirect", required=True)
    args = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = create_app(settings(port))
    fill(app, args.redirect)
    server = make_server("127.0.0.1", port, app, threaded=True, fd=listening.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("listening", port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
