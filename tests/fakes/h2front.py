"""HTTP/2 for the fake provider, on the Python package h2: honest transport, the faults that matter.

What the script's endings mean here: rst -> RST_STREAM(INTERNAL_ERROR); cut -> GOAWAY and a close of the
connection; the chunked framing's own faults do not apply. goaway-style refusals: dieonreuse answers the
next stream with GOAWAY(last stream = the one before).
"""

import asyncio

import answers
import script as scripts
import wire

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings


class StreamOut:
    """Like wire.Outlet, for one stream."""

    def __init__(self, front, stream_id, script):
        self.front = front
        self.stream_id = stream_id
        self.script = script
        self.sent = 0
        self.gone = asyncio.Event()
        self.reset_code = None  # of the client's RST_STREAM
        self.window = asyncio.Event()

    async def sleep(self, ms):
        if ms <= 0:
            return
        try:
            await asyncio.wait_for(self.gone.wait(), ms / 1000)
        except asyncio.TimeoutError:
            return
        raise wire.ClientGone

    async def write(self, data):
        step = self.script.int("bytes", 0) or 16384
        at = 0
        while at < len(data):
            if self.gone.is_set():
                raise wire.ClientGone
            room = min(self.front.h2.local_flow_control_window(self.stream_id),
                       self.front.h2.max_outbound_frame_size, step)
            if room <= 0:
                self.window.clear()
                await self.window.wait()
                continue
            piece = data[at:at + room]
            self.front.h2.send_data(self.stream_id, piece)
            self.front.flush()
            at += len(piece)
            self.sent += len(piece)
            await self.front.conn.drained()


class StreamExchange:
    """Writes one answer over a stream."""

    def __init__(self, front, stream_id, script, request):
        self.front = front
        self.script = script
        self.request = request
        self.stream_id = stream_id
        self.out = StreamOut(front, stream_id, script)
        self.tokens_sent = 0
        self.terminal_sent = False

    async def answer(self, plan):
        s = self.script
        await self.out.sleep(s.int("ttfb", 0))
        if s.has("hang"):
            await self.out.sleep(3_600_000)
        for word in ("rst", "cut"):
            if word in s.values or s.place(word) == "head":
                raise wire.Stop(word)
        stream = plan.events is not None
        fields = [(":status", str(plan.status))]
        fields += [(k.lower(), v) for k, v in plan.headers + s.headers]
        if not any(k == "content-type" for k, _ in fields):
            fields.append(("content-type", "text/event-stream" if stream else "application/json"))
        body = plan.body if isinstance(plan.body, bytes) else (plan.body or "").encode()
        if not stream or s.has("short"):
            fields.append(("content-length", str(len(body) + s.int("short", 0))))
        self.front.h2.send_headers(self.stream_id, fields)
        self.front.flush()
        if stream:
            await self._events(plan)
        else:
            await self.out.write(body)
            self.tokens_sent = plan.tokens_out
            self.terminal_sent = plan.status < 400
        self.front.h2.end_stream(self.stream_id)
        self.front.flush()

    async def _events(self, plan):
        s = self.script
        await self._broken_here(0)
        for serial, event in enumerate(plan.events):
            if event.tokens and self.tokens_sent:
                await self.out.sleep(s.int("gap", 0))
            await self.out.write(wire.event_bytes(event, s, serial))
            self.tokens_sent += event.tokens
            if event.tokens:
                await self._broken_here(self.tokens_sent)
                if s.has("hold"):
                    await self.front.provider.wait_go(self.out.gone)
        if s.place("rst") == "end" or s.place("cut") == "end":
            raise wire.Stop("rst" if s.place("rst") else "cut")
        if plan.done:
            await self.out.write(wire.event_bytes_done(s, len(plan.events)))
        self.terminal_sent = plan.done

    async def _broken_here(self, count):
        for word in ("rst", "cut"):
            if self.script.at(word, count):
                raise wire.Stop(word)
        if self.script.at("stall", count):
            await self.out.sleep(3_600_000)


class Front:
    """One HTTP/2 connection."""

    def __init__(self, conn):
        self.conn = conn
        self.provider = conn.provider
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams = {}
        self.outs = {}
        self.tasks = set()
        self.last_id = 0
        self.die_on_reuse = False

    def flush(self):
        data = self.h2.data_to_send()
        if data and not self.conn.transport.is_closing():
            self.conn.transport.write(data)

    async def run(self, first_bytes):
        self.h2.initiate_connection()
        self.flush()
        self.received(first_bytes)
        await self.conn.gone.wait()

    def lost(self):
        for out in self.outs.values():
            out.gone.set()
            out.window.set()

    def received(self, data):
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.conn.transport.close()
            return
        for event in events:
            self._on_event(event)
        self.flush()

    def _on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.streams[event.stream_id] = (dict(event.headers), bytearray())
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id][1].extend(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._on_request(event.stream_id)
        elif isinstance(event, h2.events.StreamReset) and event.stream_id in self.outs:
            self.outs[event.stream_id].reset_code = event.error_code
            self.outs[event.stream_id].gone.set()
            self.outs[event.stream_id].window.set()
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for out in self.outs.values():
                out.window.set()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.conn.transport.close()

    def _on_request(self, stream_id):
        from provider import Request
        headers, body = self.streams.pop(stream_id)
        if self.die_on_reuse:
            self.h2.close_connection(last_stream_id=self.last_id)
            self.flush()
            self.conn.transport.close()
            return
        self.last_id = stream_id
        self.provider.serial += 1
        request = Request(headers.pop(":method"), headers.pop(":path"), headers, bytes(body), self.provider.serial, "HTTP/2")
        task = asyncio.get_running_loop().create_task(self._answer(stream_id, request))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, stream_id, request):
        script = self.provider.script_of(request)
        exchange = StreamExchange(self, stream_id, script, request)
        self.outs[stream_id] = exchange.out
        peer = self.conn.transport.get_extra_info("peername")
        self.provider.begin(request, script, "%s:%s" % peer[:2])
        plan = answers.plan_for(request.path.split("?")[0], request.document or {}, script, request)
        if plan is None:
            plan = answers.failure(scripts.Script("status=404;code=unknown_url"))
        started, outcome = asyncio.get_running_loop().time(), "broken"
        try:
            await exchange.answer(plan)
            outcome = "done"
        except wire.ClientGone:
            outcome = "client_gone"
        except wire.Stop as stop:
            outcome = stop.args[0]
        finally:
            self.outs.pop(stream_id, None)
            self.provider.end(request, plan, exchange, outcome, started)
        self._end(stream_id, outcome)
        self.die_on_reuse = script.has("dieonreuse")

    def _end(self, stream_id, outcome):
        if outcome == "rst":
            self.h2.reset_stream(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            self.flush()
        elif outcome == "cut":
            self.h2.close_connection()
            self.flush()
            self.conn.transport.close()
