"""Starts the fake vendors as a process of their own, and stops them by their process id."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winback.sample.acceptance_log import AcceptedMessages, read_acceptances, read_events

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
STOP_SECONDS = 15
PROGRAM = ("-m", "winback.sample.fake_vendors")


@dataclass
class FakeVendorProcess:
    """A running pair of vendors.

    Attributes
    ----------
    log : acceptance log
    options : of the command
    ready : the line it printed when it was ready
    """

    log: Path
    options: list[str]
    ready: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return str(self.ready["sendgrid_base_url"])

    @property
    def port(self) -> int:
        return int(self.base_url.rpartition(":")[2])

    @property
    def environment(self) -> dict[str, str]:
        """What a sender's process needs to come here instead of to the vendors."""
        return dict(self.ready["environment"])

    def start(self, *, port: int = 0, program: tuple[str, ...] = PROGRAM) -> None:
        command = [sys.executable, *program, "--log", str(self.log), "--port", str(port)]
        self.process = subprocess.Popen([*command, *self.options], cwd=ROOT, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise AssertionError(f"the fake vendors did not start: exit code {code}")
        self.ready = json.loads(line)

    def restart(self) -> None:
        """Start again on the same port, with the same log."""
        self.start(port=self.port)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self._gone()

    def kill(self) -> int:
        self.process.kill()
        return self._gone()

    def accepted(self) -> AcceptedMessages:
        return read_acceptances(self.log)

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        return read_events(self.log, *kinds)

    def set_faults(self, faults: dict[str, Any] | list[dict[str, Any]]) -> dict[str, Any]:
        """Replace what goes wrong from the next request on; return how many requests each vendor has had."""
        return self._put("faults", faults)["numbers"]

    def set_suppressions(self, name: str, rows: list[Any]) -> None:
        """Replace one of SendGrid's suppression lists."""
        self._put(f"suppressions/{name}", rows)

    def set_texts(self, states: dict[str, str]) -> None:
        """Move listed texts, by Twilio's id, to a state, with a code after a colon where it failed."""
        self._put("texts", states)

    def set_scopes(self, *scopes: str) -> None:
        """Say what SendGrid's key may do from the next request on."""
        self._put("scopes", list(scopes))

    def _put(self, path: str, document: object) -> dict[str, Any]:
        if self.ready["certificate"]:
            context = ssl.create_default_context(cafile=self.ready["certificate"])
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection):
            connection.request("PUT", f"/fake/{path}", json.dumps(document).encode())
            answer = connection.getresponse()
            told = json.loads(answer.read())
        assert answer.status == 200, told
        return told

    def _gone(self) -> int:
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            if self.process.poll() is None:
                os.kill(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process.stdout.close()


@contextmanager
def fake_vendors(
    folder: Path,
    *,
    faults: dict[str, Any] | list[dict[str, Any]] | None = None,
    seed: int = 0,
    callbacks: str = "",
    options: tuple[str, ...] = (),
) -> Iterator[FakeVendorProcess]:
    """Yield vendors that listen on a free port and log into a folder; they are stopped at the end.

    Parameters
    ----------
    folder : the log is ``vendors.jsonl`` in it
    faults : as vendor_faults.fault_plan reads them
    seed : of faults and credentials
    callbacks : address of whoever listens to reports
    options : more of the command, such as ``--tls``
    """
    given = ["--seed", str(seed), "--faults", json.dumps(faults or {}), *options]
    if callbacks:
        given += ["--callbacks", callbacks]
    vendors = FakeVendorProcess(log=folder / "vendors.jsonl", options=given)
    vendors.start()
    try:
        yield vendors
    finally:
        if vendors.process.poll() is None:
            vendors.stop()
        else:
            vendors.process.stdout.close()
