"""SendGrid over real sockets: who goes in which request, what becomes of a refused one, what never stands in one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from outbox_world import outgoing, rendered
from scripted_provider import Request, Step, WebPeer

from winback.channels import Consequence, Outcome
from winback.channels.sendgrid_mail import SendGridMail
from winback.errors import SendRefused

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
KEY = "SG.key"
YES = Step(202, headers={"X-Message-Id": "m1"}, takes=True)
NO = Step(400, orjson.dumps({"errors": [{"message": "bad row", "field": "personalizations", "help": None}]}))


def ids_of(request: Request) -> list[str]:
    return [each["custom_args"]["message_id"] for each in orjson.loads(request.body)["personalizations"]]


def refuses(*bad: int):
    """A provider that refuses a request that holds one of these, whole."""
    ids = {f"{number:032x}" for number in bad}
    return lambda request: NO if ids & set(ids_of(request)) else YES


def send(transport, peer, messages, **options):
    channel = SendGridMail(api_key=KEY, transport=transport, base_url=peer.url, **options)
    prepared = [channel.prepare(message) for message in messages]
    return {
        int(result.message_id, 16): result for call in channel.calls(prepared) for result in channel.send(call, now=NOW)
    }


def taken(peer) -> list[str]:
    return sorted(message_id for request in peer.taken for message_id in ids_of(request))


def test_two_hundred_people_are_one_request_by_default(certificate, transport) -> None:
    with WebPeer([YES], certificate) as peer:
        results = send(transport, peer, [outgoing(number) for number in range(450)])
        transport.close()
    assert [len(ids_of(request)) for request in peer.requests] == [200, 200, 50]
    assert {result.outcome for result in results.values()} == {Outcome.ACCEPTED}
    assert {result.provider_id for result in results.values()} == {"m1"}
    assert taken(peer) == [f"{number:032x}" for number in range(450)]


@pytest.mark.parametrize(("asked", "wanted"), [(1, 1), (5000, 1000)])
def test_the_number_of_people_is_a_setting_within_the_vendors_limit(transport, asked: int, wanted: int) -> None:
    assert SendGridMail(api_key=KEY, transport=transport, max_batch=asked).max_batch == wanted


@pytest.mark.parametrize("bad", [[0], [199], [7, 8], [3, 90, 150]])
def test_the_others_of_a_refused_batch_go_once(certificate, transport, bad: list[int]) -> None:
    with WebPeer(refuses(*bad), certificate) as peer:
        results = send(transport, peer, [outgoing(number) for number in range(200)])
        transport.close()
    refused = {number for number, result in results.items() if result.outcome is Outcome.REFUSED}
    assert refused == set(bad)
    assert taken(peer) == [f"{number:032x}" for number in range(200) if number not in bad]
    for number in bad:
        assert results[number].consequence is Consequence.CONTENT
        assert results[number].error == "SendGrid answered 400: bad row"


def test_an_account_that_refuses_everything_is_not_hammered(certificate, transport) -> None:
    with WebPeer([NO], certificate) as peer:
        results = send(transport, peer, [outgoing(number) for number in range(200)])
        transport.close()
    assert len(peer.requests) <= 80
    assert {result.outcome for result in results.values()} == {Outcome.REFUSED, Outcome.DEFERRED}
    assert not peer.taken


def test_a_doubt_in_the_middle_of_halving_is_no_reason_to_post_again(certificate, transport) -> None:
    def script(request: Request) -> Step:
        return Step(500, takes=True) if len(ids_of(request)) == 4 else refuses(1)(request)

    with WebPeer(script, certificate) as peer:
        results = send(transport, peer, [outgoing(number) for number in range(8)])
        transport.close()
    assert {number for number, result in results.items() if result.outcome is Outcome.UNKNOWN} == set(range(8))
    assert taken(peer) == [f"{number:032x}" for number in range(8)]


def test_the_key_follows_no_redirect(certificate, transport) -> None:
    with (
        WebPeer([YES], certificate) as elsewhere,
        WebPeer([Step(302, headers={"Location": f"{elsewhere.url}/v3/mail/send"})], certificate) as peer,
    ):
        results = send(transport, peer, [outgoing(1)])
        transport.close()
    assert results[1].outcome is Outcome.UNKNOWN
    assert not elsewhere.requests
    assert peer.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert peer.requests[0].path == "/v3/mail/send"


def test_a_request_is_what_the_vendor_asks_for(certificate, transport) -> None:
    with WebPeer([YES], certificate) as peer:
        send(transport, peer, [outgoing(number) for number in range(3)])
        transport.close()
    [request] = peer.requests
    body = orjson.loads(request.body)
    assert set(body) == {"personalizations", "from", "content", "tracking_settings"}
    assert b"bypass" not in request.body
    assert not any(setting["enable"] for setting in body["tracking_settings"].values())
    assert [part["type"] for part in body["content"]] == ["text/plain", "text/html"]
    for number, person in enumerate(body["personalizations"]):
        assert set(person) <= {"to", "subject", "headers", "custom_args", "substitutions"}
        assert [one["email"] for one in person["to"]] == [f"person{number}@example.org"]
        assert person["custom_args"] == {"message_id": f"{number:032x}"}
        assert person["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert person["headers"]["List-Unsubscribe"].startswith("<http")
        assert all(isinstance(value, str) for value in person.get("substitutions", {}).values())


def test_a_person_stands_in_their_own_personalization_only(certificate, transport) -> None:
    messages = [
        replace(outgoing(number, name=f"Person{number}"), rendered=rendered(number, first_name=f"Person{number}x"))
        for number in range(3)
    ]
    with WebPeer([YES], certificate) as peer:
        send(transport, peer, messages)
        transport.close()
    body = orjson.loads(peer.requests[0].body)
    shared = orjson.dumps({name: value for name, value in body.items() if name != "personalizations"})
    assert b"Person" not in shared
    for number, person in enumerate(body["personalizations"]):
        others = [f"Person{other}" for other in range(3) if other != number]
        assert not any(other in orjson.dumps(person).decode() for other in others)
        assert "Person" not in orjson.dumps(person["custom_args"]).decode()


def test_texts_of_two_templates_share_no_request(certificate, transport) -> None:
    other = outgoing(2, text={"file": "other.email.mjml"})
    with WebPeer([YES], certificate) as peer:
        send(transport, peer, [outgoing(1), other, outgoing(3)])
        transport.close()
    assert sorted(len(ids_of(request)) for request in peer.requests) == [1, 2]


@pytest.mark.parametrize("message_id", ["", "x", "g" * 32, "c7", f"{1:032X}".replace("1", "A")])
def test_only_our_opaque_id_may_stand_in_custom_args(transport, message_id: str) -> None:
    channel = SendGridMail(api_key=KEY, transport=transport)
    with pytest.raises(SendRefused, match="32 hexadecimal"):
        channel.prepare(outgoing(1, message_id=message_id))


def test_a_mail_too_large_for_any_request_is_refused(transport) -> None:
    channel = SendGridMail(api_key=KEY, transport=transport)
    with pytest.raises(SendRefused, match="30 MB"):
        channel.prepare(outgoing(1, text={"html": "x" * 31_000_000}))


def test_without_a_key_nothing_is_opened(transport) -> None:
    with pytest.raises(ValueError, match="no API key"):
        SendGridMail(api_key="", transport=transport)


def test_a_plain_list_is_split_as_a_claim_is(certificate, transport) -> None:
    with WebPeer([YES], certificate) as peer:
        channel = SendGridMail(api_key=KEY, transport=transport, base_url=peer.url, max_batch=2)
        results = channel.send([channel.prepare(outgoing(number)) for number in range(3)], now=NOW)
        transport.close()
    assert [result.message_id for result in results] == [f"{number:032x}" for number in range(3)]
    assert len(peer.requests) == 2
    assert len(taken(peer)) == 3


def test_a_connection_the_peer_closed_leaves_no_doubt(certificate, transport) -> None:
    """The first answer is the last on its connection, though the peer does not say so."""
    with WebPeer([replace(YES, then="answer and close")], certificate) as peer:
        for number in range(3):
            assert send(transport, peer, [outgoing(number)])[number].outcome is Outcome.ACCEPTED
            peer.threads[-1].join(5)
        transport.close()
    assert peer.connections == 3
