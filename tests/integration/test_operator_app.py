"""What every operator page has in common: this machine, a log-in, a form of one's own, headers."""

import os
import stat
import subprocess
import sys
from datetime import timedelta

import httpx
import operator_world
import pytest
import web_world
from fastapi import APIRouter, Request

from winback.errors import StoreUnavailable
from winback.web import operator_app
from winback.web.answer_headers import HEADERS


def _probing(desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/fails")
    def fails():
        raise RuntimeError("broken on purpose")

    @routes.post("/acts")
    def acts(request: Request):
        return {"said": desk.form(request).one("said")}

    return routes


@pytest.fixture
def pages(tmp_path):
    public = web_world.make_pages(tmp_path, "c1")
    routers = (*operator_app.ROUTERS, _probing)
    yield operator_world.OperatorPages(public.project, public.ledger, clock=public.clock, routers=routers)
    public.ledger.close()


def _paths(pages) -> list[str]:
    """Every address there is, with something in place of its variable parts."""
    desk = pages.app.app.state.desk
    routes = [route for make in (*operator_app.ROUTERS, _probing) for route in make(desk).routes]
    paths = {route.path.replace("{", "").replace("}", "") for route in routes}
    return sorted(paths | {"/nothing", "/assets/operator.css"})


def test_without_a_log_in_there_is_no_page(pages):
    opened = {"/log-in", "/assets/operator.css", "/assets/style.css"}
    for path in _paths(pages):
        answer = pages.stranger().get(f"{path}?as_of=2026-01-01")
        if path in opened:
            assert answer.status_code == 200, path
        else:
            assert (answer.status_code, answer.headers["location"][:13]) == (303, "/log-in?next="), path
        posted = pages.stranger().send(path, {"token": "wrong"})
        assert posted.status_code in {403, 405}, path


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
def test_every_answer_has_every_header(pages, method):
    asking = pages.operator()
    for path in _paths(pages):
        answer = asking.request(method, path)
        for name, value in HEADERS:
            if name not in {b"cache-control", b"referrer-policy"}:
                assert answer.headers[name.decode()] == value.decode(), (path, name)
        assert answer.headers["referrer-policy"] in {"same-origin", "no-referrer"}
        assert answer.headers["cache-control"] == (
            "no-cache" if answer.headers.get("content-type", "").startswith("text/css") else "no-store"
        )
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8401", 200),
        ("localhost:9000", 200),
        ("LOCALHOST", 200),
        ("rebound.example:8401", 421),
        ("127.0.0.1.rebound.example", 421),
        ("127.0.0.1@rebound.example", 421),
        ("rebound.example@127.0.0.1", 421),
        ("127.0.0.1:8401/x", 421),
        ("127.0.0.1:x", 421),
        ("0.0.0.0:8401", 421),
        ("[::1]:8401", 421),
        ("", 421),
    ],
)
def test_it_answers_to_the_names_of_this_machine_only(pages, host, status):
    for path in ("/log-in", "/assets/operator.css"):
        assert pages.stranger().get(path, headers={"host": host}).status_code == status
    told = pages.operator().get("/", headers={"host": host})
    assert told.status_code == status or (status == 200 and told.status_code == 303)  # a cookie of another port


def test_the_token_opens_a_session_under_a_name(pages):
    asking = pages.stranger()
    assert asking.send("/log-in", {"token": "wrong", "name": "Ada"}).status_code == 403
    assert asking.get("/").status_code == 303
    answer = asking.send("/log-in", {"token": pages.token, "name": "Ada", "next": "/plans?x=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/plans?x=1")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("winback_operator_8401=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Ada" in asking.get("/").text


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/\t/evil.example", ""],
)
def test_a_log_in_leads_nowhere_else(pages, wanted):
    answer = pages.stranger().send("/log-in", {"token": pages.token, "name": "Ada", "next": wanted})
    assert answer.headers["location"] in {"/", "//evil.example"[1:]}
    assert f'value="{wanted}"' not in pages.stranger().get("/log-in", params={"next": wanted}).text or not wanted


def test_the_link_of_the_terminal_fills_the_form_and_opens_nothing(pages):
    asking = pages.stranger()
    shown = asking.get("/log-in", params={"token": pages.token})
    assert f'value="{pages.token}"' in shown.text
    assert asking.get("/").status_code == 303


def test_ten_wrong_tokens_a_minute_and_the_right_one_waits(pages):
    asking = pages.stranger()
    codes = [asking.send("/log-in", {"token": f"wrong {number}", "name": "Eve"}).status_code for number in range(12)]
    assert codes == [403] * 9 + [429] * 3
    assert asking.send("/log-in", {"token": pages.token, "name": "Ada"}).status_code == 429
    pages.clock.now += timedelta(minutes=1)
    assert asking.send("/log-in", {"token": pages.token, "name": "Ada"}).status_code == 303


def test_a_session_ends_after_twelve_hours_and_by_its_button(pages):
    asking = pages.operator()
    pages.clock.now += timedelta(hours=11, minutes=59)
    assert asking.get("/").status_code == 200
    pages.clock.now += timedelta(minutes=1)
    assert asking.get("/").status_code == 303
    other = pages.operator()
    kept = httpx.Cookies(other.cookies)
    assert other.post("/log-out").status_code == 303
    other.cookies = kept
    assert other.get("/").status_code == 303


def test_a_cookie_that_was_changed_is_none(pages):
    asking = pages.operator()
    name, value = next((cookie.name, cookie.value) for cookie in asking.cookies.jar)
    for position in range(len(value)):
        flipped = value[:position] + ("A" if value[position] != "A" else "B") + value[position + 1 :]
        other = pages.stranger()
        other.cookies.set(name, flipped, domain="127.0.0.1")
        assert other.get("/").status_code == 303, position


def test_a_form_of_another_site_does_nothing(pages):
    """Its browser brings the cookie along: sites are told apart by neither port nor cookie."""
    asking = pages.operator()
    key = {"form_key": asking.form_key(), "said": "hello"}
    assert asking.send("/acts", key).json() == {"said": "hello"}
    for headers in (
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:4200", "sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:4200", "sec-fetch-site": "same-origin"},
        {"origin": "null"},
        {"origin": ""},
        {"sec-fetch-site": "none"},
    ):
        assert asking.send("/acts", key, **headers).status_code == 403, headers
    assert asking.request("POST", "/acts", data=key).status_code == 403


def test_a_form_needs_the_key_of_its_own_session(pages):
    asking, other = pages.operator(), pages.operator("Bob")
    assert asking.send("/acts", {"said": "hello"}).status_code == 403
    for wrong in ("", "0" * 64, other.form_key(), asking.form_key()[:-1]):
        assert asking.send("/acts", {"form_key": wrong}).status_code == 403
    assert asking.request("DELETE", "/acts", headers={"origin": asking.address}).status_code == 403


def test_a_failure_is_a_page_with_headers(pages, caplog):
    answer = pages.operator().get("/fails")
    assert answer.status_code == 500
    assert "broken on purpose" not in answer.text
    assert "GET /fails failed" in caplog.text
    assert answer.headers["x-frame-options"] == "DENY"


def test_a_body_that_is_too_large_is_413(pages):
    answer = pages.operator().post("/acts", {"said": "x" * 2**20})
    assert answer.status_code == 413


def test_the_tokens_are_for_their_owner_alone(pages):
    for name in ("operator.token", "metrics.token"):
        file = pages.project.var / name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_text()) == 64
    file.with_name("operator.token").chmod(0o640)
    with pytest.raises(StoreUnavailable, match="chmod 600"):
        operator_world.OperatorPages(pages.project, pages.ledger)


def test_names_are_text(pages):
    asking = pages.operator("<b>Bob</b>")
    assert "&lt;b&gt;Bob&lt;/b&gt;" in asking.get("/").text


def test_prefect_is_linked_where_the_environment_names_it(pages):
    for environment, link in (
        ({"PREFECT_API_URL": "http://127.0.0.1:4200/api"}, "http://127.0.0.1:4200"),
        (
            {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "PREFECT_UI_URL": "https://prefect.example"},
            "https://prefect.example",
        ),
        ({"PREFECT_API_URL": "https://api.prefect.example/api/accounts/1"}, None),
        ({"PREFECT_UI_URL": "javascript:alert(1)"}, None),
    ):
        project = web_world.replace(pages.project, environment={**pages.project.environment, **environment})
        page = operator_world.OperatorPages(project, pages.ledger, clock=pages.clock).operator().get("/").text
        assert (f'href="{link}"' in page) if link else ("Prefect" not in page)


def test_served_it_listens_on_this_machine_and_says_where_its_token_is(pages):
    with web_world.served(pages.project) as (process, _address):
        process.terminate()
        _out, err = process.communicate(timeout=30)
    assert "operator pages: http://127.0.0.1:" in err
    assert f"with the token in {pages.project.var / 'operator.token'}" in err
    assert pages.token not in err


def test_at_a_terminal_it_prints_a_link_that_logs_in(pages):
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "winback", "--project", str(pages.project.root), "serve", "--public-port", "0"]
    environment = {**os.environ, **pages.project.environment, "PYTHONPATH": str(web_world.CHECKOUT)}
    process = subprocess.Popen([*command, "--operator-port", "0"], env=environment, stderr=theirs)
    try:
        said = b""
        while b"log-in?token=" not in said or not said.endswith(b"\n"):
            said += os.read(ours, 65536)
    finally:
        process.terminate()
        process.wait(30)
        os.close(ours)
        os.close(theirs)
    assert f"/log-in?token={pages.token}" in said.decode()


def test_without_operator_pages_there_is_no_token(tmp_path):
    public = web_world.make_pages(tmp_path, "c1")
    public.ledger.close()
    command = [sys.executable, "-m", "winback", "--project", str(tmp_path), "serve", "--public-port", "0"]
    environment = {**os.environ, **public.project.environment, "PYTHONPATH": str(web_world.CHECKOUT)}
    process = subprocess.Popen([*command, "--no-operator"], env=environment, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    process.terminate()
    rest = process.communicate(timeout=30)[1]
    assert line.startswith("public pages: http://127.0.0.1:")
    assert "operator" not in line + rest
    assert not (tmp_path / "var" / "operator.token").exists()
