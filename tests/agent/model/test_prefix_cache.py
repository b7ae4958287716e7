"""What the prefix cache lends and keeps."""

from __future__ import annotations

import torch

from agent.model.prefix_cache import PrefixCache, Sequence, shared_prefix


def fill(sequence: Sequence, tokens: list[int]) -> Sequence:
    """Stand in for the model: one layer whose keys are the tokens themselves."""
    states = torch.tensor(tokens, dtype=torch.float32).view(1, 1, -1, 1)
    sequence.cache.update(states, -states, 0)
    sequence.tokens.extend(tokens)
    return sequence


def held(sequence: Sequence) -> list[int]:
    layer = sequence.cache.layers[0]
    keys = layer.keys[0, 0, : layer.length, 0].tolist()
    assert (-layer.values[0, 0, : layer.length, 0]).tolist() == keys
    assert keys == sequence.tokens
    return [int(key) for key in keys]


def test_grows_across_many_appends_and_keeps_everything() -> None:
    sequence = Sequence(1)
    for start in range(0, 3000, 7):
        fill(sequence, list(range(start, start + 7)))
    assert held(sequence) == list(range(3003))


def test_lends_the_longest_shared_prefix_but_never_the_whole_prompt() -> None:
    cache = PrefixCache(1)
    cache.put(fill(cache.take("", [0]), list(range(100))))
    assert held(cache.take("", list(range(100)))) == list(range(99))


def test_a_branch_leaves_the_long_conversation_untouched() -> None:
    cache = PrefixCache(1)
    cache.put(fill(cache.take("", [0]), list(range(500))))
    branch = cache.take("", [*range(50), 9999, 9998])
    assert held(branch) == list(range(50))
    cache.put(fill(branch, [9999]))
    assert held(cache.take("", [*range(500), 7])) == list(range(500))


def test_what_is_lent_is_lent_once() -> None:
    cache = PrefixCache(1)
    cache.put(fill(cache.take("", [0]), list(range(100))))
    first = cache.take("", list(range(101)))
    assert len(first) == 100
    assert len(cache.take("", list(range(101)))) == 0


def test_other_weights_share_nothing() -> None:
    cache = PrefixCache(1)
    cache.put(fill(cache.take("a", [0]), list(range(100))))
    assert len(cache.take("b", list(range(101)))) == 0
    assert len(cache.take("", list(range(101)))) == 0
    assert len(cache.take("a", list(range(101)))) == 100


def test_least_recently_used_goes_first_by_number_and_by_memory() -> None:
    cache = PrefixCache(1, sequences=2)
    for base in (1000, 2000, 3000):
        cache.put(fill(cache.take("", [0]), list(range(base, base + 50))))
    assert len(cache.take("", [*range(1000, 1050), 1])) == 0
    assert len(cache.take("", [*range(3000, 3050), 1])) == 50
    small = PrefixCache(1, max_bytes=1)
    for base in (1000, 2000):
        small.put(fill(small.take("", [0]), list(range(base, base + 50))))
    assert len(small.take("", [*range(2000, 2050), 1])) == 50


def test_an_aborted_pass_is_cut_away() -> None:
    cache = PrefixCache(1)
    sequence = fill(cache.take("", [0]), list(range(50)))
    sequence.cache.update(torch.zeros(1, 1, 5, 1), torch.zeros(1, 1, 5, 1), 0)
    cache.put(sequence)
    assert held(cache.take("", [*range(50), 1])) == list(range(50))


def test_shared_prefix() -> None:
    assert shared_prefix([], [1]) == 0
    assert shared_prefix([1, 2, 3], [1, 2]) == 2
    assert shared_prefix([1, 2, 3], [1, 5, 3]) == 1
