"""Who is alerted, in the tests: a webhook's receiver, Slack's, and a mail server that wants TLS and a password."""

import collections
import datetime
import http.server
import ipaddress
import socket
import ssl
import threading

import aiosmtpd.controller
import aiosmtpd.smtp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Got = collections.namedtuple("Got", "path headers body at")


class Receiver:
    """An HTTP server that keeps what it gets. `answers` are the statuses of the next requests, then 200."""

    def __init__(self):
        self.got, self.answers = [], []
        self.gate = threading.Event()  # cleared: requests wait before they are answered
        self.gate.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(Got(self.path, dict(self.headers.items()), body,
                                        datetime.datetime.now(datetime.timezone.utc)))
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.gate.wait(30)
                try:
                    self.send_response(status)
                    if status in (301, 302, 307):
                        self.send_header("location", receiver.url + "elsewhere")
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    pass  # who asked was killed

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def at(self, path):
        return [g for g in self.got if g.path == path]

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


def certificate(folder, name="server"):
    """A self-signed certificate for 127.0.0.1: paths of it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True).sign(key, hashes.SHA256()))
    cert_path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                           serialization.NoEncryption()))
    return cert_path, key_path


class Controller(aiosmtpd.controller.Controller):
    def _trigger_server(self):
        """As the original, but also with port 0, and with certificates that it would not trust."""
        socket.create_connection(self.server.sockets[0].getsockname(), 5).close()


class MailServer:
    """aiosmtpd on 127.0.0.1: STARTTLS (or TLS from the first byte) and a password, both required; without
    certificates it has no TLS, and takes everything."""

    def __init__(self, certs, user="alerts", password="a password", implicit=False):
        if certs:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certs)
        self.got, self.refusals, self.passwords = [], [], []
        self.unwanted = {}  # receiver: what it is refused with, each in turn; the last one again and again
        server = self

        class Handler:
            async def handle_RCPT(self, _, session, envelope, address, options):
                answers = server.unwanted.get(address, ["250 OK"])
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if answer.startswith("250"):
                    envelope.rcpt_tos.append(address)
                return answer

            async def handle_DATA(self, _, session, envelope):
                if server.refusals:
                    return server.refusals.pop(0)
                server.got.append((session.ssl is not None or implicit, session.authenticated, envelope))
                return "250 taken"

        def authenticate(_, session, envelope, mechanism, data):
            given = (data.login.decode(), data.password.decode())
            server.passwords.append(given)
            return aiosmtpd.smtp.AuthResult(success=given == (user, password), handled=False)
        if not certs:
            more = {}
        elif implicit:
            more = {"ssl_context": context, "auth_required": True}
        else:
            more = {"tls_context": context, "auth_required": True, "require_starttls": True}
        self.controller = Controller(Handler(), hostname="127.0.0.1", port=0, authenticator=authenticate,
                                     auth_require_tls=bool(certs) and not implicit, **more)
        self.controller.start()
        self.port = self.controller.server.sockets[0].getsockname()[1]

    def close(self):
        self.controller.stop()
