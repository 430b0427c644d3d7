"""What a text means that somebody sends: by whole message, however it is written."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winback.core.answer_words import Meaning, fold, load_answer_words
from winback.core.sms import OPT_OUT_WORDS
from winback.errors import ConfigError

FILE = Path(__file__).parents[2] / "data" / "rules" / "answer_words.yaml"
WORDS = load_answer_words(FILE.read_text("utf-8"), file="answer_words.yaml")
ALL = [(word, row.means) for row in WORDS.words for word in row.words]


def meaning(text: str) -> str:
    return WORDS.read(text).meaning.value


@pytest.mark.parametrize(
    "text",
    [
        *("STOP", "Stop.", " stop please", "PLEASE STOP!!!", "stop it now", "Stop, thank you", "“STOP”", "\tstop\r\n"),
        *(
            "\uff33\uff34\uff2f\uff30",
            "S.T.O.P.",
            "s t o p",
            "🛑 stop 🛑",
            "stop🙏🏽",
            "ST\u200bOP",
            "\u202estop\u202c",
        ),
        *(
            "stop stop STOP",
            "S\u0301top",
            "🅂🅃🄾🄿",
            "STOP\x00",
            "\U0001d412\U0001d413\U0001d40e\U0001d40f",
            "stop me please",
        ),
        *("unsubscribe me", "Unsubscribe", "opt-out", "OPT OUT", "opt\u2011out", "End", "quit.", "Cancel!", "revoke"),
        *("stopall", "Stop all", "remove me"),
        *("ARRET", "Arrêt", "arre\u0302t s'il vous plaît", "arrêtez svp", "STOP s\u2019il te plaît", "me désabonner"),
        *("Stopp!", "bitte stopp", "STOPP BITTE", "Abmelden", "kündigen", "KUENDIGEN", "Bitte abmelden, danke"),
        *("baja", "BAJA por favor", "dar de baja", "¡Alto!", "no más", "cancelar, gracias"),
        *("basta", "Basta, grazie", "cancellami per favore", "disiscrivimi"),
    ],
)
def test_a_stop_is_heard_however_it_is_written(text):
    assert meaning(text) == "stop"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "stop by the shop tomorrow?",
            "don't stop",
            "Please stop texting me",
            "I want to cancel my order",
            "STOP START",
        ),
        *(
            "Wann ist die Abmeldung?",
            "je veux me désabonner de tout",
            "quiero darme de baja hoy",
            "the end.",
            "help stop",
        ),
        *("can I opt out of this?", "non cancellare", "stop1 stop"),
    ],
)
def test_a_stop_word_among_others_is_for_a_person_to_read(text):
    assert meaning(text) == "doubtful"


@pytest.mark.parametrize(
    ("text", "expected", "language"),
    [
        *((text, "start", "") for text in ("START", "unstop", "Start please", "\uff33\uff34\uff21\uff32\uff34")),
        *((text, "help", "en") for text in ("HELP", "info?", "help me please")),
        *((("Hilfe!", "help", "de"), ("AIDE", "help", "fr"), ("ayuda", "help", "es"), ("aiuto", "help", "it"))),
        *(
            (text, "other", "")
            for text in ("", "   ", "🙂", "Yes", "5", "thank you", "nonstop", "stopping", "S T O R E")
        ),
        *((text, "other", "") for text in ("Merci beaucoup", "restart", "please", "\x00", "\ud800", "helpful people")),
        *((("arrêt", "stop", "fr"), ("Stopp", "stop", "de"), ("baja", "stop", "es"), ("basta", "stop", "it"))),
        *((("stop", "stop", ""), ("quit", "stop", "en"))),
    ],
)
def test_what_else_a_text_means_and_in_which_language(text, expected, language):
    said = WORDS.read(text)
    assert (said.meaning.value, said.language) == (expected, language)


@pytest.mark.parametrize(("word", "means"), ALL)
def test_every_word_means_what_its_row_says(word, means):
    for text in (word, word.upper(), f" {word}!", unicodedata.normalize("NFD", word)):
        assert meaning(text) == means
    assert meaning(f"{word} and something else") == ("doubtful" if means == "stop" else "other")


def test_the_words_that_our_own_texts_name_are_heard():
    assert {meaning(word) for words in OPT_OUT_WORDS.values() for word in words} == {"stop"}


def test_no_word_is_only_politeness():
    assert not WORDS.courtesies & set(WORDS.meanings)
    assert {row.language for row in WORDS.words} == {"*", "en", "de", "fr", "es", "it"}


@given(st.text(max_size=40))
def test_any_text_means_something(text):
    assert WORDS.read(text).meaning in set(Meaning)
    assert fold(" ".join(fold(text))) == fold(text)


@given(st.text(max_size=10), st.sampled_from(sorted({word for word, means in ALL if means == "stop"})))
def test_no_text_hides_a_stop_word_that_stands_apart(text, word):
    """Whatever is written around it: it is a stop, or somebody reads it."""
    assert meaning(f"{text} {word}") in {"stop", "doubtful"}


def test_a_long_text_is_read_in_no_time_at_all():
    assert meaning("stop" + " " * 1_000_000) == "stop"
    assert meaning("\u0301" * 100_000) == "other"


@pytest.mark.parametrize(
    "row",
    [
        "{means: perhaps, language: en, words: [x], valid_from: 2026-01-01, source: s}",
        "{means: stop, language: en, words: [], valid_from: 2026-01-01, source: s}",
        "{means: stop, language: en, words: [x], valid_from: 2026-01-01, source: ''}",
    ],
)
def test_a_row_that_is_not_sound_is_a_fault(row):
    with pytest.raises(ConfigError):
        load_answer_words(f"version: 1\nwords:\n- {row}\n", file="answer_words.yaml")
