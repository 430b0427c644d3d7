"""Rendering whole mails (HTML, plain text, subject, links) and texts, against bare Liquid on the same compiled texts.

The floor is python-liquid without our limits, strictness, escaping rules, links or checks, given a ready context. Both
run in this process on the same people, interleaved; the ratio is the median over the repetitions.
"""

from __future__ import annotations

import hashlib
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liquid import Environment

from bench._rounds import Round, measured, medians
from winback.core.rendering import MessageFacts, Prices, Renderer
from winback.core.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from liquid import BoundTemplate

TEMPLATES = Path(__file__).resolve().parents[1] / "data" / "templates"
KINDS = ("survey", "contest", "coupon")
LOCALES = ("en", "fr", "de", "it", "es")
BUSINESS = {
    "name": "Acme",
    "timezone": "Europe/Paris",
    "country": "FR",
    "postal_address": "1 rue X, Paris",
    "public_base_url": "https://go.acme.example",
}


def people(count: int, *, channel: str) -> list[MessageFacts]:
    """Return the facts of ``count`` messages, spread over all sample templates and languages."""
    return [
        MessageFacts(
            message_id=hashlib.sha256(str(number).encode()).hexdigest()[:32],
            template=KINDS[number % 3],
            channel=channel,
            locale=LOCALES[number % 5],
            programme="bench",
            step=number % 3 + 1,
            day=30 * (number % 3 + 1),
            kind=KINDS[number % 3],
            terms_url="https://acme.example/terms",
            customer={
                "customer_id": f"c{number}",
                "email": f"person{number}@example.org",
                "first_name": f"Anna {number}",
                "last_name": "O'Neil",
                "locale": LOCALES[number % 5],
                "country": "FR",
            },
        )
        for number in range(count)
    ]


def render_all(renderer: Renderer, facts: Iterable[MessageFacts]) -> None:
    """Render and check every message."""
    for each in facts:
        out = renderer.render(each)
        if renderer.faults_of(out):
            raise ValueError(out.file)


def digest_of_all(renderer: Renderer, facts: Iterable[MessageFacts]) -> str:
    """Return a digest of everything that is rendered."""
    digest = hashlib.sha256()
    for each in facts:
        out = renderer.render(each)
        digest.update((out.subject + out.text + out.html).encode())
    return digest.hexdigest()[:16]


def bare(pairs: Iterable[tuple[list[BoundTemplate], dict[str, Any]]]) -> None:
    """Render the same texts by the library alone."""
    for templates, context in pairs:
        for template in templates:
            template.render(context)


def floor_work(renderer: Renderer, facts: list[MessageFacts]) -> list[tuple[list[BoundTemplate], dict[str, Any]]]:
    """Return for each message its compiled texts in plain Liquid, and a ready context."""
    plain, escaping = Environment(), Environment(autoescape=True)
    parsed: dict[str, list[BoundTemplate]] = {}
    work = []
    for each in facts:
        template = renderer.templates.get(each.template, each.channel, each.locale)
        if template.file not in parsed:
            parsed[template.file] = [plain.from_string(template.plain.part.text)]
            parsed[template.file] += [escaping.from_string(template.html.part.text)] if template.html else []
        links = renderer.render(each).links
        context = {"customer": each.customer, "links": links, "terms_url": each.terms_url, "locale": each.locale}
        work.append((parsed[template.file], context))
    return work


def run(*, customers: int = 20_000, events_per_customer: int = 0, repetitions: int = 3) -> dict[str, Any]:
    """Run the case; ``customers`` is the number of mails, and of texts."""
    del events_per_customer  # messages have no events
    files = {file.name: file.read_text(encoding="utf-8") for file in sorted(TEMPLATES.iterdir())}
    renderer = Renderer(Templates(files, business=BUSINESS), key=b"bench", prices=Prices(0.07, 0.05))
    mails, texts = people(customers, channel="email"), people(customers, channel="sms")
    work = floor_work(renderer, mails)
    result = digest_of_all(renderer, mails + texts)
    rounds, text_seconds = [], []
    for _ in range(repetitions):
        floor, _wall, _none = measured(bare, work)
        cpu, wall, _none = measured(render_all, renderer, mails)
        rounds.append(Round(cpu, wall, floor, result))
        text_seconds.append(measured(render_all, renderer, texts)[0])
    figures = medians(rounds)
    return {
        "case": "render",
        "customers": customers,
        **figures,
        "microseconds_per_mail": round(figures["cpu_seconds"] / customers * 1e6, 1),
        "microseconds_per_text": round(statistics.median(text_seconds) / customers * 1e6, 1),
        "compilations": renderer.templates.compilations,
    }
