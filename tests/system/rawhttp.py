"""A client that sees what really came: bytes, chunks, and how it ended. HTTP/1.1 on a socket, and HTTP/2
by prior knowledge on the package h2."""

import json
import socket
import struct
import urllib.parse

import h2.config
import h2.connection
import h2.events

from harness import sse


class Answer:
    """What came. `clean`: the protocol's own end was there (0-chunk, content-length, END_STREAM)."""

    def __init__(self):
        self.status = 0
        self.headers = []
        self.body = b""
        self.clean = False
        self.reset = False
        self.chunks = []

    def header(self, name):
        return next((v for k, v in self.headers if k == name), None)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def events(self):
        return sse(self.text)

    def error(self):
        """The gateway's or provider's error object of a whole answer."""
        return self.json()["error"]


def request_bytes(url, key, path, body, headers=()):
    host = urllib.parse.urlsplit(url).netloc
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"authorization: Bearer {key}",
             "content-type: application/json", f"content-length: {len(payload)}"]
    lines += [f"{k}: {v}" for k, v in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + payload


def connect(url, timeout=20):
    parts = urllib.parse.urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Reader:
    """Reads one HTTP/1.1 answer from a socket, chunk by chunk."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        self.ended = False
        self.answer = Answer()

    def _more(self):
        if self.ended:
            return False
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            self.answer.reset = True
            data = b""
        self.ended = not data
        self.buffer += data
        return bool(data)

    def _line(self):
        while b"\r\n" not in self.buffer:
            if not self._more():
                return None
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode("latin-1")

    def head(self):
        line = self._line()
        if not line:
            return self.answer
        self.answer.status = int(line.split()[1])
        while True:
            line = self._line()
            if not line:
                return self.answer
            name, _, value = line.partition(":")
            self.answer.headers.append((name.lower(), value.strip()))

    def chunk(self):
        """The next chunk's bytes; None at the end (clean or not)."""
        line = self._line()
        if line is None:
            return None
        size = int(line.split(";")[0], 16)
        while len(self.buffer) < size + 2:
            if not self._more():
                self.answer.body += self.buffer[:size]
                return None
        data, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        if size == 0:
            self.answer.clean = True
            return None
        self.answer.body += data
        self.answer.chunks.append(data)
        return data

    def body(self):
        length = self.answer.header("content-length")
        if self.answer.header("transfer-encoding") == "chunked":
            while self.chunk() is not None:
                pass
        elif length is not None:
            while len(self.buffer) < int(length) and self._more():
                pass
            self.answer.body = self.buffer[:int(length)]
            self.answer.clean = len(self.answer.body) == int(length)
        else:
            while self._more():
                pass
            self.answer.body, self.answer.clean = self.buffer, not self.answer.reset
        return self.answer


def call_h1(url, key, body, path="/v1/chat/completions", headers=()):
    with connect(url) as sock:
        sock.sendall(request_bytes(url, key, path, body, headers))
        reader = Reader(sock)
        reader.head()
        return reader.body()


def call_h2(url, key, body, path="/v1/chat/completions", headers=()):
    answer = Answer()
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    with connect(url) as sock:
        conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        conn.initiate_connection()
        conn.increment_flow_control_window(1 << 28)
        stream = conn.get_next_available_stream_id()
        conn.send_headers(stream, [(":method", "POST"), (":path", path), (":scheme", "http"),
                                   (":authority", urllib.parse.urlsplit(url).netloc),
                                   ("authorization", f"Bearer {key}"), ("content-type", "application/json"),
                                   ("content-length", str(len(payload))), *headers])
        while payload:
            room = min(conn.local_flow_control_window(stream), conn.max_outbound_frame_size, len(payload))
            conn.send_data(stream, payload[:room])
            payload = payload[room:]
            if payload and not room:
                break
        conn.end_stream(stream)
        sock.sendall(conn.data_to_send())
        over = False
        while not over:
            data = sock.recv(65536)
            if not data:
                break
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    answer.headers = [(k, v) for k, v in event.headers if k != ":status"]
                    answer.status = int(dict(event.headers)[":status"])
                elif isinstance(event, h2.events.DataReceived):
                    answer.body += event.data
                    answer.chunks.append(event.data)
                    conn.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, h2.events.StreamEnded):
                    answer.clean = over = True
                elif isinstance(event, h2.events.StreamReset):
                    answer.reset = over = True
                elif isinstance(event, h2.events.ConnectionTerminated):
                    over = True
            sock.sendall(conn.data_to_send())
    return answer


CALLS = {"h1": call_h1, "h2": call_h2}


def reset_on_close(sock):
    """Closing this socket sends a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
