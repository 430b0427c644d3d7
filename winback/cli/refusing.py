"""Commands that make winback stop: suppress and forget one person, read doubtful texts, stop and resume everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from winback.cli.console import Answer, plain, session

if TYPE_CHECKING:
    from cyclopts import App


def register(app: App) -> None:
    """Attach these commands to the command tree."""
    for command in (suppress, forget, review, stop, resume):
        app.command(command)


def suppress(
    who: str, *, channel: Literal["email", "sms", "whatsapp", "all"] = "all", reason: str = "opted_out"
) -> Answer:
    """Opt a person out at once, by address and by customer.

    Parameters
    ----------
    who
        An e-mail address, a phone number (+...) or a customer id.
    channel
        One channel, or all of them.
    reason
        opted_out, complained or invalid_address.
    """
    from winback.night.refuse import suppress as refuse

    now = session().started_at
    result = refuse(session().project(), who, channel=channel, reason=reason, actor=session().actor, now=now)
    words = f"Suppressed from now on ({result['channel']}). What is queued is stopped at the gate, too."
    if not result["new"]:
        words = f"Suppressed already ({result['channel']}); nothing had to be changed."
    return Answer(data=result, words=words)


def forget(customer: str) -> Answer:
    """Erase a person; what stays is a keyed hash, so that a re-import does not bring them back.

    Parameters
    ----------
    customer
        The customer's id.
    """
    from winback.night.forget import forget as erase

    result = erase(session().project(), customer, actor=session().actor, now=session().started_at)
    return Answer(data=result, words="Erased. A keyed hash of each address stays on the suppression list.")


def review(number: int | None = None, *, settle: Literal["stop", "keep"] | None = None) -> Answer:
    """List the texts that may mean stop, whose senders wait; or settle one that you have read.

    Parameters
    ----------
    number
        Of the text, as the list has it.
    settle
        stop: it meant stop, on the channel it came by. keep: it did not; what waited goes.
    """
    from winback.errors import UsageError
    from winback.night.review import list_reviews, settle_review

    asked = session()
    if number is None and settle is None:
        found = list_reviews(asked.project())
        rows = [
            [one["number"], one["received_at"], one["channel"], one["customer_id"], plain(one["text"])] for one in found
        ]
        words = "Nobody waits." if not rows else "Settle each with `winback review NUMBER --settle stop` or `keep`."
        table = ("Texts to read", ["number", "received", "channel", "customer", "text"], rows)
        return Answer(data={"reviews": found}, words=words, tables=[table] if rows else [])
    if number is None or settle is None:
        raise UsageError("name the text and what it meant: winback review NUMBER --settle stop, or --settle keep")
    result = settle_review(asked.project(), number, outcome=settle, actor=asked.actor, now=asked.started_at)
    told = {"stop": "Stopped on the channel it came by.", "keep": "Kept. What waited goes with the next delivery."}
    return Answer(data=result, words=told[settle])


def stop(*, reason: str = "stopped by hand") -> Answer:
    """Press the red button: nothing more is sent until `winback resume`.

    Parameters
    ----------
    reason
        Why; it stands in the audit log.
    """
    from winback.night.refuse import press_stop

    result = press_stop(session().project(), reason=reason, actor=session().actor, now=session().started_at)
    return Answer(data=result, words="Stopped. Nothing more is sent until `winback resume --reason ...`.")


def resume(*, reason: str, step: str = "", hook: str = "") -> Answer:
    """Release the red button, one step that complaints are holding, or a hook that failed for too long.

    Parameters
    ----------
    reason
        Why it is safe again; it stands in the audit log.
    step
        PROGRAMME/STEP/CHANNEL of a held step, as `winback doctor` and `winback settle` name it.
    hook
        The name of a hook that is asked no more; it is told again of all that is kept.
    """
    from winback.night.refuse import release_step, release_stop, resume_hook

    if hook:
        asked = session()
        result = resume_hook(asked.project(), hook, reason=reason, actor=asked.actor, now=asked.started_at)
        return Answer(data=result, words=f"{hook} is asked again: {result['waiting']} events. Next: winback settle")

    if step:
        asked = session()
        result = release_step(asked.project(), step, reason=reason, actor=asked.actor, now=asked.started_at)
        return Answer(data=result, words=f"Released {step}. The next `winback deliver` sends its messages.")

    result = release_stop(session().project(), reason=reason, actor=session().actor, now=session().started_at)
    return Answer(data=result, words="Released. The next night, or `winback deliver`, sends again.")
