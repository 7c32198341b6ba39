"""A sentence for people with gaps in it: said in English where it arises, in any language where it is shown.

A verb that finds a fault does not know who will read it. So what it raises is an English text that remembers the
sentence it was made from and what filled the gaps; the catalogues have that sentence as a key.
"""

from collections.abc import Mapping
from typing import Self

Fact = str | int | tuple[str, ...]


class Sentence(str):
    """An English text, the sentence with gaps it was made from (`key`), and what fills them (`facts`)."""

    __slots__ = ("facts", "key")
    key: str
    facts: Mapping[str, Fact]

    def __new__(cls, key: str, /, **facts: Fact) -> Self:
        """Fill the gaps; several values fill one as a list with commas."""
        sentence = super().__new__(cls, key.format(**texts(facts)))
        sentence.key, sentence.facts = key, facts
        return sentence


def key(text: str) -> str:
    """Give the sentence with its gaps; a text without any is its own."""
    return text.key if isinstance(text, Sentence) else text


def facts(text: str) -> Mapping[str, Fact]:
    """Give what fills the gaps."""
    return text.facts if isinstance(text, Sentence) else {}


def texts(values: Mapping[str, Fact]) -> dict[str, str | int]:
    """Give the facts as they stand in a sentence."""
    return {name: ", ".join(value) if isinstance(value, tuple) else value for name, value in values.items()}
