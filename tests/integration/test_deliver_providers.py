"""Delivery through a real provider's file to a peer on loopback: the ledger knows what the peer knows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import ledger_rows as rows
import orjson
import pytest
from outbox_world import CONFIG, make_project
from scripted_provider import Request, Step, WebPeer
from sqlalchemy import select
from test_deliver import plan

from winback.ledger.message_tables import messages
from winback.night.deliver import deliver
from winback.settings import load_project

if TYPE_CHECKING:
    from pathlib import Path


def live_project(tmp_path: Path, url: str):
    root = make_project(tmp_path / "project").root
    config = CONFIG.replace("email: {from", "email: {provider: sendgrid, from")
    config = config.replace("sms: {from", "sms: {provider: twilio, from")
    (root / "winback.yaml").write_text(config + "live: true\n")
    environment = {
        "SENDGRID_API_KEY": "SG.key",
        "SENDGRID_BASE_URL": url,
        "TWILIO_ACCOUNT_SID": "AC1",
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_BASE_URL": url,
    }
    return load_project(root, environment)


def states(ledger) -> dict[str, tuple[str, str | None]]:
    with ledger.reading() as connection:
        found = connection.execute(select(messages.c.customer_id, messages.c.state, messages.c.provider_id))
        return {row[0]: (row[1], row[2]) for row in found}


@pytest.mark.parametrize("then", ["answer", "close"])
def test_mails_of_one_claim_are_one_request(ledger, tmp_path: Path, then: str) -> None:
    step = Step(202, headers={"X-Message-Id": "m1"}, takes=True, then=then)
    with WebPeer([step]) as peer:
        project = live_project(tmp_path, peer.url)
        plan(ledger, project, "a", "b", "c")
        counts = deliver(project, ledger, now=rows.NOW)
        assert deliver(project, ledger, now=rows.NOW) == {}
    [request] = peer.requests
    people = orjson.loads(request.body)["personalizations"]
    assert sorted(person["to"][0]["email"] for person in people) == [f"{one}@example.com" for one in "abc"]
    expected = ("accepted", "m1") if then == "answer" else ("unknown", None)
    assert counts == {expected[0]: 3}
    assert set(states(ledger).values()) == {expected}


def test_each_text_is_a_request_of_its_own(ledger, tmp_path: Path) -> None:
    def script(request: Request) -> Step:
        to = parse_qs(request.body.decode())["To"][0]
        return Step(201, orjson.dumps({"sid": f"SM{to[1:]}"}), takes=True)

    with WebPeer(script) as peer:
        project = live_project(tmp_path, peer.url)
        plan(ledger, project, "a", "b", channel="sms")
        assert deliver(project, ledger, now=rows.NOW) == {"accepted": 2}
    assert len(peer.requests) == 2
    assert Counter(state for state, _ in states(ledger).values()) == {"accepted": 2}
    assert len({provider_id for _, provider_id in states(ledger).values()}) == 2
