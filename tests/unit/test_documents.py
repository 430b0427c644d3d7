"""A YAML file is refused with every fault at once, each with its line and the nearest allowed name."""

import pytest

from winback import documents
from winback.configuration import Configuration
from winback.errors import ConfigError, PolicyError

GOOD = """version: 1
business: {name: Acme, timezone: Europe/Paris, country: FR, postal_address: "1 rue X, Paris"}
sources:
  contacts: {kind: csv, path: contacts.csv}
  consents: {kind: csv, path: consents.csv}
  events:
    - {name: orders, kind: csv, path: orders.csv, behaviour: purchase}
channels:
  email: {provider: outbox, from: "Acme <hello@acme.example>"}
"""


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        documents.load(text, file="winback.yaml", model=Configuration)
    return [str(fault) for fault in caught.value.faults]


def test_a_good_file_is_read() -> None:
    config = documents.load(GOOD, file="winback.yaml", model=Configuration)
    assert config.sources.events[0].max_staleness_hours == 26
    assert config.channels.email is not None
    assert config.channels.email.sender == "Acme <hello@acme.example>"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("business:", "busines:", "winback.yaml:2: busines: unknown key 'busines' (did you mean 'business'?)"),
        (
            "timezone: Europe/Paris",
            "timezone: Europe/Pariss",
            "winback.yaml:2: business.timezone: unknown time zone 'Europe/Pariss' (did you mean 'Europe/Paris'?)",
        ),
        (
            "behaviour: purchase",
            "behaviou: purchase",
            "winback.yaml:7: sources.events.0.behaviou: unknown key 'behaviou' (did you mean 'behaviour'?)",
        ),
        (
            "path: consents.csv",
            "query: select 1",
            "winback.yaml:5: sources.consents: a source of kind csv needs path",
        ),
        (
            "provider: outbox",
            "provider: outbx",
            (
                "winback.yaml:9: channels.email.provider: Input should be 'outbox', 'sendgrid' or 'smtp', not 'outbx' "
                "(did you mean 'outbox'?)"
            ),
        ),
        ("name: orders", "name: contacts", "winback.yaml:3: sources: event source names must differ, and not be "),
    ],
)
def test_a_fault_is_named_with_its_line(old: str, new: str, expected: str) -> None:
    assert any(fault.startswith(expected) for fault in faults(GOOD.replace(old, new)))


def test_every_fault_is_reported_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("Europe/Paris", "Mars").replace("outbox", "pigeon").replace("kind: csv", "kind: csvv", 1)
    found = faults(text)
    assert [line.split(":")[1] for line in found] == ["2", "4", "9"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\nversion: 1\n", "winback.yaml:2: version: duplicate key (first on line 1)"),
        ("a:\n\tb: 1\n", "winback.yaml:2: a tab where YAML wants spaces"),
        ("a: [1\n", "winback.yaml:2: expected ',' or ']', but got '<stream end>'"),
        ("", "winback.yaml:1: expected keys and values, found NoneType"),
        ("- 1\n", "winback.yaml:1: expected keys and values, found list"),
        ("a: 2026-13-45\n", "winback.yaml:1: month must be in 1..12"),
    ],
)
def test_what_is_no_yaml_is_refused(text: str, expected: str) -> None:
    assert faults(text) == [expected]


def test_the_caller_chooses_the_branch_of_the_exception_tree() -> None:
    with pytest.raises(PolicyError):
        documents.load("a", file="p.yaml", model=Configuration, error=PolicyError)
