"""What a request names by URL: fetched by the gateway only for providers who take bytes alone, through the egress guard,
bounded; never for those who fetch by themselves."""

import base64
import http.server
import json
import threading

import pytest

import harness

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000"
                    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082")
ANSWER = {"candidates": [{"content": {"role": "model", "parts": [{"text": "a pixel"}]}, "finishReason": "STOP", "index": 0}],
          "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}}


class Pages(http.server.BaseHTTPRequestHandler):
    """Pictures by GET; Gemini by POST."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def give(self, status, kind, body, **fields):
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(body)), **fields}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.fetched.append((self.path, dict(self.headers)))
        if self.path.startswith("/redirect"):
            self.give(302, "text/plain", b"", location="/pixel.png")
        elif self.path.startswith("/big"):
            self.give(200, "image/png", b"x" * ((20 << 20) + 1))
        elif self.path.startswith("/gone"):
            self.give(404, "text/plain", b"no")
        else:
            self.give(200, "image/png; q=1", PNG)

    def do_POST(self):
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.give(200, "application/json", json.dumps(ANSWER).encode())


@pytest.fixture(scope="module")
def stand():
    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    pages.fetched, pages.asked = [], []
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{pages.server_address[1]}"
    gateway = harness.Gateway(workers=1)
    try:
        gateway.up()
        common = {"kind": "gemini", "base_url": here + "/v1beta", "credential": "g-key", "allow_private": True}
        gateway.apply({"providers": [{"name": "open", "allow_private_media": True, **common}, {"name": "guarded", **common}],
                       "prices": [{"provider": name, "model": "*", "free": True} for name in ("open", "guarded")]})
        yield gateway, pages, here
    finally:
        gateway.close()
        pages.shutdown()


def ask(gateway, provider, *urls):
    content = [{"type": "text", "text": "What is this?"}] + [{"type": "image_url", "image_url": {"url": u}} for u in urls]
    return gateway.chat(f"{provider}/gemini-2.5-flash", messages=[{"role": "user", "content": content}])


def test_urls_become_bytes(stand):
    gateway, pages, here = stand
    answer = ask(gateway, "open", here + "/pixel.png?a=1", here + "/other.png")
    assert answer.status_code == 200, answer.text
    parts = pages.asked[-1]["contents"][0]["parts"]
    inline = [p["inlineData"] for p in parts if "inlineData" in p]
    assert [i["mimeType"] for i in inline] == ["image/png"] * 2
    assert all(base64.b64decode(i["data"]) == PNG for i in inline)
    # Nothing of the client's or the provider's goes to the host that the client named.
    path, fields = pages.fetched[-2]
    assert path == "/pixel.png?a=1"
    assert not {"authorization", "cookie", "x-goog-api-key"} & {name.lower() for name in fields}


def test_private_addresses_are_refused(stand):
    gateway, pages, here = stand
    seen = len(pages.fetched)
    for url in (here + "/pixel.png", here.replace("127.0.0.1", "localhost") + "/pixel.png",
                here.replace("127.0.0.1", "[::ffff:127.0.0.1]") + "/x", "http://169.254.169.254/latest/meta-data"):
        answer = ask(gateway, "guarded", url)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "media_unavailable"
    assert len(pages.fetched) == seen


@pytest.mark.parametrize("path, reason", [("/redirect", "200"), ("/gone", "200"), ("/big", "20 MiB")])
def test_what_cannot_be_had(stand, path, reason):
    gateway, pages, here = stand
    asked = len(pages.asked)
    answer = ask(gateway, "open", here + path)
    assert answer.status_code == 400 and reason in answer.json()["error"]["message"]
    assert len(pages.asked) == asked


def test_other_schemes_and_too_many(stand):
    gateway, pages, here = stand
    assert ask(gateway, "open", "http://user:pw@example.org/x").status_code == 400
    # Other schemes are not ours to fetch: they are names in the provider's own stores, or it refuses them.
    assert ask(gateway, "open", "file:///etc/passwd").status_code == 200
    assert {"fileUri": "file:///etc/passwd"}.items() <= pages.asked[-1]["contents"][0]["parts"][1]["fileData"].items()
    answer = ask(gateway, "open", *[f"{here}/p{n}.png" for n in range(21)])
    assert answer.status_code == 400 and "20 files" in answer.json()["error"]["message"]


def test_those_who_fetch_by_themselves_get_the_url(stand, gateway, fake):
    """The shared gateway's fake provider speaks OpenAI's dialect."""
    _, pages, here = stand
    seen = len(pages.fetched)
    content = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": here + "/pixel.png"}}]
    answer = gateway.chat("fake/some-model", messages=[{"role": "user", "content": content}])
    assert answer.status_code == 200
    assert len(pages.fetched) == seen
