"""Rows for ledger tests: every factory gives complete, valid rows, and takes what a test is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import databases
import pandas as pd

from winback.ledger import cycles, keys, people, verdicts

PEPPER = databases.PEPPER
NIGHT = date(2026, 3, 10)
NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
EARLIER = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def instants(values: list[datetime]) -> pd.Series:
    return pd.Series(pd.to_datetime(values, utc=True))


def contacts(*ids: str, **columns: object) -> pd.DataFrame:
    """Contacts with an address and a number of their own; a column given as a list is theirs in order."""
    frame = pd.DataFrame(
        {
            "customer_id": list(ids),
            "email": [f"{one}@example.com" for one in ids],
            "email_key": [f"{one}@example.com".lower() for one in ids],
            "phone": [f"+336{place:08d}" for place in range(len(ids))],
            "first_name": [f"First {one}" for one in ids],
            "country": "FR",
            "timezone": "Europe/Paris",
        }
    )
    return frame.assign(**columns)


def consents(*ids: str, channel: str = "email", status: str = "granted", at: datetime = EARLIER) -> pd.DataFrame:
    frame = pd.DataFrame({"customer_id": list(ids), "channel": channel, "purpose": "marketing", "status": status})
    return frame.assign(basis="express", recorded_at=instants([at] * len(ids)), source="form", wording="v1")


def open_cycles(*ids: str, **columns: object) -> pd.DataFrame:
    frame = pd.DataFrame({"customer_id": list(ids), "programme": "winback", "cycle_no": 1})
    days = dict.fromkeys(("opened_on", "lapsed_on", "anchored_on"), pd.Timestamp("2026-03-01"))
    return frame.assign(
        **{
            **days,
            "arm": "treated",
            "threshold_days": 30.0,
            "step_offsets": "0,30,60",
            "policy_hash": "policy",
            **columns,
        }
    )


def messages(*ids: str, channel: str = "email", address: str | None = None, **columns: object) -> pd.DataFrame:
    frame = pd.DataFrame({"customer_id": list(ids), "programme": "winback", "cycle": 1, "step": 1, "channel": channel})
    addresses = [address or f"{one}@example.com".lower() for one in ids]
    fixed = {
        "as_of": pd.Timestamp(NIGHT),
        "template": "survey",
        "template_hash": "t" * 16,
        "locale": "fr",
        "not_before_at": instants([NOW] * len(ids)),
        "expires_at": instants([NOW + timedelta(days=2)] * len(ids)),
        "address_hmac": [keys.address_key(PEPPER, channel, one) for one in addresses],
        "local_day": pd.Timestamp(NIGHT),
        "policy_hash": "policy",
        "plan_hash": "plan",
        "cost": 0.0,
        "segments": 1,
        "planned_at": instants([NOW] * len(ids)),
    }
    return frame.assign(**{**fixed, **columns})


def decisions(*ids: str, **columns: object) -> pd.DataFrame:
    fixed = {
        "as_of": pd.Timestamp(NIGHT),
        "programme": "winback",
        "segment": "active",
        "behaviour": "purchase",
        "silence_days": 12.0,
        "threshold_days": 30.5,
        "return_probability": 0.75,
        "step": pd.NA,
        "channel": None,
        "arm": None,
        "action": "wait",
        "reason": "active",
        "policy_hash": "policy",
        "plan_hash": "plan",
        "facts": "{}",
    }
    return pd.DataFrame({"customer_id": list(ids)}).assign(**{**fixed, **columns})


def populate(ledger, *ids: str, send: bool = True) -> None:
    """Fill a ledger with customers who may be written to; with ``send``, one message each is planned."""
    with ledger.writing() as connection:
        people.replace_contacts(connection, contacts(*ids), pepper=PEPPER, as_of=NIGHT)
        people.add_consents(connection, consents(*ids), pepper=PEPPER)
        cycles.open_cycles(connection, open_cycles(*ids))
        if send:
            queued = verdicts.queue_messages(connection, messages(*ids), pepper=PEPPER)
            assert queued.new == len(ids)
