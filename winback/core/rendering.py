"""One message for one person: the compiled template, the facts, the text that leaves.

In: :class:`MessageFacts`, plain values only. Out: :class:`Rendered`. The same facts give the same bytes, so a message
can be rendered when it is claimed and never has to be stored before. Must never happen: a name read as markup, a text
direction turned round by a hidden character, a message without the way out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from winback import documents
from winback.core import sms
from winback.core.mail import tidy_text
from winback.core.mail_safety import header_fault
from winback.core.merge_fields import CONTACT_FIELDS, unknown_fields
from winback.core.message_links import Links, message_links
from winback.core.templates import SEPARATOR, clean, misnamed, parse_name
from winback.errors import Fault, TemplateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from winback.core.templates import Template, Templates


@dataclass(frozen=True, kw_only=True)
class MessageFacts:
    """What one message is about.

    Attributes
    ----------
    message_id : 32 hexadecimal digits
    template : name, as the policy's step names it
    locale : the contact's, or None
    step, day, kind : the rung of the ladder
    customer : column -> value; None where the feed has none
    """

    message_id: str
    template: str
    channel: str
    locale: str | None
    programme: str
    step: int
    day: int
    kind: str
    terms_url: str | None = None
    customer: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A message as it leaves. ``subject``, ``preheader`` and ``html`` are empty where the channel has none.

    Attributes
    ----------
    file, template_hash : which text it was made from
    language : two letters
    size : characters, encoding and segments of an SMS, else None
    price : in the business's currency
    """

    channel: str
    file: str
    template_hash: str
    language: str
    subject: str
    preheader: str
    html: str
    text: str
    links: Links
    size: sms.SmsSize | None
    price: float


class Prices(NamedTuple):
    """What the channels cost, in the business's currency."""

    per_sms_segment: float = 0.0
    per_whatsapp_message: float = 0.0


FREE = Prices()


class Renderer:
    """Renders messages; each template is compiled once, however many people it goes to.

    Parameters
    ----------
    templates : of the project
    key : the secret that signs links
    prices : of the channels
    merge_fields : contacts' fields beside the canonical ones; a contact without a value has None there, every other
        name is an error
    """

    def __init__(
        self,
        templates: Templates,
        *,
        key: bytes,
        prices: Prices = FREE,
        merge_fields: Collection[str] = (),
    ) -> None:
        self.templates = templates
        self._business = templates.business
        self._key = key
        self._prices = prices
        self._no_values: dict[str, object] = dict.fromkeys((*CONTACT_FIELDS, *merge_fields))

    def render(self, facts: MessageFacts) -> Rendered:
        """Return the message as it leaves.

        Raises
        ------
        TemplateError
            If the template does not exist, is faulty, or reads what these facts do not hold.
        """
        template = self.templates.get(facts.template, facts.channel, facts.locale)
        links = message_links(facts.message_id, base_url=self._business["public_base_url"], key=self._key)
        context = self._context(facts, template, links)
        *headings, body = template.plain.render(context).split(SEPARATOR)
        subject, preheader = headings or ("", "")
        text = tidy_text(body)
        size = sms.measure(text) if facts.channel == "sms" else None
        return Rendered(
            channel=facts.channel,
            file=template.file,
            template_hash=template.content_hash,
            language=template.language,
            subject=subject.strip(" "),
            preheader=preheader,
            html=template.html.render(context) if template.html else "",
            text=text,
            links=links,
            size=size,
            price=self._price(facts.channel, size),
        )

    def _price(self, channel: str, size: sms.SmsSize | None) -> float:
        if size is not None:
            return size.segments * self._prices.per_sms_segment
        return self._prices.per_whatsapp_message if channel == "whatsapp" else 0.0

    def _context(self, facts: MessageFacts, template: Template, links: Links) -> dict[str, object]:
        """Return what the template may read: plain values in plain dictionaries."""
        # An empty text is nothing, as `{% if customer.first_name %}` expects; Liquid itself takes it for true.
        values = {name: clean(v) or None if isinstance(v, str) else v for name, v in facts.customer.items()}
        own = (facts.locale or "").replace("_", "-")
        # Only mails have a place where nobody sees it.
        shown = links if facts.channel == "email" else {name: link for name, link in links.items() if name != "unseen"}
        return {
            "customer": {**self._no_values, **values},
            "business": self._business,
            "programme": {"name": facts.programme},
            "step": {"number": facts.step, "day": facts.day, "kind": facts.kind},
            "links": shown,
            "terms_url": facts.terms_url,
            # Dates and money follow the words around them: no French month in an English sentence.
            "locale": own if own.partition("-")[0].lower() == template.language else template.language,
        }

    def faults_of(self, rendered: Rendered) -> list[str]:
        """Return what a rendered message lacks: the way out, the sender's name, a subject that is one line."""
        brand = self._business["name"]
        if rendered.channel != "email":
            language = rendered.language if rendered.channel == "sms" else None
            return sms.faults_of_text(rendered.text, brand=brand, language=language)
        faults = []
        if self._business["postal_address"] not in rendered.text:
            faults.append("the mail does not show the postal address: put {{ business.postal_address }} in it")
        if rendered.links["unsubscribe"] not in rendered.html:
            faults.append("the mail has no way out: link to {{ links.unsubscribe }}")
        if not rendered.subject:
            faults.append("the subject is empty")
        subject_fault = header_fault("subject", rendered.subject)
        return [*faults, subject_fault] if subject_fault else faults


SAMPLE_CONTACT: Mapping[str, object] = {
    "customer_id": "c-1",
    "email": "anna@example.org",
    "phone": "+33612345678",
    "first_name": "Anna-Maria",
    "last_name": "O'Neil",
    "locale": "en",
    "timezone": "Europe/Paris",
    "country": "FR",
    "region": "IDF",
    "category": "fresh",
}


def check(
    templates: Templates, columns: Collection[str], *, used: Iterable[tuple[str, str]] | None = None
) -> list[Fault]:
    """Return everything wrong with the templates, so that nothing is queued that cannot be rendered.

    Every locale of every template is compiled, its fields are compared with the contacts' columns, and it is rendered
    twice: for a contact with values and for one that has an id and nothing else.

    Parameters
    ----------
    templates : of the project
    columns : of the contacts' feed: canonical ones and merge fields
    used : (template, channel) pairs the programmes name; default every template there is
    """
    faults = misnamed(templates.files)
    renderer = Renderer(templates, key=b"sample", merge_fields=columns)
    if used is None:
        keys = map(parse_name, templates.files)
        used = [(key.name, key.channel) for key in keys if key is not None]
    for name, channel in sorted(set(used)):
        files = templates.files_of(name, channel)
        if not any((key := parse_name(file)) is not None and not key.locale for file in files):
            faults.append(_missing(templates, name, channel, files))
        for file in files:
            faults += _faults_of_file(renderer, file, columns)
    return list(dict.fromkeys(faults))


def _missing(templates: Templates, name: str, channel: str, files: list[str]) -> Fault:
    wanted = f"{name}.{channel}"
    if files:
        what = f"there are only {', '.join(files)}: contacts of other languages need a {wanted} without a locale"
        return Fault(f"templates/{wanted}", 0, "", what)
    near = documents.nearest(name, templates.names())
    return Fault(f"templates/{wanted}", 0, "", f"a programme sends this template, but it does not exist{near}")


def _faults_of_file(renderer: Renderer, file: str, columns: Collection[str]) -> list[Fault]:
    """Return the faults of one file: its own, its fields', and those of the messages made from it."""
    key = parse_name(file)
    try:
        template = renderer.templates.compiled(file)
    except TemplateError as problem:
        return list(problem.faults)
    faults = unknown_fields(template.fields, columns)
    if faults or key is None:
        return faults
    for customer in (SAMPLE_CONTACT, {"customer_id": "c-1"}):
        facts = MessageFacts(
            message_id="0" * 32,
            template=key.name,
            channel=key.channel,
            locale=key.locale or "zxx",
            programme="sample",
            step=1,
            day=30,
            kind="survey",
            terms_url="https://example.org/terms",
            customer=customer,
        )
        try:
            faults += [Fault(template.file, 0, "", message) for message in renderer.faults_of(renderer.render(facts))]
        except TemplateError as problem:
            faults += problem.faults
    return faults
