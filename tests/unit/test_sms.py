"""What a text costs: the tables of 3GPP TS 23.038 and 23.040, and what a marketing text has to say."""

import pytest

from winback.core.sms import GSM_7, GSM_7_BASIC, GSM_7_EXTENSION, faults_of_text, measure


@pytest.mark.parametrize(
    ("text", "encoding", "units", "segments"),
    [
        ("", "GSM-7", 0, 0),
        ("a", "GSM-7", 1, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("a" * 459, "GSM-7", 459, 3),
        ("a" * 480, "GSM-7", 480, 4),
        ("€" * 80, "GSM-7", 160, 1),
        ("€" * 81, "GSM-7", 162, 2),
        # 153 is odd: 76 euro signs fill 152 units and the 77th must wait for the next part
        ("€" * 152, "GSM-7", 304, 2),
        ("€" * 153, "GSM-7", 306, 3),
        ("a" * 152 + "€" + "a" * 151, "GSM-7", 305, 2),
        ("a" * 152 + "€" + "a" * 152, "GSM-7", 306, 3),
        ("a" * 153 + "€" + "a" * 151, "GSM-7", 306, 2),
        ("ç", "UCS-2", 1, 1),
        ("ç" * 70, "UCS-2", 70, 1),
        ("ç" * 71, "UCS-2", 71, 2),
        ("ç" * 134, "UCS-2", 134, 2),
        ("ç" * 135, "UCS-2", 135, 3),
        ("ç" * 480, "UCS-2", 480, 8),
        ("\U0001f600" * 35, "UCS-2", 70, 1),
        ("\U0001f600" * 36, "UCS-2", 72, 2),
        # 67 is odd: 33 emoji fill 66 units, the 34th goes whole into the next part
        ("\U0001f600" * 66, "UCS-2", 132, 2),
        ("\U0001f600" * 67, "UCS-2", 134, 3),
        ("ç" * 66 + "\U0001f600" + "ç" * 65, "UCS-2", 133, 2),
        ("ç" * 66 + "\U0001f600" + "ç" * 66, "UCS-2", 134, 3),
        ("ç" * 67 + "\U0001f600" + "ç" * 65, "UCS-2", 134, 2),
        # a euro sign costs one unit once the text is UCS-2
        ("€" * 69 + "ç", "UCS-2", 70, 1),
        ("line\nbreak\r\f", "GSM-7", 13, 1),
    ],
)
def test_size(text: str, encoding: str, units: int, segments: int) -> None:
    size = measure(text)
    assert (size.encoding, size.units, size.segments) == (encoding, units, segments)
    assert size.characters == len(text)


def test_alphabet_is_the_whole_of_gsm_7() -> None:
    assert len(GSM_7_BASIC) == 127  # 128 codes less the escape
    assert len(GSM_7_EXTENSION) == 10
    assert not GSM_7_BASIC & GSM_7_EXTENSION
    assert len(GSM_7) == 137


def test_offending_characters_are_named_once_in_order() -> None:
    assert measure("tôt ou ç\u2019est là, tôt").offending == ("ô", "ç", "\u2019")
    assert measure("déjà").offending == ()


@pytest.mark.parametrize(
    ("text", "language", "wanted"),
    [
        ("Acme: hello. STOP to end", "en", []),
        ("Acme: hallo. STOPP beendet", "de", []),
        ("Acme: hola. BAJA para salir", "es", []),
        ("Acme: hello", "en", ["how to end it"]),
        ("Acme: our NONSTOP sale", "en", ["how to end it"]),
        ("hello. STOP", "en", ["does not name the sender"]),
        ("  ", "fr", ["empty", "does not name the sender", "how to end it"]),
        ("Acme STOP " + "a" * 1591, "en", ["at most 1600"]),
        ("Acme: ola. BAJA", "pt", ["name STOP"]),
    ],
)
def test_faults_of_a_text(text: str, language: str, wanted: list[str]) -> None:
    faults = faults_of_text(text, brand="Acme", language=language)
    assert len(faults) == len(wanted)
    for fault, part in zip(faults, wanted, strict=True):
        assert part in fault
