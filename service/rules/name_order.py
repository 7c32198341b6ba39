"""The order in which people look for a name in a list: the Ukrainian alphabet first, then the Latin one.

It is what ICU's collation `uk` gives (CLDR): spaces and signs before figures, figures before letters, Cyrillic before
Latin; capitals and accents count only between names that are alike without them. A function of ours, because PostgreSQL
has that collation only where it was built with ICU, and the one that comes as a package was not.
"""

# ruff: noqa: RUF001 - letters of several alphabets, side by side

import unicodedata
from functools import lru_cache

_CYRILLIC = {
    letter: place for place, letter in enumerate("абвгґдђеєжзѕиіїйјклљмнњопрстћуфхцчџшщъыьэюя")
}  # with the letters of neighbours where CLDR has them
_BASES = {"ё": "е", "ў": "у", "ѓ": "г", "ќ": "к"}  # in Ukrainian these are letters with a mark
_APART = {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ß": "ss", "æ": "ae", "œ": "oe", "ı": "i"}
_APOSTROPHES = frozenset("'\u2018\u2019\u02bc\u02b9`\u00b4")
_SIGNS = "_-,;:!?.'\"()[]{}@*/\\&#%^+<=>|~$"  # in CLDR's order; others come after them
_SPACE, _SIGN, _FIGURE, _UKRAINIAN, _LATIN, _OTHER = range(6)

Key = tuple[tuple[tuple[int, int], ...], tuple[int, ...], str]


def key(name: str) -> Key:
    """Give what to sort by, so that names alike but for case or accents stand side by side, small letters first."""
    text = unicodedata.normalize("NFC", name)
    folded = text.casefold()
    weights = tuple(weight for char in folded for weight in _weights(char))
    marks = tuple(len(unicodedata.normalize("NFD", char)) + (char in _APART) for char in folded)
    return weights, marks, text.swapcase()


@lru_cache(maxsize=4096)
def _weights(char: str) -> tuple[tuple[int, int], ...]:
    """Give the weights of one character in small letters: none for a mark, two for a letter that stands for two."""
    char = _BASES.get(char, char)
    if char in _CYRILLIC:
        return ((_UKRAINIAN, _CYRILLIC[char]),)
    if char in _APOSTROPHES:
        return ((_SIGN, _SIGNS.index("'")),)
    weights = []
    for base in _APART.get(char) or unicodedata.normalize("NFKD", char):
        category = unicodedata.category(base)
        if base.isspace():
            weights.append((_SPACE, 0))
        elif category in {"Nd", "Nl", "No"}:
            weights.append((_FIGURE, int(unicodedata.numeric(base, 0))))
        elif category[0] == "L":
            weights.append((_LATIN if base.isascii() else _OTHER, ord(base)))
        elif category[0] in "PS":
            weights.append((_SIGN, _SIGNS.index(base) if base in _SIGNS else ord(base)))
    return tuple(weights)
