"""Makes a text plain before it is searched: what nobody sees is taken out, each digit is an ASCII one.

A number with a soft hyphen or a zero-width space in it reads as if there were none, and so it is searched. One code
point becomes one or none, so that every find has a place in the text as typed.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

# What stays as it is and is not looked at: ASCII, Latin and Cyrillic letters, and a few signs.
_ODD = re.compile("[^\\n -~\u00c0-\u024f\u0400-\u0482\u048a-\u052f\u00b0\u00d7\u2019\u2116\u2026\u00ab\u00bb]")
_UNSEEN = frozenset(["Cf", "Mn", "Me"])  # zero-width signs, soft hyphens, marks that stand over the sign before
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")  # letters by their category, and drawn as nothing
_SPACES, _LINE_ENDS = frozenset(["Zs", "Cc"]), frozenset(["Zl", "Zp"])  # of the controls only the tab gets this far
_HYPHENS = frozenset("\u2212\u2043\u207b\u208b")  # signs that do the same and are no dashes by their category


@dataclass(frozen=True, slots=True)
class Folded:
    """A plain text, and for each of its code points the place in the text as typed; None if nothing was taken out."""

    text: str
    places: Sequence[int] | None

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Give `[start, end)` of the plain text as places in the text as typed."""
        return (start, end) if self.places is None else (self.places[start], self.places[end - 1] + 1)


def fold(text: str) -> Folded:
    """Give the text as it is searched."""
    pieces: list[str] = []
    places: list[int] = []
    at = 0
    for match in _ODD.finditer(text):
        plain = _plain(match.group())
        if plain:
            pieces += (text[at : match.start()], plain)
            places.extend(range(at, match.end()))
        else:
            pieces.append(text[at : match.start()])
            places.extend(range(at, match.start()))
        at = match.end()
    pieces.append(text[at:])
    places.extend(range(at, len(text)))
    return Folded("".join(pieces), places if len(places) < len(text) else None)


def _plain(char: str) -> str:
    category = unicodedata.category(char)
    if category in _UNSEEN or char in _BLANK_LETTERS:
        return ""
    if category in _SPACES:
        return " "
    if category in _LINE_ENDS:
        return "\n"
    if category == "Pd" or char in _HYPHENS:
        return "-"
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    compatible = unicodedata.normalize("NFKC", char)  # full-width and mathematical letters and signs
    return compatible if len(compatible) == 1 else char
