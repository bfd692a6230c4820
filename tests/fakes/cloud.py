"""Clouds, as far as a gateway sees them: OAuth token endpoints of Google and Microsoft Entra, and models behind their
tokens or behind AWS's signatures, which are worked out here anew. Python standard library only, and the openssl program.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.parse

ACCESS_KEY, SECRET_KEY, SESSION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session//token+=="
ENTRA_SECRET = "s3cr~t &+"
BEDROCK = {"output": {"message": {"role": "assistant", "content": [{"text": "signed"}]}}, "stopReason": "end_turn",
           "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}}
GEMINI = {"candidates": [{"content": {"role": "model", "parts": [{"text": "granted"}]}, "finishReason": "STOP"}],
          "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}}
CHAT = {"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "entered"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


def signature(request, body, region):
    """The Authorization that AWS expects of this request (documentation of Signature Version 4)."""
    fields = {name.lower(): value for name, value in request.headers.items()}
    scope = f"{fields['x-amz-date'][:8]}/{region}/bedrock/aws4_request"
    given = fields["authorization"]
    signed = given.split("SignedHeaders=")[1].split(",")[0].split(";")
    path = "/".join(urllib.parse.quote(part, safe="-_.~") for part in request.path.split("?")[0].split("/"))
    canonical = "\n".join([request.command, path, "", *(f"{name}:{fields[name]}" for name in signed), "",
                           ";".join(signed), hashlib.sha256(body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", fields["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + SECRET_KEY.encode()
    for step in [*scope.split("/"), text]:
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={';'.join(signed)}, Signature={key.hex()}"


class Cloud:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="hgcloud-", dir="/tmp")
        self.private, self.public = (os.path.join(self.folder.name, name) for name in ("key.pem", "public.pem"))
        for command in (["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.private],
                        ["pkey", "-in", self.private, "-pubout", "-out", self.public]):
            subprocess.run(["openssl", *command], check=True, capture_output=True)
        self.lock = threading.Lock()
        self.grants, self.problems = 0, []
        self.refuse, self.life, self.delay = None, 3600, 0.0
        self.token = "ya29.first"
        cloud = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                try:
                    status, answer, fields = cloud.answer(self, body)
                except Exception as e:  # noqa: BLE001: told to the test
                    cloud.problems.append(f"{type(e).__name__}: {e}")
                    status, answer, fields = 500, {"message": "the fake cloud is at a loss"}, {}
                data = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"content-type": "application/json", "content-length": str(len(data)), **fields}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def service_account(self):
        with open(self.private, encoding="ascii") as file:
            return json.dumps({"type": "service_account", "project_id": "p1", "private_key_id": "k1",
                               "private_key": file.read(), "client_email": "gateway@p1.example",
                               "token_uri": self.url + "/google/token"})

    def entra(self):
        return json.dumps({"tenant_id": "t1", "client_id": "app", "client_secret": ENTRA_SECRET,
                           "authority": self.url + "/entra"})

    def answer(self, request, body):
        if request.path == "/google/token":
            return self.grant(self.check_assertion, body)
        if request.path == "/entra/t1/oauth2/v2.0/token":
            return self.grant(self.check_client, body)
        if request.path.startswith("/aws/"):
            return self.check_signature(request, body)
        if request.headers["authorization"] != f"Bearer {self.token}":
            return 401, {"error": {"message": "that token does not serve", "code": 401}}, {}
        return 200, CHAT if "/openai/" in request.path else GEMINI, {}

    def grant(self, check, body):
        with self.lock:
            self.grants += 1
        time.sleep(self.delay)
        if self.refuse:
            return self.refuse, {"error": "invalid_client", "error_description": "LEAK"}, {}
        check({name: values[0] for name, values in urllib.parse.parse_qs(body.decode(), strict_parsing=True).items()})
        return 200, {"access_token": self.token, "expires_in": self.life, "token_type": "Bearer"}, {}

    def check_client(self, form):
        assert form == {"client_id": "app", "client_secret": ENTRA_SECRET, "grant_type": "client_credentials",
                        "scope": "https://cognitiveservices.azure.com/.default"}, sorted(form)

    def check_assertion(self, form):
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        text, _, mark = form["assertion"].rpartition(".")
        head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in text.split("."))
        assert head == {"alg": "RS256", "typ": "JWT", "kid": "k1"}, head
        assert claims["iss"] == "gateway@p1.example" and claims["aud"] == self.url + "/google/token", claims
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform" and claims["exp"] - claims["iat"] == 3600
        assert abs(claims["iat"] - time.time()) < 60, claims
        with tempfile.NamedTemporaryFile(dir=self.folder.name) as file:
            file.write(base64.urlsafe_b64decode(mark + "=="))
            file.flush()
            subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.public, "-signature", file.name],
                           input=text.encode(), check=True, capture_output=True)

    def check_signature(self, request, body):
        want, got = signature(request, body, "eu-west-1"), request.headers["authorization"]
        if want != got:
            self.problems.append(f"signed {got}, want {want}")
            return 403, {"message": "The request signature we calculated does not match"}, {
                "x-amzn-errortype": "InvalidSignatureException:http://internal.example/"}
        if request.headers["x-amz-security-token"] != SESSION or "x-amz-security-token" not in want:
            self.problems.append("the session's token is not there, or not signed")
        return 200, BEDROCK, {}
