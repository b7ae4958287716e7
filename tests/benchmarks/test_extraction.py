"""The benchmark of lessons: what counts as right, and how it is summed up."""

from __future__ import annotations

from typing import Any

import pytest

from agent.sleep.extract import Candidate
from benchmarks import extraction
from benchmarks.extraction import Conversation, Label, Said, judge, run_extraction, says
from tests.agent.sleep.teacher import Teacher

LABEL = Label(
    kind="fact",
    statement="The user's sister Anna lives in Porto now.",
    answer="Porto",
    also=("now",),
    span="My sister Anna lives in Porto now.",
    optional=("now",),
)


def _candidate(statement: str, answer: str = "Porto") -> Candidate:
    return Candidate(kind="fact", statement=statement, subject="", answer=answer, span="", turn=0)


@pytest.mark.parametrize(
    ("statement", "answer", "right"),
    [
        ("The user's sister Anna lives in Porto.", "Porto", True),
        ("The user's sister Anna lives in Porto now.", "in Porto", True),
        ("The user's sister Anna lives in Porto.", "Anna", False),
        ("Anna lives in Porto.", "Porto", False),
        ("The user's sister Anna lives in Porto, Portugal.", "Porto", False),
        ("The user's sister lives in Porto.", "Porto", False),
    ],
)
def test_a_candidate_is_right_when_it_says_the_labels_words_and_no_others(
    statement: str, answer: str, right: bool
) -> None:
    assert says(_candidate(statement, answer), LABEL) is right


def test_a_second_candidate_for_one_label_is_wrong_and_what_is_not_found_is_missed() -> None:
    talk = Conversation(
        id="c", split="dev", kind="conversation", turns=(Said(user="x", answer=""),), facts=(LABEL,)
    )
    right = _candidate("The user's sister Anna lives in Porto.")
    assert judge(talk, [right, right]).right == (True, False)
    assert judge(talk, []).missed == (LABEL,)


def test_a_run_is_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def one(number: int, text: str, **changes: Any) -> Conversation:
        turns = (Said(user=text, answer=""),)
        return Conversation.model_validate(
            {
                "id": f"c{number}",
                "split": "dev",
                "kind": "conversation",
                "turns": turns,
                "facts": (),
                **changes,
            }
        )

    talks = [
        one(1, "My sister Anna lives in Porto now.", facts=(LABEL,)),
        one(2, "The weather is very nice."),
        one(3, "How are you?"),
    ]
    monkeypatch.setattr(extraction, "conversations", lambda split: talks)
    teacher = Teacher(
        parts=lambda text: "subject: Anna\nanswer: Porto", answer=lambda request: "Anna lives in Porto."
    )
    seen: list[str] = []
    result = run_extraction(teacher, "dev", (), on_progress=seen.append)
    assert (result.labels, result.found, result.right) == (1, 2, 1)
    assert (result.precision, result.recall, result.kinds) == (0.5, 1.0, 1.0)
    assert result.empty_kept_empty == 0.5
    assert result.lessons == 1 and result.held_out >= 2 and 0 < result.usable <= 1
    assert len(seen) == 4
