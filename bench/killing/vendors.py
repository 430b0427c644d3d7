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
    import random
    from collections.abc import Iterator
    from pathlib import Path

FAULTS = [
    {"kind": "lost_answer", "probability": 0.02},
    {"kind": "error_before", "probability": 0.01},
    {"kind": "error_after", "probability": 0.01},
    # A call that takes a while is one that a kill can land in.
    {"kind": "slow", "probability": 0.2, "seconds": 0.02},
]
TOO_MANY = {"kind": "too_many", "probability": 0.03, "burst": 3, "retry_after_seconds": 0}
VENDORS = ("sendgrid", "twilio")
_CALM, _BUSY, _DENYING = 0.7, 0.24, 0.06
_CALLS_BEFORE_THE_DENIAL = 12
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
        """By address, how often each message id was taken since the last page was turned."""
        self.taken_seconds: dict[str, list[float]] = defaultdict(list)
        """By address, when something was taken, on the clock that never jumps and all processes share."""
        self._earlier: set[str] = set()
        self._read_bytes = 0
        self._weather = "calm"
        command = [sys.executable, "-m", "winback.sample.fake_vendors", "--log", str(log), "--seed", str(seed)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise RuntimeError(f"the doubles of the vendors did not start: exit code {self._process.wait()}")
        ready = json.loads(line)
        self.environment: dict[str, str] = ready["environment"]
        self._port = int(ready["sendgrid_base_url"].rpartition(":")[2])

    def set_faults(self, faults: list[dict[str, Any]]) -> dict[str, int]:
        """Say what goes wrong from the next request on; return how many requests each vendor has had."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            connection.request("PUT", "/fake/faults", json.dumps(faults).encode())
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise RuntimeError(f"the faults were not taken: {answer.read()!r}")
            numbers: dict[str, int] = json.loads(answer.read())["numbers"]
            return numbers

    def change_weather(self, draws: random.Random) -> str:
        """Draw what goes wrong besides the usual: nothing, bursts of 429, or 401 from the k-th call from now on."""
        kinds = ("calm", "too_many", "denied")
        [kind] = draws.choices(kinds, (_CALM, _BUSY, _DENYING))
        if kind == self._weather != "denied":
            return kind
        numbers = self.set_faults([TOO_MANY, *FAULTS] if kind == "too_many" else FAULTS)
        if kind == "denied":
            first = {one: numbers.get(one, 0) + draws.randint(1, _CALLS_BEFORE_THE_DENIAL) for one in VENDORS}
            self.set_faults([{"kind": "unauthorized", "vendor": one, "first": first[one]} for one in VENDORS] + FAULTS)
        self._weather = kind
        return kind

    def clear(self) -> None:
        """Let nothing but the usual go wrong."""
        if self._weather != "calm":
            self.set_faults(FAULTS)
        self._weather = "calm"

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
                if taken["recipient"] in self._earlier:
                    continue
                self.times[taken["recipient"]][taken["message_id"]] += 1
                self.taken_seconds[taken["recipient"]].append(taken["monotonic"])
        return self.times

    def turn_the_page(self, addresses: set[str]) -> None:
        """Forget whom something was taken for, before something is sent to other people.

        Raises
        ------
        RuntimeError
            If one of them has got something before: what they get then proves nothing.
        """
        self._earlier |= self.read_on().keys()
        if self._earlier & addresses:
            raise RuntimeError("these people have got messages before: what they get now proves nothing")
        self.times.clear()
        self.taken_seconds.clear()

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
