"""What every public page has in common: headers, bounds, limits, one page for everything that is not there."""

import asyncio
import signal
import socket
from datetime import timedelta

import httpx
import pytest
import web_world
from fastapi import APIRouter, Request

from winback.errors import ConfigError, WinbackError
from winback.web import http_server, request_bounds
from winback.web.answer_headers import HEADERS
from winback.web.public_app import make_public_app


@pytest.fixture
def pages(tmp_path):
    made = web_world.make_pages(tmp_path, "c1")
    yield made
    made.ledger.close()


def _failing(_site) -> APIRouter:
    routes = APIRouter()

    @routes.get("/fails/{token}")
    def fails(token: str):
        assert token
        raise RuntimeError("broken on purpose")

    @routes.post("/counts")
    async def counts(request: Request):
        return {"bytes": len(await request.body())}

    return routes


@pytest.fixture
def strange(pages):
    """The app with a route that fails and one that tells how much it got."""
    pages.app = make_public_app(pages.project, pages.ledger, clock=pages.clock, routers=[_failing])
    return pages.visitor()


PATHS = [
    "/healthz",
    "/assets/style.css",
    "/openapi.json",
    "/",
    "/nothing",
    "/s/short",
    "/u/x",
    "/p/x",
    "/l/x",
    "/fails/t",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_every_header(strange, path, method):
    answer = strange.request(method, path)
    for name, value in HEADERS:
        if (path, name) != ("/assets/style.css", b"cache-control"):
            assert answer.headers[name.decode()] == value.decode(), name
    assert "server" not in answer.headers


def test_the_policy_lets_nothing_in_from_elsewhere(pages):
    policy = pages.browser.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'")


def test_healthz_asks_the_database(pages):
    assert pages.browser.get("/healthz").json() == {"ok": True}


def test_what_is_not_there_looks_the_same_whatever_it_was(pages):
    asked = [
        "/nothing",
        "/s/AAAAAAAAAAA",
        "/u/" + "A" * 32,
        "/p/" + "A" * 32,
        "/l/AAAAAAAAAAA",
        "/u/x",
        "/%00",
        "/wp-admin.php",
    ]
    answers = [pages.browser.get(path) for path in asked]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1


def test_a_failure_is_a_page_with_headers_and_its_token_in_no_log(strange, caplog):
    answer = strange.get("/fails/secret-token")
    assert answer.status_code == 500
    assert "broken on purpose" not in answer.text
    assert "GET /fails/{token} failed" in caplog.text
    assert "secret-token" not in caplog.text


@pytest.mark.parametrize("size", [0, 1, request_bounds.MOST_BYTES])
def test_a_body_within_bounds_arrives_whole(strange, size):
    assert strange.post("/counts", content=b"x" * size).json() == {"bytes": size}


@pytest.mark.parametrize("size", [request_bounds.MOST_BYTES + 1, 5 * request_bounds.MOST_BYTES])
def test_a_body_that_is_too_large_is_413(strange, size):
    answer = strange.post("/counts", content=b"x" * size)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


def test_a_body_without_a_length_is_bounded_as_well(strange):
    async def parts():
        for _ in range(80):
            yield b"x" * 65536

    answer = strange.post("/counts", content=parts())
    assert answer.status_code == 413


def test_a_visitor_may_ask_120_times_a_minute(pages):
    codes = [pages.browser.get(f"/nothing/{number}").status_code for number in range(125)]
    assert codes == [404] * 120 + [429] * 5
    assert pages.visitor("192.0.2.2").get("/nothing").status_code == 404
    assert pages.browser.get("/nothing").headers["retry-after"] == "60"
    pages.clock.now += timedelta(minutes=1)
    assert pages.browser.get("/nothing").status_code == 404


def test_a_link_may_be_asked_20_times_a_minute_from_wherever(pages):
    codes = [pages.visitor(f"192.0.2.{number}").get("/p/" + "A" * 32).status_code for number in range(25)]
    assert codes == [404] * 20 + [429] * 5


def test_watchers_are_not_counted(pages):
    assert {pages.browser.get("/healthz").status_code for _ in range(130)} == {200}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("fr-FR,fr;q=0.9,en;q=0.5", "fr"), ("de", "de"), ("xx", "en"), ("", "en"), (";;q=.,=", "en")],
)
def test_a_problem_is_told_in_the_visitors_language(pages, accepted, language):
    answer = pages.visitor(**{"accept-language": accepted}).get("/nothing")
    assert f'<html lang="{language}" dir="ltr">' in answer.text


# --- a real process ----------------------------------------------------------------------------------------------


@pytest.fixture
def running(pages):
    with web_world.served(pages.project) as (process, address):
        yield process, address


def test_served_it_answers_and_leaves_when_asked(running):
    process, address = running
    assert httpx.get(f"{address}/healthz").json() == {"ok": True}
    large = httpx.post(f"{address}/u/x", content=b"x" * 5 * request_bounds.MOST_BYTES)
    assert large.status_code == 413
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert f"public pages: {address}" in err
    assert "Traceback" not in err
    assert out == ""


def test_a_port_in_use_is_a_sentence(pages):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one = http_server.Served("public", pages.app, "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(WinbackError, match="cannot be listened on"):
            http_server.serve([one], ready=lambda _: None)


def test_who_sends_a_body_slowly_is_408(pages):
    """Through the bounds alone, with a short patience: the usual ten seconds are only a number."""

    async def ask():
        sent = []

        async def receive():
            await asyncio.sleep(0.02)
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(message):
            sent.append(message)

        bounds = request_bounds.RequestBounds(pages.app, refusal=pages.app.app.state.site.problem, most_seconds=0.2)
        await bounds(
            {"type": "http", "headers": [(b"transfer-encoding", b"chunked")], "method": "POST", "path": "/u/x"},
            receive,
            send,
        )
        return sent[0]

    started = asyncio.run(ask())
    assert started["status"] == 408
    assert (b"connection", b"close") in started["headers"]


def test_who_never_finishes_the_head_of_a_request_is_cut_off(pages):
    with (
        web_world.serving_here(pages.app, head_seconds=0.3) as port,
        socket.create_connection(("127.0.0.1", port)) as slow,
    ):
        slow.settimeout(20)
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        got = b""
        while part := slow.recv(65536):
            got += part
        assert b"HTTP/1.1 408" in got


def test_an_answer_leaves_at_once(pages):
    """Without this option a page waits for the acknowledgement of its headers: 40 ms each."""
    with http_server.listen(http_server.Served("public", pages.app, "127.0.0.1", 0)) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_the_seconds_are_the_ones_promised():
    assert (request_bounds.MOST_SECONDS, http_server.HEAD_SECONDS, request_bounds.MOST_BYTES) == (10, 10, 1024 * 1024)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("policies/winback.yaml", "version: 2\n"),
        ("pages/texts.en.yaml", "survey: {tilte: Hello}\n"),
        ("pages/theme.yaml", "light: {ink: '#ffffff'}\n"),
    ],
)
def test_pages_that_are_not_sound_are_not_started(pages, file, text):
    (pages.project.root / "pages").mkdir(exist_ok=True)
    (pages.project.root / file).write_text(text)
    with pytest.raises(ConfigError, match=file):
        make_public_app(pages.project, pages.ledger, clock=pages.clock)
