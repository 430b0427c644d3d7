"""A peer on loopback that does what a script says, over HTTP(S) or SMTP: real sockets, real TLS.

It writes down every request before it answers, and whether it took it in: what a provider did and what its client
believes are compared. The fake provider of the sample shop can stand in its place wherever no script is needed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1 that signs itself."""

    file: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.file))


def make_certificate(folder: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(tz=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "loopback.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return Certificate(file)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Step:
    """What happens to one request.

    Attributes
    ----------
    takes : the provider takes the message in, whatever it says then
    then : answer; close without a word; hang; cut the answer in its middle; drip it byte by byte; answer and close
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    takes: bool = False
    then: str = "answer"


class Peer:
    """Listens on a port of 127.0.0.1; one thread a connection."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.context = certificate.server_context() if certificate else None
        self.connections = 0
        self.taken: list[object] = []
        self.is_over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        # A listener that is only closed would leave accept waiting.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)

    def _accept(self) -> None:
        while not self.is_over.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            connection.settimeout(10)
            if self.context is None:
                self.talk(connection)
            else:
                with self.context.wrap_socket(connection, server_side=True) as secure:
                    self.talk(secure)

    def talk(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def hang(self) -> None:
        self.is_over.wait(10)

    def drip(self, connection: socket.socket, answer: bytes) -> None:
        for number in range(len(answer)):
            connection.sendall(answer[number : number + 1])
            if self.is_over.wait(0.05):
                return


class SilentPeer(Peer):
    """Accepts connections and never says a word, not even to shake hands."""

    def talk(self, connection: socket.socket) -> None:
        del connection
        self.hang()


class WebPeer(Peer):
    """Answers requests by a script: a list, then its last step again and again, or a function of the request."""

    def __init__(self, script: Iterable[Step] | Callable[[Request], Step], certificate: Certificate | None = None):
        self.script = script if callable(script) else list(script)
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        super().__init__(certificate)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"

    def step(self, request: Request) -> Step:
        with self.lock:
            self.requests.append(request)
            if callable(self.script):
                step = self.script(request)
            else:
                step = self.script[min(len(self.requests), len(self.script)) - 1]
            if step.takes:
                self.taken.append(request)
            return step

    def talk(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while line := stream.readline():
            method, path, _ = line.decode().split(" ", 2)
            headers = {}
            while (header := stream.readline().decode().strip()) != "":
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", "0")))
            if not self.answer(connection, self.step(Request(method, path, headers, body))):
                return

    def answer(self, connection: socket.socket, step: Step) -> bool:
        if step.then == "close":
            return False
        if step.then == "hang":
            self.hang()
            return False
        length = len(step.body) + (100 if step.then == "cut" else 0)
        headers = {"Content-Length": str(length), **step.headers}
        head = f"HTTP/1.1 {step.status} Said\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        answer = head.encode() + b"\r\n" + step.body
        if step.then == "drip":
            self.drip(connection, answer)
            return False
        connection.sendall(answer)
        return step.then == "answer"


class MailPeer(Peer):
    """A mail server; ``replies`` says what it answers instead of yes: verb (or ``dot``) -> reply, close or hang."""

    def __init__(
        self, replies: dict[str, str] | None = None, certificate: Certificate | None = None, *, starttls: bool = False
    ) -> None:
        self.replies = replies or {}
        self.starttls_context = certificate.server_context() if certificate and starttls else None
        self.mails: list[bytes] = []
        self.said: list[str] = []
        super().__init__(None if starttls else certificate)

    def talk(self, connection: socket.socket) -> None:
        connection.sendall(b"220 here\r\n")
        stream = connection.makefile("rb")
        while line := stream.readline():
            words = line.decode().strip()
            verb = words.partition(" ")[0].upper()
            self.said.append(words)
            if verb == "STARTTLS" and self.starttls_context:
                connection.sendall(b"220 go on\r\n")
                with self.starttls_context.wrap_socket(connection, server_side=True) as secure:
                    self.starttls_context = None
                    return self.talk_on(secure)
            if verb == "QUIT" or not self.reply(connection, stream, verb):
                return None
        return None

    def talk_on(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while line := stream.readline():
            self.said.append(line.decode().strip())
            if not self.reply(connection, stream, line.decode().strip().partition(" ")[0].upper()):
                return

    def reply(self, connection: socket.socket, stream, verb: str) -> bool:
        reply = self.replies.get(verb)
        if verb == "DATA" and reply is None:
            connection.sendall(b"354 go on\r\n")
            mail = b""
            while not mail.endswith(b"\r\n.\r\n"):
                line = stream.readline()
                if not line:
                    return False
                mail += line
            self.mails.append(mail)
            reply = self.replies.get("dot", "250 taken")
            if reply.startswith("2") or "dot" in self.replies:
                self.taken.append(mail)
        if verb == "EHLO":
            extra = "250-STARTTLS\r\n" if self.starttls_context else ""
            reply = reply or f"250-here\r\n{extra}250 AUTH PLAIN LOGIN"
        if reply in {"close", "hang", "drip"}:
            if reply == "hang":
                self.hang()
            elif reply == "drip":
                self.drip(connection, b"250 " + b"x" * 200)
            return False
        accepted = "235 in" if verb == "AUTH" else "250 yes"
        connection.sendall(f"{reply or accepted}\r\n".encode())
        return True


def keys_in(text: str, keys: Iterable[str]) -> list[str]:
    """Return which secrets stand in a text."""
    return [key for key in keys if re.search(re.escape(key), text)]


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def seconds(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun
