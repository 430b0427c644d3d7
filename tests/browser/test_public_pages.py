"""What a person does on the public pages, in a real browser, on pages that a real process serves."""

from __future__ import annotations

import re
from datetime import date

import ledger_rows as rows
import outbox_world
import pytest
import web_world
from browser_world import TELEPHONE, keep_picture

from winback.ledger import coupons, people, queue, verdicts, who_refused
from winback.ledger.message_tables import messages
from winback.ledger.preferences import read_preferences
from winback.ledger.public_tables import engagements

POLICY = """version: 1
programme: winback
topic: {en: Offers of the week}
trigger: {behaviours: [purchase]}
ladder:
  steps:
    - {day: 30, kind: survey, channels: [sms, email], template: survey}
    - {day: 40, kind: contest, channels: [email], template: survey, countries: [FR, DE], terms_url: "https://acme.example/t"}
    - {day: 50, kind: coupon, channels: [email], template: survey, pool: thanks}
    - {day: 60, kind: message, channels: [email], template: survey}
"""
SURVEY, CONTEST, COUPON, PLAIN = 1, 2, 3, 4
PEOPLE = ("c1", "c2", "c3")


class Town(web_world.Pages):
    """A served shop and what its ledger knows."""

    address = ""

    def url(self, customer: str, kind: str, step: int = SURVEY) -> str:
        """The address of one of a customer's links."""
        with self.ledger.reading() as connection:
            found = queue.list_messages(connection, customer_id=customer)
        message_id = next(row["message_id"] for row in found if row["step"] == step)
        if kind in {"s", "l"}:
            return f"{self.address}/{kind}/{web_world.short_code(message_id)}"
        purpose = {"u": "unsubscribe", "p": "preferences"}[kind]
        return f"{self.address}/{kind}/{web_world.capability(message_id, purpose, key=web_world.KEY)}"

    def done(self, customer: str) -> set[str]:
        """The kinds of what a customer did on the pages."""
        with self.ledger.reading() as connection:
            acts = connection.execute(engagements.select()).all()
        return {act.kind for act in acts if act.customer_id == customer}

    def refused(self, customer: str) -> set[str]:
        """The channels a customer said no to."""
        with self.ledger.reading() as connection:
            return {one.channel for one in who_refused.refusals_of(connection, customer, pepper=rows.PEPPER)}


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    root = tmp_path_factory.mktemp("town") / "project"
    outbox_world.make_project(root)
    (root / "policies" / "winback.yaml").write_text(POLICY)
    config = root / "winback.yaml"
    config.write_text(config.read_text() + "web: {per_visitor: 100000, per_link: 1000}\n")
    made = web_world.make_pages(root, *PEOPLE, kind=Town)
    with made.ledger.writing() as connection:
        for step in (CONTEST, COUPON, PLAIN):
            day = rows.pd.Timestamp(rows.NIGHT) + rows.pd.Timedelta(days=step)
            further = rows.messages(*PEOPLE, step=step, as_of=day, local_day=day)
            verdicts.queue_messages(connection, further, pepper=rows.PEPPER)
        codes = [(f"THX-{number}", date(2099, 4, 1)) for number in range(9)]
        people.add_consents(connection, rows.consents(*PEOPLE, channel="sms"), pepper=rows.PEPPER)
        coupons.add(connection, "thanks", codes, now=rows.NOW)
        connection.execute(messages.update().values(locale="en"))
    with web_world.served(made.project) as (_, address):
        made.address = address
        yield made
    made.ledger.close()


def answer_survey(town, page, customer, look) -> None:
    page.goto(town.url(customer, "s"))
    look(page, "survey")
    page.get_by_role("radio", name="4").check()
    page.get_by_label("The service").check()
    page.get_by_label("Anything you would like to tell us?").fill("Longer opening hours")
    if page.viewport_size == TELEPHONE:
        keep_picture(page, "survey")
    page.get_by_role("button", name="Send my answer").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Thank you"
    look(page, "thank-you")


def enter_contest(town, page, customer, look) -> None:
    page.goto(town.url(customer, "s", CONTEST))
    look(page, "contest")
    page.get_by_label("The people").check()
    page.get_by_label("Where do you live?").select_option("DE")
    page.get_by_label("I am 18 or older.").check()
    page.get_by_label("I have read the rules").check()
    page.get_by_role("button", name="Enter the draw").click()
    assert page.get_by_role("heading", level=1).inner_text() == "You are in the draw"


def reveal_coupon(town, page, customer, look) -> set[str]:
    seen = set()
    for _ in range(2):
        page.goto(town.url(customer, "s", COUPON))
        look(page, "coupon")
        assert "THX-" not in page.content()
        page.get_by_role("button", name="Show my code").click()
        seen.add(page.locator(".ticket strong").inner_text())
    look(page, "coupon shown")
    page.reload()
    seen.add(page.locator(".ticket strong").inner_text())
    return seen


def choose(town, page, customer, look) -> None:
    page.goto(town.url(customer, "p"))
    look(page, "preferences")
    page.get_by_label("Text messages").uncheck()
    page.get_by_label("Fewer messages").check()
    page.get_by_label("No messages for 30 days").check()
    page.get_by_role("button", name="Save").click()
    assert page.get_by_role("status").inner_text() == "Saved. It holds from now on."
    assert not page.get_by_label("Text messages").is_checked()
    look(page, "preferences saved")


def unsubscribe(town, page, customer, look) -> None:
    page.goto(town.url(customer, "u"))
    look(page, "unsubscribe")
    page.get_by_role("button", name="Unsubscribe").click()
    assert page.get_by_role("heading", level=1).inner_text() == "You are unsubscribed"
    look(page, "unsubscribed")


def unseen(_page, _name) -> None:
    """Look at nothing."""


def test_everything_works_without_javascript(town, telephone):
    page = telephone.new_page()
    answer_survey(town, page, "c1", unseen)
    enter_contest(town, page, "c1", unseen)
    codes = reveal_coupon(town, page, "c1", unseen)
    assert len(codes) == 1
    assert re.fullmatch(r"THX-\d", codes.pop())
    assert town.done("c1") == {"survey", "contest", "coupon"}
    choose(town, page, "c1", unseen)
    with town.ledger.reading() as connection:
        wish = read_preferences(connection, ["c1"])["c1"]
    assert wish.wants_fewer
    assert wish.paused_until is not None
    assert town.refused("c1") == {"sms"}
    unsubscribe(town, page, "c1", unseen)
    assert town.refused("c1") == {"email", "sms"}


def test_axe_finds_nothing_on_any_page_in_the_light_in_the_dark_and_at_twice_the_size(town, desk, eye):
    page = desk.new_page()
    answer_survey(town, page, "c2", eye)
    enter_contest(town, page, "c2", eye)
    reveal_coupon(town, page, "c2", eye)
    choose(town, page, "c2", eye)
    unsubscribe(town, page, "c2", eye)
    page.goto(town.url("c2", "p"))
    page.get_by_role("button", name="Stop everything").click()
    eye(page, "stopped")
    page.goto(town.url("c2", "s", PLAIN))
    eye(page, "message")
    page.goto(f"{town.address}/nothing")
    eye(page, "nothing there")
    page.goto(town.url("c3", "l"))
    page.locator("form").evaluate("form => { form.noValidate = true }")
    page.get_by_role("button", name="Send my answer").click()
    assert page.get_by_role("alert").inner_text() == "Please choose a number from 1 to 5."
    eye(page, "an answer that lacks something")
    assert len(set(eye.seen)) == 13


def test_the_way_out_is_found_by_keyboard_alone(town, desk):
    page = desk.new_page()
    page.goto(town.url("c3", "u"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="You are unsubscribed").wait_for()
    assert town.refused("c3") == {"email"}
    assert not desk.cookies()
