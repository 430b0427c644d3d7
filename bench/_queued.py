"""One planned message for each of some people, queued as a night does: contacts, consents, open cycles, messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from winback.ledger import cycles, keys, people, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from winback.ledger.engine import Ledger

_GIVEN_AT = pd.Timestamp("2026-01-01 12:00", tz="UTC")


def queue_each(
    ledger: Ledger,
    contacts: pd.DataFrame,
    *,
    template_hashes: Mapping[str, str],
    as_of: date,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Queue one message for each contact.

    Parameters
    ----------
    ledger : opened for writing, with its pepper
    contacts : as feeds bring them, with a column ``channel`` and, where it is not `express`, a column ``basis``
    template_hashes : of the text by channel
    as_of : the night
    now, expires_at : from when until when the messages may go
    """
    everybody, channel = contacts["customer_id"], contacts["channel"]
    addresses = contacts["email_key"].where(channel == "email", contacts["phone"])
    person = contacts.drop(columns=["channel", "basis"], errors="ignore")
    messages = pd.DataFrame({"customer_id": everybody, "programme": "winback", "channel": channel}).assign(
        cycle=1,
        step=1,
        as_of=pd.Timestamp(as_of),
        local_day=pd.Timestamp(as_of),
        template="survey",
        template_hash=channel.map(template_hashes),
        locale="fr",
        not_before_at=pd.Timestamp(now),
        expires_at=pd.Timestamp(expires_at),
        planned_at=pd.Timestamp(now),
        address_hmac=[keys.address_key(ledger.pepper, one, to) for one, to in zip(channel, addresses, strict=True)],
        policy_hash="policy",
        plan_hash="plan",
        cost=0.0,
        segments=1,
    )
    with ledger.writing() as connection:
        people.replace_contacts(connection, person, pepper=ledger.pepper, as_of=as_of)
        people.add_consents(connection, _consents(contacts), pepper=ledger.pepper)
        cycles.open_cycles(connection, _cycles(everybody, as_of))
        queued = verdicts.queue_messages(connection, messages, pepper=ledger.pepper)
    if queued.new != len(contacts):
        raise RuntimeError(f"{len(contacts)} messages were to be planned: {queued}")


def _consents(contacts: pd.DataFrame) -> pd.DataFrame:
    """Return that everybody agreed to their channel."""
    given = contacts[["customer_id", "channel"]].assign(purpose="marketing", basis=contacts.get("basis", "express"))
    return given.assign(status="granted", recorded_at=_GIVEN_AT, source="form", wording="v1")


def _cycles(customer_ids: pd.Series, as_of: date) -> pd.DataFrame:
    """Return a cycle for each, opened that night."""
    return pd.DataFrame({"customer_id": customer_ids, "programme": "winback", "cycle_no": 1}).assign(
        **dict.fromkeys(("opened_on", "lapsed_on", "anchored_on"), pd.Timestamp(as_of)),
        arm="treated",
        threshold_days=30.0,
        step_offsets="0,30,60",
        policy_hash="policy",
    )
