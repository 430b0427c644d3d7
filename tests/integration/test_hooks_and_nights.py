"""Whole nights tell other tools of lapses, returns and sunsets: each once, however often a night is run."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import timedelta

import pytest
from night_world import DAY, Shop
from scripted_provider import Step, WebPeer
from sqlalchemy import select

from winback.ledger.night_tables import cycles

LATER = DAY + timedelta(days=8)
VARIABLE = "HOOK_KEY"
EVENTS = ["lapse", "return", "sunset", "suppression"]
ONE_STEP = {"answer_days": 7, "steps": [{"day": 30, "kind": "survey", "channels": ["email"], "template": "survey"}]}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A shop, what its tools heard of two nights, one of them run twice, and who came back in between."""
    with WebPeer([Step(204)]) as peer:
        secret = base64.b64encode(bytes(32)).decode()
        shop = Shop(tmp_path_factory.mktemp("told") / "shop", environment={"URL": peer.url, VARIABLE: secret})
        hook = {"name": "crm", "url_env": "URL", "secret_env": VARIABLE, "events": EVENTS}
        guards = {"volume": [0.01, 100.0], "max_sunset_share": 1.0}
        shop.configure(hooks={"outgoing": [hook]}, guards=guards, live=False)
        shop.policies(winback={"ladder": ONE_STEP})
        shop.night()
        shop.night()
        first = [json.loads(request.body) for request in peer.requests]
        came = min(one["customer_id"] for one in shop.messages())
        shop.freshen(LATER)
        shop.add("orders.csv", f"{came},{LATER - timedelta(days=1)}T10:00:00Z,back-1,5")
        shop.night(LATER)
        second = [json.loads(request.body) for request in peer.requests[len(first) :]]
        ids = [request.headers["webhook-id"] for request in peer.requests]
        yield shop, first, second, ids, came


def _stored(shop, *where) -> set[tuple]:
    columns = cycles.c.customer_id, cycles.c.programme, cycles.c.cycle_no, cycles.c.arm
    with shop.open_ledger() as (ledger, _), ledger.reading() as connection:
        return {tuple(row) for row in connection.execute(select(*columns).where(*where))}


def test_each_cycle_that_opens_is_a_lapse_with_its_arm(told):
    shop, first, _, ids, _ = told
    assert {one["type"] for one in first} == {"lapse"}
    said = [tuple(one["data"][name] for name in ("customer_id", "programme", "cycle", "arm")) for one in first]
    assert len(said) == len(set(said)) > 10
    assert set(said) == _stored(shop, cycles.c.opened_on == DAY)
    assert {arm for *_, arm in said} >= {"treated", "control"}
    assert len(set(ids)) == len(ids)


def test_who_came_back_is_a_return_and_who_did_not_answer_a_sunset(told):
    shop, _, second, _, came = told
    kinds = Counter(one["type"] for one in second)
    (back,) = [one["data"] for one in second if one["type"] == "return"]
    assert (back["customer_id"], back["reason"], back["on"]) == (came, "returned", str(LATER))
    sunset = [one["data"] for one in second if one["type"] == "sunset"]
    decided = {who: one for who, one in shop.decided(LATER).items() if one["reason"] == "ladder_ended"}
    assert {one["customer_id"] for one in sunset} == decided.keys()
    assert len(sunset) == kinds["sunset"] > 3
    assert all(one["steps"] == [{"step": 1, "channel": "email", "on": str(DAY)}] for one in sunset)
