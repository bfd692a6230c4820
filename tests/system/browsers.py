"""Identity providers for the tests of signing in, and a browser that goes through their forms."""

import re
import subprocess
import sys
import urllib.parse

import httpx

import harness

sys.path.insert(0, str(harness.FAKES))
import idp as canaille_facts  # noqa: E402  (its constants; the provider itself runs as a process)


class Canaille:
    """A real identity provider (tests/fakes/idp.py) for one gateway."""

    client_id, client_secret, password = canaille_facts.CLIENT_ID, canaille_facts.CLIENT_SECRET, canaille_facts.PASSWORD

    def __init__(self, gateway):
        self.process = subprocess.Popen(
            [sys.executable, str(harness.FAKES / "idp.py"), "--redirect", gateway.admin_url + "/auth/callback"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=harness.clean_environment())
        line = self.process.stdout.readline()
        assert line.startswith("listening "), "the identity provider did not start"
        self.url = f"http://127.0.0.1:{line.split()[1]}"

    def item(self, name="canaille", **members):
        return {"name": name, "issuer": self.url, "client_id": self.client_id, "credential": self.client_secret,
                "scopes": ["openid", "profile", "email", "groups"], "user_claim": "sub", "allow_private": True, **members}

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


class Browser:
    """Cookies, and no more than a person does: follow, fill in, submit."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.http = httpx.Client(timeout=30, verify=harness.TRUST, follow_redirects=False)
        self.visited = []

    def get(self, url, **more):
        self.visited.append(url)
        return self.http.get(url, **more)

    def admin(self, path, **more):
        return self.get(self.gateway.admin_url + path, **more)

    def follow(self, answer, stop=lambda url: False):
        """Until there is a page, or the next address is one to stop at."""
        for _ in range(20):
            if answer.status_code not in (301, 302, 303, 307) or stop(answer.headers["location"]):
                return answer
            answer = self.get(urllib.parse.urljoin(str(answer.url), answer.headers["location"]))
        raise AssertionError("too many redirects")

    def submit(self, page, **fields):
        """The first form of a page with these fields filled in, and its hidden ones."""
        found = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"', page.text))
        found.update({n: v for n, v in re.findall(r'<input[^>]*name="([^"]*)"[^>]*type="hidden"[^>]*value="([^"]*)"', page.text)})
        return self.http.post(str(page.url), data={**found, **fields})

    def start(self, **query):
        answer = self.admin("/auth/login", params=query)
        assert answer.status_code == 303, answer.text
        return answer

    def to_callback(self, name, password=Canaille.password, **query):
        """Through the provider's forms; the answer that sends the browser back to us."""
        back = lambda url: url.startswith(self.gateway.admin_url + "/auth/callback")  # noqa: E731
        page = self.follow(self.start(**query), back)
        if page.status_code == 200:
            page = self.follow(self.submit(page, login=name), back)
            page = self.follow(self.submit(page, password=password), back)
        return page

    def sign_in(self, name, **query):
        answer = self.to_callback(name, **query)
        assert answer.status_code in (302, 303), answer.text
        return self.get(answer.headers["location"])

    def me(self):
        return self.admin("/api/v1/me")

    @property
    def csrf(self):
        return {"origin": self.gateway.admin_url, "x-csrf-token": self.me().json()["session"]["csrf_token"]}

    def close(self):
        self.http.close()
