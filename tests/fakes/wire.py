"""How the fake provider puts a plan on the wire of HTTP/1.1, broken exactly as the script says."""

import asyncio
import gzip
import socket
import struct
import zlib

from answers import compact, error_object

CHUNK_END = b"0\r\n\r\n"
REASONS = {200: "OK", 204: "No Content", 302: "Found", 400: "Bad Request", 401: "Unauthorized",
           404: "Not Found", 408: "Request Timeout", 429: "Too Many Requests",
           500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}


class ClientGone(Exception):
    """The peer closed or reset the connection."""


class Stop(Exception):
    """The script ends the connection here: reason in args[0]."""


class Outlet:
    """Bytes out, one connection: pacing, segments, ends. Raises ClientGone as soon as that is known."""

    def __init__(self, conn, script):
        self.conn = conn
        self.script = script
        self.segment = script.int("bytes", 0)
        self.split = script.int("split", 0)
        self.trickle = script.int("trickle", 0)
        self.sent = 0
        self.writes = 0

    async def sleep(self, ms):
        """Waits; the peer's leaving ends it."""
        if ms <= 0:
            return
        try:
            await asyncio.wait_for(self.conn.gone.wait(), ms / 1000)
        except asyncio.TimeoutError:
            return
        raise ClientGone

    async def write(self, data):
        if self.trickle or self.segment or self.split:
            await self._write_in_pieces(data)
        else:
            await self._put(data)

    async def _write_in_pieces(self, data):
        at = 0
        while at < len(data):
            if self.trickle:
                step = 1
            elif self.segment:
                step = self.segment
            else:
                step = self.split - self.sent if self.sent < self.split else len(data)
            await self._put(data[at:at + step])
            at += step
            await self.sleep(self.trickle or 1) if self.trickle or self.split else await asyncio.sleep(0)

    async def _put(self, data):
        if self.conn.gone.is_set() or self.conn.transport.is_closing():
            raise ClientGone
        self.conn.transport.write(data)
        self.sent += len(data)
        self.writes += 1
        if self.writes % 64 == 0:
            await asyncio.sleep(0)  # the loop must see others, and that the peer left
        await self.conn.drained()

    def reset(self):
        """TCP RST: what was written and not yet read by the peer is lost to it."""
        sock = self.conn.transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.conn.transport.abort()


# --- heads ------------------------------------------------------------------------------------------

BAD_HEADS = {
    "bare_lf": b"HTTP/1.1 200 OK\ncontent-type: application/json\ncontent-length: 2\n\n{}",
    "nul": b"HTTP/1.1 200 OK\r\nx-a: b\x00c\r\ncontent-length: 2\r\n\r\n{}",
    "cr_header": b"HTTP/1.1 200 OK\r\nx-a: b\rc\r\ncontent-length: 2\r\n\r\n{}",
    "lf_header": b"HTTP/1.1 200 OK\r\nx-a: b\nset-cookie: x=y\r\ncontent-length: 2\r\n\r\n{}",
    "obsfold": b"HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}",
    "two_cl": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "list_cl": b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\n{}",
    "cl_te": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "te_te": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "te_junk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "204body": b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n{}",
    "extra": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n"
             b"content-type: application/json\r\ncontent-length: 22\r\n\r\n{\"smuggled\":\"answer!\"}",
    "http09": b"{\"id\":\"no head at all\"}",
    "neg_cl": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
    "plus_cl": b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\n{}",
    "huge_cl": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n{}",
    "space_colon": b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\n{}",
    "status_junk": b"HTTP/1.1 2x0 OK\r\ncontent-length: 2\r\n\r\n{}",
    "status_big": b"HTTP/1.1 1000 OK\r\ncontent-length: 2\r\n\r\n{}",
    "no_version": b"HTTP 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "version3": b"HTTP/3.7 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "long_line": b"HTTP/1.1 200 " + b"O" * 70000 + b"\r\ncontent-length: 2\r\n\r\n{}",
    "many_fields": b"HTTP/1.1 200 OK\r\n" + b"x-f: 1\r\n" * 2000 + b"content-length: 2\r\n\r\n{}",
    "big_field": b"HTTP/1.1 200 OK\r\nx-big: " + b"v" * 70000 + b"\r\ncontent-length: 2\r\n\r\n{}",
    "chunk_junk": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "chunk_minus": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "chunk_0x": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunk_big": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
                 b"ffffffffffffffff1\r\n{}\r\n0\r\n\r\n",
    "chunk_lf": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    "chunk_long": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\r\n0\r\n\r\n",
    "chunk_ext_lf": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
                    b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello",
}


def head_bytes(status, fields):
    lines = ["HTTP/1.1 %d %s" % (status, REASONS.get(status, "Status"))]
    lines += ["%s: %s" % f for f in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


# --- server-sent events -----------------------------------------------------------------------------

EOLS = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}


def event_bytes(event, script, serial):
    """An event in the form that the script asks for."""
    if event.raw is not None:
        return event.raw
    eol = EOLS.get(script.get("eol", "lf"))
    if script.get("eol") == "mix":
        eol = ["\n", "\r\n", "\r"][serial % 3]
    colon = "data:" if script.has("nospace") else "data: "
    text = event.data
    if script.has("multiline") and "," in text:
        text = text.replace(",", "," + eol + colon, 1)
    lines = []
    if script.has("comments"):
        lines.append(": ping %d" % serial + eol)
    if script.has("ids"):
        lines.append("id: %d" % serial + eol + "retry: 1000" + eol)
    if event.name:
        lines.append("event: " + event.name + eol)
    lines.append(colon + text + eol + eol)
    start = "\ufeff" if script.has("bom") and serial == 0 else ""
    return (start + "".join(lines)).encode()


# --- encodings --------------------------------------------------------------------------------------


def encoded(body, script, fields):
    """Applies content encodings nobody asked for."""
    if script.has("gzipbomb"):
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        packed = b"".join(packer.compress(b" " * 1048576) for _ in range(script.int("gzipbomb")))
        fields.append(("content-encoding", "gzip"))
        return packed + packer.flush()
    if script.has("ce"):
        fields.append(("content-encoding", script.get("ce")))
        return body
    for word in ("gzip", "gziptrunc", "gzipdouble"):
        if script.has(word):
            fields.append(("content-encoding", "gzip, gzip" if word == "gzipdouble" else "gzip"))
            packed = gzip.compress(body)
            if word == "gzipdouble":
                packed = gzip.compress(packed)
            return packed[:len(packed) // 2] if word == "gziptrunc" else packed
    return body


# --- the exchange -----------------------------------------------------------------------------------


class Exchange:
    """Writes one answer. `progress` counts what the client could have seen."""

    def __init__(self, conn, script, request):
        self.conn = conn
        self.script = script
        self.request = request
        self.out = Outlet(conn, script)
        self.tokens_sent = 0
        self.terminal_sent = False
        self.chunked = True

    async def answer(self, plan):
        """Raises Stop where the script breaks the connection, ClientGone when the peer left."""
        s = self.script
        await self.out.sleep(s.int("ttfb", 0))
        if s.has("hang"):
            await self._forever()
        if "rst" in s.values or s.place("rst") == "head":
            raise Stop("rst")
        if "cut" in s.values or s.place("cut") == "head":
            raise Stop("cut")
        for _ in range(s.int("infos", 0)):
            await self.out.write(b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n")
        if s.has("endlesshead"):
            await self._endless_head()
        if s.has("bad"):
            await self.out.write(BAD_HEADS[s.get("bad")])
            await self._close_after_bad()
        elif plan.events is not None:
            await self._stream(plan)
        else:
            await self._whole(plan)

    async def _close_after_bad(self):
        await self.out.sleep(100)
        raise Stop("cut")

    async def _forever(self):
        while True:
            await self.out.sleep(3_600_000)

    async def _endless_head(self):
        await self.out.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            await self.out.write(b"x-more: " + b"y" * 1000 + b"\r\n")

    def _fields(self, plan, content_type):
        named = {k for k, _ in plan.headers}
        fields = list(plan.headers)
        if self.script.has("ctype"):
            content_type = self.script.get("ctype")
        if "content-type" not in named and content_type:
            fields.append(("content-type", content_type))
        if self.script.has("busyclose") or self.script.has("closedelim"):
            fields.append(("connection", "close"))
        return fields + list(self.script.headers)

    async def _whole(self, plan):
        s = self.script
        fields = self._fields(plan, "application/json")
        body = encoded(plan.body if isinstance(plan.body, bytes) else plan.body.encode(), s, fields)
        length = len(body) + s.int("short", 0)
        self.chunked = False
        if s.has("closedelim"):
            pass
        elif s.has("ext") or s.has("chunk") or s.has("trailers") or (s.place("cut") and not s.place("cut").isdigit()):
            self.chunked = True
            fields.append(("transfer-encoding", "chunked"))
        else:
            fields.append(("content-length", str(length)))
        head = head_bytes(plan.status, fields)
        if s.has("cutbytes"):
            await self.out.write(head + body[:s.int("cutbytes")])
            raise Stop("cut")
        if self.chunked:
            await self.out.write(head)
            await self._chunk(body, last=True)
            await self._end_chunks()
        else:
            await self.out.write(head + body)
        if s.has("stall") or s.has("noeol"):
            await self._forever()
        self.tokens_sent = plan.tokens_out
        if s.has("short"):
            raise Stop("cut")
        self.terminal_sent = plan.status < 400 and not s.has("badjson")
        if s.has("closedelim"):
            raise Stop("close")

    async def _stream(self, plan):
        s = self.script
        fields = self._fields(plan, "text/event-stream; charset=utf-8")
        self.chunked = not s.has("closedelim")
        if any(s.has(w) for w in ("gzip", "gziptrunc", "gzipdouble", "gzipbomb", "ce", "length")):
            await self._stream_at_once(plan, fields)
            return
        if self.chunked:
            fields.append(("transfer-encoding", "chunked"))
        await self.out.write(head_bytes(plan.status, fields))
        serial, gap, last = 0, s.int("gap", 0), len(plan.events) - 1
        await self._broken_here(0)
        for i, event in enumerate(plan.events):
            if event.tokens and self.tokens_sent:
                await self.out.sleep(gap)
            data = event_bytes(event, s, serial)
            serial += 1
            if s.has("lastwrite") and i == last and plan.done:
                data += event_bytes_done(s, serial)
                await self._raw_last(data)
                self.tokens_sent += event.tokens
                self.terminal_sent = True
                return
            await self._chunk(data)
            self.tokens_sent += event.tokens
            if event.tokens:
                await self._broken_here(self.tokens_sent)
                if s.has("hold"):
                    await self.conn.provider.wait_go(self.conn.gone)
        if s.has("endless"):
            await self._endless(plan)
        if s.has("noeol"):
            await self._no_eol()
        await self._end_stream(plan, serial)

    async def _end_stream(self, plan, serial):
        s = self.script
        await self.out.sleep(s.int("endgap", 0))
        if s.place("rst") == "end":
            raise Stop("rst")
        if s.place("cut") == "end":
            raise Stop("cut")
        place = s.place("cut")
        if place in ("size", "data", "crlf"):
            await self._cut_in_framing(place)
        if plan.done:
            await self._chunk(event_bytes_done(s, serial))
        if place in ("last", "trailer"):
            await self._cut_in_framing(place)
        if self.chunked:
            await self._end_chunks()
        self.terminal_sent = plan.done
        if not self.chunked:
            raise Stop("close")

    async def _raw_last(self, data):
        await self.out.write(b"%x\r\n" % len(data) + data + b"\r\n" + CHUNK_END)

    async def _stream_at_once(self, plan, fields):
        s = self.script
        body = b"".join(event_bytes(e, s, i) for i, e in enumerate(plan.events))
        if plan.done:
            body += event_bytes_done(s, len(plan.events))
        body = encoded(body, s, fields)
        fields.append(("content-length", str(len(body))))
        self.chunked = False
        await self.out.write(head_bytes(plan.status, fields) + body)
        self.tokens_sent = plan.tokens_out
        self.terminal_sent = plan.done

    async def _broken_here(self, count):
        s = self.script
        if s.at("rst", count):
            raise Stop("rst")
        if s.at("cut", count):
            raise Stop("cut")
        if s.at("stall", count):
            await self._forever()

    async def _chunk(self, data, last=False):
        if not self.chunked:
            await self.out.write(data)
            return
        size = self.script.int("chunk", 0) or len(data) or 1
        extension = b";name=value" if self.script.has("ext") else b""
        for at in range(0, len(data), size):
            piece = data[at:at + size]
            await self.out.write(b"%x%s\r\n" % (len(piece), extension) + piece + b"\r\n")
        if last and self.script.place("cut") in ("size", "data", "crlf", "last", "trailer"):
            await self._cut_in_framing(self.script.place("cut"))

    async def _cut_in_framing(self, place):
        ends = {"size": b"1", "data": b"10\r\nhalf", "crlf": b"4\r\n: x\n\r", "last": b"",
                "trailer": b"0\r\nx-trailer: ha"}
        await self.out.write(ends[place]) if ends[place] else None
        raise Stop("cut")

    async def _end_chunks(self):
        if self.script.has("trailers"):
            await self.out.write(b"0\r\nx-trailer: 1\r\nset-cookie: smuggled=1\r\n\r\n")
        else:
            await self.out.write(CHUNK_END)

    async def _endless(self, plan):
        event = next(e for e in plan.events if e.tokens)
        data = event_bytes(event, self.script, 1) * 16
        left = self.script.int("endless")
        while left > 0:
            await self._chunk(data)
            self.tokens_sent += 16
            left -= len(data)

    async def _no_eol(self):
        left = self.script.int("noeol")
        await self._chunk(b"data: ")
        while left > 0:
            await self._chunk(b"x" * min(left, 65536))
            left -= 65536
        await self._forever()


def event_bytes_done(script, serial):
    from answers import Event
    return event_bytes(Event("[DONE]"), script, serial)


def simple(status, code):
    """A whole answer made outside of any plan."""
    body = compact(error_object(_NoScript(), code)).encode()
    return head_bytes(status, [("content-type", "application/json"), ("content-length", str(len(body)))]) + body


class _NoScript:
    def get(self, _word, default=None):
        return default
