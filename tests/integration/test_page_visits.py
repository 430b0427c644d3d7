"""People of the simulated shop answer on the real public pages, and the next night knows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from night_world import DAY
from sqlalchemy import select
from starlette.responses import PlainTextResponse

from winback.core.message_links import short_code
from winback.core.reasons import Reason
from winback.errors import WinbackError
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import decisions
from winback.ledger.people_tables import suppressions
from winback.ledger.public_tables import engagements
from winback.ledger.refusals import STOP_WORD
from winback.night.pepper import open_project_ledger
from winback.night.unsubscribe import SOURCE
from winback.sample.nights import every, live_through
from winback.sample.page_visits import Visitors
from winback.sample.scaffold import scaffold
from winback.sample.season import STANDINGS, tell
from winback.settings import load_project
from winback.web.public_app import make_public_app

NIGHTS = every(14, before=DAY, nights=3)


class Season:
    """A shop after three nights whose messages people answered, and what its ledger holds."""

    def __init__(self, root) -> None:
        scaffold(root, customers=600, ends_on=NIGHTS[0] - timedelta(days=1), history_days=600)
        (root / "var").mkdir(mode=0o700, exist_ok=True)
        (root / "var" / "pepper").write_text("5eed" * 16)
        (root / "var" / "pepper").chmod(0o600)
        self.project = load_project(root, {})
        self.told = list(live_through(root, NIGHTS, until=DAY - timedelta(days=1), pages=make_public_app))
        with open_project_ledger(self.project) as ledger, ledger.reading() as connection:
            self.acts = connection.execute(select(engagements)).all()
            refused = suppressions.c.source.in_((SOURCE, STOP_WORD)), suppressions.c.kind == "customer"
            self.stops = connection.execute(select(suppressions).where(*refused)).all()
            self.sent = {row.message_id: row for row in connection.execute(select(messages))}
            rows = connection.execute(select(decisions.c.as_of, decisions.c.customer_id, decisions.c.reason))
            self.reasons = {(row.as_of, row.customer_id): row.reason for row in rows}


@pytest.fixture(scope="module")
def season(tmp_path_factory):
    return Season(tmp_path_factory.mktemp("visited") / "shop")


def test_every_visit_is_in_the_ledger_by_the_pages(season):
    answers, stops = (sum(getattr(told.visited, name) for told in season.told) for name in ("answers", "stops"))
    assert (len(season.acts), len(season.stops)) == (answers, stops)
    assert answers > 2
    assert stops > 0


def test_people_answer_after_they_were_written_to_and_before_the_next_night(season):
    for act in season.acts:
        waited = act.occurred_at - season.sent[act.message_id].accepted_at
        assert timedelta(minutes=10) <= waited < timedelta(minutes=130)


def test_the_next_night_knows_who_was_there_and_who_said_stop(season):
    last = season.told[-1].as_of
    came = {act.customer_id for act in season.acts if act.occurred_at.date() < last}
    said_no = {one.key for one in season.stops if one.created_at.date() < last}
    assert came
    assert said_no
    seen = {season.reasons[next(night for night in NIGHTS if night > act.occurred_at.date()), act.customer_id]
            for act in season.acts if act.occurred_at.date() < last}  # fmt: skip
    assert seen <= {Reason.RETURNED, Reason.ACTIVE, Reason.AT_RISK}
    assert Reason.RETURNED in seen
    assert not {row.customer_id for row in season.sent.values() if row.as_of == last} & said_no


def test_a_season_is_told_by_where_its_people_stand(season):
    told = tell(season.project)
    assert list(told["standings"]) == ["active", "reactivated", "sunset", "suppressed"]
    tonight = {one: reason for (as_of, one), reason in season.reasons.items() if as_of == season.told[-1].as_of}
    for name, standing in told["standings"].items():
        assert standing["contacts"] == sum(reason in STANDINGS[name] for reason in tonight.values()), name
        if standing["contacts"]:
            example = standing["example"]
            assert example["sentence"] == Reason.__members__[tonight[example["customer_id"]].upper()].sentence
    assert told["standings"]["reactivated"]["contacts"] > 0
    assert sum(told["answers"].values()) == len(season.acts)
    assert told["said_stop"] >= len(season.stops)
    of_codes = {short_code(one): row for one, row in season.sent.items() if row.as_of == season.told[-1].as_of}
    assert told["links"]
    assert all(told["steps"][of_codes[code].step] == kind for kind, code in told["links"].items())


def test_a_page_that_fails_ends_the_story(season):
    def broken(_project, _ledger, *, clock):
        assert clock()
        return PlainTextResponse("broken", status_code=500)

    with open_project_ledger(season.project) as ledger:
        visitors = Visitors(season.project, ledger, pages=broken, starts_at=season.acts[0].occurred_at)
        with pytest.raises(WinbackError, match=r"(GET|POST) /[slu]/… was answered with 500"):
            visitors.come(NIGHTS[0])
