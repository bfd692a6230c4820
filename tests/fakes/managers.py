"""Secret managers, as far as a control plane asks them: Vault's key/value engine with AppRole and Kubernetes logins,
Google Secret Manager and Azure Key Vault behind the tokens of cloud.py. Strict: what a real one would refuse is refused,
and what should not have been sent is a problem that the test sees. Python standard library only.
"""

import base64
import json
import secrets
import threading

from cloud import Cloud

AZURE_SECRET = "az~s3cret &+"
ROLE_ID, SECRET_ID = "role-1", "secret-id-1"


class Managers(Cloud):
    """`secrets`: Google's path or Azure's name to value; `vault`: path to fields; `tokens`: Vault's, alive."""

    def __init__(self):
        super().__init__()
        self.secrets, self.vault, self.tokens, self.away = {}, {}, {}, False
        self.vault_version, self.lease, self.logins, self.renewals, self.asked = 2, 3600, 0, 0, []
        self.guard = threading.Lock()
        self.k8s_jwt, self.answer_bytes = None, 0

        class Handler(self.server.RequestHandlerClass):
            do_GET = lambda request: request.do_POST()  # noqa: E731

        inner = Handler.__mro__[1].do_POST

        def do_post(request):
            if request.headers["content-length"] is None:
                request.headers["content-length"] = "0"
            inner(request)
        Handler.do_POST = do_post
        self.server.RequestHandlerClass = Handler

    def check_client(self, form):
        assert form == {"client_id": "app", "client_secret": AZURE_SECRET, "grant_type": "client_credentials",
                        "scope": "https://vault.azure.net/.default"}, sorted(form)

    def answer(self, request, body):
        path = request.path
        with self.guard:
            self.asked.append(path)
        if self.away:
            return 503, {"errors": ["sealed " + "LEAK"]}, {}
        if path.startswith("/vault/"):
            return self.ask_vault(request, path.removeprefix("/vault/v1/"), body)
        if path.startswith(("/google/token", "/entra/")):
            return super().answer(request, body)
        if request.command != "GET" or request.headers["authorization"] != f"Bearer {self.token}":
            return 401, {"error": {"code": 401, "message": "LEAK"}}, {}
        if path.startswith("/gcp/v1/") and path.endswith(":access"):
            value = self.secrets.get(path.removeprefix("/gcp/v1/").removesuffix(":access"))
            data = {"payload": {"data": base64.b64encode((value or "").encode()).decode()}}
            if self.answer_bytes:  # the whole answer has so many
                data["pad"] = ""
                data["pad"] = "x" * (self.answer_bytes - len(json.dumps(data)))
            return (200, data, {}) if value else (404, {"error": {"code": 404}}, {})
        if path.startswith("/azure/secrets/"):
            name, _, query = path.removeprefix("/azure/secrets/").partition("?")
            if query != "api-version=7.4":
                return 400, {"error": {"code": "BadParameter"}}, {}
            return (200, {"value": self.secrets[name], "id": "x"}, {}) if name in self.secrets else (404, {}, {})
        return 404, {}, {}

    # --- Vault

    def login(self, policies):
        with self.guard:
            self.logins += 1
            token = "hvs." + secrets.token_hex(12)
            self.tokens[token] = True
        return 200, {"auth": {"client_token": token, "lease_duration": self.lease, "renewable": True,
                              "policies": policies}}, {}

    def ask_vault(self, request, path, body):
        if request.headers["x-vault-request"] != "true" or request.headers["x-vault-namespace"] != "team-a":
            self.problems.append("a request to Vault without its marks")
            return 400, {"errors": []}, {}
        denied = 403, {"errors": ["permission denied LEAK"]}, {}
        if path == "auth/approle/login" and request.command == "POST":
            return self.login(["llm"]) if json.loads(body) == {"role_id": ROLE_ID, "secret_id": SECRET_ID} else denied
        if path == "auth/kubernetes/login" and request.command == "POST":
            return self.login(["llm"]) if json.loads(body) == {"role": "gateway", "jwt": self.k8s_jwt} else denied
        token = request.headers["x-vault-token"]
        if token not in self.tokens:
            return denied
        if path == "auth/token/lookup-self":
            return 200, {"data": {"ttl": self.lease, "renewable": True}}, {}
        if path == "auth/token/renew-self" and request.command == "POST":
            self.renewals += 1
            return 200, {"auth": {"client_token": token, "lease_duration": self.lease, "renewable": True}}, {}
        if request.command != "GET":
            return 405, {}, {}
        if path.startswith("sys/internal/ui/mounts/secret/"):
            return 200, {"data": {"path": "secret/", "options": {"version": str(self.vault_version)}}}, {}
        prefix = "secret/data/" if self.vault_version == 2 else "secret/"
        fields = self.vault.get(path.removeprefix(prefix)) if path.startswith(prefix) else None
        if fields is None:
            return 404, {"errors": []}, {}
        return 200, {"data": {"data": fields, "metadata": {"version": 1}} if self.vault_version == 2 else fields}, {}
