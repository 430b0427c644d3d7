"""What the operator pages show, and what their buttons do, on a shop with two nights behind it."""

from datetime import timedelta

import ledger_rows as rows
import operator_world
import pytest
from night_world import DAY, Shop, moment
from operator_world import words

from winback.core.explanation import facts_in_words
from winback.core.reasons import Reason
from winback.ledger import diary, safety, switches
from winback.ledger.message_tables import attempts, messages
from winback.ledger.people_tables import suppressions
from winback.ledger.refusals import Act, Target, suppress
from winback.night import choose, unsubscribe
from winback.night.pepper import open_project_ledger

LATER = DAY + timedelta(days=11)
HOSTILE = '=cmd|"<script>alert(1)</script>'


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("operated") / "shop")
    shop.night()
    shop.freshen(LATER)
    shop.night(LATER)
    return shop


@pytest.fixture(scope="module")
def pages(shop):
    with open_project_ledger(shop.project) as ledger:
        yield operator_world.OperatorPages(shop.project, ledger, clock=_clock())


def _clock():
    return operator_world.Clock(moment(LATER, 20))


@pytest.fixture(scope="module")
def ada(pages):
    return pages.operator()


@pytest.mark.parametrize("day", [DAY, LATER])
def test_every_decision_is_explained_as_on_the_command_line(shop, ada, day):
    decided = shop.decided(day)
    assert len(decided) == 90
    for customer in decided:
        story = shop.do("--json", "explain", customer, "--as-of", day).data
        answer = ada.get(f"/explain/{customer}", params={"as_of": str(day)})
        assert answer.status_code == 200
        said = words(answer.text)
        assert f"{customer} on {day}: {story['action'].replace('_', ' ')} " in said
        assert f"Reason: {story['reason']} " in said
        for part in (story["sentence"], *story["would_have_to_change"]):
            assert " ".join(part.split()) in said
        place = 0
        for step in [*story["steps"][-1:], *story["steps"][:-1]]:
            row = f"{step['rule']} {facts_in_words(step['inputs'])} {step['outcome']}".replace("  ", " ")
            place = said.index(row, place)
        for message in story["messages"]:
            assert f"{message['as_of']} {message['step']} {message['channel']} {message['state']}" in said


def test_without_a_day_the_newest_night_is_explained(ada):
    assert f"c001 on {LATER}" in words(ada.get("/explain/c001").text)
    leads = ada.post("/explain", {"customer_id": "a/b <c>", "as_of": "2026-03-10"})
    assert (leads.status_code, leads.headers["location"]) == (303, "/explain/a%2Fb%20%3Cc%3E?as_of=2026-03-10")
    assert "unknown customer 'a/b <c>'" in words(ada.get("/explain/a%2Fb%20%3Cc%3E").text)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/explain/nobody", "unknown customer 'nobody'"),
        ("/explain/c001?as_of=2026-03-11", "no decision about 'c001' on 2026-03-11"),
        ("/explain/c001?as_of=yesterday", "'yesterday' is no day"),
    ],
)
def test_a_question_about_nothing_says_what_could_be_asked(ada, path, said):
    answer = ada.get(path)
    assert answer.status_code == 404
    assert said in words(answer.text)


def test_the_overview_says_what_happened_and_who_stands_where(shop, ada):
    said = words(ada.get("/").text)
    report = shop.do("--json", "plan", "--as-of", LATER).data
    for day in (DAY, LATER):
        states = shop.messages("--as-of", day)
        assert str(day) in said
        counts = {one["state"]: sum(two["state"] == one["state"] for two in states) for one in states}
        assert all(f"{state} {count}" in said for state, count in counts.items())
    sends = sum(row["action"] == "send" for row in shop.decided(LATER).values())
    assert f"send {sends}" in said
    assert "Sent twice 0" in said
    assert "Sent after an opt-out 0" in said
    for programme in report["programmes"]:
        assert f"{programme} " in said
    assert "Rehearsal: nothing leaves this machine" in said


def test_what_is_held_stands_on_the_overview(tmp_path):
    shop = Shop(tmp_path / "held")
    shop.night()
    stale = DAY + timedelta(days=11)
    shop.night(stale, code=4)
    with open_project_ledger(shop.project) as ledger:
        said = words(operator_world.OperatorPages(shop.project, ledger, clock=_clock()).operator().get("/").text)
    assert "feed orders stale" in said
    assert "feed visits stale" in said


def test_the_button_stops_every_sender_and_is_in_the_log(shop, pages, ada):
    assert ada.post("/stop", {"reason": HOSTILE}).status_code == 303
    page = ada.get("/")
    assert "by operator:Ada" in words(page.text)
    assert "<script>" not in page.text
    assert "sending is stopped" in shop.do("--json", "deliver", code=4).data["error"]
    assert ada.post("/resume", {"reason": "  "}).status_code == 422
    assert "sending is stopped" in shop.do("--json", "deliver", code=4).data["error"]
    assert ada.post("/resume", {"reason": "looked at it"}).status_code == 303
    shop.do("deliver")
    with pages.ledger.reading() as connection:
        assert switches.pressed(connection) is None
        newest = [(line.actor, line.action) for line in diary.read_entries(connection, subject="switch")]
    assert newest == [("operator:Ada", "release stop"), ("operator:Ada", "stop")]


# --- the two numbers that have to be 0 --------------------------------------------------------------------------------


@pytest.fixture
def sent(ledger):
    """A ledger with two messages that a provider took at noon."""
    rows.populate(ledger, "c1", "c2")
    with ledger.writing() as connection:
        ids = connection.exec_driver_sql("SELECT message_id FROM messages ORDER BY customer_id").scalars().all()
        for message_id in ids:
            _take(connection, message_id, 1)
    return ledger, ids


def _take(connection, message_id: str, number: int, *, at=rows.NOW, outcome="accepted"):
    one = {"message_id": message_id, "attempt_no": number, "owner": "s", "started_at": at, "outcome": outcome}
    connection.execute(attempts.insert().values(**one))


def test_who_was_sent_twice_is_counted(sent):
    ledger, ids = sent
    with ledger.writing() as connection:
        assert safety.count_sent_twice(connection) == 0
        _take(connection, ids[0], 2, outcome="deferred")
        assert safety.count_sent_twice(connection) == 0
        _take(connection, ids[0], 3)
        assert safety.count_sent_twice(connection) == 1


@pytest.mark.parametrize(
    ("source", "before", "counted"),
    [
        ("cli", timedelta(minutes=2), 1),
        ("one_click", timedelta(seconds=30), 0),  # they crossed
        ("webhook:sendgrid", timedelta(hours=2), 0),  # said then, known later
        ("webhook:sendgrid", timedelta(hours=25), 1),
        ("cli", timedelta(minutes=-1), 0),
    ],
)
@pytest.mark.parametrize("target", [Target(customer_id="c1"), Target("email", address="c1@example.com")])
def test_who_was_sent_after_a_no_is_counted(sent, source, before, counted, target):
    ledger, _ids = sent
    at = rows.NOW - before
    with ledger.writing() as connection:
        act = Act(at, at.date(), source, "test")
        assert suppress(connection, target, act, pepper=ledger.pepper, reason=Reason.OPTED_OUT)
        assert safety.count_sent_after_no(connection) == counted
        connection.execute(messages.update().values(accepted_at=rows.NOW))
        assert safety.count_sent_after_no(connection) == counted
        connection.execute(suppressions.update().values(lifted_at=rows.NOW - timedelta(seconds=1)))
        assert safety.count_sent_after_no(connection) == 0


def test_the_pages_date_a_no_themselves():
    assert {"cli", "operator", unsubscribe.SOURCE, choose.SOURCE} == set(safety.DATED_BY_US)
