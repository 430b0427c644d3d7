"""The fake vendors over real HTTP: the vendors' shapes, every fault, and a log that is ahead of every answer."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from fake_vendor_process import FakeVendorProcess, fake_vendors
from vendor_calls import CLIENT_SECONDS, SEND, basic, call, get_mail, mail, messages, post_mail, post_text, text

from winback.sample.acceptance_log import content_hash


@pytest.fixture(scope="module")
def vendors(tmp_path_factory):
    """Vendors at which nothing goes wrong unless a test says so; tests use their own people."""
    with fake_vendors(tmp_path_factory.mktemp("vendors")) as running:
        yield running


def rows_of(vendors: FakeVendorProcess, number: int):
    return [row for row in vendors.accepted().rows if row.message_id == f"{number:032x}"]


# ------------------------------------------------------------------------------------------------ what is accepted


def test_a_mail_is_accepted_person_by_person_with_what_each_would_read(vendors):
    answer = post_mail(vendors, mail(1, 2))
    assert (answer.status, answer.body) == (202, b"")
    for number in (1, 2):
        [row] = rows_of(vendors, number)
        assert (row.vendor, row.recipient) == ("sendgrid", f"person{number}@example.org")
        assert row.content_sha256 == content_hash(f"hi P{number}", f"Dear P{number}", f"<p>P{number}</p>")
        assert row.provider_id.startswith(answer.headers["x-message-id"])
        assert row.monotonic > 0
        assert row.utc.endswith("+00:00")
    assert rows_of(vendors, 1)[0].request == rows_of(vendors, 2)[0].request > 0


def test_two_people_in_one_personalization_see_each_other_and_are_both_accepted(vendors):
    body = mail(3)
    body["personalizations"][0]["to"].append({"email": "other@example.org"})
    assert post_mail(vendors, body).status == 202
    assert [row.recipient for row in rows_of(vendors, 3)] == ["person3@example.org", "other@example.org"]


def test_a_connection_serves_many_requests(vendors):
    connection = http.client.HTTPConnection("127.0.0.1", vendors.port, timeout=CLIENT_SECONDS)
    headers = {"Authorization": f"Bearer {vendors.environment['SENDGRID_API_KEY']}"}
    for number in (4, 5, 6):
        connection.request("POST", SEND, json.dumps(mail(number)).encode(), headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202
    connection.close()


def test_the_sandbox_says_200_and_takes_nothing(vendors):
    answer = post_mail(vendors, mail(7, mail_settings={"sandbox_mode": {"enable": True}}))
    assert answer.status == 200
    assert not rows_of(vendors, 7)


def test_a_text_is_accepted_with_its_resource(vendors):
    answer = post_text(vendors, text(10, Body="ç" * 71))
    assert answer.status == 201
    resource = answer.json
    assert resource["sid"].startswith("SM")
    assert len(resource["sid"]) == 34
    assert (resource["status"], resource["num_segments"], resource["to"]) == ("queued", "2", "+33610000010")
    assert resource["date_sent"] is None
    assert f"{10:032x}" not in answer.body.decode(), "Twilio does not tell where it reports to"
    [row] = rows_of(vendors, 10)
    assert (row.vendor, row.recipient, row.provider_id) == ("twilio", "+33610000010", resource["sid"])
    assert row.content_sha256 == content_hash("ç" * 71)


def test_a_service_accepts_and_picks_the_sender_later(vendors):
    service = vendors.environment["TWILIO_MESSAGING_SERVICE_SID"]
    answer = post_text(vendors, text(11, From=None, MessagingServiceSid=service))
    assert (answer.status, answer.json["status"], answer.json["num_segments"]) == (201, "accepted", "0")


def test_a_whatsapp_template_is_accepted(vendors):
    template, variables = "HX" + "a" * 32, '{"1": "Anna"}'
    form = text(12, To="whatsapp:+33610000012", From="whatsapp:+33600000000", Body=None, ContentSid=template)
    assert post_text(vendors, form | {"ContentVariables": variables}).status == 201
    [row] = rows_of(vendors, 12)
    assert (row.recipient, row.content_sha256) == ("whatsapp:+33610000012", content_hash(template, variables))


def test_texts_are_listed_by_number_newest_first_and_page_by_page(vendors):
    for body in ("one", "two", "three"):
        assert post_text(vendors, text(13, Body=body)).status == 201
    path = f"{messages(vendors)}?To=%2B33610000013&PageSize=2"
    page = call(vendors, "GET", path, None, basic(vendors)).json
    assert [each["body"] for each in page["messages"]] == ["three", "two"]
    page = call(vendors, "GET", page["next_page_uri"], None, basic(vendors)).json
    assert [each["body"] for each in page["messages"]] == ["one"]
    assert page["next_page_uri"] is None
    uri = page["messages"][0]["uri"]
    assert call(vendors, "GET", uri, None, basic(vendors)).json["body"] == "one"
    nobody = call(vendors, "GET", f"{messages(vendors)}?To=%2B33699999999", None, basic(vendors)).json
    assert nobody["messages"] == []


def test_an_api_key_sends_as_well_as_the_account(vendors):
    key = vendors.ready["key_environment"]
    headers = basic(vendors, key["TWILIO_API_KEY"], key["TWILIO_API_SECRET"])
    assert post_text(vendors, text(14), headers=headers).status == 201


# ------------------------------------------------------------------------------------------------- what is refused


def test_without_the_right_key_nothing_is_taken(vendors):
    before = len(vendors.accepted().rows)
    for key in ("", "None", "SG.other"):
        answer = post_mail(vendors, mail(20), key=key)
        assert answer.status == 401
        assert answer.json["errors"][0]["field"] is None
    answer = post_text(vendors, text(20), headers=basic(vendors, "", "wrong"))
    assert (answer.status, answer.json["code"], answer.json["status"]) == (401, 20003, 401)
    assert call(vendors, "GET", "/v3/suppression/bounces").status == 401
    assert call(vendors, "POST", messages(vendors), b"To=x", {"Authorization": "Basic !"}).status == 401
    assert len(vendors.accepted().rows) == before


def test_one_bad_row_refuses_the_whole_mail_request(vendors):
    body = mail(*range(21, 31))
    body["personalizations"][4]["to"][0]["email"] = "nobody"
    answer = post_mail(vendors, body)
    assert answer.status == 400
    [error] = answer.json["errors"]
    assert set(error) == {"message", "field", "help"}
    assert error["field"] == "personalizations.4.to.0.email"
    assert not any(rows_of(vendors, number) for number in range(21, 31))


def test_what_is_not_json_is_refused(vendors):
    assert post_mail(vendors, b"{").status == 400
    assert post_mail(vendors, b"[]").status == 400


def test_a_refused_text_says_why_in_twilios_shape(vendors):
    answer = post_text(vendors, text(31, To="0612345678"))
    assert answer.status == 400
    assert set(answer.json) == {"code", "message", "more_info", "status"}
    assert (answer.json["code"], answer.json["status"]) == (21211, 400)
    assert not rows_of(vendors, 31)


def test_unknown_places_are_not_found(vendors):
    assert get_mail(vendors, "/v3/nowhere").status == 404
    assert get_mail(vendors, SEND).status == 405
    answer = call(vendors, "GET", messages(vendors).replace(".json", "/SMnone.json"), None, basic(vendors))
    assert (answer.status, answer.json["code"]) == (404, 20404)


def test_recipients_are_refused_by_seed_and_by_name(tmp_path):
    faults = {"bad_recipients": {"person2@example.org": 0, "+33610000007": 21610}, "bad_share": 0.2}

    def refused(folder, seed):
        folder.mkdir()
        with fake_vendors(folder, faults=faults, seed=seed) as vendors:
            assert post_mail(vendors, mail(2)).json["errors"][0]["field"] == "personalizations.0.to.0.email"
            assert post_text(vendors, text(7)).json["code"] == 21610
            return [number for number in range(100, 160) if post_mail(vendors, mail(number)).status == 400]

    first = refused(tmp_path / "a", 5)
    assert 3 < len(first) < 30
    assert refused(tmp_path / "b", 5) == first
    assert refused(tmp_path / "c", 6) != first


# ---------------------------------------------------------------------------------------------------- suppressions


def test_suppression_lists_are_set_listed_and_added_to(vendors):
    vendors.set_suppressions("bounces", [f"gone{number}@example.org" for number in range(3)])
    vendors.set_suppressions("spam_reports", [{"email": "angry@example.org", "created": 1_000}])
    listed = get_mail(vendors, "/v3/suppression/bounces?limit=2&offset=1").json
    assert [row["email"] for row in listed] == ["gone1@example.org", "gone2@example.org"]
    assert get_mail(vendors, "/v3/suppression/spam_reports?start_time=1001").json == []
    assert get_mail(vendors, "/v3/suppression/spam_reports").json[0]["created"] == 1_000
    key = {"Authorization": f"Bearer {vendors.environment['SENDGRID_API_KEY']}"}
    here = "/v3/asm/suppressions/global"
    added = json.dumps({"recipient_emails": ["no@example.org"]}).encode()
    assert call(vendors, "POST", here, added, key).status == 201
    assert get_mail(vendors, f"{here}/no%40example.org").json == {"recipient_email": "no@example.org"}
    assert get_mail(vendors, f"{here}/yes%40example.org").json == {}
    assert [row["email"] for row in get_mail(vendors, "/v3/suppression/unsubscribes").json] == ["no@example.org"]
    assert [row["email"] for row in get_mail(vendors, "/v3/asm/suppressions").json] == ["no@example.org"]
    assert call(vendors, "DELETE", f"{here}/no%40example.org", None, key).status == 204
    assert get_mail(vendors, f"{here}/no%40example.org").json == {}
    assert get_mail(vendors, "/v3/suppression/bounces?limit=many").status == 400


# ---------------------------------------------------------------------------------------------------------- faults


def spoiled(tmp_path, kind, **rule):
    return fake_vendors(tmp_path, faults=[{"kind": kind, "requests": [1], **rule}])


def both(vendors):
    """The first request of each vendor, as a call without arguments."""
    return [
        ("sendgrid", lambda **options: post_mail(vendors, mail(1), **options)),
        ("twilio", lambda **options: post_text(vendors, text(1), **options)),
    ]


@pytest.mark.parametrize(
    ("rule", "status", "taken"),
    [
        ({"kind": "error_before", "status": 503}, 503, 0),
        ({"kind": "error_after", "status": 500}, 500, 1),
        ({"kind": "unauthorized"}, 401, 0),
        ({"kind": "wrong_success"}, 200, 0),
        ({"kind": "wrong_success", "accepts": True}, 200, 1),
        ({"kind": "too_many", "retry_after_seconds": 7}, 429, 0),
    ],
)
def test_answers_that_are_not_what_they_should_be(tmp_path, rule, status, taken):
    with spoiled(tmp_path, **rule) as vendors:
        for vendor, send in both(vendors):
            answer = send()
            assert answer.status == status
            assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
            [fault] = [each for each in vendors.events("fault") if each["vendor"] == vendor]
            assert (fault["request"], fault["fault"], fault["accepted"]) == (1, rule["kind"], taken)
            assert send().status == (202 if vendor == "sendgrid" else 201), "only the first request is spoiled"
        assert vendors.accepted().counts() == {f"{1:032x}": 2 * (1 + taken)}


def test_a_lost_answer_was_taken(tmp_path):
    with spoiled(tmp_path, "lost_answer") as vendors:
        for _, send in both(vendors):
            with pytest.raises(http.client.RemoteDisconnected):
                send()
        assert len(vendors.accepted().rows) == 2
        assert [event["status"] for event in vendors.events("ended")] == [None, None]


def test_a_slow_answer_was_taken_and_comes_too_late(tmp_path):
    with spoiled(tmp_path, "slow", seconds=0.8) as vendors:
        for _, send in both(vendors):
            with pytest.raises(TimeoutError):
                send(timeout=0.2)
        assert len(vendors.accepted().rows) == 2
        begun = time.monotonic()
        vendors.set_faults([{"kind": "slow", "first": 1, "seconds": 0.3}])
        assert post_mail(vendors, mail(2)).status == 202
        assert time.monotonic() - begun > 0.3


@pytest.mark.parametrize(("accepts", "taken"), [(True, 2), (False, 0)])
def test_a_hang_says_nothing(tmp_path, accepts, taken):
    with spoiled(tmp_path, "hang", accepts=accepts) as vendors:
        for _, send in both(vendors):
            with pytest.raises(TimeoutError):
                send(timeout=0.2)
        assert len(vendors.accepted().rows) == taken


def test_an_unreadable_answer_has_the_right_status_and_no_sense(tmp_path):
    with spoiled(tmp_path, "unreadable") as vendors:
        for (_, send), status in zip(both(vendors), (202, 201), strict=True):
            answer = send()
            assert answer.status == status
            assert "x-message-id" not in answer.headers
            with pytest.raises(json.JSONDecodeError):
                json.loads(answer.body)
        assert len(vendors.accepted().rows) == 2


def test_a_truncated_answer_ends_in_its_middle(tmp_path):
    with spoiled(tmp_path, "truncated") as vendors:
        for _, send in both(vendors):
            with pytest.raises(http.client.IncompleteRead):
                send()
        assert len(vendors.accepted().rows) == 2


def test_a_redirect_leads_to_another_port_that_notices_who_follows_with_the_key(tmp_path):
    with spoiled(tmp_path, "redirect") as vendors:
        for _, send in both(vendors):
            answer = send()
            assert answer.status == 302
            assert answer.headers["location"] == vendors.ready["redirects_to"]
        assert not vendors.accepted().rows
        assert not vendors.events("followed")
        port = int(answer.headers["location"].split(":")[2].split("/")[0])
        assert port != vendors.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CLIENT_SECONDS)
        connection.request("GET", "/elsewhere", headers={"Authorization": "Bearer x"})
        assert connection.getresponse().status == 200
        connection.close()
        assert [event["has_key"] for event in vendors.events("followed")] == [True]


def test_a_connection_is_cut_in_the_middle_of_the_body(tmp_path):
    with spoiled(tmp_path, "cut_body") as vendors:
        big = mail(*range(1, 1000), content=[{"type": "text/plain", "value": "x" * 8_000_000}])
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            post_mail(vendors, big)
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            post_text(vendors, text(1))
        assert not vendors.accepted().rows
        assert [fault["fault"] for fault in vendors.events("fault")] == ["cut_body", "cut_body"]


def test_the_cut_comes_before_the_body_is_whole(tmp_path):
    with spoiled(tmp_path, "cut_body") as vendors:
        with socket.create_connection(("127.0.0.1", vendors.port), timeout=CLIENT_SECONDS) as client:
            client.sendall(f"POST {SEND} HTTP/1.1\r\nContent-Length: 1000\r\n\r\n".encode() + b"x" * 600)
            with suppress(ConnectionResetError):
                assert client.recv(100) == b""
        assert [fault["fault"] for fault in vendors.events("fault")] == ["cut_body"]


def test_a_client_that_leaves_in_the_middle_of_its_body_was_not_taken(tmp_path):
    with fake_vendors(tmp_path) as vendors:
        key = vendors.environment["SENDGRID_API_KEY"]
        with socket.create_connection(("127.0.0.1", vendors.port), timeout=CLIENT_SECONDS) as client:
            head = f"POST {SEND} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 900\r\n\r\n"
            client.sendall(head.encode() + b'{"personal')
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        assert not vendors.accepted().rows
        assert [event["request"] for event in vendors.events("begun", "ended")] == [1, 1]


def test_the_key_is_refused_from_the_kth_call_on(tmp_path):
    with fake_vendors(tmp_path, faults=[{"kind": "unauthorized", "first": 3}]) as vendors:
        assert [post_mail(vendors, mail(number)).status for number in range(5)] == [202, 202, 401, 401, 401]
        assert post_text(vendors, text(1)).status == 201, "each vendor counts its own requests"


def test_too_many_come_in_bursts(tmp_path):
    with fake_vendors(tmp_path, faults=[{"kind": "too_many", "probability": 0.05, "burst": 4}], seed=3) as vendors:
        met = [post_mail(vendors, mail(number)).status == 429 for number in range(120)]
    runs = [len(run) for run in "".join("x" if each else " " for each in met).split()]
    assert runs
    assert all(length >= 4 for length in runs[:-1])


def test_the_same_seed_spoils_the_same_requests(tmp_path):
    faults = [{"kind": "error_before", "probability": 0.2}, {"kind": "error_after", "probability": 0.2, "status": 502}]

    def statuses(name, seed):
        (tmp_path / name).mkdir()
        with fake_vendors(tmp_path / name, faults=faults, seed=seed) as vendors:
            return [post_mail(vendors, mail(number)).status for number in range(60)]

    first = statuses("a", 11)
    assert {202, 500, 502} == set(first)
    assert statuses("b", 11) == first
    assert statuses("c", 12) != first


def test_a_wrong_request_is_refused_whatever_would_have_gone_wrong(tmp_path):
    with spoiled(tmp_path, "lost_answer") as vendors:
        assert post_mail(vendors, {}).status == 400
        assert not vendors.events("fault"), "a fault that did not land is no fault"


# ---------------------------------------------------------------------------------------------- the log comes first


def test_a_kill_right_after_an_answer_loses_no_line(tmp_path):
    for number in range(1, 6):
        with fake_vendors(tmp_path) as vendors:
            assert post_mail(vendors, mail(number)).status == 202
            vendors.kill()
            assert rows_of(vendors, number), "the answer was ahead of the log"


def test_the_line_is_there_before_the_answer_begins(tmp_path):
    with spoiled(tmp_path, "hang", seconds=30) as vendors:
        with pytest.raises(TimeoutError):
            post_mail(vendors, mail(1), timeout=0.3)
        vendors.kill()
        assert rows_of(vendors, 1)


def test_many_clients_at_once_are_all_written_down(tmp_path):
    with fake_vendors(tmp_path) as vendors, ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda number: post_mail(vendors, mail(number)).status, range(200)))
        assert answers == [202] * 200
        accepted = vendors.accepted()
        assert accepted.counts() == {f"{number:032x}": 1 for number in range(200)}
        assert sorted(row.request for row in accepted.rows) == list(range(1, 201))


def test_a_restart_takes_up_where_the_log_ends(tmp_path):
    with fake_vendors(tmp_path) as vendors:
        post_text(vendors, text(1, Body="before"))
        post_text(vendors, text(1, To="refused"))
        vendors.set_suppressions("blocks", ["slow@example.org"])
        before = vendors.ready
        vendors.kill()
        with vendors.log.open("ab") as log:
            log.write(b'{"vendor": "sendgrid", "message_id": "to')  # what a kill leaves of a line
        vendors.restart()
        assert vendors.ready["environment"] == before["environment"]
        listed = call(vendors, "GET", f"{messages(vendors)}?To=%2B33610000001", None, basic(vendors)).json
        assert [each["body"] for each in listed["messages"]] == ["before"]
        assert [row["email"] for row in get_mail(vendors, "/v3/suppression/blocks").json] == ["slow@example.org"]
        post_text(vendors, text(1, Body="after"))
        assert [row.request for row in rows_of(vendors, 1)] == [1, 3], "a number is given once"
        assert vendors.accepted().twice() == {f"{1:032x}": 2}


def test_vendors_that_cannot_write_end_without_an_answer(tmp_path):
    begin = "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    begin += "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); sys.argv = ['fake', *sys.argv[1:]]; "
    begin += "runpy.run_module('winback.sample.fake_vendors', run_name='__main__')"
    vendors = FakeVendorProcess(log=tmp_path / "vendors.jsonl", options=[])
    vendors.start(program=("-c", begin))
    try:
        assert post_mail(vendors, mail(1)).status == 202
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            post_mail(vendors, mail(*range(2, 30)))
        assert vendors.process.wait(CLIENT_SECONDS) == 1
        assert len(rows_of(vendors, 1)) == 1
    finally:
        vendors.kill()


# ----------------------------------------------------------------------------------------------------- the command


def test_a_stop_ends_it_in_order_even_while_a_client_waits(tmp_path):
    with spoiled(tmp_path, "hang", seconds=60) as vendors, socket.create_connection(("127.0.0.1", vendors.port)) as it:
        body = json.dumps(mail(1)).encode()
        key = vendors.environment["SENDGRID_API_KEY"]
        head = f"POST {SEND} HTTP/1.1\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        it.sendall(head.encode() + body)
        while not vendors.accepted().rows:
            time.sleep(0.02)
        begun = time.monotonic()
        assert vendors.stop() == 0
        assert time.monotonic() - begun < 5


def test_tls_with_a_certificate_a_client_can_trust(tmp_path):
    with fake_vendors(tmp_path, options=("--tls", "--fsync")) as vendors:
        assert vendors.base_url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=vendors.ready["certificate"])
        connection = http.client.HTTPSConnection("127.0.0.1", vendors.port, context=context, timeout=CLIENT_SECONDS)
        headers = {"Authorization": f"Bearer {vendors.environment['SENDGRID_API_KEY']}"}
        connection.request("POST", SEND, json.dumps(mail(1)).encode(), headers)
        assert connection.getresponse().status == 202
        connection.close()
        left = [file.name for file in tmp_path.iterdir() if b"PRIVATE" in file.read_bytes()]
        assert not left


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--faults", "[{]"], "neither JSON"),
        (["--faults", "nowhere.json"], "neither JSON"),
        (["--faults", '[{"kind": "eaten_by_dog", "first": 1}]'], "no fault is called"),
        (["--callbacks", "https://hooks.example.org"], "127.0.0.1"),
        (["--callbacks", "http://hooks.example.org:80"], "127.0.0.1"),
    ],
)
def test_wrong_options_are_told_in_one_line(tmp_path, options, wanted):
    command = [sys.executable, "-m", "winback.sample.fake_vendors", "--log", str(tmp_path / "log.jsonl"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert wanted in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_faults_are_read_from_a_file_and_replaced_while_it_runs(tmp_path):
    file = tmp_path / "faults.json"
    file.write_text(json.dumps({"requests": [{"kind": "error_before", "first": 1}]}))
    with fake_vendors(tmp_path, options=("--faults", str(file))) as vendors:
        assert post_mail(vendors, mail(1)).status == 500
        assert vendors.set_faults({}) == {"sendgrid": 1}
        assert post_mail(vendors, mail(1)).status == 202
        assert call(vendors, "PUT", "/fake/faults", b'{"request": []}').status == 400
        assert call(vendors, "PUT", "/fake/elsewhere", b"{}").status == 404
