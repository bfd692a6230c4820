"""A provider that answers with recorded exchanges, byte for byte.

A case is chosen by the first segments of the path: /c/N/... is case N, so that each provider of the gateway's
configuration is one recording. What came in is kept, to be compared with what was recorded. `piece` says into
how many bytes an answer is cut; the pieces leave one by one.
"""

import asyncio
import json
import pathlib
import threading


class Case:
    """One recorded exchange: INDEX.json's row and the files beside it."""

    def __init__(self, number, root, row):
        folder = root / row["path"]
        self.number, self.row, self.path = number, row, row["path"]
        self.request = json.loads((folder / "request.meta.json").read_text())
        self.response = json.loads((folder / "response.meta.json").read_text())
        body = self.response.get("body_file") or row["response_file"]
        self.body = (folder / body).read_bytes() if body else b""
        asked = folder / "request.json"
        self.asked = json.loads(asked.read_text()) if asked.exists() else None
        expect = folder / "expect.json"
        self.expect = json.loads(expect.read_text()) if expect.exists() else None

    @property
    def is_stream(self):
        return bool(self.row["stream"])


def load(root):
    root = pathlib.Path(root)
    return [Case(n, root, row) for n, row in enumerate(json.loads((root / "INDEX.json").read_text()))]


# Those that say how a message is framed are this server's own.
FRAMING = {"transfer-encoding", "content-length", "content-encoding", "connection", "keep-alive", "date", "server"}


class Replay:
    def __init__(self, cases):
        self.cases = cases
        self.piece = 0  # 0: whole
        self.seen = {}  # number to (method, target, headers, body)
        self.loop = asyncio.new_event_loop()
        self.server = None
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        assert started.wait(10)
        self.port = self.server.sockets[0].getsockname()[1]

    def _run(self, started):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        started.set()
        self.loop.run_forever()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    async def _serve(self, reader, writer):
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = line.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        case = self.cases[int(target.split("/")[2])]
        self.seen[case.number] = (method, "/" + "/".join(target.split("/")[3:]), headers, body)
        await self._send(case, writer)
        return True

    async def _send(self, case, writer):
        lines = [f"HTTP/1.1 {case.response['status']} Recorded"]
        for name, value in case.response["headers"].items():
            if name.lower() not in FRAMING:
                lines.append(f"{name}: {value}")
        if "content-type" not in (n.lower() for n in case.response["headers"]) and case.response.get("content_type"):
            lines.append(f"content-type: {case.response['content_type']}")
        lines.append("transfer-encoding: chunked" if case.is_stream else f"content-length: {len(case.body)}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        step = self.piece or max(len(case.body), 1)
        for at in range(0, len(case.body), step):
            part = case.body[at:at + step]
            writer.write(b"%x\r\n%s\r\n" % (len(part), part) if case.is_stream else part)
            await writer.drain()
            if self.piece and len(case.body) // step < 4000:
                await asyncio.sleep(0)
        if case.is_stream:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
