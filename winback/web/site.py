"""What every public page is made with: the project, its ledger, the clock, the keys of links, the texts, the look."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from winback.core import slots
from winback.night.check import load_programmes
from winback.night.dated_rules import read_answer_words, read_rules
from winback.night.page_texts import PageTexts
from winback.night.page_theme import theme_css
from winback.night.pepper import link_keys
from winback.web.visit_log import visit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date, datetime

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

    from winback.core.policy import Programme
    from winback.core.slots import Place
    from winback.core.visit_verdicts import Link
    from winback.ledger.engine import Ledger
    from winback.ledger.links import Addressed
    from winback.night.page_texts import Language
    from winback.settings import Project
    from winback.web.visit_log import VisitLog


Looked = TypeVar("Looked")


def fill(text: str, **values: object) -> str:
    """Return a text with values in place of their names in braces; nothing else in it is read."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


class Site:
    """One project's public pages.

    Parameters
    ----------
    project, ledger : opened
    clock : the present instant (aware)
    visit_log : where visits are noted; None notes none

    Attributes
    ----------
    programmes : by name, as they were when the pages were started
    answer_words : what a text means that somebody sends

    Raises
    ------
    SettingsError, PolicyError
        If what the pages are made of is not sound.
    """

    def __init__(
        self, project: Project, ledger: Ledger, *, clock: Callable[[], datetime], visit_log: VisitLog | None = None
    ) -> None:
        self.project, self.ledger, self.clock, self.visit_log = project, ledger, clock, visit_log
        self.keys = link_keys(project, ledger.pepper)
        self.texts = PageTexts(project.root, business=project.config.business.name)
        programmes = load_programmes(project.root)
        self.programmes: Mapping[str, Programme] = {one.programme: one for one in programmes}
        self.answer_words = read_answer_words(project)
        self._hours, _ = read_rules(project)
        self.palettes = theme_css(project.root)
        loader = PackageLoader("winback.web", "pages")
        # An undefined name fails here, in a test, and not as a gap on somebody's telephone.
        self._pages = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )

        self._pages.filters |= {"fill": fill, "capitalised": lambda text: text[:1].upper() + text[1:]}

    def note_visit(self, request: Request, message: Addressed, link: Link) -> None:
        """Note that somebody followed a link of a message; changes nothing else, and waits for nothing."""
        if self.visit_log is not None:
            self.visit_log.note(visit_of(request, message.message_id, link, now=self.clock()))

    @cached_property
    def style(self) -> str:
        """The style sheet of the pages, the project's colours first."""
        loader = self._pages.loader
        rules = loader.get_source(self._pages, "style.css")[0] if loader else ""
        return self.palettes + rules

    async def look(self, question: Callable[[Ledger, str], Looked], of: str) -> Looked:
        """Ask the ledger a question that glances at one row, found by its key.

        SQLite answers from memory in a tenth of a millisecond, less than a thread would cost; a server is asked in one.
        """
        if self.ledger.is_sqlite:
            return question(self.ledger, of)
        return await run_in_threadpool(question, self.ledger, of)

    def local_date(self, place: Place, at: datetime) -> date:
        """Return the day it is where a person is."""
        zone = self.project.config.business.timezone
        return slots.local_date(place, hours=self._hours, at=at, business_zone=zone)

    def language(self, scope: Scope, wanted: Iterable[str | None] = ()) -> Language:
        """Return the language to speak: what is known of the person, else what the browser asks for."""
        headers = dict(scope["headers"])
        accepted = headers.get(b"accept-language", b"").decode("latin-1")
        return self.texts.choose(wanted, accepted=accepted)

    def page(self, template: str, language: Language, *, status: int = 200, **values: Any) -> Response:  # noqa: ANN401  what a template shows
        """Return a page.

        Parameters
        ----------
        template : a file of ``winback/web/pages``
        language : what it speaks
        """
        text = self._pages.get_template(template).render(
            language=language, t=language.texts, business=self.project.config.business, **values
        )
        return HTMLResponse(text, status_code=status)

    def problem(self, scope: Scope, status: int) -> Response:
        """Return the page that says why there is no other: the same for every reason there may be for a status."""
        language = self.language(scope)
        said = language.texts["problem"].get(status) or language.texts["problem"][500]
        return self.page("problem.html", language, status=status, said=said)
