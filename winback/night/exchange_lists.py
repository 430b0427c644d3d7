"""Ask the mail vendor who wants nothing any more, and tell it who told us; before a night sends, and at every settle.

In: a live project whose mail goes out by a vendor that keeps lists. Out: suppressions, and what could not be done, in
sentences. Imports neither pandas nor Prefect. Must never happen: a night or a settlement that stops because a list
cannot be read, or goes on without saying so.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from winback.channels.registry import open_lists
from winback.channels.sendgrid_lists import PAGE
from winback.channels.vendor_codes import code_table
from winback.errors import SettingsError
from winback.ledger import vendor_lists
from winback.ledger.consequences import reason_of
from winback.ledger.vendor_lists import Entry

if TYPE_CHECKING:
    from datetime import datetime

    from winback.channels.sendgrid_lists import SendGridLists
    from winback.channels.vendor_codes import ListMeaning
    from winback.ledger.engine import Ledger
    from winback.settings import Project

OVERLAP = timedelta(hours=1)
"""Entries may turn up in a list later than their own time says."""

MOST_PAGES = 10_000
"""Of one list: five million entries, and no vendor that gives the same page for ever."""

LAST = "last"
"""Where the outcome of the last exchange is kept, for `winback doctor`."""


class Exchanged(NamedTuple):
    """What one exchange came to.

    Attributes
    ----------
    read : entries of the vendor's lists
    suppressed : suppressions that made
    told : addresses the vendor was told of
    warnings : what could not be done, and what to do about it
    """

    read: int = 0
    suppressed: int = 0
    told: int = 0
    warnings: tuple[str, ...] = ()


def exchange(project: Project, ledger: Ledger, *, now: datetime) -> Exchanged:
    """Read the vendor's lists since the last time, tell it of our own refusals, and keep how that went."""
    try:
        lists = open_lists(project)
    except SettingsError as problem:
        return Exchanged(warnings=(str(problem),))
    if lists is None:
        return Exchanged()
    found = _Exchange(project, ledger, lists, now=now)
    found.read_all()
    if not found.is_away:
        found.tell_ours()
    with ledger.writing() as connection:
        said = {"at": now.isoformat(), "warnings": found.warnings}
        vendor_lists.set_mark(connection, LAST, said)
    return Exchanged(found.read, found.suppressed, found.told, tuple(found.warnings))


class _Exchange:
    """One exchange with one vendor."""

    def __init__(self, project: Project, ledger: Ledger, lists: SendGridLists, *, now: datetime) -> None:
        self.ledger, self.lists, self.now = ledger, lists, now
        self.today = project.business_date(now)
        self.read = self.suppressed = self.told = 0
        self.warnings: list[str] = []
        self.is_away = False

    def read_all(self) -> None:
        """Read every list from where the last exchange ended."""
        for meaning in code_table(self.lists.name).lists:
            if self.is_away:
                return
            self._read(meaning)

    def _read(self, meaning: ListMeaning) -> None:
        """Read one list to its end; how far is kept only then, so that what was missed is asked for again."""
        name = f"{self.lists.name}:{meaning.list}"
        with self.ledger.reading() as connection:
            since = int(vendor_lists.read_mark(connection, name).get("since", 0))
        newest, offset = since, 0
        for _page in range(MOST_PAGES):
            page = self.lists.page(meaning.list, since_seconds=since, offset=offset)
            if page.fault:
                self.warnings.append(page.fault)
                self.is_away = page.is_away
                return
            self._take([Entry(*entry) for entry in page.entries], meaning, name=name)
            newest = max([newest, *(int((entry.at - OVERLAP).timestamp()) for entry in page.entries)])
            offset += page.count
            if page.count < PAGE:
                break
        else:
            self.warnings.append(f"SendGrid's list of {meaning.list} has no end: {offset:,} entries were read")
            return
        if newest > since:
            with self.ledger.writing() as connection:
                vendor_lists.set_mark(connection, name, {"since": newest})

    def _take(self, entries: list[Entry], meaning: ListMeaning, *, name: str) -> None:
        self.read += len(entries)
        reason = reason_of(meaning.kind.value, meaning.consequence.value)
        if reason is None or not entries:
            return
        with self.ledger.writing() as connection:
            self.suppressed += vendor_lists.take_entries(
                connection,
                entries,
                name=name,
                reason=reason,
                today=self.today,
                now=self.now,
                pepper=self.ledger.pepper,
            )

    def tell_ours(self) -> None:
        """Tell the vendor of our own refusals; how far is kept only when all of them have arrived."""
        name = f"{self.lists.name}:told"
        with self.ledger.reading() as connection:
            mark = vendor_lists.read_mark(connection, name)
            untold = vendor_lists.untold(connection, mark, vendor=self.lists.name)
        if untold is None:
            return
        for start in range(0, len(untold.addresses), PAGE):
            some = untold.addresses[start : start + PAGE]
            fault = self.lists.tell(some)
            if fault:
                self.warnings.append(fault)
                return
            self.told += len(some)
        with self.ledger.writing() as connection:
            vendor_lists.set_mark(connection, name, untold.mark)
