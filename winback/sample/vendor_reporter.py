"""Posts what the fake vendors report, each report when it is due.

In: messages that were taken. Out: POSTs to one address of this machine, and their answers in the record. Must never
happen: a report that leaves the machine; whatever host a callback names, it goes to the address given at the start,
signed for the address that was named, as behind a proxy.
"""

from __future__ import annotations

import http.client
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlencode, urlsplit

import orjson

from winback.channels.made_up_reports import text_signature
from winback.errors import UsageError
from winback.sample.vendor_callbacks import reports_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from winback.sample.acceptance_log import Acceptance, VendorRecord
    from winback.sample.event_signer import EventSigner
    from winback.sample.fake_text_vendor import FakeTextVendor
    from winback.sample.vendor_callbacks import Report
    from winback.sample.vendor_faults import CallbackFaults

EVENTS_PATH = "/hooks/sendgrid"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TIMEOUT_SECONDS = 10
ATTEMPTS = {"sendgrid": 5, "twilio": 2}
PAUSE_SECONDS = 0.2


def loopback_address(address: str) -> SplitResult:
    """Return the parts of an address of this machine.

    Raises
    ------
    UsageError
        If it is one of another machine: made-up reports stay here.
    """
    parts = urlsplit(address)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        raise UsageError(f"callbacks go to http://127.0.0.1:PORT only, not to {address!r}")
    return parts


class Reporter:
    """Delivers reports, one after the other.

    Parameters
    ----------
    target : address of the web app that listens, on this machine
    loop : its clock decides when a report is due
    signer : SendGrid's key
    token : Twilio's auth token
    record : where each delivery is written down
    texts : whose listing moves with the reports
    """

    def __init__(
        self,
        target: str,
        loop: asyncio.AbstractEventLoop,
        *,
        signer: EventSigner,
        token: str,
        record: VendorRecord,
        texts: FakeTextVendor,
    ) -> None:
        self._target = loopback_address(target)
        self._loop = loop
        self._signer = signer
        self._token = token
        self._record = record
        self._texts = texts
        # One thread: reports arrive in the order in which they are due.
        self._poster = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reports")

    def expect(self, accepted: Sequence[Acceptance], faults: CallbackFaults, seed: int) -> None:
        """Report about messages that were just taken, as soon as it is time."""
        now_seconds = time.time()
        due: defaultdict[float, list[Report]] = defaultdict(list)
        for one in accepted:
            for report in reports_of(one, faults, seed, now_seconds=now_seconds):
                due[round(report.delay_seconds, 3)].append(report)
        for delay, reports in due.items():
            self._loop.call_later(delay, self._report, reports)

    def close(self) -> None:
        """Forget what is not posted yet."""
        self._poster.shutdown(wait=False, cancel_futures=True)

    def _report(self, reports: list[Report]) -> None:
        """Move the listing and hand the posts over."""
        events = [report for report in reports if report.vendor == "sendgrid" and report.is_posted]
        if events:
            self._poster.submit(self._post_events, events)
        for report in reports:
            if report.vendor == "twilio":
                self._texts.advance(report.fields["MessageSid"], report.state, report.fields.get("ErrorCode", ""))
                if report.is_posted and report.address:
                    self._poster.submit(self._post_state, report)

    def _post_events(self, events: list[Report]) -> None:
        """Post one signed array of events."""
        body = orjson.dumps([event.fields for event in events])
        headers = {"Content-Type": "application/json", **self._signer.headers(body, str(int(time.time())))}
        self._post(EVENTS_PATH, body, headers, events)

    def _post_state(self, report: Report) -> None:
        """Post one signed form."""
        named = urlsplit(report.address)
        path = f"{named.path or '/'}?{named.query}" if named.query else named.path or "/"
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": text_signature(self._token, report.address, report.fields),
        }
        self._post(path, urlencode(report.fields).encode(), headers, [report])

    def _post(self, path: str, body: bytes, headers: dict[str, str], reports: list[Report]) -> None:
        """Post until it is taken, or as often as the vendor would."""
        vendor = reports[0].vendor
        status: int | None = None
        for attempt in range(ATTEMPTS[vendor]):
            time.sleep(PAUSE_SECONDS * attempt)
            status = self._call(path, body, headers)
            # SendGrid repeats until it hears 2xx, Twilio only where nobody listened.
            if status is not None and (vendor == "twilio" or HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES):
                break
        told = [[report.message_id, report.state] for report in reports]
        self._record.event("callback", vendor=vendor, path=path, status=status, reports=told)

    def _call(self, path: str, body: bytes, headers: dict[str, str]) -> int | None:
        """Return the status of one POST, or None when there was no answer."""
        host, port = self._target.hostname or "", self._target.port
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", self._target.path.rstrip("/") + path, body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
