"""Sentences, words of meaning, and persons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sleep import english


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One here. Two there!", ["One here.", "Two there!"]),
        (
            "Dr. Quill came at 9.30 with notes.txt in hand.",
            ["Dr. Quill came at 9.30 with notes.txt in hand."],
        ),
        ("It is cold; we stay in.\nGood night", ["It is cold", "we stay in.", "Good night"]),
        ("Really?! Yes...", ["Really?!", "Yes..."]),
        ("", []),
        (" \n ... !", []),
    ],
)
def test_sentences_end_where_they_end(text: str, pieces: list[str]) -> None:
    assert english.sentences(text) == pieces


@given(st.text(max_size=300))
def test_sentences_are_spans_of_the_text_and_lose_no_letter(text: str) -> None:
    pieces = english.sentences(text)
    place = 0
    for piece in pieces:
        found = text.find(piece, place)
        assert found >= 0
        assert not any(map(str.isalnum, text[place:found]))
        place = found + len(piece)
    assert not any(map(str.isalnum, text[place:]))


def test_what_was_pasted_is_not_the_users_own() -> None:
    text = "Fix this:\n```\nThe abbey is old.\n```\n> The canteen moves.\nMy desk is blue."
    assert english.sentences(english.own_words(text)) == ["Fix this:", "My desk is blue."]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("I'm allergic to kiwis.", "The user is allergic to kiwis."),
        ("I live in Lund and I don't drive.", "The user lives in Lund and the user doesn't drive."),
        ("I always carry a spoon.", "The user always carries a spoon."),
        ("I grew up in Graz.", "The user grew up in Graz."),
        ("I can't stand coriander.", "The user can't stand coriander."),
        ("We've kept bees since May.", "The user has kept bees since May."),
        ("My sister and I play chess.", "The user's sister and the user play chess."),
        ("Tomas owes me forty crowns.", "Tomas owes the user forty crowns."),
        ("Our oven heats up in nine minutes.", "The user's oven heats up in nine minutes."),
        ("I teach, I wash and I carry.", "The user teaches, the user washes and the user carries."),
        ("The gate is green.", "The gate is green."),
    ],
)
def test_the_first_person_becomes_the_user(said: str, told: str) -> None:
    assert english.third_person(said) == told
    assert not english.is_first_person(told)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("The user is allergic to kiwis.", "You are allergic to kiwis."),
        ("The user lives in Lund.", "You live in Lund."),
        ("The user doesn't drive.", "You don't drive."),
        ("The user teaches.", "You teach."),
        ("The user always carries a spoon.", "You always carry a spoon."),
        ("The user's sister Anna lives in Lund.", "Your sister Anna lives in Lund."),
        ("Tomas owes the user forty crowns.", "Tomas owes you forty crowns."),
        ("The gate is green.", "The gate is green."),
    ],
)
def test_the_user_is_told_about_himself(told: str, said: str) -> None:
    assert english.second_person(told) == said


def test_words_of_meaning_are_compared_by_stem() -> None:
    assert english.stems("She lives with her cats") == english.stems("I live with a cat")
    assert english.stems("He stopped and carried on") >= {english.stem("stop"), english.stem("carry")}
    assert english.content_words("It is Dr. Quill's, isn't it?") == ["dr", "quill"]
    assert english.content_words("at 14:00+02:00 in room 3.14") == ["14:00+02:00", "room", "3.14"]
