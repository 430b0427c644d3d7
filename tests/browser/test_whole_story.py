"""A night, its outbox, the page behind a text, an answer, and the people who run it: as `./do up` serves them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from browser_world import keep_picture
from night_world import DAY, READERS, Shop

from deploy.page_addresses import page_address
from deploy.services import Services, business_of, free_port
from winback.ledger.public_tables import engagements

LATER = DAY + timedelta(days=11)
LADDER = {"steps": [{"day": 30, "kind": "survey", "channels": ["sms", "email"], "template": "survey"}]}


class Stand:
    """A shop whose night is over, its pages, and a plan that waits for a person."""

    def __init__(self, root) -> None:
        environment = {"WINBACK_PEPPER": "pepper of the tests"}
        self.shop = Shop(root, environment=environment)
        self.shop.policies(winback={"ladder": LADDER}, readers=READERS)
        address = page_address(business_of(self.shop.root), asked_port=0)
        self.shop.environment |= address.elsewhere
        self.shop.night()
        self.shop.policies(winback={"ladder": LADDER, "approve_over": 0}, readers=READERS)
        self.shop.freshen(LATER)
        self.shop.do("sync", "--as-of", LATER)
        planned = self.shop.do("--json", "plan", "--as-of", LATER, "--out", self.shop.root / "plan.json")
        self.plan = planned.data
        # Nobody has agreed to it: it is refused, and kept for people.
        self.shop.do("apply", self.shop.root / "plan.json", "--allow-backdated", code=3)
        self.public, self.address = address, f"http://127.0.0.1:{free_port(0)}"

    def acts(self) -> dict[str, str]:
        """What customers did on the pages: kind by customer."""
        with self.shop.open_ledger() as (ledger, _), ledger.reading() as connection:
            return {act.customer_id: act.kind for act in connection.execute(engagements.select())}


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    root = tmp_path_factory.mktemp("story")
    made = Stand(root / "shop")
    services = Services(project=made.shop.root, home=root / "home", port=0)
    services.elsewhere = made.shop.environment
    with services:
        services.start_pages(made.public.port, operator_port=int(made.address.rpartition(":")[2]))
        made.token = services.operator_token.read_text().strip()
        yield made


@pytest.fixture
def office(stand, desk):
    """A page of somebody who has logged in."""
    page = desk.new_page()
    page.goto(stand.address)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Token").fill(stand.token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    return page


def test_from_the_outbox_to_an_answer_and_why(stand, office, desk, eye):
    eye(office, "overview")
    office.goto(f"{stand.address}/outbox?channel=sms")
    eye(office, "outbox")
    office.get_by_role("link", name="SMS").first.click()
    eye(office, "a text")
    keep_picture(office, "outbox")
    with desk.expect_page() as opened:
        office.get_by_role("region", name="Act as this customer").get_by_role("link").first.click()
    page = opened.value
    page.wait_for_load_state()
    assert page.url.startswith(f"{stand.public.url}/l/")
    page.get_by_role("radio", name="5").check()
    page.locator("main button").click()
    assert page.locator("h1").inner_text() in {"Thank you", "Merci", "Vielen Dank", "Danke"}
    [(customer, kind)] = stand.acts().items()
    assert kind == "survey"
    office.get_by_role("link", name=f"Why {customer} was written to").click()
    assert office.locator("h1").inner_text() == f"{customer} on {DAY}: send"
    eye(office, "explanation")
    keep_picture(office, "explanation")


def test_a_mail_is_read_in_a_frame_in_which_nothing_acts(stand, office, eye):
    office.goto(f"{stand.address}/outbox?channel=email")
    office.locator("th.what a").first.click()
    frame = office.frame_locator("iframe")
    assert "Acme, 1 rue X" in frame.locator("body").inner_text()
    assert office.locator("iframe").get_attribute("sandbox") == ""
    eye(office, "a mail")
    office.get_by_role("region", name="Report as the vendor").get_by_role("button").first.click()
    assert "Reported through the public hook" in office.get_by_role("status").last.inner_text()


def test_a_plan_is_agreed_to_by_its_hash_and_its_count(stand, office, eye):
    hash_, sends = stand.plan["plan_hash"], stand.plan["decisions"]["send"]
    office.goto(f"{stand.address}/plans/{hash_}")
    eye(office, "plan")
    office.get_by_label("How many messages do you expect?").fill(str(sends + 1))
    office.get_by_role("button", name=re.compile("Agree")).click()
    eye(office, "a plan with another count")
    office.get_by_label("How many messages do you expect?").fill(str(sends))
    keep_picture(office, "plan")
    office.get_by_role("button", name=re.compile("Agree")).click()
    assert re.match(r"(operator:)?Ada agreed to this plan", office.locator(".box .note").inner_text())


def test_axe_finds_nothing_on_the_other_operator_pages(stand, office, eye):
    for path in ("plans", "suppressions", "experiments", "pages", "pages/winback/1", "outbox?state=planned", "nothing"):
        office.goto(f"{stand.address}/{path}")
        eye(office, path)
    office.goto(f"{stand.address}/log-in")
    eye(office, "log-in")
