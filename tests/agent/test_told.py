"""What a user says in a sentence: statement, question, request, small talk, correction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.told import asks_to_keep, corrects, denies, of_the_moment, recants, says_something, sentences


@pytest.mark.parametrize(
    "sentence",
    [
        "I live in Porto.",
        "My dog's name is Rex.",
        "Anna plays the oboe",
        "The quarterly report goes to Maria.",
        "times always carry the offset",
        "The zet tool wants --zone first",
        "Never commit to main.",
        "Our server runs Debian.",
        "Silas glomped the trindle.",
        "Remember that the key is under the pot.",
    ],
)
def test_statements(sentence: str) -> None:
    assert says_something(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "Hi there!",
        "Thanks a lot, that was great",
        "What is the capital of France?",
        "Is my dog called Rex?",
        "Write a file with hello",
        "please run the tests",
        "can you list the files",
        "Tell me a joke.",
        "ok",
        "",
    ],
)
def test_no_statements(sentence: str) -> None:
    assert not says_something(sentence)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("No, it's Berlin.", True),
        ("That's not right.", True),
        ("that is wrong, the port is 80", True),
        ("Actually the port is 8080.", True),
        ("Wrong. Try again.", True),
        ("I meant the other file.", True),
        ("Sorry, I meant Tuesday.", True),
        ("It isn't right.", True),
        ("No problem.", False),
        ("no worries, thanks", False),
        ("That's right.", False),
        ("Actually, can you do it again?", False),
        ("Great, and now the next one.", False),
    ],
)
def test_corrections(text: str, is_one: bool) -> None:
    assert corrects(text) is is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("Remember that I am left-handed.", True),
        ("From now on, use British spelling.", True),
        ("Keep in mind: the shop closes at six.", True),
        ("Don't forget the offset.", True),
        ("Do you remember what I said?", False),
        ("I can't remember the name.", False),
        ("I remember that summer.", False),
        ("The memory is full.", False),
    ],
)
def test_requests_to_keep(text: str, is_one: bool) -> None:
    assert asks_to_keep(text) is is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("I was wrong about the port.", True),
        ("Small correction: the meeting is at ten.", True),
        ("I mixed up two people: Ida has the dog.", True),
        ("Sorry, my mistake, it is the blue one.", True),
        ("I misread the label.", True),
        ("It was not Lund: it was Oakmere.", True),
        ("The answer was wrong on page 3.", False),
        ("I mix flour and water.", False),
        ("It is correct.", False),
        ("Nothing was wrong with the car.", False),
    ],
)
def test_taking_back_what_one_said(text: str, is_one: bool) -> None:
    assert recants(text) is is_one


def test_denying_a_value() -> None:
    assert denies("She lives in Lund, not in Oakmere.", "Oakmere")
    assert denies("I was wrong, the dog is Rex and Mox is the cat.", "Mox")
    assert not denies("She lives in Lund.", "Oakmere") and not denies("She lives in Oakmere.", "Oakmere")
    assert not denies("She does not live there.", "")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("I am in a hurry today.", True),
        ("The bus was late again.", True),
        ("I just got out of a meeting.", True),
        ("The weather is fine right now.", True),
        ("My office is in Graz.", False),
        ("The team meets every Monday.", False),
        ("An hour has 60 minutes.", False),
        ("She was born in 1980.", False),
    ],
)
def test_what_is_over_tomorrow(text: str, is_one: bool) -> None:
    assert of_the_moment(text) is is_one


@given(st.text(max_size=300))
def test_no_word_is_lost_between_sentences(text: str) -> None:
    kept = "".join("".join(part.split()) for part in sentences(text))
    missing = [char for char in text if char.isalnum() and char not in kept]
    assert not missing
    for part in sentences(text):
        says_something(part), asks_to_keep(part), corrects(part)
