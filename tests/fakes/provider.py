#!/usr/bin/env python3
"""A scriptable OpenAI-compatible provider that can misbehave exactly, with a journal of its own.

  provider.py --listen 127.0.0.1:9000 --journal mp.jsonl [--script "ttfb=20"] [--cert C --key K]

Prints "listening PORT" once it accepts. HTTP/1.1; HTTP/2 (prior knowledge or ALPN) where the Python
package h2 is there. How requests choose their script: script.py. GET /__stats tells counters;
POST /__script with a text body sets the default script; POST /__go lets a held stream go on by one. Python standard library only.
"""

import argparse
import asyncio
import ctypes
import hashlib
import json
import os
import signal
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import answers  # noqa: E402
import script as scripts  # noqa: E402
import wire  # noqa: E402
from journal import Journal  # noqa: E402

MAX_HEAD = 256 * 1024
PREFACE = b"PRI * HTTP/2.0\r\n"


class Request:
    """A request as it came."""

    def __init__(self, method, path, headers, body, serial, version):
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.serial = serial
        self.version = version
        try:
            self.document = json.loads(body) if body else {}
        except ValueError:
            self.document = None

    def credential(self):
        return self.headers.get("authorization") or self.headers.get("x-api-key") or ""

    def facts(self):
        """What a test may want to know of it: the answer of script "echo"."""
        hidden = ("authorization", "x-api-key")
        return {"method": self.method, "path": self.path, "version": self.version,
                "headers": {k: v for k, v in self.headers.items() if k not in hidden},
                "body_sha256": hashlib.sha256(self.body).hexdigest(), "body_bytes": len(self.body),
                "body": self.document}


class Provider:
    """State shared by all connections."""

    def __init__(self, journal, default_script):
        self.journal = journal
        self.default_script = default_script
        self.serial = 0
        self.connections = 0
        self.accepted = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self.uses = {}
        self.go = asyncio.Semaphore(0)

    async def wait_go(self, gone):
        """Until somebody said go, or the client left."""
        waits = [asyncio.ensure_future(self.go.acquire()), asyncio.ensure_future(gone.wait())]
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if gone.is_set():
            raise wire.ClientGone

    def stats(self):
        return {"connections": self.connections, "accepted": self.accepted, "requests": self.serial,
                "in_flight": self.in_flight, "max_in_flight": self.max_in_flight}

    def script_of(self, request):
        script = scripts.find(request.headers, request.document, self.default_script)
        limit = script.int("times", 0)
        if limit:
            used = self.uses[script.text] = self.uses.get(script.text, 0) + 1
            if used > limit:
                return scripts.Script("")
        return script

    def begin(self, request, script, peer):
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        document = request.document if isinstance(request.document, dict) else {}
        self.journal.write(
            "begin", attempt_id=request.headers.get("x-client-request-id", ""), serial=request.serial,
            path=request.path, version=request.version, model=document.get("model"),
            stream=bool(document.get("stream")), credential=request.credential(), script=script.text,
            body_bytes=len(request.body), body_sha256=hashlib.sha256(request.body).hexdigest(),
            headers={k: v for k, v in request.headers.items() if k != "authorization"}, peer=peer)

    def end(self, request, plan, exchange, outcome, started):
        self.in_flight -= 1
        self.journal.write(
            "end", attempt_id=request.headers.get("x-client-request-id", ""), serial=request.serial,
            outcome=outcome, status=plan.status if plan else 0, clean=exchange.terminal_sent and outcome == "done",
            tokens_in=plan.tokens_in if plan else 0, tokens_out=plan.tokens_out if plan else 0,
            tokens_cached=plan.tokens_cached if plan else 0,
            tokens_reasoning=plan.tokens_reasoning if plan else 0,
            reset_code=getattr(exchange.out, "reset_code", None), tokens_sent=exchange.tokens_sent, bytes_sent=exchange.out.sent,
            ms=int((time.monotonic() - started) * 1000))


class Connection(asyncio.Protocol):
    """One connection: reads requests one after the other and answers them."""

    def __init__(self, provider):
        self.provider = provider
        self.buffer = bytearray()
        self.more = asyncio.Event()
        self.gone = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.transport = None
        self.served = 0
        self.die_on_reuse = False
        self.h2 = None

    # --- transport's events

    def connection_made(self, transport):
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.provider.connections += 1
        self.provider.accepted += 1
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data):
        if self.h2 is not None:
            self.h2.received(data)
            return
        self.buffer += data
        self.more.set()

    def eof_received(self):
        self.gone.set()
        self.more.set()
        return False

    def connection_lost(self, _error):
        self.provider.connections -= 1
        self.gone.set()
        self.more.set()
        self.writable.set()
        if self.h2 is not None:
            self.h2.lost()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    async def drained(self):
        if not self.writable.is_set():
            await self.writable.wait()
        if self.gone.is_set():
            raise wire.ClientGone

    # --- reading

    async def _serve(self):
        try:
            while True:
                request = await self._read_request()
                if request is None:
                    break
                if not await self._answer(request):
                    break
        except wire.ClientGone:
            pass
        except asyncio.CancelledError:
            raise
        finally:
            if self.h2 is None and not self.transport.is_closing():
                self.transport.close()

    async def _need(self, enough):
        while not enough():
            if self.gone.is_set():
                raise wire.ClientGone
            self.more.clear()
            await self.more.wait()

    async def _read_request(self):
        await self._need(lambda: b"\r\n" in self.buffer or len(self.buffer) > MAX_HEAD)
        if self.buffer.startswith(PREFACE):
            from h2front import Front
            self.h2 = Front(self)
            await self.h2.run(bytes(self.buffer))
            return None
        await self._need(lambda: b"\r\n\r\n" in self.buffer or len(self.buffer) > MAX_HEAD)
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, path, version = lines[0].split(" ")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        self.buffer = bytearray(rest)
        body = await self._read_body(headers)
        self.provider.serial += 1
        return Request(method, path, headers, body, self.provider.serial, version)

    async def _read_body(self, headers):
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._read_chunks()
        length = int(headers.get("content-length") or 0)
        await self._need(lambda: len(self.buffer) >= length)
        body = bytes(self.buffer[:length])
        del self.buffer[:length]
        return body

    async def _read_chunks(self):
        body = bytearray()
        while True:
            await self._need(lambda: b"\r\n" in self.buffer)
            line, _, rest = bytes(self.buffer).partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            self.buffer = bytearray(rest)
            await self._need(lambda: len(self.buffer) >= size + 2)
            body += self.buffer[:size]
            del self.buffer[:size + 2]
            if size == 0:
                return bytes(body)

    # --- answering

    def _control(self, request):
        if request.path == "/__stats":
            body = json.dumps(self.provider.stats()).encode()
        elif request.path == "/__go":
            self.provider.go.release()
            body = b"{}"
        elif request.path == "/__script" and request.method == "POST":
            scripts.Script(request.body.decode())
            self.provider.default_script = request.body.decode()
            self.provider.uses = {}
            self.provider.go = asyncio.Semaphore(0)
            body = b"{}"
        else:
            return False
        self.provider.serial -= 1
        self.transport.write(wire.head_bytes(200, [("content-type", "application/json"),
                                                   ("content-length", str(len(body)))]) + body)
        return True

    async def _answer(self, request):
        """Whether the connection goes on."""
        if request.path.startswith("/__") and self._control(request):
            return True
        if self.die_on_reuse:
            # Provably not processed: no journal entry, no byte of an answer.
            self.provider.serial -= 1
            self.transport.close()
            return False
        try:
            script = self.provider.script_of(request)
        except scripts.ScriptError as error:
            self.transport.write(wire.simple(418, str(error)))
            return False
        self.served += 1
        peer = self.transport.get_extra_info("peername")
        self.provider.begin(request, script, "%s:%s" % peer[:2] if isinstance(peer, tuple) else "")
        exchange = wire.Exchange(self, script, request)
        return await self._run(request, script, exchange)

    async def _run(self, request, script, exchange):
        started = time.monotonic()
        plan = answers.plan_for(request.path.split("?")[0], request.document or {}, script, request)
        outcome = "broken"
        try:
            if plan is None:
                plan = answers.failure(scripts.Script("status=404;code=unknown_url"))
            await exchange.answer(plan)
            outcome = "done"
        except wire.ClientGone:
            outcome = "client_gone"
        except wire.Stop as stop:
            outcome = "done" if stop.args[0] == "close" else stop.args[0]
        finally:
            self.provider.end(request, plan, exchange, outcome, started)
        if outcome == "rst":
            exchange.out.reset()
        if script.has("nonotify"):
            await asyncio.sleep(0.05)
            self.transport.abort()
        return outcome == "done" and await self._afterwards(script, exchange)

    async def _afterwards(self, script, exchange):
        if script.has("closedelim") or script.has("closeafter") or script.has("busyclose"):
            return False
        if script.has("unsolicited408"):
            await asyncio.sleep(0.02)
            self.transport.write(wire.simple(408, "request_timeout"))
            self.transport.close()
            self.provider.journal.write("closed", serial=exchange.request.serial)
            return False
        if script.has("idleclose"):
            await exchange.out.sleep(script.int("idleclose"))
            return False
        self.die_on_reuse = script.has("dieonreuse")
        return True


def tls_context(args):
    if not args.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.cert, args.key)
    if args.tls_max == "1.1":
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2", "http/1.1"] if args.h2 else ["http/1.1"])
    return context


async def serve(args):
    provider = Provider(Journal(args.journal), args.script)
    scripts.Script(args.script)
    host, _, port = args.listen.rpartition(":")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(provider), host, int(port), ssl=tls_context(args),
                                      backlog=1024, reuse_address=True)
    print("listening %d" % server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    for signo in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signo, stop.set)
    await stop.wait()
    server.close()
    provider.journal.close()


def die_with_parent():
    """A test run that is killed leaves no provider behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--journal")
    parser.add_argument("--script", default="", help="of requests that name none")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--h2", action="store_true", help="offer h2 by ALPN")
    parser.add_argument("--tls-max", help="1.1: no newer version")
    die_with_parent()
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
