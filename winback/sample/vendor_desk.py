"""Both fake vendors behind one counter: who is meant, what goes wrong, what is written down, what is answered.

In: whole requests. Out: what the server shall do with the connection. An acceptance is in the log before this module
returns the answer. Must never happen: an answer that says *accepted* about something the log does not hold.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson

from winback.channels.made_up_reports import auth_token
from winback.errors import UsageError
from winback.sample import fake_mail_vendor, fake_text_vendor
from winback.sample.acceptance_log import VendorRecord, read_acceptances, read_events
from winback.sample.fake_mail_vendor import FakeMailVendor
from winback.sample.fake_text_vendor import FakeTextVendor
from winback.sample.vendor_faults import FaultKind, FaultPlan, FaultRule, fault_plan
from winback.sample.vendor_shapes import VendorAnswer, VendorRequest, json_answer

if TYPE_CHECKING:
    from pathlib import Path

    from winback.sample.vendor_reporter import Reporter

CONTROL = "/fake/"
_JSON = {"Content-Type": "application/json"}
_GARBAGE = b"<html><body>an answer by somebody who is not the vendor</body></html>"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Made-up names and passwords; the same seed makes the same ones."""

    api_key: str
    account: str
    token: str
    text_key: str
    text_secret: str
    service: str

    @classmethod
    def of(cls, seed: int) -> Credentials:
        """Return the credentials of a seed."""

        def made(name: str) -> str:
            return hashlib.sha256(f"{name}:{seed}".encode()).hexdigest()[:32]

        return cls(
            api_key=f"SG.{made('key')}",
            account=f"AC{made('account')}",
            token=auth_token(str(seed)),
            text_key=f"SK{made('text key')}",
            text_secret=made("text secret"),
            service=f"MG{made('service')}",
        )

    def environment(self, base_url: str, public_key: str) -> dict[str, str]:
        """Return the variables that point a sender here."""
        return {
            "SENDGRID_API_KEY": self.api_key,
            "SENDGRID_BASE_URL": base_url,
            "SENDGRID_WEBHOOK_PUBLIC_KEY": public_key,
            "TWILIO_ACCOUNT_SID": self.account,
            "TWILIO_AUTH_TOKEN": self.token,
            "TWILIO_BASE_URL": base_url,
            "TWILIO_MESSAGING_SERVICE_SID": self.service,
        }

    @property
    def key_environment(self) -> dict[str, str]:
        """The variables of an API key, for a sender that does not use the account's own token."""
        return {"TWILIO_API_KEY": self.text_key, "TWILIO_API_SECRET": self.text_secret}


@dataclass(frozen=True, kw_only=True)
class Told:
    """An answer, and what is done to it on its way.

    Attributes
    ----------
    answer : what is sent; None closes the connection without a word
    wait_seconds : before it is sent
    is_hung : nothing is sent; the connection stays open for ``wait_seconds``
    is_cut : half of the body is sent, then the connection is closed
    """

    answer: VendorAnswer | None
    wait_seconds: float = 0.0
    is_hung: bool = False
    is_cut: bool = False


class VendorDesk:
    """Answers for both vendors.

    Parameters
    ----------
    log : the acceptance log; what it holds already is remembered
    plan : what goes wrong
    is_synced : wait for the disk before an answer
    """

    def __init__(self, log: Path, plan: FaultPlan, *, is_synced: bool = False) -> None:
        self.plan = plan
        self.credentials = Credentials.of(plan.seed)
        self.reporter: Reporter | None = None
        self.redirect_url = ""
        passwords = {
            self.credentials.account: self.credentials.token,
            self.credentials.text_key: self.credentials.text_secret,
        }
        self.mails = FakeMailVendor(self.credentials.api_key, self._refuses)
        self.texts = FakeTextVendor(self.credentials.account, passwords, self._refuses)
        self._numbers: Counter[str] = Counter()
        self._remember(log)
        self.record = VendorRecord(log, is_synced=is_synced)

    def begin(self, request: VendorRequest) -> tuple[VendorRequest, str, FaultRule | None]:
        """Give a request a number once its head is there; return it with its vendor and what will happen to it."""
        if request.path.startswith(CONTROL):
            return request, "", None
        vendor = fake_mail_vendor.NAME if request.path.startswith("/v3/") else fake_text_vendor.NAME
        if request.method != "POST" or request.path not in {fake_mail_vendor.SEND_PATH, self.texts.send_path}:
            return request, vendor, None
        self._numbers[vendor] += 1
        number = self._numbers[vendor]
        self.record.event("begun", vendor=vendor, request=number)
        return replace(request, number=number), vendor, self.plan.fault(vendor, number)

    def fault(self, vendor: str, number: int, rule: FaultRule, taken: int) -> None:
        """Write down that a fault took effect."""
        self.record.event("fault", vendor=vendor, request=number, fault=rule.kind, accepted=taken)

    def answer(self, request: VendorRequest, vendor: str, rule: FaultRule | None) -> Told:
        """Decide about a whole request; acceptances are written down before this returns."""
        if not vendor:
            return Told(answer=self._control(request))
        teller = self.mails if vendor == fake_mail_vendor.NAME else self.texts
        answer = VendorAnswer(status=0) if rule and not rule.is_accepting else teller.answer(request)
        if not request.number:
            if request.path == fake_mail_vendor.GLOBAL_PATH and answer.status == 201:  # noqa: PLR2004  HTTP status 201: created
                self.record.event("told", given=orjson.loads(answer.body)["recipient_emails"])
            return Told(answer=answer)
        if answer.status >= HTTPStatus.BAD_REQUEST:  # wrong by itself, so no fault happens to it
            self.record.event(
                "refused", vendor=vendor, request=request.number, status=answer.status, codes=answer.codes
            )
            return Told(answer=answer)
        if answer.accepted:
            self._accept(answer, request.number)
        if rule is None:
            return Told(answer=answer)
        self.fault(vendor, request.number, rule, len(answer.accepted))
        return self._spoiled(answer, rule, teller)

    def ended(self, request: VendorRequest, vendor: str, status: int | None) -> None:
        """Write down that a request that sends is over; status None when nothing was answered."""
        if request.number:
            self.record.event("ended", vendor=vendor, request=request.number, status=status)

    def _spoiled(self, answer: VendorAnswer, rule: FaultRule, teller: FakeMailVendor | FakeTextVendor) -> Told:
        """Return what a fault makes of an answer."""
        meant = answer.status or (202 if teller is self.mails else 201)
        spoiled = {
            FaultKind.ERROR_BEFORE: Told(answer=teller.error(rule.status)),
            FaultKind.ERROR_AFTER: Told(answer=teller.error(rule.status)),
            FaultKind.TOO_MANY: Told(answer=teller.error(429, retry_after_seconds=rule.retry_after_seconds)),
            FaultKind.UNAUTHORIZED: Told(answer=teller.error(401)),
            FaultKind.SLOW: Told(answer=replace(answer, status=meant), wait_seconds=rule.seconds),
            FaultKind.HANG: Told(answer=None, wait_seconds=rule.seconds, is_hung=True),
            FaultKind.UNREADABLE: Told(answer=VendorAnswer(status=meant, headers=_JSON, body=_GARBAGE)),
            FaultKind.TRUNCATED: Told(answer=replace(answer, status=meant, body=answer.body or _GARBAGE), is_cut=True),
            FaultKind.REDIRECT: Told(answer=VendorAnswer(status=302, headers={"Location": self.redirect_url})),
            FaultKind.WRONG_SUCCESS: Told(answer=replace(answer, status=200)),
        }
        return spoiled.get(rule.kind, Told(answer=None))

    def _accept(self, answer: VendorAnswer, number: int) -> None:
        """Take the messages of an answer: first the log, then memory, then the reports."""
        self.record.accept(answer.accepted, number)
        for one in answer.accepted:
            if one.resource is not None:
                self.texts.keep(dict(one.resource))
        if self.reporter is not None:
            self.reporter.expect(answer.accepted, self.plan.callbacks, self.plan.seed)

    def _refuses(self, address: str, usual_code: int) -> int | None:
        return self.plan.refusal(address, usual_code)

    def _control(self, request: VendorRequest) -> VendorAnswer:
        """Let a test change what goes wrong, or a suppression list, while the vendors run."""
        name = request.path.removeprefix(CONTROL)
        try:
            given = orjson.loads(request.body or b"null")
            if request.method == "PUT" and name == "faults":
                self.plan = fault_plan(given, seed=self.plan.seed)
            elif request.method == "PUT" and name.startswith("suppressions/"):
                self._suppress(name.removeprefix("suppressions/"), given)
            elif request.method == "PUT" and name == "texts":
                for sid, told in given.items():
                    state, _, code = str(told).partition(":")
                    self.texts.advance(sid, state, code)
            elif request.method == "PUT" and name == "scopes":
                self.mails.scopes = frozenset(map(str, given))
            else:
                return json_answer(
                    404, {"error": "PUT /fake/faults, /fake/texts, /fake/scopes or /fake/suppressions/LIST"}
                )
        except (UsageError, KeyError, TypeError, ValueError) as problem:
            return json_answer(400, {"error": str(problem)})
        self.record.event("control", path=request.path, given=given)
        return json_answer(200, {"numbers": dict(self._numbers)})

    def _suppress(self, name: str, rows: list[object]) -> None:
        self.mails.set_list(name, rows)

    def _remember(self, log: Path) -> None:
        """Take up where an earlier process with the same log ended."""
        for acceptance in read_acceptances(log).rows:
            if acceptance.resource is not None:
                self.texts.keep(acceptance.resource)
            self._numbers[acceptance.vendor] = max(self._numbers[acceptance.vendor], acceptance.request)
        for event in read_events(log, "begun", "control"):
            if event["kind"] == "begun":
                self._numbers[event["vendor"]] = max(self._numbers[event["vendor"]], event["request"])
            elif event["path"].startswith(f"{CONTROL}suppressions/"):
                self._suppress(event["path"].rpartition("/")[2], event["given"])
            elif event["path"] == f"{CONTROL}scopes":
                self.mails.scopes = frozenset(event["given"])
