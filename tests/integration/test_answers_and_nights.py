"""What people do on the public pages, and the nights after: cycles close, pauses hold, coupons are kept and freed."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import web_world
from night_world import DAY, Shop, moment
from sqlalchemy import select

from winback.ledger import coupons, queue
from winback.ledger.message_tables import messages
from winback.ledger.night_tables import cycles
from winback.ledger.public_tables import coupons as codes
from winback.ledger.public_tables import engagements
from winback.night.settle import settle
from winback.web.public_app import make_public_app

NEXT = DAY + timedelta(days=1)
HOST = "www.acme.example"
STEPS = [
    {"day": 30, "kind": "coupon", "channels": ["email"], "template": "survey", "pool": "thanks"},
    {"day": 40, "kind": "message", "channels": ["sms", "email"], "template": "survey", "url": f"https://{HOST}/new"},
    {"day": 50, "kind": "survey", "channels": ["email"], "template": "survey"},
]
READERS_STEPS = [
    {"day": 30, "kind": "message", "channels": ["email"], "template": "survey", "url": f"https://{HOST}/r"}
]


@pytest.fixture(scope="module")
def first_night(tmp_path_factory) -> Shop:
    """A shop after a night that sent coupons from a pool, and messages that lead elsewhere."""
    shop = Shop(tmp_path_factory.mktemp("first") / "shop")
    shop.configure(web={"link_hosts": [HOST]}, guards={"coupons_low_water": 1})
    readers = {"trigger": {"behaviours": ["visit"]}, "value": 0.5}
    shop.policies(
        winback={"ladder": {"steps": STEPS}, "topic": {"en": "Offers"}},
        readers={**readers, "ladder": {"steps": READERS_STEPS}},
    )
    shop.write("coupons/thanks.csv", "code,expires_on\n" + "".join(f"T-{n:03d},2027-01-01\n" for n in range(300)))
    shop.night()
    shop.freshen(NEXT)
    return shop


@pytest.fixture
def shop(first_night, tmp_path) -> Shop:
    return first_night.copy(tmp_path / "shop")


class Visitor:
    """Somebody with a message in their hand."""

    def __init__(self, shop: Shop, ledger, programme: str = "winback", place: int = 0) -> None:
        self.shop, self.ledger = shop, ledger
        with ledger.reading() as connection:
            found = [row for row in queue.list_messages(connection) if row["programme"] == programme]
        sent = sorted((row for row in found if row["state"] == "accepted"), key=lambda row: row["customer_id"])
        self.customer = sent[place]["customer_id"]
        self.message_id = sent[place]["message_id"]
        self.clock = web_world.Clock(moment(DAY, 20))
        self.app = make_public_app(shop.project, ledger, clock=self.clock)

    def ask(self, method: str, kind: str, **options):
        key = self.app.app.state.site.keys[0]
        purposes = {"u": "unsubscribe", "p": "preferences"}
        if kind in purposes:
            end = web_world.capability(self.message_id, purposes[kind], key=key)
        else:
            end = web_world.short_code(self.message_id)
        return web_world.Browser(self.app, "192.0.2.1", {}).request(method, f"/{kind}/{end}", **options)


def _cycle(ledger, customer: str) -> tuple:
    columns = cycles.c.closed_on, cycles.c.close_reason
    with ledger.reading() as connection:
        where = cycles.c.customer_id == customer, cycles.c.programme == "winback"
        return tuple(connection.execute(select(*columns).where(*where)).one())


def test_the_links_of_a_rendered_mail_are_the_ones_the_pages_know(shop):
    """Out of the very text that was handed over, not made up here."""
    with shop.open_ledger() as (ledger, _):
        visitor = Visitor(shop, ledger)
        browser = web_world.Browser(visitor.app, "192.0.2.1", {})
        pages = sorted((shop.root / "var" / "outbox").rglob(f"{visitor.message_id}.html"))
        found = set(re.findall(r"http://127\.0\.0\.1:8400(/[suplh]/[A-Za-z0-9_-]+)", pages[0].read_text()))
        assert {path[:3] for path in found} >= {"/s/", "/u/"}
        assert {browser.get(path).status_code for path in found} <= {200, 302}


def test_an_answer_closes_the_cycle_in_the_next_night(shop):
    with shop.open_ledger() as (ledger, _):
        visitor = Visitor(shop, ledger)
        other = Visitor(shop, ledger, place=1)
        assert visitor.ask("POST", "l").status_code == 200
    shop.night(NEXT)
    assert shop.decided(NEXT)[visitor.customer]["reason"] == "returned"
    assert shop.decided(NEXT)[other.customer]["reason"] == "between_steps"
    with shop.open_ledger() as (ledger, _):
        assert _cycle(ledger, visitor.customer) == (NEXT, "returned")
        assert _cycle(ledger, other.customer) == (None, None)


def test_settle_closes_the_cycle_at_once_and_changes_no_night(shop, first_night, tmp_path):
    """The night after decides alike, whether a settlement came in between or not."""
    other = first_night.copy(tmp_path / "other")
    for one in (shop, other):
        with one.open_ledger() as (ledger, _):
            visitor = Visitor(one, ledger)
            visitor.ask("POST", "l")
    assert shop.do("--json", "settle").data["returned"] == 1
    assert shop.do("--json", "settle").data["returned"] == 0
    with shop.open_ledger() as (ledger, _):
        assert _cycle(ledger, visitor.customer) == (NEXT, "returned")
    for one in (shop, other):
        one.night(NEXT)
        assert one.decided(NEXT)[visitor.customer]["reason"] == "returned"
    assert shop.decisions(NEXT) == other.decisions(NEXT)
    later = NEXT + timedelta(days=1)
    shop.freshen(later)
    shop.night(later)
    assert shop.decided(later)[visitor.customer]["reason"] == "active"


def test_a_look_closes_nothing(shop):
    with shop.open_ledger() as (ledger, _):
        visitor = Visitor(shop, ledger)
        for method in ("GET", "HEAD"):
            for kind in ("s", "l", "u", "p"):
                assert visitor.ask(method, kind).status_code in {200, 302}
    shop.night(NEXT)
    with shop.open_ledger() as (ledger, _):
        assert _cycle(ledger, visitor.customer) == (None, None)


def test_an_answer_of_another_day_is_no_input_to_an_earlier_night(shop):
    before = shop.do("--json", "plan", "--as-of", DAY).data["plan_hash"]
    with shop.open_ledger() as (ledger, _):
        visitor = Visitor(shop, ledger)
        visitor.clock.now = moment(NEXT, 9)
        visitor.ask("POST", "l")
    assert shop.do("--json", "plan", "--as-of", DAY).data["plan_hash"] == before


def test_a_choice_drifts_a_plan_that_was_made_before_it(shop, tmp_path):
    file = tmp_path / "plan.json"
    shop.do("sync", "--as-of", NEXT)
    shop.do("plan", "--as-of", NEXT, "--out", file)
    with shop.open_ledger() as (ledger, _):
        Visitor(shop, ledger).ask("POST", "p", data={"pause": "90", "do": "save", "fewer": "yes"})
    refused = shop.do("apply", file, "--allow-backdated", code=4)
    assert "a contact" in refused.err


def test_who_asked_for_a_pause_is_told_so_by_the_plan(shop):
    """Somebody who lapses while a pause runs: nothing starts before it is over."""
    with shop.open_ledger() as (ledger, _):
        visitor = Visitor(shop, ledger)
        visitor.ask("POST", "p", data={"pause": "90", "do": "save"})
        with ledger.writing() as connection:  # as if the cycle were still open
            connection.execute(engagements.delete())
    later = DAY + timedelta(days=12)
    shop.freshen(later)
    shop.night(later)
    decided = shop.decided(later)[visitor.customer]
    assert (decided["action"], decided["reason"]) == ("defer", "paused")
    assert "pause" in shop.do("--json", "explain", visitor.customer, "--as-of", later).data["sentence"]


# --- links and coupons of a night ----------------------------------------------------------------------------------


def test_a_message_leads_where_its_policy_said_when_it_was_planned(shop):
    with shop.open_ledger() as (ledger, _):
        visitor = Visitor(shop, ledger, "readers")
        assert visitor.ask("GET", "s").headers["location"] == f"https://{HOST}/r"
    policy = shop.root / "policies" / "readers.yaml"
    policy.write_text(policy.read_text().replace(f"{HOST}/r", f"{HOST}/changed"))
    with shop.open_ledger() as (ledger, _):
        assert Visitor(shop, ledger, "readers").ask("GET", "s").headers["location"] == f"https://{HOST}/r"


def test_each_coupon_message_of_a_night_keeps_one_code_and_a_repeated_night_no_second(shop):
    def kept(ledger) -> dict[str, str]:
        with ledger.reading() as connection:
            query = select(codes.c.message_id, codes.c.code).where(codes.c.message_id.is_not(None))
            return dict(connection.execute(query).tuples().all())

    with shop.open_ledger() as (ledger, _):
        first = kept(ledger)
        with ledger.reading() as connection:
            sent = {
                row["message_id"]
                for row in queue.list_messages(connection)
                if (row["programme"], row["step"], row["state"]) == ("winback", 1, "accepted")
            }
            bound = connection.scalars(select(codes.c.message_id).where(codes.c.bound_at.is_not(None))).all()
    assert set(first) == sent == set(bound)
    assert len(set(first.values())) == len(first) > 5
    shop.night(DAY)
    with shop.open_ledger() as (ledger, _):
        assert kept(ledger) == first


@pytest.mark.parametrize(
    "state", ["rejected", "suppressed", "expired", "cancelled", "bounced", "undelivered", "dropped"]
)
def test_a_code_whose_message_did_not_arrive_is_free_again_unless_it_was_seen(shop, state):
    with shop.open_ledger() as (ledger, _):
        seen, unseen = Visitor(shop, ledger), Visitor(shop, ledger, place=1)
        seen.ask("POST", "l")
        with ledger.writing() as connection:
            failed = messages.c.message_id.in_([seen.message_id, unseen.message_id])
            connection.execute(messages.update().where(failed).values(state=state))
        settle(ledger, now=moment(NEXT), today=NEXT)
        with ledger.reading() as connection:
            kept = set(connection.scalars(select(codes.c.message_id).where(codes.c.message_id.is_not(None))))
    assert seen.message_id in kept
    assert unseen.message_id not in kept


def test_a_doubtful_message_keeps_its_code(shop):
    with shop.open_ledger() as (ledger, _):
        visitor = Visitor(shop, ledger)
        with ledger.writing() as connection:
            mine = messages.c.message_id == visitor.message_id
            connection.execute(messages.update().where(mine).values(state="unknown"))
            assert coupons.follow(connection, now=moment(NEXT)) == (0, 0)


def test_used_codes_are_read_back(shop):
    with shop.open_ledger() as (ledger, _):
        visitor = Visitor(shop, ledger)
        code = re.search(r"T-\d{3}", visitor.ask("POST", "l").text)[0]
    shop.write("coupons/thanks.redeemed.csv", f"code,redeemed_at\n{code},2026-03-10T12:00:00Z\nSTRANGER,\n")
    shop.do("sync", "--as-of", NEXT)
    with shop.open_ledger() as (ledger, _):
        assert code not in Visitor(shop, ledger).ask("POST", "l").text
        with ledger.reading() as connection:
            assert coupons.stock(connection, "thanks", today=DAY).redeemed == 1


def test_a_pool_that_runs_low_holds_what_needs_it_before_anything_is_sent(shop):
    shop.configure(guards={"coupons_low_water": 1000})
    report = shop.night(NEXT, code=4)
    held = next(one for one in report["held"] if one["kind"] == "coupons")
    assert held["name"] == "thanks"
    assert "coupons/thanks.csv" in held["detail"]
    reasons = {(one["programme"], one["reason"]) for one in shop.decided(NEXT).values() if one["action"] == "hold"}
    assert {programme for programme, _ in reasons} <= {"winback"}
    assert not [row for row in shop.messages("--as-of", NEXT) if row["programme"] == "winback"]
    shop.write("coupons/thanks.csv", "code\n" + "".join(f"N-{number:04d}\n" for number in range(1200)))
    assert not shop.night(NEXT)["held"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("code,expires_on\nA,tomorrow\n", "coupons/thanks.csv:2: expires_on: expected a date"),
        ("code\n\nA\n" + "x" * 65 + "\n", "coupons/thanks.csv:4: code: expected a code of 1 to 64 characters"),
        ("codes\nA\n", "coupons/thanks.csv:2: code: expected a code"),
        (b"code\n\xff\n", "coupons/thanks.csv: cannot be read"),
    ],
)
def test_a_line_that_is_no_code_is_named_and_stops_the_night(shop, text, fault):
    shop.write("coupons/thanks.csv", text)
    assert fault in shop.do("sync", "--as-of", NEXT, code=2).err
