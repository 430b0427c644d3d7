"""Delivery on both databases: claimed, rendered, handed over and recorded, each once."""

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import ledger_rows as rows
import pytest
from outbox_world import FILES, MAIL, POLICY, SMS, make_project
from sqlalchemy import select, update

from winback.channels.registry import outbox_of
from winback.errors import GuardRefused, PolicyError, StoreUnavailable, TemplateError
from winback.ledger import claims, cycles, epochs, keys, people, queue, receipts, switches, verdicts
from winback.ledger.control_tables import epochs as epoch_table
from winback.ledger.message_tables import attempts, messages
from winback.ledger.people_tables import contacts
from winback.night.deliver import deliver
from winback.night.evidence import seek_evidence
from winback.night.render import read_templates


@pytest.fixture
def project(tmp_path: Path):
    return make_project(tmp_path / "project")


def plan(ledger, project, *ids: str, channel: str = "email", **columns: object) -> None:
    """Queue a message for each of some customers, as a night would."""
    pinned = read_templates(project.root, project.config).template_hash("survey", channel, "fr")
    frame = rows.contacts(*ids)
    addresses = None if channel == "email" else frame["phone"]
    with ledger.writing() as connection:
        people.replace_contacts(connection, frame, pepper=rows.PEPPER, as_of=rows.NIGHT)
        people.add_consents(connection, rows.consents(*ids, channel=channel), pepper=rows.PEPPER)
        cycles.open_cycles(connection, rows.open_cycles(*ids))
        made = rows.messages(*ids, channel=channel, template_hash=pinned)
        if addresses is not None:
            made["address_hmac"] = [rows.keys.address_key(rows.PEPPER, channel, one) for one in addresses]
        verdicts.queue_messages(connection, made.assign(**columns), pepper=rows.PEPPER)


def stored(ledger) -> dict[str, dict]:
    with ledger.reading() as connection:
        return {row["customer_id"]: dict(row) for row in connection.execute(select(messages)).mappings()}


def change(ledger, table, **values: object) -> None:
    with ledger.writing() as connection:
        connection.execute(update(table).values(**values))


def test_everything_due_is_delivered_once_and_recorded(ledger, project) -> None:
    plan(ledger, project, "a", "b", "c")
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 3}
    assert deliver(project, ledger, now=rows.NOW) == {}
    for message in stored(ledger).values():
        assert message["state"] == "accepted"
        assert message["attempts"] == 1
        assert message["provider"] == "outbox"
        assert message["provider_id"]
        assert message["accepted_at"] == rows.NOW
        request = outbox_of(project).request(message["message_id"])
        assert request is not None
        assert request["personalizations"][0]["to"][0]["email"] == f"{message['customer_id']}@example.com"
        assert f"Hi First {message['customer_id']}" in request["content"][1]["value"]
    assert (project.var / "outbox" / "index.html").exists()


def test_a_text_is_counted_and_priced_as_rendered(ledger, project) -> None:
    plan(ledger, project, "a", channel="sms")
    change(ledger, contacts, first_name="\N{LATIN CAPITAL LETTER L WITH STROKE}ukasz" * 20)
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 1}
    message = stored(ledger)["a"]
    assert (message["segments"], message["cost"]) == (3, pytest.approx(0.21))
    request = outbox_of(project).request(message["message_id"])
    assert request is not None
    assert request["StatusCallback"].endswith(f"/hooks/twilio/status?message_id={message['message_id']}")


def test_whatsapp_goes_by_its_own_price(ledger, project) -> None:
    plan(ledger, project, "a", channel="whatsapp")
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 1}
    assert (stored(ledger)["a"]["segments"], stored(ledger)["a"]["cost"]) == (1, pytest.approx(0.05))


def test_what_is_not_due_yet_waits(ledger, project) -> None:
    plan(ledger, project, "a")
    assert deliver(project, ledger, now=rows.NOW - timedelta(minutes=1)) == {}
    assert stored(ledger)["a"]["state"] == "planned"


def test_somebody_who_withdrew_after_the_plan_is_not_written_to(ledger, project) -> None:
    plan(ledger, project, "a", "b")
    with ledger.writing() as connection:
        withdrawn = rows.consents("a", status="withdrawn", at=rows.NOW)
        people.add_consents(connection, withdrawn, pepper=rows.PEPPER)
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 1, "refused": 1}
    assert stored(ledger)["a"]["state"] == "suppressed"
    assert outbox_of(project).request(stored(ledger)["a"]["message_id"]) is None


def test_the_red_button_stops_before_the_next_claim(ledger, project) -> None:
    plan(ledger, project, "a")
    with ledger.writing() as connection:
        switches.press(connection, at=rows.NOW, by="somebody", reason="test")
    with pytest.raises(GuardRefused, match="winback resume"):
        deliver(project, ledger, now=rows.NOW)
    assert stored(ledger)["a"]["state"] == "planned"


def test_a_channel_whose_mails_bounce_is_stopped_before_anything_is_claimed(ledger, project) -> None:
    names = [f"c{number:03d}" for number in range(200)]
    plan(ledger, project, *names)
    deliver(project, ledger, now=rows.NOW, write_outbox_pages=False)
    for state, some in (("delivered", names[11:]), ("bounced", names[:11])):
        with ledger.writing() as connection:
            connection.execute(update(messages).where(messages.c.customer_id.in_(some)).values(state=state))
    plan(ledger, project, "late")
    with pytest.raises(GuardRefused, match="email is stopped: 11 bounces and 0 complaints for 189 delivered"):
        deliver(project, ledger, now=rows.NOW)
    assert stored(ledger)["late"]["state"] == "planned"


def test_no_more_are_looked_at_than_were_asked_for(ledger, project) -> None:
    plan(ledger, project, "a", "b", "c")
    assert deliver(project, ledger, now=rows.NOW, at_most=2) == {"accepted": 2}
    assert deliver(project, ledger, now=rows.NOW, at_most=0) == {}
    assert sorted(row["state"] for row in stored(ledger).values()) == ["accepted", "accepted", "planned"]


def test_a_sender_that_has_to_go_begins_nothing(ledger, project) -> None:
    plan(ledger, project, "a")
    leaving = threading.Event()
    leaving.set()
    assert deliver(project, ledger, now=rows.NOW, leaving=leaving) == {}
    assert stored(ledger)["a"]["state"] == "planned"


def test_pages_that_cannot_be_written_are_told_and_cost_no_message(ledger, project) -> None:
    plan(ledger, project, "a")
    (outbox_of(project).folder / "index.html").mkdir(parents=True)
    with pytest.raises(StoreUnavailable, match="its pages cannot be written"):
        deliver(project, ledger, now=rows.NOW)
    assert stored(ledger)["a"]["state"] == "accepted"


def test_a_project_that_is_not_live_asks_no_provider_for_evidence(ledger, project) -> None:
    plan(ledger, project, "a")
    with ledger.writing() as connection:
        claims.claim(connection, limit=10, now=rows.NOW, owner="sender-dead")
        queue.recover(connection, is_alive=lambda _owner: False, now=rows.NOW)
    assert seek_evidence(project, ledger, now=rows.NOW + timedelta(days=1)) == 0
    assert stored(ledger)["a"]["state"] == "unknown"


def test_a_database_that_forgot_what_it_sent_sends_nothing_until_a_person_adopts_it(ledger, project) -> None:
    twin = epochs.twin_file(ledger, project.var)
    plan(ledger, project, "a")
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 1}
    with ledger.writing() as connection:  # as in a backup of the hour before
        for table in (attempts, messages, epoch_table):
            connection.execute(table.delete())
    plan(ledger, project, "a")
    with pytest.raises(GuardRefused, match="winback db adopt"):
        deliver(project, ledger, now=rows.NOW)
    assert stored(ledger)["a"]["state"] == "planned"
    epochs.adopt(ledger, twin, reason="it was the outbox", actor="cli:ann", now=rows.NOW)
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 1}


def test_what_the_provider_reported_before_it_was_planned_again_is_not_sent_again(ledger, project) -> None:
    which = keys.message_id(rows.PEPPER, programme="winback", customer_id="a", cycle=1, step=1)
    told = receipts.Receipt(which, "sendgrid", "delivered", rows.NOW - timedelta(hours=1))
    with ledger.writing() as connection:
        receipts.record_receipts(connection, [told], now=rows.NOW, today=rows.NIGHT, pepper=rows.PEPPER)
    plan(ledger, project, "a", "b")
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 1}
    assert {one: row["state"] for one, row in stored(ledger).items()} == {"a": "delivered", "b": "accepted"}


def test_a_text_nobody_planned_is_rejected(ledger, project) -> None:
    plan(ledger, project, "a")
    (project.root / "templates" / "survey.email.mjml").write_text(MAIL.replace("From us", "From all of us"))
    assert deliver(project, ledger, now=rows.NOW) == {"rejected": 1}
    message = stored(ledger)["a"]
    assert (message["state"], message["last_error"]) == ("rejected", "the template survey was changed after the plan")


def test_a_step_the_policy_dropped_is_rejected(ledger, project) -> None:
    plan(ledger, project, "a", step=2)
    assert deliver(project, ledger, now=rows.NOW) == {"rejected": 1}
    assert "no such step any more" in stored(ledger)["a"]["last_error"]


def test_one_message_that_cannot_be_sent_keeps_nobody_else_from_theirs(ledger, project) -> None:
    plan(ledger, project, "a", "b", "c")
    with ledger.writing() as connection:
        bad = update(contacts).where(contacts.c.customer_id == "b").values(first_name="B\r\nBcc: all@example.org")
        connection.execute(bad)
    assert deliver(project, ledger, now=rows.NOW) == {"accepted": 2, "rejected": 1}
    message = stored(ledger)["b"]
    assert message["state"] == "rejected"
    assert "line break" in message["last_error"]
    assert "Bcc" not in message["last_error"]


def test_a_mail_without_the_way_out_is_rejected(ledger, tmp_path: Path) -> None:
    files = {**FILES, "survey.email.mjml": MAIL.replace("{{ links.unsubscribe }}", "{{ links.preferences }}")}
    careless = make_project(tmp_path / "careless", files)
    plan(ledger, careless, "a")
    assert deliver(careless, ledger, now=rows.NOW) == {"rejected": 1}
    assert "no way out" in stored(ledger)["a"]["last_error"]


def test_a_merge_field_without_a_value_is_empty(ledger, project) -> None:
    plan(ledger, project, "a", "b")
    with ledger.writing() as connection:
        connection.execute(update(contacts).where(contacts.c.customer_id == "a").values(extra='{"shop": "Lyon"}'))
    deliver(project, ledger, now=rows.NOW)
    texts = {
        name: (outbox_of(project).request(row["message_id"]) or {})["content"][0]["value"]
        for name, row in stored(ledger).items()
    }
    assert "of Lyon" in texts["a"]
    assert "of nowhere" in texts["b"]


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        ("policies/winback.yaml", "version: 2", PolicyError),
        ("policies/winback.yaml", POLICY.replace("template: survey", "templat: survey"), PolicyError),
        ("templates/survey.email.mjml", "<mjml>", TemplateError),
        ("templates/survey.sms.liquid", SMS + "{{", TemplateError),
    ],
)
def test_an_unsound_project_claims_nothing(ledger, project, file: str, text: str, error: type) -> None:
    plan(ledger, project, "a")
    (project.root / file).write_text(text)
    with pytest.raises(error):
        deliver(project, ledger, now=rows.NOW)
    assert stored(ledger)["a"]["state"] == "planned"


def test_an_outbox_that_cannot_be_written_defers_and_the_next_run_sends(ledger, project) -> None:
    plan(ledger, project, "a")
    outbox = outbox_of(project)
    outbox.folder.mkdir(parents=True)
    outbox.file.write_bytes(b"no database" * 200)
    assert deliver(project, ledger, now=rows.NOW) == {"deferred": 1}
    assert stored(ledger)["a"]["state"] == "planned"
    assert "cannot be written" in stored(ledger)["a"]["last_error"]
    outbox.file.unlink()
    assert deliver(project, ledger, now=rows.NOW + timedelta(minutes=6)) == {"accepted": 1}


@pytest.mark.parametrize(("was_stored", "state"), [(True, "accepted"), (False, "unknown")])
def test_what_a_dead_sender_left_is_settled_by_evidence_alone(ledger, project, was_stored: bool, state: str) -> None:
    plan(ledger, project, "a")
    if was_stored:
        deliver(project, ledger, now=rows.NOW, write_outbox_pages=False)
        change(ledger, messages, state="sending", accepted_at=None, owner="sender-dead")
    else:
        with ledger.writing() as connection:
            claims.claim(connection, limit=10, now=rows.NOW, owner="sender-dead")
    assert deliver(project, ledger, now=rows.NOW) == {}
    assert stored(ledger)["a"]["state"] == state
    assert sum(group.messages for group in outbox_of(project).groups()) == int(was_stored)


def test_many_messages_on_every_channel_in_many_claims(ledger, project) -> None:
    names = [f"c{number:04d}" for number in range(1200)]
    plan(ledger, project, *names)
    assert deliver(project, ledger, now=rows.NOW, write_outbox_pages=False) == {"accepted": 1200}
    assert sum(group.messages for group in outbox_of(project).groups()) == 1200


def test_the_sender_knows_neither_pandas_nor_prefect() -> None:
    code = "import sys, winback.night.deliver; print([m for m in ('pandas', 'prefect', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
