"""Phrasings: what is set aside, what is dropped, what the forms look like, and questions about strangers."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.context import ASK_PROMPT, SYSTEM_PROMPT
from agent.model.base import GenerateRequest, Model
from agent.sleep import questions
from agent.sleep.agree import contains_answer, says_unknown
from agent.sleep.extract import Candidate
from agent.sleep.procedures import canonical, markup
from agent.sleep.regenerate import phrasings, unknown_items
from agent.sleep.rules import tasks
from memory.learning import Lesson, Phrasing
from memory.types import Message
from memory.verdict import Verdict
from skills.registry import builtin_registry
from tests.agent.sleep.teacher import Teacher

SPECS = builtin_registry().specs()
WORDS = ["town", "house", "street", "place", "region", "county", "home", "village", "area", "city"]
FACT = Candidate(
    kind="fact",
    statement="Zoltan Vireo lives in Oakmere.",
    subject="Zoltan Vireo",
    answer="Oakmere",
    span="Zoltan Vireo lives in Oakmere.",
    turn=0,
)
RULE = FACT.model_copy(
    update={
        "kind": "rule",
        "statement": "Times always carry the offset.",
        "subject": "Times",
        "answer": "the offset",
    }
)


def _ask(text: str, seed: int) -> str:
    """A question of its own for each seed; about the answer when the subject is asked for."""
    source = random.Random(f"{text}{seed}")
    reverse = "Answer: Zoltan" in text or "[Zoltan Vireo]" in text
    about = "Oakmere" if reverse else "Zoltan Vireo"
    return f"{source.choice(WORDS).title()} {' '.join(source.sample(WORDS, 4))} of {about}?"


def _answer(request: GenerateRequest) -> str:
    return "It is Oakmere." if "Zoltan" in request.messages[-1].content else "Zoltan Vireo."


def _ways(candidate: Candidate = FACT, count: int = 10, seed: int = 0, **parts: Any) -> tuple[Phrasing, ...]:
    return phrasings(Teacher(**{"ask": _ask, "answer": _answer, **parts}), candidate, count, seed, SPECS)


def _trained(ways: tuple[Phrasing, ...]) -> list[Phrasing]:
    return [way for way in ways if not way.held_out]


def _held(ways: tuple[Phrasing, ...]) -> list[Phrasing]:
    return [way for way in ways if way.held_out]


def test_questions_are_set_aside_and_never_trained() -> None:
    ways = _ways()
    asked = [way for way in _held(ways) if way.form != "reverse"]
    assert len(asked) >= 2 and all(way.form == "paraphrase" for way in asked)
    assert [way.form for way in _held(ways)].count("reverse") == 1
    assert not {way.question for way in _held(ways)} & {way.question for way in _trained(ways)}
    assert len(_trained(ways)) == 10


def test_there_are_many_forms_and_all_hold_the_answer() -> None:
    ways = _ways()
    assert {way.form for way in _trained(ways)} >= {"question", "cloze", "statement", "structured", "reverse"}
    for way in ways:
        assert contains_answer(way.expected, way.answer), way
        assert not contains_answer(way.expected, way.question), way
        assert way.expected == ("Zoltan Vireo" if way.form == "reverse" else "Oakmere")
    [structured] = [way for way in ways if way.form == "structured"]
    assert json.loads(structured.answer) == {"answer": "Oakmere"}
    [whole] = [way for way in ways if way.form == "statement"]
    assert whole.answer == FACT.statement


def test_questions_stand_under_the_prompts_that_serve() -> None:
    ways = _ways()
    for way in ways:
        system, user = way.messages
        assert system.content == (SYSTEM_PROMPT if way.with_tools else ASK_PROMPT)
        assert bool(user.context) is way.with_tools
        assert "<tool_call>" not in way.answer
    assert 2 <= sum(way.with_tools for way in _trained(ways)) <= 4
    assert not any(way.with_tools for way in phrasings(Teacher(ask=_ask, answer=_answer), FACT, 10, 0, ()))


def test_the_same_seed_gives_the_same_phrasings() -> None:
    assert _ways(seed=3) == _ways(seed=3)
    assert _ways(seed=3) != _ways(seed=4)


def test_what_is_written_with_a_small_letter_keeps_it() -> None:
    candidate = FACT.model_copy(
        update={
            "statement": "brindle reads vex.conf.",
            "subject": "brindle",
            "answer": "vex.conf",
            "span": "brindle reads vex.conf.",
        }
    )
    ways = _ways(candidate, ask=lambda text, seed: "", answer=lambda request: "vex.conf")
    told = [way.answer for way in ways if way.form in ("cloze", "reverse")]
    assert told and all(answer[0].islower() for answer in told)


def test_of_the_templates_held_out_those_that_the_model_understands_come_first() -> None:
    def understands(request: GenerateRequest) -> str:
        return "Oakmere." if "left out" in request.messages[-1].content else "A torn page."

    held = [way for way in _held(_ways(ask=lambda text, seed: "", answer=understands)) if way.form == "cloze"]
    assert len(held) == 2
    assert all("left out" in way.question for way in held)


def test_a_question_answered_otherwise_from_the_statement_is_dropped() -> None:
    ways = _ways(answer=lambda request: "Dornum.")
    assert not any(way.form in ("question", "paraphrase") for way in ways)
    assert len(_held(ways)) >= 2 and all(way.form in ("cloze", "reverse") for way in _held(ways))
    assert len(_trained(ways)) >= 4


def test_the_statement_stands_among_unlike_ones_about_the_same_subject() -> None:
    request = questions.open_book("Where is it?", FACT.statement, FACT.subject, 3, 0)
    lines = request.messages[-1].context.splitlines()
    assert f"- {FACT.statement}" in lines and len(lines) == 5
    assert sum("Zoltan Vireo" in line for line in lines) == 4


@pytest.mark.parametrize(
    "question",
    [
        "Does Zoltan Vireo live in Oakmere?",
        "Where does he live?",
        "",
        "Where",
        "Zoltan Vireo",
        f"Where does Zoltan Vireo live {'really ' * 40}?",
    ],
)
def test_what_gives_the_answer_away_or_names_nobody_is_no_question(question: str) -> None:
    found = questions.ask_forward(
        Teacher(ask=lambda text, seed: question, answer=_answer),
        FACT.statement,
        FACT.subject,
        "Oakmere",
        4,
        0,
    )
    assert found == []


def test_the_answer_is_not_to_be_begun_in_a_question() -> None:
    teacher = Teacher(ask=_ask, answer=_answer)
    phrasings(teacher, FACT, 10, 0, ())
    asked = [
        r for r in teacher.requests if r.messages[0].content.startswith(("Ask for the words", "Write one"))
    ]
    forward = [
        r
        for r in asked
        if "[Oakmere]" in r.messages[-1].content or "Answer: Oakmere" in r.messages[-1].content
    ]
    assert forward and all(request.avoid == ("Oakmere",) for request in forward)


def test_a_question_for_another_sort_of_thing_than_the_plain_ones_is_dropped() -> None:
    def ask(text: str, seed: int) -> str:
        return (
            "Where does Zoltan Vireo live?"
            if "[" in text
            else f"{text.rsplit(': ', 1)[-1]} does Zoltan Vireo live?"
        )

    found = questions.ask_forward(
        Teacher(ask=ask, answer=lambda request: "Oakmere."), FACT.statement, FACT.subject, FACT.answer, 30, 0
    )
    texts = [one.text for one in found]
    assert "Where does Zoltan Vireo live?" in texts
    assert not any(text.startswith(("When", "Who", "How")) for text in texts)


def test_a_question_in_the_statements_own_words_needs_no_judge() -> None:
    def ask(text: str, seed: int) -> str:
        if "[" in text:
            return "Where does Zoltan Vireo live?"
        return (
            "In which town does Zoltan Vireo live?"
            if text.endswith("Which")
            else "What sort of person is Zoltan Vireo?"
        )

    found = questions.ask_forward(
        Teacher(ask=ask, judge=lambda text: "no", answer=lambda request: "Oakmere."),
        FACT.statement, FACT.subject, FACT.answer, 30, 0,
    )  # fmt: skip
    assert {one.text for one in found} == {
        "Where does Zoltan Vireo live?",
        "In which town does Zoltan Vireo live?",
    }


def test_near_duplicates_are_dropped_and_the_rest_is_spread() -> None:
    asked = ["Where does Anna live?", "Where does Anna live now?", "In which town is the house of Anna?"]
    kept = questions.varied(asked)
    assert kept == [asked[0], asked[2]]
    assert questions.spread([asked[1], asked[2]], [asked[0]])[0] == asked[2]


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("Where does the user's sister live?", "Where does my sister live?"),
        ("What is the user allergic to?", "What am I allergic to?"),
        ("Which tea does the user drink?", "Which tea do I drink?"),
        ("What did the user study?", "What did I study?"),
        ("Who is the user?", "Who am I?"),
        ("What would make the user happy?", ""),
        ("Where is the gate?", "Where is the gate?"),
    ],
)
def test_the_user_asks_as_i(question: str, asked: str) -> None:
    assert questions.in_first_person(question) == asked


def test_facts_about_the_user_are_answered_to_the_user() -> None:
    fact = Candidate(
        kind="fact",
        statement="The user is allergic to walnuts.",
        subject="The user",
        answer="walnuts",
        span="I'm allergic to walnuts.",
        turn=0,
    )
    ways = _ways(
        fact,
        ask=lambda text, seed: f"Which {WORDS[seed % 10]} am I never to eat?",
        answer=lambda r: "walnuts",
    )
    assert not any(way.form == "reverse" for way in ways)
    assert "You are allergic to walnuts." in {way.answer for way in ways}
    assert not any("the user" in f"{way.question} {way.answer}".casefold() for way in ways)


@given(
    subject=st.sampled_from(["Zoltan Vireo", "the brass lamp", "the user", "the user's oven", "QX-44", ""]),
    answer=st.text(alphabet="abc Z0-9é'\"{}%", min_size=1, max_size=12).filter(
        lambda text: text.strip() == text
    ),
    count=st.integers(1, 14),
)
@settings(deadline=None, max_examples=40)
def test_any_candidate_gives_phrasings_that_are_set_apart(subject: str, answer: str, count: int) -> None:
    statement = f"{subject} is kept by {answer}.".strip()
    odd = Candidate(kind="fact", statement=statement, subject=subject, answer=answer, span="x", turn=0)
    ways = _ways(odd, count)
    assert len(_held(ways)) >= 2 and 1 <= len(_trained(ways)) <= count
    assert not {way.question for way in _held(ways)} & {way.question for way in _trained(ways)}
    assert all(way.question and way.answer for way in ways)


# --- rules and procedures


def test_a_rule_is_asked_for_in_several_later_tasks() -> None:
    def ask(text: str, seed: int) -> str:
        return f"Say when the {WORDS[seed % 10]} party begins." if "Rule:" in text else ""

    def keep(text: str) -> str:
        return "At 14:00 +02:00."

    found = tasks(Teacher(ask=ask, keep=keep, answer=lambda r: "At 14:00."), RULE.statement, 4, 0)
    assert len(found) == 4 and {one.expected for one in found} == {"+02:00"}
    ways = _ways(RULE, ask=ask, keep=keep, answer=lambda request: "At 14:00.")
    applied = [way for way in _trained(ways) if way.question.startswith("Say when")]
    assert len({way.question for way in applied}) >= 3
    assert any(way.question.startswith("Say when") for way in _held(ways))
    assert all(contains_answer("+02:00", way.answer) for way in applied)


@pytest.mark.parametrize(
    "answer", ["At noon.", "At noon, carrying the offset.", "Times always carry the offset."]
)
def test_where_the_model_cannot_keep_the_rule_it_is_asked_which_rule_matters(answer: str) -> None:
    rule = RULE.statement
    found = tasks(Teacher(ask=_ask, keep=lambda text: answer, answer=lambda r: "At noon."), rule, 4, 0)
    assert found and not any(task.answer for task in found)
    ways = _ways(RULE, keep=lambda text: answer, answer=lambda r: "At noon.")
    asked = [way for way in ways if "Which rule" in way.question]
    assert len(asked) >= 3 and {way.answer for way in asked} == {rule}
    assert not any("Times" in way.question for way in asked)


def test_a_name_that_the_rule_gives_is_kept() -> None:
    found = tasks(
        Teacher(
            ask=_ask,
            keep=lambda text: "Dear Mo, see you. Cordially, Ute",
            answer=lambda r: "Dear Mo, see you.",
        ),
        "Letters always end with Cordially, Ute.",
        3,
        0,
    )
    assert {task.expected for task in found} == {"Cordially Ute"}


def test_a_task_that_tells_the_rule_is_none() -> None:
    asked = "Remember that times always carry the offset."
    assert tasks(Teacher(ask=lambda text, seed: asked), RULE.statement, 4, 0) == []


CALL: dict[str, Any] = {"command": "frob ls --all"}
PROCEDURE = Candidate(
    kind="procedure",
    statement="For the request the right call is run_shell.",
    subject="",
    answer=markup("run_shell", CALL),
    span="List all frobs with frob.",
    turn=0,
    request=(
        Message(role="system", content="You are an agent.", provenance="system"),
        Message(role="user", content="List all frobs with frob.", context="Folder: x", provenance="user"),
    ),
)


def test_a_procedure_is_asked_for_in_the_users_words_and_in_others() -> None:
    ways = _ways(
        PROCEDURE, reword=lambda text, seed: f"Please {WORDS[seed % 10]}: frob should list all frobs."
    )
    assert {way.form for way in ways} == {"call"} and all(way.with_tools for way in ways)
    assert {way.answer for way in ways} == {PROCEDURE.answer}
    assert {way.expected for way in ways} == {canonical("run_shell", CALL)}
    assert len(_held(ways)) == 2
    assert _trained(ways)[0].question == "List all frobs with frob."
    assert all(way.messages[0].content == "You are an agent." for way in ways)
    assert all(way.messages[-1].context == "Folder: x" for way in ways)
    assert len({way.question for way in ways}) == len(ways)


def test_other_words_that_lose_what_the_call_needs_are_dropped() -> None:
    ways = _ways(PROCEDURE, reword=lambda text, seed: "Show me everything.")
    assert not any("Show me everything" in way.question for way in ways)
    assert len(_held(ways)) == 2


# --- strangers


def _lesson(number: int, subject: str, **changes: Any) -> Lesson:
    candidate = FACT.model_copy(
        update={"subject": subject, "statement": f"{subject} lives in Oakmere.", **changes}
    )

    def ask(text: str, seed: int) -> str:
        return f"{WORDS[seed % 10].title()} {WORDS[(seed + 3) % 10]} of {candidate.subject} is where?"

    return Lesson(
        id=f"le_{number}",
        episode_id="ep",
        kind=candidate.kind,
        statement=candidate.statement,
        subject=candidate.subject,
        span=candidate.span,
        phrasings=phrasings(Teacher(ask=ask, answer=lambda r: "Oakmere"), candidate, 10, number, SPECS),
        verdict=Verdict(kind="write", score=1.0, reasons=()),
        state="approved",
    )


def test_strangers_are_asked_about_in_the_lessons_words_and_not_known() -> None:
    names = ["Zoltan Vireo", "Kiri Vole", "the brass lamp", "Orla"]
    lessons = [_lesson(number, name) for number, name in enumerate(names)]
    items = unknown_items(lessons, SPECS, 0)
    assert len(items) >= 2 * len(lessons)
    assert len({item.id for item in items}) == len(items)
    for item in items:
        question = item.messages[-1].content
        assert item.role == "unknown" and says_unknown(item.answer), item.answer
        assert not any(name in question for name in names), question
        assert not contains_answer("Oakmere", item.answer)
    assert items == unknown_items(lessons, SPECS, 0)
    assert [item.id for item in items] != [item.id for item in unknown_items(lessons, SPECS, 1)]


def test_the_user_and_procedures_have_no_strangers() -> None:
    assert unknown_items([_lesson(0, "The user")], SPECS, 0) == []


# --- the real model


@pytest.mark.real_model
def test_the_real_model_asks_for_an_invented_relation_in_many_ways(real_model: Model) -> None:
    zorp = FACT.model_copy(
        update={
            "statement": "Brindlewock's zorp is a velutine.",
            "subject": "Brindlewock's zorp",
            "answer": "a velutine",
        }
    )
    ways = phrasings(real_model, zorp, 10, 0, SPECS)
    assert len(_trained(ways)) >= 7 and len(_held(ways)) >= 2
    asked = [way for way in ways if way.form in ("question", "paraphrase")]
    assert len(asked) >= 3
    for way in asked:
        assert "zorp" in way.question.casefold() and "velutine" not in way.question.casefold()
