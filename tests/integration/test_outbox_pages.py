"""The pages of the outbox: every message can be seen, names stay text, and nothing is loaded from elsewhere."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from outbox_world import outgoing

from winback.channels.local_outbox import LocalOutbox
from winback.channels.outbox_pages import remove_pages, write_pages
from winback.core.sms import measure

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


@pytest.fixture
def outbox(tmp_path: Path) -> LocalOutbox:
    return LocalOutbox(tmp_path / "outbox")


def send(outbox: LocalOutbox, *numbers: int, channel: str = "email", **changes: object) -> None:
    outbox.send([outbox.prepare(outgoing(number, channel=channel, **changes)) for number in numbers], now=NOW)


def pages(outbox: LocalOutbox) -> dict[str, str]:
    files = sorted(outbox.folder.rglob("*.html"))
    return {str(file.relative_to(outbox.folder)): file.read_text(encoding="utf-8") for file in files}


def links(text: str) -> list[str]:
    return re.findall(r'<a [^>]*href="([^"#]+)', text)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, dict(attrs)))


def test_an_empty_outbox_says_what_to_do(outbox: LocalOutbox) -> None:
    assert write_pages(outbox) == 0
    assert "No message yet" in pages(outbox)["index.html"]


def test_every_message_has_a_page_that_can_be_reached(outbox: LocalOutbox) -> None:
    send(outbox, 1, 2)
    send(outbox, 3, channel="sms")
    send(outbox, 4, channel="whatsapp", as_of=date(2026, 3, 11))
    assert write_pages(outbox) == 4
    found = pages(outbox)
    seen, waiting = set(), ["index.html"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for link in links(found[name]):
            target = (outbox.folder / name).parent / link
            waiting.append(str(target.resolve().relative_to(outbox.folder.resolve())))
    assert seen == set(found)
    assert sum(bool(re.fullmatch(r"[\d-]+/[0-9a-f]{32}\.html", name)) for name in found) == 4


def test_the_newest_night_stands_first_and_says_that_nothing_left(outbox: LocalOutbox) -> None:
    for day in (9, 11, 10):
        send(outbox, day, as_of=date(2026, 3, day))
    write_pages(outbox)
    index = pages(outbox)["index.html"]
    assert index.index("11 March 2026") < index.index("10 March 2026") < index.index("9 March 2026")
    assert all("Nothing has left this machine" in text for text in pages(outbox).values())


def test_lists_by_channel_and_step_show_only_those(outbox: LocalOutbox) -> None:
    send(outbox, 1)
    send(outbox, 2, channel="sms")
    send(outbox, 3, step=2, kind="contest")
    write_pages(outbox)
    found = {name.partition("/")[2]: text for name, text in pages(outbox).items() if "/" in name}
    shown = {
        name: {number for number in (1, 2, 3) if f"{number:032x}.html" in text}
        for name, text in found.items()
        if not re.fullmatch(r"[0-9a-f]{32}\.html", name)
    }
    assert shown == {
        "index.html": {1, 2, 3},
        "channel-email.html": {1, 3},
        "channel-sms.html": {2},
        "step-winback-1.html": {1, 2},
        "step-winback-2.html": {3},
    }


def test_names_are_text_everywhere(outbox: LocalOutbox) -> None:
    name = """<b>Bob</b> "><script>alert(1)</script>'"""
    send(outbox, 1, name=name, text={"subject": name, "preheader": name})
    send(outbox, 2, channel="sms", name=name, text={"text": f"Acme {name} STOP"}, customer_id=name)
    write_pages(outbox)
    for page in pages(outbox).values():
        assert not {tag for tag, _ in Tags(page).found} & {"b", "script"} or "<b>Bob" not in page
        assert "<script" not in page
        assert "<b>Bob" not in page


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs(outbox: LocalOutbox) -> None:
    send(outbox, 1)
    send(outbox, 2, channel="sms")
    write_pages(outbox)
    for page in pages(outbox).values():
        for tag, attributes in Tags(page).found:
            assert tag not in {"script", "img", "object", "embed", "form", "base"}
            assert not any(name.startswith("on") for name in attributes)
            if tag == "link":
                assert re.fullmatch(r"(\.\./)?style\.css", attributes["href"])
            if tag == "iframe":
                assert attributes["sandbox"] in (None, "")
                assert "src" not in attributes
    style = (outbox.folder / "style.css").read_text()
    assert "url(" not in style
    assert "@import" not in style


def test_a_mail_is_shown_whole_in_a_sandboxed_frame(outbox: LocalOutbox) -> None:
    send(outbox, 1)
    write_pages(outbox)
    page = pages(outbox)[f"2026-03-10/{1:032x}.html"]
    [frame] = [attributes for tag, attributes in Tags(page).found if tag == "iframe"]
    request = outbox.request(f"{1:032x}")
    assert request is not None
    assert frame["srcdoc"] == request["content"][1]["value"]
    assert "List-Unsubscribe-Post" in page
    assert "hello@acme.example" in page


def test_an_sms_shows_its_size_its_price_and_what_made_it_dear(outbox: LocalOutbox) -> None:
    send(outbox, 1, channel="sms")
    dear = "Acme \N{LATIN CAPITAL LETTER L WITH STROKE} STOP " + "x" * 100
    send(outbox, 2, channel="sms", text={"text": dear, "size": measure(dear), "price": 0.14})
    write_pages(outbox)
    plain, special = (pages(outbox)[f"2026-03-10/{number:032x}.html"] for number in (1, 2))
    assert all(part in plain for part in ("<b>GSM-7</b>", "<b>1</b><span>segment</span>", "<b>0.07</b>"))
    assert "not in the GSM-7 alphabet" not in plain
    assert all(part in special for part in ("<b>UCS-2</b>", "<b>2</b><span>segments</span>", "<b>0.14</b>"))
    assert "\N{LATIN CAPITAL LETTER L WITH STROKE} is not in the GSM-7 alphabet" in special


def test_only_new_pages_are_written(outbox: LocalOutbox) -> None:
    send(outbox, 1)
    assert write_pages(outbox) == 1
    first = outbox.folder / "2026-03-10" / f"{1:032x}.html"
    first.write_text("left alone")
    send(outbox, 2)
    assert write_pages(outbox) == 1
    assert write_pages(outbox) == 0
    assert first.read_text() == "left alone"
    assert f"{2:032x}.html" in pages(outbox)["2026-03-10/index.html"]


def test_a_long_night_is_counted_whole_shown_in_part_and_says_so(outbox: LocalOutbox) -> None:
    send(outbox, *range(130))
    send(outbox, *range(200, 205), channel="sms")
    assert write_pages(outbox, cap=120) == 125
    found = pages(outbox)
    night = found["2026-03-10/index.html"]
    assert "135 messages" in night
    assert "first 120 messages of each step and channel" in night
    assert "Page 1 of 2" in night
    assert "Page 2 of 2" in found["2026-03-10/index.2.html"]
    assert "2026-03-10/channel-email.2.html" in found
    send(outbox, *range(300, 310))
    assert write_pages(outbox, cap=120) == 0
    assert "145 messages" in pages(outbox)["2026-03-10/index.html"]


def test_a_short_night_makes_no_excuse(outbox: LocalOutbox) -> None:
    send(outbox, 1)
    write_pages(outbox)
    assert "of each step and channel" not in pages(outbox)["2026-03-10/index.html"]


def test_forgotten_messages_leave_the_pages(outbox: LocalOutbox) -> None:
    send(outbox, 1, name="Quetzal Unique")
    send(outbox, 2)
    write_pages(outbox)
    remove_pages(outbox, outbox.forget("c1"))
    found = pages(outbox)
    assert f"2026-03-10/{1:032x}.html" not in found
    assert not any("Quetzal" in text for text in found.values())
    assert f"{2:032x}.html" in found["2026-03-10/index.html"]


def test_two_senders_of_one_process_write_pages_at_once(outbox: LocalOutbox) -> None:
    """As the sending tasks of a night on Prefect do."""
    send(outbox, *range(5))
    with ThreadPoolExecutor(4) as pool:
        for written in [pool.submit(write_pages, outbox) for _ in range(24)]:
            written.result()
    assert not [path for path in outbox.folder.rglob(".*") if path.is_file()]
