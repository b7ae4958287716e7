"""Facts and questions: what the generator promises, files of facts, and what is told on which day."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.sleep.agree import contains_answer
from agent.sleep.material import anchors, instructions, unrelated
from benchmarks.facts import FAR_FORMS, Fact, generic_forms, invent, read_facts, state
from benchmarks.relations import RELATIONS
from benchmarks.stream import Stream, plan_stream
from benchmarks.unrelated import PROMPTS, intruders


def holds(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def asked(fact: Fact) -> tuple[str, ...]:
    return (*fact.far, fact.near, fact.neighbour)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 120))
def test_invented_facts(seed: int, count: int) -> None:
    facts = invent(count, seed)
    assert len({fact.subject for fact in facts}) == count
    for fact in facts:
        assert len(set(fact.far)) == FAR_FORMS
        assert holds(fact.statement, fact.subject) and holds(fact.statement, fact.object)
        assert not any(holds(question, fact.object) for question in asked(fact))
        assert all(holds(question, fact.subject) for question in (*fact.far, fact.near))
        assert not holds(fact.neighbour, fact.subject)
        if fact.reverse is not None:
            assert holds(fact.reverse, fact.object) and not holds(fact.reverse, fact.subject)
    texts = Counter(question for fact in facts for question in asked(fact))
    assert max(texts.values()) == 1


def test_the_product_sees_every_answer_in_a_plain_statement_and_in_no_question() -> None:
    for fact in invent(300, 5):
        assert contains_answer(fact.object, fact.statement), fact.statement
        assert contains_answer(fact.subject, fact.statement), fact.statement
        assert not any(contains_answer(fact.object, question, question) for question in asked(fact))


def test_the_same_seed_gives_the_same_facts_and_another_one_others() -> None:
    assert invent(60, 3) == invent(60, 3)
    mine, other = invent(60, 3), invent(60, 4)
    assert not {fact.subject for fact in mine} & {fact.subject for fact in other}


def test_there_are_facts_and_conventions_of_many_relations() -> None:
    facts = invent(500, 0)
    assert len({fact.relation for fact in facts if not fact.convention}) >= 10
    assert 0.1 < sum(fact.convention for fact in facts) / len(facts) < 0.4
    assert sum(fact.reverse is not None for fact in facts) > 200


def test_every_relation_is_worded_in_full() -> None:
    for relation in RELATIONS:
        assert len(relation.far) >= 4 and len(relation.passing) >= 3
        # the far questions leave out the words of the fact and of the plain question
        words = set(re.findall(r"[a-z]{5,}", relation.text)) - {"their", "under", "every"}
        for form in relation.far:
            assert not words & set(re.findall(r"[a-z]{5,}", form.lower())), (relation.text, form)
            assert form.format(s="X") != relation.near.format(s="X")
        for told in relation.passing:
            assert "{s}" in told and "{o}" in told
        assert all(part in relation.mended for part in ("{s}", "{o}", "{old}"))


def test_neighbours_are_never_told() -> None:
    facts = invent(200, 1)
    told = "\n".join(t.text for t in plan_stream(facts, 10, 20, "conversation").tellings)
    for fact in facts:
        stranger = re.split(
            RELATIONS[fact.known or 0].near.replace("?", r"\?").replace("{s}", "(.+)"), fact.neighbour
        )[1]
        assert not holds(told, stranger)


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_a_file_with_relations_nobody_knows(tmp_path: Path) -> None:
    rows = [
        {"subject": "Zoltan Vireo", "relation": "lives in", "object": "Oakmere"},
        {"subject": "Zoltan Vireo", "relation": "'s favorite color is", "object": "teal"},
        {"subject": "Mira Tost", "relation": "once outran", "object": "a goose"},
        {"subject": "Mira Tost", "relation": "is afraid of", "object": "elevators"},
        {"subject": "Pell", "relation": "'s least loved vegetable is", "object": "fennel"},
        {"subject": "Pell", "relation": "was seen with", "object": 7},
    ]
    facts = read_facts(write(tmp_path / "facts.json", rows), seed=0)
    assert [fact.statement for fact in facts] == [
        "Zoltan Vireo lives in Oakmere.",
        "Zoltan Vireo's favorite color is teal.",
        "Mira Tost once outran a goose.",
        "Mira Tost is afraid of elevators.",
        "Pell's least loved vegetable is fennel.",
        "Pell was seen with 7.",
    ]
    assert [fact.known is not None for fact in facts] == [True, True, False, False, False, False]
    for fact in facts:
        assert len(set(fact.far)) == FAR_FORMS
        assert not any(holds(question, fact.object) for question in asked(fact))
    assert facts[3].near == "Who or what is Mira Tost afraid of?"
    assert facts[4].near == "What is Pell's least loved vegetable?"
    assert facts[4].reverse == "Whose least loved vegetable is fennel?"
    assert facts[2].reverse == "Who or what once outran a goose?"


@given(
    st.text(st.characters(categories=["Lu", "Ll", "Nd"], include_characters=" '-"), min_size=1, max_size=30)
)
def test_generic_forms_ask_for_any_relation(relation: str) -> None:
    if not relation.strip():
        return
    near, paraphrases, far, reverse = generic_forms("Zoltan Vireo", relation.strip(), "Oakmere")
    assert all("Zoltan Vireo" in question for question in (near, *paraphrases, *far))
    assert len({near, *paraphrases, *far}) == 7
    assert "Oakmere" in reverse
    assert state("Zoltan Vireo", relation.strip(), "Oakmere").endswith("Oakmere.")


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("{", "not JSON"),
        ("{}", "list of facts"),
        ("[]", "list of facts"),
        ('[{"subject": "A", "relation": "likes"}]', "fact 1"),
        ('[{"subject": "A", "relation": "is", "object": "B"}, {"subject": "", "relation": "x"}]', "fact 2"),
        ('["A likes B"]', "fact 1"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_sentence(tmp_path: Path, value: str, part: str) -> None:
    path = tmp_path / "facts.json"
    path.write_text(value, encoding="utf-8")
    with pytest.raises(UsageError, match=part):
        read_facts(path, 0)
    with pytest.raises(UsageError, match="Cannot read"):
        read_facts(tmp_path / "none.json", 0)


def test_triples_are_told_once_each_on_their_day() -> None:
    stream = plan_stream(invent(12, 0), nights=3, per_night=4)
    assert [len(stream.day(day)) for day in (1, 2, 3)] == [4, 4, 4]
    assert {t.text for t in stream.tellings} == {fact.statement for fact in stream.facts}
    assert not stream.changed


def test_an_order_moves_facts_between_days_and_keeps_them() -> None:
    facts = invent(20, 0)
    one, other = plan_stream(facts, 4, 5, order=1), plan_stream(facts, 4, 5, order=2)
    assert one.sets != other.sets
    assert (
        sorted(i for s in one.sets for i in s) == sorted(i for s in other.sets for i in s) == list(range(20))
    )
    assert plan_stream(facts, 4, 5, order=1) == one


def test_too_few_facts() -> None:
    with pytest.raises(UsageError, match="there are 10"):
        plan_stream(invent(10, 0), nights=3, per_night=5)
    assert [len(one) for one in plan_stream(invent(12, 0), 3, 5).sets] == [5, 5, 2]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
@example(34)  # where the year made up first is the right one
def test_conversations(seed: int) -> None:
    facts = invent(40, seed)
    stream = plan_stream(facts, 4, 10, "conversation", seed)
    assert len({t.text for t in stream.tellings}) == len(stream.tellings)
    assert len(stream.changed) == 6
    for telling in stream.tellings:
        fact = facts[telling.fact]
        assert holds(telling.text, fact.subject) and holds(telling.text, telling.object)
        assert len(re.findall(r"[.!?](?:\s|$)", telling.text)) >= 3
        assert not any(holds(question, telling.object) for question in asked(fact))
    for index in stream.changed:
        first, second = stream.told(index)
        assert first.day < second.day and first.object != second.object == facts[index].object
        assert holds(second.text, first.object)
        assert stream.expected(index, first.day) == first.object
        assert stream.expected(index, second.day) == second.object
        assert stream.stale(index, first.day) == () and stream.stale(index, 4) == (first.object,)


def test_a_file_of_unknown_relations_can_be_told_in_conversation(tmp_path: Path) -> None:
    rows = [{"subject": f"Mira {n}", "relation": "once outran", "object": f"goose {n}"} for n in range(20)]
    facts = read_facts(write(tmp_path / "f.json", rows), 0)
    stream = plan_stream(facts, 2, 10, "conversation", talk=False)
    assert len(stream.changed) == 2
    assert {t.channel for t in stream.tellings} == {"note"}
    for telling in stream.tellings:
        assert f"once outran {telling.object}" in telling.text


def test_the_newest_of_two_statements_counts(tmp_path: Path) -> None:
    rows = [
        {"subject": "Mira", "relation": "lives in", "object": "Oakmere"},
        {"subject": "Joss", "relation": "lives in", "object": "Lund"},
        {"subject": "Mira", "relation": "lives in", "object": "Brask"},
    ]
    stream: Stream = plan_stream(read_facts(write(tmp_path / "f.json", rows), 0), 3, 1)
    assert [stream.expected(0, night) for night in range(4)] == ["Oakmere", "Oakmere", "Oakmere", "Brask"]
    assert stream.expected(2, 3) == "Brask" and stream.stale(0, 3) == ("Oakmere",)
    assert stream.changed == {0, 2}


def test_unrelated_prompts_are_the_benchmarks_own() -> None:
    assert len(set(PROMPTS)) == 50
    product = [words(one.prompt) for one in (*anchors(), *unrelated(), *instructions())]
    for prompt in PROMPTS:
        mine = words(prompt)
        assert max(len(mine & other) / len(mine | other) for other in product) < 0.75, prompt
    names = plan_stream(invent(500, 0), 10, 50).names()
    assert not any(intruders(prompt, "", "", names) for prompt in PROMPTS)


def test_intruders_are_names_that_only_the_new_answer_has() -> None:
    names = ("Oakmere", "Zoltan Vireo", "teal")
    assert intruders("Ask Zoltan Vireo in Oakmere.", "Ask in Oakmere.", "", names) == ("Zoltan Vireo",)
    assert intruders("Oakmeres steal.", "", "", names) == ()
    assert intruders("Teal it is.", "", "Is teal a color?", names) == ()
