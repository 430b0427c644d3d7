"""The operator pages of a project, in this process, and a browser that is logged in."""

from __future__ import annotations

import asyncio
import html
import re
from typing import TYPE_CHECKING

import httpx
from web_world import Clock

from winback.web.operator_app import make_operator_app
from winback.web.operator_sessions import operator_token

if TYPE_CHECKING:
    from winback.ledger.engine import Ledger
    from winback.settings import Project

ADDRESS = "http://127.0.0.1:8401"
_FORM_KEY = re.compile(r'name="form_key" value="([0-9a-f]+)"')


class Operator:
    """Somebody at the operator pages: keeps cookies, follows no redirect, and posts forms as a browser does."""

    def __init__(self, app, address: str = ADDRESS) -> None:
        self.app, self.address, self.cookies = app, address, httpx.Cookies()

    def request(self, method: str, path: str, **options) -> httpx.Response:
        return asyncio.run(self._ask(method, path, **options))

    async def _ask(self, method: str, path: str, **options) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=("127.0.0.1", 4000))
        async with httpx.AsyncClient(transport=transport, base_url=self.address, cookies=self.cookies) as client:
            answer = await client.request(method, path, **options)
            self.cookies = client.cookies
        return answer

    def get(self, path: str, **options) -> httpx.Response:
        return self.request("GET", path, **options)

    def send(self, path: str, fields: dict[str, object] | None = None, **headers: str) -> httpx.Response:
        """Send a form as a browser sends one of this site, without the session's key."""
        sent = {"origin": self.address, "sec-fetch-site": "same-origin", **headers}
        return self.request("POST", path, data=fields or {}, headers=sent)

    def post(self, path: str, fields: dict[str, object] | None = None, **headers: str) -> httpx.Response:
        """Send a form that was shown to this session."""
        return self.send(path, {"form_key": self.form_key(), **(fields or {})}, **headers)

    def form_key(self) -> str:
        return _FORM_KEY.search(self.get("/").text).group(1)

    def log_in(self, token: str, name: str = "Ada") -> Operator:
        answer = self.send("/log-in", {"token": token, "name": name, "next": "/"})
        assert answer.status_code == 303, answer.text
        return self


class OperatorPages:
    """The operator pages of a project."""

    def __init__(self, project: Project, ledger: Ledger, *, clock: Clock | None = None, **options) -> None:
        self.project, self.ledger, self.clock = project, ledger, clock or Clock()
        self.app = make_operator_app(project, ledger, clock=self.clock, **options)
        self.token = operator_token(project).decode()

    def stranger(self, address: str = ADDRESS) -> Operator:
        """A browser that has not logged in."""
        return Operator(self.app, address)

    def operator(self, name: str = "Ada") -> Operator:
        """A browser that has."""
        return self.stranger().log_in(self.token, name)


def words(page: str) -> str:
    """What a page says, without its marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
