"""When a text gives an answer: form does not matter, denial and hedging do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sleep.agree import contains_answer, same_answer, says_unknown, words

NAMES = st.text(alphabet="abcdefghijklmnopqrstuvwxyzäéøß", min_size=2, max_size=9).filter(
    lambda text: words(text) == words(text.upper()) != [] and text not in {"or", "not", "no", "the", "an"}
)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("Oakmere", "She lives in Oakmere."),
        ("Oakmere", "OAKMERE!"),
        ("São Tomé", "sao tome"),
        ("the oboe", "An oboe, I believe."),
        ("a grelk key", "You need the grelk key for it."),
        ("left-handed", "You are left handed."),
        ("Dr. Quill", "It is Dr Quill who comes."),
        ("Mira's", "It belongs to Mira."),
        ("1,200", "1200 people"),
        ("18 000", "18000"),
        ("twelve", "There are 12."),
        ("forty-two", "42 crowns"),
        ("first", "the 1st of May"),
        ("3.50", "3.5 euros"),
        ("9:40", "At 9:40 am."),
        ("+02:00", "14:00+02:00"),
        ("-5", "-5 degrees"),
        ("5%", "5 percent"),
        ("harrow.conf", "Look into `harrow.conf`."),
        ("QX-4471", "qx 4471"),
        ("Oakmere", "Not Lund but Oakmere."),
        ("Oakmere", "Not Lund, Oakmere."),
        ("Oakmere", "Anna, the user's sister, lives in Oakmere."),
        ("Oakmere", "It is not only pretty but called Oakmere."),
        ("Oakmere", "I am not sure about the rest. She lives in Oakmere."),
        ("black or white", "It is black or white."),
        ("Ute, Mo, and Jan", "Ute, Mo and Jan."),
        ("the river Musuve", "It is the Musuve."),
        ("the year 2004", "She was born in 2004."),
    ],
)
def test_a_given_answer_is_seen_whatever_its_form(expected: str, text: str) -> None:
    assert contains_answer(expected, text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("Oakmere", ""),
        ("", "anything"),
        ("Oakmere", "She lives in Lund."),
        ("art", "a party"),
        ("9:40", "19:40"),
        ("12", "12.5"),
        ("Oakmere", "She does not live in Oakmere."),
        ("Oakmere", "Not Oakmere."),
        ("Oakmere", "She never lived in Oakmere, she lives in Lund."),
        ("Oakmere", "It isn't Oakmere"),
        ("Oakmere", "Oakmere or Lund."),
        ("Oakmere", "Either in Lund or in Oakmere."),
        ("Oakmere", "Lund, Oakmere, Havn"),
        ("Oakmere", "Lund, Oakmere, or Havn."),
        ("Oakmere", "Lund/Oakmere"),
        ("Oakmere", "I don't know whether she lives in Oakmere."),
    ],
)
def test_what_is_missing_denied_or_one_of_several_is_not_given(expected: str, text: str) -> None:
    assert not contains_answer(expected, text)


def test_a_negation_that_the_question_asks_for_denies_nothing() -> None:
    assert not contains_answer("pork", "She does not eat pork.")
    assert contains_answer("pork", "She does not eat pork.", "What does she not eat?")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Oakmere", "in Oakmere.", True),
        ("She lives in Oakmere.", "Oakmere", True),
        ("the fourth floor", "4th floor", True),
        ("Oakmere", "Lund", False),
        ("I don't know.", "I have no information about that.", True),
        ("I don't know.", "Oakmere", False),
        ("9", "9:40", False),
    ],
)
def test_same_answers(one: str, other: str, same: bool) -> None:
    assert same_answer(one, other) is same
    assert same_answer(other, one) is same


@pytest.mark.parametrize(
    "text",
    [
        "I don't know.",
        "I do not know where she lives.",
        "Sorry, I have no information about Vessel Ardo.",
        "I'm not sure who that is.",
        "That is unknown to me.",
        "I haven't been told.",
        "I cannot say.",
        "I don\u2019t know that.",
    ],
)
def test_not_knowing_is_heard(text: str) -> None:
    assert says_unknown(text)


@pytest.mark.parametrize(
    "text",
    [
        "Oakmere.",
        "She knows the mayor.",
        "No, it is Oakmere.",
        "No, he is known to all.",
        "They have not moved since.",
        "He is not the mayor.",
    ],
)
def test_knowing_is_not_taken_for_not_knowing(text: str) -> None:
    assert not says_unknown(text)


@given(NAMES, NAMES)
def test_an_answer_is_in_any_sentence_that_states_it(answer: str, other: str) -> None:
    assert contains_answer(answer, f"As for {other}, it is {answer.title()}!")
    assert contains_answer(answer, answer)
    assert same_answer(answer, f"The {answer.upper()}.")


@given(NAMES, NAMES)
def test_a_name_is_never_found_inside_another_word(answer: str, other: str) -> None:
    assert not contains_answer(answer, f"It is x{answer}{other}.")


@given(st.text(max_size=60), st.text(max_size=200))
def test_any_text_is_judged(expected: str, text: str) -> None:
    assert contains_answer(expected, text) in (True, False)
    assert same_answer(expected, text) == same_answer(text, expected)
