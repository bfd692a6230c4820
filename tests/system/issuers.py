"""Keys and an OpenID provider that lies when a test wants it to; tokens are real ones, made by PyJWT."""

import base64
import http.server
import json
import threading
import time
import urllib.parse

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

import browsers
from harness import until


def b64(number, size=None):
    return base64.urlsafe_b64encode(number.to_bytes(size or (number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


class Key:
    """A signing key with its JWK."""

    def __init__(self, kid, kind):
        self.kid, self.kind = kid, kind
        if kind == "RS256":
            self.private = rsa.generate_private_key(65537, 2048)
            n = self.private.public_key().public_numbers()
            self.jwk = {"kty": "RSA", "n": b64(n.n), "e": b64(n.e)}
        elif kind == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
            n = self.private.public_key().public_numbers()
            self.jwk = {"kty": "EC", "crv": "P-256", "x": b64(n.x, 32), "y": b64(n.y, 32)}
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(
                self.private.public_key().public_bytes_raw()).rstrip(b"=").decode()}
        self.jwk |= {"kid": kid, "use": "sig", "alg": kind}


class Issuer:
    """An OpenID provider on loopback, as far as a gateway asks it; it says what a test wants."""

    def __init__(self):
        self.keys = [Key("r1", "RS256"), Key("e1", "ES256"), Key("d1", "EdDSA")]
        self.asked, self.down, self.says, self.more = [], False, None, {}
        self.forms, self.answer = [], (500, {}) # of the token endpoint: what came, what it says
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                found = {"/realm/.well-known/openid-configuration":
                         {"issuer": issuer.says or issuer.url, "jwks_uri": issuer.base + "/keys", **issuer.more},
                         "/keys": {"keys": [k.jwk for k in issuer.keys] + [{"kty": "oct", "kid": "x", "k": "AA"}]}}
                body = json.dumps(found.get(self.path, {})).encode()
                self.send_response(503 if issuer.down else 200 if self.path in found else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                issuer.forms.append(({k: v[0] for k, v in form.items()}, self.headers.get("authorization")))
                status, document = issuer.answer
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        self.url = self.base + "/realm"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def token(self, kid="r1", key=None, headers=None, **claims):
        key = key or next(k for k in self.keys if k.kid == kid)
        now = int(time.time())
        whole = {"iss": self.url, "aud": "headgate", "sub": "ada@example.com", "exp": now + 600, "iat": now, **claims}
        whole = {k: v for k, v in whole.items() if v is not None}
        return jwt.encode(whole, key.private, algorithm=key.kind, headers={"kid": kid, **(headers or {})})


class SignInProvider(Issuer):
    """With a token endpoint, and the item that names it."""

    def __init__(self, gateway, name, **members):
        super().__init__()
        self.gateway, self.name = gateway, name
        self.more = {"authorization_endpoint": self.base + "/authorize?tenant=1", "token_endpoint": self.base + "/token"}
        self.item = {"name": name, "issuer": self.url, "client_id": "headgate", "credential": "a secret: 100%", "allow_private": True}
        self.set(**members)

    def set(self, **members):
        self.gateway.apply({"sign_ins": [{**self.item, **members}]})
        self.known()

    def known(self):
        sql = f"SELECT 1 FROM sign_in_providers AS p JOIN config_items AS i ON i.name = p.sign_in AND i.revision = p.revision WHERE i.name = '{self.name}' AND problem = ''"
        until(lambda: self.gateway.sql(sql), 8, "the provider")

    def id_token(self, nonce, /, **more):
        claims = {"aud": "headgate", "nonce": nonce, "sub": "s-1", "email": "ada@example.com", "email_verified": True}
        return self.token(**{**claims, **more})

    def attempt(self, make, browser=None):
        """One sign-in whose token endpoint answers with make(nonce)."""
        browser = browser or browsers.Browser(self.gateway)
        asked = httpx.URL(browser.start(issuer=self.name).headers["location"])
        made = make(asked.params["nonce"])
        self.answer = made if isinstance(made, tuple) else (200, {"access_token": "opaque", "token_type": "Bearer", "id_token": made})
        return asked, browser, browser.admin("/auth/callback", params={"code": "c0de", "state": asked.params["state"]})
