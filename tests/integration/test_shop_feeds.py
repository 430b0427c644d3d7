"""The simulated shop's feeds go through the real border: every broken row is set aside, and they are few."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

import pytest

from winback.core import row_rules
from winback.sample.planted import KNOWN_BEHAVIOURS
from winback.sample.scaffold import scaffold
from winback.sample.shop import play
from winback.settings import load_configuration
from winback.sources import catalogue
from winback.sources.feeds import Ask

if TYPE_CHECKING:
    from winback.configuration import Source

ENDS_ON = date(2026, 11, 20)
NOW = datetime(2026, 12, 1, 4, tzinfo=UTC)
ANY_FEED = {"customer_id_missing", "ragged_row"}
TIMES = {"timestamp_unparsable", "timestamp_future", "timestamp_ancient"}
FAULTS = {
    "contacts": ANY_FEED,
    "consents": ANY_FEED | TIMES | {"status_unknown", "channel_unknown"},
    "orders": ANY_FEED | TIMES | {"amount_unparsable"},
    "visits": set(),
    "scans": ANY_FEED | TIMES,
    "engagement": ANY_FEED | TIMES,
    "machine_opens": ANY_FEED | TIMES,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shop") / "project"
    scaffold(made, customers=3000, ends_on=ENDS_ON)
    play(made, day=ENDS_ON + timedelta(days=10))
    return made


def read(root: Path, name: str) -> tuple[int, Counter[str], bool]:
    """Return how many rows are good, which rules the others broke, and whether a time had no zone."""
    sources = load_configuration(root).sources
    named: dict[str, Source] = {source.name: source for source in sources.events}
    source = {"contacts": sources.contacts, "consents": sources.consents, **named}[name]
    behaviour = getattr(source, "behaviour", None)
    wanted = {"contacts": catalogue.CONTACTS, "consents": catalogue.CONSENTS}.get(
        name, catalogue.EVENTS if behaviour else catalogue.EVENTS_OF_ALL_KINDS
    )
    ask = Ask(source=name, wanted=wanted, columns=source.columns, may_resume=False)
    feed = catalogue.open_feed(ask, source, root=root, environment={})
    zone = ZoneInfo(source.timezone) if source.timezone else None
    good, broken, has_bare_time = 0, Counter[str](), False
    for chunk in feed.chunks:
        if name == "contacts":
            checked = row_rules.check_contacts(chunk.rows, zones=available_timezones())
        elif name == "consents":
            checked = row_rules.check_consents(chunk.rows, zone=zone, now=NOW, unread_at=NOW)
        else:
            checked = row_rules.check_events(
                chunk.rows, behaviour=behaviour, behaviours=KNOWN_BEHAVIOURS, zone=zone, decimal=".", now=NOW
            )
        good += len(checked.rows)
        broken.update([*checked.faults["rule"], *chunk.faults["rule"]])
        has_bare_time |= "timestamp_naive" in set(checked.faults["rule"])
    return good, broken, has_bare_time


@pytest.mark.parametrize("name", FAULTS)
def test_a_feed_is_read_with_its_broken_rows_set_aside(root: Path, name: str) -> None:
    good, broken, has_bare_time = read(root, name)
    assert good > 1000
    assert set(broken) == FAULTS[name]
    assert broken.total() < 0.005 * good
    assert not has_bare_time


def test_a_copied_order_says_the_same_and_a_conflict_follows_what_it_contradicts(root: Path) -> None:
    lines = (root / "orders.csv").read_text(encoding="utf-8").splitlines()
    numbers = [line.split(",")[0] for line in lines]
    twice = [place for place in range(1, len(lines)) if numbers[place] == numbers[place - 1]]
    same = [place for place in twice if lines[place] == lines[place - 1]]
    conflicts = [place for place in twice if lines[place].endswith(",999999.99")]
    assert len(same) >= 3
    assert len(conflicts) >= 3
