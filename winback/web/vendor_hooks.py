"""`/hooks/...`: where vendors call to say what became of messages, what people answered and what customers did.

In: raw bodies with a signature. Out: 204, or what to answer a text, once what they say is committed. A repeated call is
taken and changes nothing.
Must never happen: anything unsigned that counts, a hook that is open because its key is missing, a call that is
acknowledged before it is stored.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from winback.channels import segment_calls, sendgrid_mail, twilio_answers, twilio_receipts, twilio_texts
from winback.core.answer_words import Meaning
from winback.ledger.webhook_calls import Call
from winback.night.hear_events import hear_events
from winback.night.hear_texts import hear_text
from winback.night.hear_vendors import hear
from winback.web.api_description import TEXT

if TYPE_CHECKING:
    from winback.channels import Receipts
    from winback.night.hear_texts import Heard
    from winback.web.site import Site

MOST_EVENTS = 5000
"""In one body."""

_LOG = logging.getLogger("winback.web")
_SIGNED = {"requestBody": {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}


def make_routes(site: Site) -> APIRouter:
    """Return the routes that vendors call."""
    routes = APIRouter()

    @routes.post("/hooks/sendgrid", status_code=204, summary="Events of SendGrid, signed", openapi_extra=_SIGNED)
    async def sendgrid(request: Request) -> Response:
        return await run_in_threadpool(_hear_sendgrid, site, request, await request.body())

    @routes.post("/hooks/twilio/status", status_code=204, summary="States of texts, signed", openapi_extra=_SIGNED)
    async def twilio_status(request: Request) -> Response:
        return await run_in_threadpool(_hear_twilio_status, site, request, await request.body())

    @routes.post(
        "/hooks/twilio/inbound",
        response_class=Response,
        responses={200: {"description": "What is texted back", "content": {twilio_answers.MEDIA_TYPE: TEXT}}},
        summary="Texts that people send, signed",
        openapi_extra=_SIGNED,
    )
    async def twilio_inbound(request: Request) -> Response:
        return await run_in_threadpool(_hear_twilio_text, site, request, await request.body())

    @routes.post("/hooks/segment", status_code=204, summary="What customers do, signed", openapi_extra=_SIGNED)
    async def segment(request: Request) -> Response:
        return await run_in_threadpool(_hear_segment, site, request, await request.body())

    return routes


def _hear_sendgrid(site: Site, request: Request, body: bytes) -> Response:
    public_key = _key(site, "SENDGRID_WEBHOOK_PUBLIC_KEY", request)
    signature = request.headers.get(sendgrid_mail.SIGNATURE_HEADER)
    timestamp = request.headers.get(sendgrid_mail.TIMESTAMP_HEADER)
    if not sendgrid_mail.signature_holds(body, signature=signature, timestamp=timestamp, public_key=public_key):
        raise HTTPException(403)
    return _take(site, Call("sendgrid", "", body), sendgrid_mail.receipts_of(body))


def _hear_twilio_status(site: Site, request: Request, body: bytes) -> Response:
    query = _require_twilio(site, request, body)
    message_id = request.query_params.get("message_id", "")
    told = twilio_receipts.receipts_of(body, message_id=message_id, received_at=site.clock())
    return _take(site, Call("twilio", query, body), told)


def _hear_twilio_text(site: Site, request: Request, body: bytes) -> Response:
    call = Call("twilio", _require_twilio(site, request, body), body)
    text = twilio_answers.sent_text(body)
    now = site.clock()
    today = site.project.business_date(now)
    heard = hear_text(site.ledger, call, text, words=site.answer_words, now=now, today=today)
    # Where Twilio has understood the word itself it has answered, too; nobody gets two confirmations.
    reply = _reply(site, heard) if heard is not None and text is not None and not text.opt_out else ""
    return Response(twilio_answers.twiml(reply), media_type=twilio_answers.MEDIA_TYPE)


def _reply(site: Site, heard: Heard) -> str:
    """Return what to answer a text: a word that did something is confirmed, a call for help helped."""
    replies = site.texts.choose(heard.locales).texts["replies"]
    if heard.meaning is Meaning.START:
        return str(replies["started"]) if heard.lifted else ""
    said = {Meaning.STOP: "stopped", Meaning.HELP: "help"}.get(heard.meaning)
    return str(replies[said]) if said else ""


def _hear_segment(site: Site, request: Request, body: bytes) -> Response:
    secret = _key(site, segment_calls.VARIABLE, request)
    signature = request.headers.get(segment_calls.SIGNATURE_HEADER)
    if not segment_calls.signature_holds(body, signature=signature, secret=secret):
        raise HTTPException(403)
    source = site.project.config.sources.segment
    told = segment_calls.told_by(body, behaviours=source.events if source else {})
    if told.size > MOST_EVENTS:
        raise HTTPException(413)
    now = site.clock()
    call = Call("segment", "", body)
    name = source.name if source else None
    hear_events(site.ledger, call, told, source=name, now=now, today=site.project.business_date(now))
    if told.garbage:
        _LOG.warning("a signed call of %s held %d parts that could not be read", call.vendor, told.garbage)
    return Response(status_code=204)


def _require_twilio(site: Site, request: Request, body: bytes) -> str:
    """Return the query of a call that Twilio signed: over the public address, whatever the proxy made of it."""
    auth_token = _key(site, "TWILIO_AUTH_TOKEN", request)
    query: str = request.scope["query_string"].decode("latin-1")
    public = site.project.config.business.public_base_url.rstrip("/")
    url = public + request.scope["path"] + (f"?{query}" if query else "")
    signature = request.headers.get("X-Twilio-Signature")
    if not twilio_texts.signature_holds(body, url=url, signature=signature, auth_token=auth_token):
        raise HTTPException(403)
    return query


def _key(site: Site, variable: str, request: Request) -> str:
    """Return the key that signatures are checked with; without one nobody is believed."""
    key = site.project.environment.get(variable, "").strip()
    if not key:
        _LOG.error(
            "%s was called and refused: %s is not set, so no signature can be checked", request.scope["path"], variable
        )
        raise HTTPException(503)
    return key


def _take(site: Site, call: Call, told: Receipts) -> Response:
    if len(told) + told.garbage > MOST_EVENTS:
        raise HTTPException(413)
    now = site.clock()
    base_url = site.project.config.business.public_base_url
    heard = hear(site.ledger, call, told, now=now, today=site.project.business_date(now), base_url=base_url)
    if told.garbage and heard is not None:
        _LOG.warning("a signed call of %s held %d parts that could not be read", call.vendor, told.garbage)
    return Response(status_code=204)
