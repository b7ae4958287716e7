"""What a question is looked up by."""

from __future__ import annotations

import pytest

from agent.queries import searches


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("Which port does staging use?", ("Which port does staging use?",)),
        ("Hello, could you please tell me which port staging uses? Thanks!", ("which port staging uses?",)),
        ("I'd like to know who Ada is, please", ("who Ada is",)),
        (
            "Which port does staging use and who owns it?",
            ("Which port does staging use", "Which port does staging use who owns it?"),
        ),
        ("Who is Ada? Where is the key?", ("Who is Ada?", "Where is the key?")),
        ("What are salt and pepper for?", ("What are salt and pepper for?",)),
        ("please", ("please",)),
        ("  Wo liegt\nder Hafen?  ", ("Wo liegt der Hafen?",)),
        ("?", ("?",)),
    ],
)
def test_searches(question: str, wanted: tuple[str, ...]) -> None:
    assert searches(question) == wanted


def test_at_most_three() -> None:
    assert len(searches(" ".join(f"What is thing {number}?" for number in range(50)))) == 3
