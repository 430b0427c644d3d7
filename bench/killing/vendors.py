"""The doubles of the vendors as a process of their own, and their log, read on from where it was read last."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAULTS = [
    {"kind": "lost_answer", "probability": 0.02},
    {"kind": "error_before", "probability": 0.01},
    {"kind": "error_after", "probability": 0.01},
    # A call that takes a while is one that a kill can land in.
    {"kind": "slow", "probability": 0.2, "seconds": 0.02},
]
_STOP_SECONDS = 15


class Vendors:
    """A running pair of vendors.

    Parameters
    ----------
    log : where they write down what they take
    seed : of what goes wrong
    """

    def __init__(self, log: Path, *, seed: int) -> None:
        self.log = log
        self.times: dict[str, Counter[str]] = defaultdict(Counter)
        """By address, how often each message id was taken."""
        self._read_bytes = 0
        command = [sys.executable, "-m", "winback.sample.fake_vendors", "--log", str(log), "--seed", str(seed)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise RuntimeError(f"the doubles of the vendors did not start: exit code {self._process.wait()}")
        ready = json.loads(line)
        self.environment: dict[str, str] = ready["environment"]
        self._port = int(ready["sendgrid_base_url"].rpartition(":")[2])

    def set_faults(self, faults: list[dict[str, Any]]) -> None:
        """Say what goes wrong from the next request on."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            connection.request("PUT", "/fake/faults", json.dumps(faults).encode())
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise RuntimeError(f"the faults were not taken: {answer.read()!r}")

    def read_on(self) -> dict[str, Counter[str]]:
        """Read what was taken since; only whole lines count, as nothing else was answered."""
        if self.log.exists():
            with self.log.open("rb") as file:
                file.seek(self._read_bytes)
                fresh = file.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._read_bytes += len(whole)
            for line in whole.splitlines():
                taken = json.loads(line)
                self.times[taken["recipient"]][taken["message_id"]] += 1
        return self.times

    def stop(self) -> None:
        """End the process."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


@contextmanager
def vendors(folder: Path, *, seed: int = 0) -> Iterator[Vendors]:
    """Yield vendors that log into a folder and have the usual faults."""
    running = Vendors(folder / "vendors.jsonl", seed=seed)
    try:
        running.set_faults(FAULTS)
        yield running
    finally:
        running.stop()
