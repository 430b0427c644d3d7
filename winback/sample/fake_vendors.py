"""``python -m winback.sample.fake_vendors``: SendGrid and Twilio on this machine, for tests, benchmarks and `--fake`.

In: HTTP on loopback, with or without TLS. Out: answers in the vendors' shapes, an acceptance log written before each
answer, and faults by seed. One JSON line on standard output says where it listens and which made-up credentials it
takes; SIGTERM ends it. Must never happen: a connection from or to another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from winback.channels.made_up_reports import VARIABLE
from winback.errors import StoreUnavailable, UsageError, WinbackError
from winback.sample.vendor_desk import Told, VendorDesk
from winback.sample.vendor_faults import FaultKind, fault_plan
from winback.sample.vendor_reporter import Reporter, loopback_address
from winback.sample.vendor_shapes import VendorRequest

if TYPE_CHECKING:
    import ssl
    from asyncio import StreamReader, StreamWriter

    from winback.sample.event_signer import EventSigner
    from winback.sample.vendor_faults import FaultRule

LOOPBACK = "127.0.0.1"
BUFFER_BYTES = 1024 * 1024
LARGEST_BODY_BYTES = 64 * 1024 * 1024
_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 302: "Found", 400: "Bad Request"}


class BadRequest(Exception):
    """What came is not HTTP as it is understood here."""


class VendorServer:
    """Speaks HTTP/1.1 for a desk.

    Parameters
    ----------
    desk : decides what is answered
    """

    def __init__(self, desk: VendorDesk) -> None:
        self.desk = desk

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection until it ends; a client that leaves is no failure."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, BadRequest):
                while (request := await read_head(reader)) is not None:
                    if not await self._one(request, reader, writer):
                        break
        except StoreUnavailable as problem:
            # A vendor that cannot write down what it takes must not take anything more.
            sys.stderr.write(f"{problem}\n")
            os._exit(1)
        finally:
            writer.close()

    async def follow(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve the port that redirects lead to: nobody may come here, and least of all with a key."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, BadRequest):
            request = await read_head(reader)
            if request is not None:
                has_key = "authorization" in request.headers
                self.desk.record.event("followed", path=request.path, has_key=has_key)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                await writer.drain()
        writer.close()

    async def _one(self, head: VendorRequest, reader: StreamReader, writer: StreamWriter) -> bool:
        """Serve one request and return whether the connection stays open."""
        length = body_length(head)
        request, vendor, rule = self.desk.begin(head)
        try:
            if rule is not None and rule.kind is FaultKind.CUT_BODY:
                await self._cut(request, vendor, rule, reader, writer, half=length // 2)
                return False
            body = await reader.readexactly(length)
        except asyncio.IncompleteReadError:
            self.desk.ended(request, vendor, None)
            raise
        whole = VendorRequest(**vars(request) | {"body": body})
        told = self.desk.answer(whole, vendor, rule)
        status: int | None = None
        try:
            is_open = await tell(told, reader, writer)
            status = told.answer.status if told.answer is not None else None
        finally:
            self.desk.ended(request, vendor, status)
        return is_open and head.headers.get("connection", "").lower() != "close"

    async def _cut(
        self,
        request: VendorRequest,
        vendor: str,
        rule: FaultRule,
        reader: StreamReader,
        writer: StreamWriter,
        *,
        half: int,
    ) -> None:
        """Reset the connection while the body is under way."""
        await reader.readexactly(half)
        self.desk.fault(vendor, request.number, rule, 0)
        writer.transport.abort()
        self.desk.ended(request, vendor, None)


async def read_head(reader: StreamReader) -> VendorRequest | None:
    """Return a request without its body, or None when the client has nothing more to say.

    Raises
    ------
    BadRequest
        If it is not HTTP.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as problem:
        raise BadRequest from problem
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    try:
        method, target, _version = first.split(" ")
    except ValueError as problem:
        raise BadRequest(first) from problem
    path, _, query = target.partition("?")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return VendorRequest(method=method, path=path, query=query, headers=headers)


def body_length(request: VendorRequest) -> int:
    """Return how long a body is.

    Raises
    ------
    BadRequest
        If it says so in a way not understood here; no client of ours sends chunks.
    """
    given = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers or not given.isdigit() or int(given) > LARGEST_BODY_BYTES:
        raise BadRequest(given)
    return int(given)


async def tell(told: Told, reader: StreamReader, writer: StreamWriter) -> bool:
    """Send an answer as it was decided and return whether the connection stays open."""
    if told.is_hung:
        # A client that gives up ends the wait.
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), told.wait_seconds)
        return False
    if told.wait_seconds:
        await asyncio.sleep(told.wait_seconds)
    if told.answer is None:
        return False
    answer = told.answer
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Other')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += [f"Content-Length: {len(answer.body)}", "", ""]
    body = answer.body[: len(answer.body) // 2] if told.is_cut else answer.body
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()
    return not told.is_cut


def parser() -> argparse.ArgumentParser:
    """Return what the command understands."""
    made = argparse.ArgumentParser(prog="python -m winback.sample.fake_vendors", description=__doc__)
    made.add_argument("--port", type=int, default=0, help="on loopback; 0 takes a free one")
    made.add_argument("--log", type=Path, required=True, help="acceptance log; events go beside it")
    made.add_argument("--seed", type=int, default=0, help="of faults, credentials and keys")
    made.add_argument("--faults", default="{}", help="JSON, or a file that holds it")
    made.add_argument("--callbacks", default="", help="http://127.0.0.1:PORT of the web app that listens to reports")
    made.add_argument("--tls", action="store_true", help="https with a certificate made at the start")
    made.add_argument("--fsync", action="store_true", help="wait for the disk before each answer")
    return made


def read_faults(given: str) -> object:
    """Return the JSON that is given itself, or in a file.

    Raises
    ------
    UsageError
        If it is neither.
    """
    text = given if given.lstrip().startswith(("{", "[")) else ""
    try:
        return orjson.loads(text or Path(given).read_bytes())
    except (OSError, orjson.JSONDecodeError) as problem:
        raise UsageError(f"--faults is neither JSON nor a file that holds it: {problem}") from problem


async def run(asked: argparse.Namespace) -> None:
    """Serve until the process is told to end."""
    if asked.callbacks:
        loopback_address(asked.callbacks)
    loop = asyncio.get_running_loop()
    plan = fault_plan(read_faults(asked.faults), seed=asked.seed)
    desk = VendorDesk(asked.log, plan, is_synced=asked.fsync)
    signer = event_signer(asked.seed)
    if asked.callbacks:
        if signer is None:
            raise UsageError("signed events need the package cryptography")
        token = desk.credentials.token
        desk.reporter = Reporter(
            asked.callbacks, loop, signer=signer, token=token, record=desk.record, texts=desk.texts
        )
    context, certificate = tls_context(asked.log) if asked.tls else (None, None)
    server = VendorServer(desk)
    listening = await asyncio.start_server(
        server.serve, LOOPBACK, asked.port, ssl=context, limit=BUFFER_BYTES, backlog=512
    )
    following = await asyncio.start_server(server.follow, LOOPBACK, 0)
    scheme = "https" if asked.tls else "http"
    base_url = f"{scheme}://{LOOPBACK}:{listening.sockets[0].getsockname()[1]}"
    desk.redirect_url = f"http://{LOOPBACK}:{following.sockets[0].getsockname()[1]}/elsewhere"
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    desk.record.event("started", pid=os.getpid(), seed=asked.seed)
    ready = {
        "pid": os.getpid(),
        "sendgrid_base_url": base_url,
        "twilio_base_url": base_url,
        "redirects_to": desk.redirect_url,
        "certificate": str(certificate) if certificate else None,
        "environment": {
            **desk.credentials.environment(base_url, signer.public_key if signer else ""),
            VARIABLE: str(asked.seed),  # the operator pages make reports with the same keys
        },
        "key_environment": desk.credentials.key_environment,
    }
    sys.stdout.buffer.write(orjson.dumps(ready) + b"\n")
    sys.stdout.flush()
    await ended.wait()
    desk.record.event("stopped", pid=os.getpid())


def event_signer(seed: int) -> EventSigner | None:
    """Return SendGrid's signing key, or None where `cryptography` is not installed."""
    try:
        from winback.sample.event_signer import EventSigner  # noqa: PLC0415  only callbacks need it
    except ImportError:
        return None
    return EventSigner(seed)


def tls_context(log: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's TLS with a certificate of its own, written beside the log.

    Raises
    ------
    UsageError
        If the package that makes certificates is not installed.
    """
    try:
        from winback.sample.vendor_certificate import own_certificate  # noqa: PLC0415  only TLS needs it
    except ImportError as problem:
        raise UsageError("--tls needs the package cryptography") from problem
    return own_certificate(log.with_suffix(".pem"))


def main(arguments: list[str]) -> int:
    """Serve; return the exit code."""
    try:
        asyncio.run(run(parser().parse_args(arguments)))
    except (WinbackError, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2 if isinstance(problem, UsageError) else 1
    # Connections may hang on purpose, and reports may be under way: nothing of either is waited for.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
