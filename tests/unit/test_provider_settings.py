"""What the environment has to say before anything is claimed, and what its faults never repeat."""

from pathlib import Path

import pytest
from outbox_world import CONFIG, make_project

from winback.channels.provider_settings import ProviderSettings, is_loopback
from winback.channels.registry import open_channels
from winback.errors import SettingsError
from winback.settings import load_project

ACCOUNT = "AC" + "0" * 32
GOOD = {
    "SENDGRID_API_KEY": "SG.secret",
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_AUTH_TOKEN": "secret-token",
    "TWILIO_MESSAGING_SERVICE_SID": "MG1",
    "SMTP_URL": "smtp://u:secret@mail.example",
}
LIVE = (
    CONFIG.replace("email: {from", "email: {provider: sendgrid, from")
    .replace("sms: {from", "sms: {provider: twilio, from")
    .replace("whatsapp: {price", "whatsapp: {provider: twilio, price")
) + "live: true\n"


def project(tmp_path: Path, config: str, **environment: str):
    root = make_project(tmp_path / "project").root
    (root / "winback.yaml").write_text(config)
    return load_project(root, environment)


def faults(tmp_path: Path, config: str = LIVE, **environment: str) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        open_channels(project(tmp_path, config, **environment))
    assert "secret" not in f"{caught.value}{caught.value!r}"
    return {fault.path: fault.message for fault in caught.value.faults}


def test_live_channels_of_the_outbox_need_no_key(tmp_path: Path) -> None:
    channels = open_channels(project(tmp_path, CONFIG + "live: true\n"))
    assert {channel.name for channel in channels.values()} == {"outbox"}


def test_a_mail_server_that_is_not_named_is_missed(tmp_path: Path) -> None:
    config = LIVE.replace("provider: sendgrid", "provider: smtp")
    assert faults(tmp_path, config, **(GOOD | {"SMTP_URL": ""})).keys() == {"SMTP_URL"}


def test_live_channels_go_where_the_project_says(tmp_path: Path) -> None:
    channels = open_channels(project(tmp_path, LIVE, **GOOD))
    assert {name: channel.name for name, channel in channels.items()} == {
        "email": "sendgrid",
        "sms": "twilio",
        "whatsapp": "twilio",
    }
    assert channels["sms"] is channels["whatsapp"]
    assert channels["email"].max_batch == 200


def test_a_setting_of_the_project_says_how_many_share_a_request(tmp_path: Path) -> None:
    config = LIVE.replace("provider: sendgrid,", "provider: sendgrid, people_per_request: 50,")
    assert open_channels(project(tmp_path, config, **GOOD))["email"].max_batch == 50


def test_mail_may_go_through_a_mail_server(tmp_path: Path) -> None:
    config = LIVE.replace("sendgrid", "smtp").replace("twilio", "outbox")
    channels = open_channels(project(tmp_path, config, **GOOD))
    assert {name: channel.name for name, channel in channels.items()} == {
        "email": "smtp",
        "sms": "outbox",
        "whatsapp": "outbox",
    }


def test_without_live_everything_stays_here_whatever_the_environment_says(tmp_path: Path) -> None:
    channels = open_channels(project(tmp_path, LIVE.replace("live: true", "live: false"), **GOOD))
    assert {channel.name for channel in channels.values()} == {"outbox"}


def test_without_live_no_credentials_are_asked_for(tmp_path: Path) -> None:
    assert open_channels(project(tmp_path, LIVE.replace("live: true", "live: false")))


def test_every_missing_variable_is_named_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path)
    assert set(found) == {
        "SENDGRID_API_KEY",
        "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN",
        "TWILIO_MESSAGING_SERVICE_SID",
    }
    assert all("set" in message for message in found.values())


def test_an_api_key_takes_the_place_of_the_token(tmp_path: Path) -> None:
    environment = {**GOOD, "TWILIO_AUTH_TOKEN": "", "TWILIO_API_KEY": "SK1", "TWILIO_API_SECRET": "secret"}
    assert open_channels(project(tmp_path, LIVE, **environment))
    assert set(faults(tmp_path / "b", **{**environment, "TWILIO_API_SECRET": ""})) == {"TWILIO_API_SECRET"}


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("SENDGRID_API_KEY", " ", "is not set"),
        ("SENDGRID_API_KEY", "secret\nX-Header: 1", "characters no key has"),
        ("SENDGRID_API_KEY", "secret é", "characters no key has"),
        ("SENDGRID_BASE_URL", "http://api.example", "has to be https"),
        ("SENDGRID_BASE_URL", "http://127.0.0.1.example", "has to be https"),
        ("SENDGRID_BASE_URL", "http://10.0.0.1", "has to be https"),
        ("SENDGRID_BASE_URL", "api.example", "no address of the form"),
        ("SENDGRID_BASE_URL", "https://u:secret@api.example", "a host and a path only"),
        ("SENDGRID_BASE_URL", "https://api.example?secret", "a host and a path only"),
        ("SENDGRID_BASE_URL", "https://[secret", "no address of the form"),
        ("SENDGRID_BASE_URL", "https://api.example:secret", "no address of the form"),
        ("TWILIO_BASE_URL", "http://api.example", "has to be https"),
        ("TWILIO_ACCOUNT_SID", "../secret", "is no id"),
        ("TWILIO_MESSAGING_SERVICE_SID", "MG secret", "is no id"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(tmp_path: Path, variable: str, value: str, wanted: str) -> None:
    found = faults(tmp_path, **{**GOOD, variable: value})
    assert set(found) == {variable}
    assert wanted in found[variable]


def test_a_mail_server_nobody_can_find_is_a_fault(tmp_path: Path) -> None:
    found = faults(tmp_path, LIVE.replace("sendgrid", "smtp"), **{**GOOD, "SMTP_URL": "http://u:secret@mail.example"})
    assert set(found) == {"SMTP_URL"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1/a/", "http://[::1]:1", "https://x.example/"])
def test_addresses_that_will_do(url: str) -> None:
    settings = ProviderSettings({"SENDGRID_BASE_URL": url})
    assert settings.base_url("SENDGRID_BASE_URL", "https://default.example") == url.rstrip("/")
    assert not settings.faults


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("LOCALHOST", True), ("localhost.example", False)],
)
def test_what_is_this_machine(host: str, wanted: bool) -> None:
    assert is_loopback(host) is wanted
