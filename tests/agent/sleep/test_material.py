"""The exam's material: enough of it, sound, and anchors that are no probes."""

from __future__ import annotations

import difflib
import re

import pytest

from agent.sleep import material
from skills.registry import builtin_registry


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def nearly_the_same(one: str, other: str) -> bool:
    """Near-duplicates: nearly the same characters, or nearly the same words in another order."""
    left, right = words(one), words(other)
    overlap = len(left & right) / max(1, len(left | right))
    if overlap < 0.3:
        return False
    return overlap > 0.8 or difflib.SequenceMatcher(None, one.casefold(), other.casefold()).ratio() > 0.9


def test_there_is_as_much_as_promised() -> None:
    assert len(material.instructions()) >= 60
    assert len(material.tool_probes()) >= 50
    assert len(material.unrelated()) >= 50
    assert len(material.anchors()) >= 300
    assert sum(anchor.tools for anchor in material.anchors()) >= 50


@pytest.mark.parametrize("kind", ["instructions", "tool_probes", "unrelated", "anchors"])
def test_nothing_stands_twice(kind: str) -> None:
    items = getattr(material, kind)()
    assert len({item.id for item in items}) == len(items)
    prompts = [item.prompt for item in items]
    for index, prompt in enumerate(prompts):
        assert not [other for other in prompts[:index] if nearly_the_same(prompt, other)]


def test_no_anchor_is_nearly_a_probe() -> None:
    found = [
        (anchor.prompt, probe)
        for anchor in material.anchors()
        for probe in material.prompts()
        if nearly_the_same(anchor.prompt, probe)
    ]
    assert found == []


def test_tool_probes_want_calls_that_exist() -> None:
    tools = {spec.name: spec for spec in builtin_registry().specs()}
    for probe in material.tool_probes():
        for right in probe.right:
            assert set(right.arguments) <= set(tools[right.name].parameters["properties"])
            for accepted in right.arguments.values():
                for value in accepted:
                    re.compile(value.removeprefix("~"))
