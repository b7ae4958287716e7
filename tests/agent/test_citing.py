"""Which source holds what an answer says, and that none is cited that does not."""

from __future__ import annotations

import pytest

from agent.citing import cite, own_words, statements, with_marks

PORTS = (
    "ports.md Staging",
    "The staging server is called heron. It listens on port 8443.\nOnly Mina may restart it.",
)
FOOD = ("food.md", "The canteen opens at 11:30 and\ncloses at 21:00. Dogs are not allowed in the kitchen.")
SOURCES = [PORTS, FOOD]


def held(answer: str, question: str) -> list[tuple[int, ...]]:
    return [one.sources for one in cite(answer, question, SOURCES)]


@pytest.mark.parametrize(
    ("question", "answer", "wanted"),
    [
        ("Which port does staging use?", "The staging server uses port 8443.", [(0,)]),
        ("Which port does staging use?", "8443", [(0,)]),
        ("Which port does staging use?", "The staging server uses port 8444.", [()]),
        ("Which port does staging use?", "It uses port 8443 [2].", [(0,)]),
        ("When does the canteen open?", "The canteen opens at 11:30.", [(1,)]),
        ("When does the canteen open?", "It opens at 11:30. The cook is Ada Lovelace.", [(1,), ()]),
        ("May dogs be in the kitchen?", "No, dogs are not allowed in the kitchen.", [(1,)]),
        ("May dogs be in the kitchen?", "Yes, dogs are allowed in the kitchen.", [()]),
        ("Who may restart staging?", "Mina may restart the staging server.", [(0,)]),
        ("Who may restart staging?", "Mina may not restart the staging server.", [()]),
        ("What is the wifi password?", "heron", [()]),
        ("What is the wifi password?", "The wifi password is hunter2.", [()]),
        ("When does the canteen close?", "According to the quotations, it closes at 21:00.", [(1,)]),
        ("What is the phone number of the canteen kitchen?", "The phone number of the canteen is 21.", [()]),
        ("Which port does staging use?", "", []),
    ],
)
def test_a_source_is_cited_that_holds_it_and_no_other(
    question: str, answer: str, wanted: list[tuple[int, ...]]
) -> None:
    assert held(answer, question) == wanted


def test_likeness_stands_in_for_words_of_the_question() -> None:
    question = "Where do tests go before they are live?"
    assert [
        one.sources for one in cite("heron", question, SOURCES, lambda text, others: [0.6] * len(others))
    ] == [(0,)]
    assert [
        one.sources for one in cite("heron", question, SOURCES, lambda text, others: [0.1] * len(others))
    ] == [()]


def test_marks_stand_behind_what_they_hold() -> None:
    answer = "The server is heron [7]. It listens on port 8443.\n- The canteen opens at 11:30.\nAnd so on."
    cited = cite(answer, "Which server is it, what does it listen on, when does the canteen open?", SOURCES)
    assert with_marks(answer, cited, {0: 1, 1: 2}) == (
        "The server is heron. It listens on port 8443. [1]\n- The canteen opens at 11:30. [2]\nAnd so on."
    )


def test_what_a_margin_broke_is_one_statement() -> None:
    assert statements("# Ports\nIt listens on\nport 8443. So.\n\n- one\n- two\nand a half") == [
        "Ports",
        "It listens on port 8443.",
        "So.",
        "one",
        "two and a half",
    ]


def test_copied_marks_are_taken_off() -> None:
    assert own_words("[1] from a.md:\n> ## Ports\n> It is 8443.") == "It is 8443."
    assert own_words("## Only a heading") == "## Only a heading"
