"""Invented names: people, places, firms, tools, and whatever facts say about them.

Made from syllables, each only once, so that no model can know them and no two facts share one. Everything
follows from the random generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from benchmarks.relations import Kind

_ONSETS = ("b", "br", "d", "dr", "f", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "r", "s", "t", "tr",
           "v", "w", "z", "sk", "bl")  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("l", "n", "r", "s", "m", "k", "x", "rn", "nd", "lt", "v")
_FIRST = (
    "Adela", "Anton", "Berta", "Casimir", "Cleo", "Dario", "Edda", "Elias", "Fenna", "Florian", "Greta",
    "Hakon", "Ilse", "Ivo", "Jarek", "Juna", "Kaspar", "Katinka", "Leander", "Lioba", "Marit", "Milo",
    "Nadia", "Nils", "Odile", "Orson", "Petra", "Quentin", "Rasmus", "Rosalind", "Selma", "Silas", "Tamsin",
    "Tobias", "Ulla", "Viktor", "Wanda", "Xenia", "Yannick", "Zora",
)  # fmt: skip
_TOWN_ENDS = ("ford", "mere", "holt", "by", "stead", "wick", "haven", "dale", "burgh", "moor")


class Names:
    """A source of names that never gives the same one twice."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._used: set[str] = set()

    def subject(self, kind: Kind) -> str:
        """A name for a subject."""
        match kind:
            case "person":
                return self._fresh(lambda: f"{self._random.choice(_FIRST)} {self._word(2)}")
            case "village":
                return self._fresh(lambda: f"{self._word(1)}{self._random.choice(_TOWN_ENDS)}")
            case "firm":
                return self._fresh(lambda: f"{self._word(2)} Works")
            case "ship":
                return self._fresh(lambda: f"MS {self._word(3)}")
            case "tool":
                return self._fresh(lambda: self._word(2).lower())
            case "project":
                return self._fresh(lambda: f"Project {self._word(2)}")

    def object(self, maker: str) -> str:
        """A name, number or option for an object; `maker` as in `Relation.objects`."""
        makers: dict[str, Callable[[], str]] = {
            "town": lambda: f"{self._word(1)}{self._random.choice(_TOWN_ENDS)}",
            "pet": lambda: self._word(2),
            "spouse": lambda: f"{self._random.choice(_FIRST)} {self._word(2)}",
            "make": lambda: f"{self._word(2)}a",
            "river": lambda: f"{self._word(2)}e",
            "island": lambda: f"{self._word(2)}oy",
            "year": lambda: str(self._random.randint(1921, 2009)),
            "digits": lambda: str(self._random.randint(1000, 9999)),
            "option": lambda: f"--{self._word(2).lower()}",
            "file": lambda: f"{self._word(2).lower()}.{self._random.choice(('toml', 'ini', 'conf', 'yaml'))}",
            "code": lambda: str(self._random.randint(11, 119)),
            "branch": lambda: self._word(2).lower(),
            "prefix": lambda: self._word(1).upper(),
        }
        make = makers[maker]
        # years and exit codes are few, so two facts may share one
        return make() if maker in ("year", "code") else self._fresh(make)

    def _word(self, syllables: int) -> str:
        pick = self._random.choice
        parts = [pick(_ONSETS) + pick(_VOWELS) for _ in range(syllables)]
        return ("".join(parts) + pick(_CODAS)).capitalize()

    def _fresh(self, make: Callable[[], str]) -> str:
        while True:
            name = make()
            # a name inside another one would make "contains the answer" say yes by accident
            words = {word.casefold() for word in name.split()} - _COMMON
            if not words & self._used:
                self._used |= words
                return name


_COMMON = frozenset(word.casefold() for word in (*_FIRST, "ms", "works", "project"))
