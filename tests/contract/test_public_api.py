"""What the public app says at `/openapi.json` is what it does, whatever anybody sends."""

from __future__ import annotations

import base64

import pytest
import schemathesis
import web_world
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = 40
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
REAL = {"token": ("u", "p"), "code": ("s", "l")}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("api") / "project"
    web_world.outbox_world.make_project(root)
    config = root / "winback.yaml"
    config.write_text(config.read_text() + "web: {per_visitor: 1000000, per_link: 1000000}\n")
    keys = dict.fromkeys(("TWILIO_AUTH_TOKEN", "WINBACK_SEGMENT_SECRET"), "made up")
    keys |= {"SENDGRID_WEBHOOK_PUBLIC_KEY": base64.b64encode(b"no key").decode()}
    made = web_world.make_pages(root, "c1", **keys)
    yield made
    made.ledger.close()


@pytest.fixture(scope="module")
def described(pages):
    return schemathesis.openapi.from_asgi("/openapi.json", pages.app)


def ask_anything(operation, links) -> list[int]:
    """Ask one operation many things, half of them about a message that exists; return the answers' statuses."""
    statuses = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), is_real=st.booleans())
    def ask(case, is_real):
        if is_real:
            case.path_parameters = dict.fromkeys(case.path_parameters or {}, links.get(case.path))
        answer = case.call()
        statuses.append(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
    return statuses


def test_whatever_is_asked_the_answer_is_one_that_is_described(pages, described):
    links = {f"/{kind}/{{{name}}}": pages.link("c1", kind)[3:] for name, kinds in REAL.items() for kind in kinds}
    found = {}
    for result in described.get_all_operations():
        operation = result.ok()
        found[operation.label] = set(ask_anything(operation, links))
    assert found.keys() >= {"GET /healthz", "POST /l/{code}", "POST /u/{token}", "POST /hooks/sendgrid"}
    assert found["GET /s/{code}"] == {302, 404}
    assert found["POST /u/{token}"] == {200, 404}
    assert found["POST /l/{code}"] >= {404, 422}
    assert all(statuses == {403} for label, statuses in found.items() if "/hooks/" in label)


def test_the_checks_see_a_description_that_is_not_true(described):
    operation = next(one.ok() for one in described.get_all_operations() if one.ok().label == "GET /u/{token}")
    case = operation.Case(path_parameters={"token": "x"})
    answer = case.call()
    answer.status_code = 418
    with pytest.raises((FailureGroup, AssertionError)):
        case.validate_response(answer, checks=CHECKS)


def test_no_answer_is_promised_that_no_route_gives(pages):
    answer = pages.browser.get("/openapi.json")
    assert "HTTPValidationError" not in answer.text
    paths = answer.json()["paths"]
    assert [path for path, methods in paths.items() for one in methods.values() if "422" in one["responses"]] == [
        "/l/{code}"
    ]
    assert list(paths["/assets/style.css"]["get"]["responses"]["200"]["content"]) == ["text/css"]
    assert pages.browser.get("/assets/style.css").headers["content-type"] == "text/css; charset=utf-8"
