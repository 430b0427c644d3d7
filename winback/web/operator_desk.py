"""What every operator page is made with: the project, its ledger, the clock, the sessions, the look."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from winback.ledger import switches
from winback.web.operator_door import form_of, session_of
from winback.web.operator_sessions import Sessions, operator_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

    from winback.ledger.engine import Ledger
    from winback.settings import Project
    from winback.web.page_forms import Form
    from winback.web.request_counts import RequestCounts

NAVIGATION: tuple[tuple[str, str], ...] = (
    ("/", "Overview"),
    ("/plans", "Plans"),
    ("/outbox", "Outbox"),
    ("/suppressions", "Suppressions"),
    ("/experiments", "Experiments"),
    ("/pages", "Landing pages"),
)
"""Where the head of every page leads."""

# With "no-referrer", as on public pages, browsers hide where a form stands even from its own site.
REFERRER_POLICY = "same-origin"

PROBLEMS = {
    400: ("This form cannot be read", "Go back and send it again."),
    403: (
        "Not done",
        "The form did not come from a page of this session. Open the page again, and send its form from there.",
    ),
    404: ("There is no such page", "The address is wrong, or what it shows is not kept any more."),
    405: ("Not done", "This address cannot be asked in that way."),
    408: ("Too slow", "The form did not arrive in time. Send it again."),
    413: ("Too large", "That is more than a form of these pages holds."),
    421: ("Not here", "These pages are called 127.0.0.1 or localhost, and nothing else."),
    500: ("Something went wrong", "Nothing was changed by halves. The log of `winback serve` says what happened."),
    503: ("The database cannot be asked now", "Another program may hold it. Try again in a minute."),
}


class Desk:
    """One project's operator pages.

    Parameters
    ----------
    project, ledger : opened
    clock : the present instant (aware)
    counts : what was asked of the apps of this process, for the metrics
    """

    def __init__(
        self, project: Project, ledger: Ledger, *, clock: Callable[[], datetime], counts: RequestCounts
    ) -> None:
        self.project, self.ledger, self.clock, self.counts = project, ledger, clock, counts
        self.sessions = Sessions(operator_token(project), clock=clock)
        loader = PackageLoader("winback.web", "operator_pages")
        # An undefined name fails here, in a test, and is no gap that somebody reads as "nothing".
        self._pages = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._pages.filters |= {"count": _count, "moment": self._moment, "words": _words}

    @cached_property
    def style(self) -> str:
        """The style sheet of the pages."""
        loader = self._pages.loader
        return loader.get_source(self._pages, "operator.css")[0] if loader else ""

    @cached_property
    def prefect_url(self) -> str:
        """Where Prefect shows its runs, from the variables Prefect itself reads; "" where they name none."""
        environment = self.project.environment
        api = environment.get("PREFECT_API_URL", "").rstrip("/")
        found = environment.get("PREFECT_UI_URL", "") or (api.removesuffix("/api") if api.endswith("/api") else "")
        return found if urlsplit(found).scheme in {"http", "https"} else ""

    def form(self, request: Request) -> Form:
        """Return the form of a request; the door knows that it is one of ours."""
        return form_of(request)

    def page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:  # noqa: ANN401  what a template shows
        """Return a page for somebody who is logged in.

        Parameters
        ----------
        template : a file of ``winback/web/operator_pages``; it knows ``session`` and ``form_key`` beside its values
        """
        session = session_of(request)
        with self.ledger.reading() as connection:
            stopped = switches.pressed(connection)
        return self._answer(
            template,
            status=status,
            session=session,
            form_key=self.sessions.form_key(session),
            stopped=stopped,
            here=request.url.path,
            **values,
        )

    def bare_page(self, template: str, *, status: int = 200, **values: Any) -> Response:  # noqa: ANN401  what a template shows
        """Return a page for nobody in particular: the log-in, a problem."""
        return self._answer(template, status=status, session=None, form_key="", stopped=None, here="", **values)

    def problem(self, scope: Scope, status: int) -> Response:
        """Return the page that says why there is no other; it needs no log-in and no database."""
        del scope  # the middleware of both apps hands it over
        title, lead = PROBLEMS.get(status, PROBLEMS[500])
        return self.bare_page("operator_problem.html", status=status, title=title, lead=lead)

    def _answer(self, template: str, *, status: int, **values: Any) -> Response:  # noqa: ANN401  what a template shows
        text = self._pages.get_template(template).render(
            business=self.project.config.business,
            is_live=self.project.config.live,
            navigation=NAVIGATION,
            prefect_url=self.prefect_url,
            **values,
        )
        return HTMLResponse(text, status_code=status, headers={"referrer-policy": REFERRER_POLICY})

    def _moment(self, at: datetime | None) -> str:
        """Return an instant as the business's clocks show it."""
        return "" if at is None else f"{at.astimezone(self.project.zone):%Y-%m-%d %H:%M}"


def seen(path: str) -> Response:
    """Return the answer to a form that was carried out: look at that page."""
    response = RedirectResponse(path, status_code=303)
    response.headers["referrer-policy"] = REFERRER_POLICY
    return response


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,}"


def _words(name: object) -> str:
    """Return a stored name as people read it."""
    return str(name).replace("_", " ")
