"""Which specialty is meant by what somebody types: names in both languages, synonyms, the tree, other spellings.

Everything is compared in one folded form, in which Cyrillic letters are Latin ones and what people spell in several
ways is the same: `kardiologia`, `kardiolohiia`, `кардіологія`; `ENT`, `oftalmo`, `ophthalmo`.
"""

# ruff: noqa: RUF001 - half of the letters are Cyrillic

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

MOST_WORDS = 8
"""Of what is typed; a name has no more."""
_INNER_FROM, _TYPO_FROM = 4, 5  # letters: shorter ones are in too many words


Words = tuple[str, ...]


class Specialty(NamedTuple):
    """A specialty as it is looked for."""

    code: str
    parent: str | None
    name_en: str
    name_uk: str


# Ukrainian letters as the passport office writes them, and the four that only Russian has.
_LATIN = str.maketrans({
    "а": "a", "б": "b", "в": "v", "г": "h", "ґ": "g", "д": "d", "е": "e", "є": "ie", "ж": "zh", "з": "z", "и": "y",
    "і": "i", "ї": "i", "й": "i", "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s",
    "т": "t", "у": "u", "ф": "f", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ь": "", "ю": "iu",
    "я": "ia", "ё": "e", "ъ": "", "ы": "y", "э": "e",
})  # fmt: skip
# What sounds the same is written the same; in this order.
_ALIKE = (
    ("ph", "f"), ("th", "t"), ("ae", "e"), ("oe", "e"), ("ck", "k"), ("c", "k"), ("q", "k"), ("x", "ks"), ("w", "v"),
    ("h", "g"), ("y", "i"), ("j", "i"),
)  # fmt: skip
_TWICE = re.compile(r"(.)\1+")
_WORD = re.compile(r"[^\W_]+")
_JOINING = re.compile("['\u2019\u02bc`-]")  # no gap: `x-ray` and `xray` are one word


def fold(word: str) -> str:
    """Write the word as all its spellings are written."""
    plain = unicodedata.normalize("NFC", word.casefold()).translate(_LATIN)
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(sign))
    for spelled, written in _ALIKE:
        plain = plain.replace(spelled, written)
    return _TWICE.sub(r"\1", plain)


def words(text: str) -> Words:
    """Give the folded words of a text."""
    return tuple(folded for word in _WORD.findall(_JOINING.sub("", text)) if (folded := fold(word)))


class _Texts(NamedTuple):
    """What is known of one specialty, folded: names, synonyms, and the names of what stands above it."""

    names: Sequence[Words]
    synonyms: Sequence[Words]
    above: Sequence[Words]


class Index:
    """The specialties, ready to be looked through."""

    def __init__(self, specialties: Iterable[Specialty], synonyms: Mapping[str, Sequence[str]]) -> None:
        """Fold every name and synonym once; `synonyms` are by code."""
        rows = {row.code: row for row in specialties}
        names = {code: [words(row.name_en), words(row.name_uk)] for code, row in rows.items()}
        self._texts = {
            code: _Texts(
                names[code],
                [words(each) for each in synonyms.get(code, ())],
                [name for above in _above(code, rows) for name in names[above]],
            )
            for code in rows
        }
        self._known = {word for of_one in self._texts.values() for texts in of_one for text in texts for word in text}

    def find(self, typed: str) -> list[str]:
        """Give the codes of the specialties that may be meant, the likeliest first; none for an empty text.

        Each typed word must be found: in a name, in a synonym, or in the name of what stands above it in the tree.
        Slips are forgiven only where nothing is found without.
        """
        asked = words(typed)[:MOST_WORDS]
        return self._find(asked, _far) or self._find(asked, _far_with_slips) if asked else []

    def _find(self, asked: Words, far: Callable[[str, str], int | None]) -> list[str]:
        near = [{known: at for known in self._known if (at := far(word, known)) is not None} for word in asked]
        ranked = ((_distance(asked, near, texts), code) for code, texts in self._texts.items())
        return [code for _, code in sorted((at, code) for at, code in ranked if at is not None)]


def _distance(asked: Words, near: Sequence[Mapping[str, int]], of_one: _Texts) -> tuple[int, int] | None:
    """Say how far the specialty is from what was asked, and how much its name says; None if it is not meant.

    `near` says of each asked word which words are meant by it, and how far they are.
    """
    said = min(sum(map(len, name)) for name in of_one.names)
    if asked in of_one.names:
        return 0, said
    if asked in of_one.synonyms:
        return 1, said
    total = 0
    for meant in near:
        found = [
            2 + _PLACE_APART * place + meant[word]
            for place, texts in enumerate(of_one)
            for text in texts
            for word in text
            if word in meant
        ]
        if not found:
            return None
        total += min(found)
    return total, said


def _above(code: str, rows: Mapping[str, Specialty]) -> Iterable[str]:
    parent = rows[code].parent
    while parent is not None and parent in rows:
        yield parent
        parent = rows[parent].parent


_PLACE_APART = 3


def _far(word: str, known: str) -> int | None:
    """Say how a typed word stands to a known one: the same, its beginning, inside it; None if it is another."""
    if word == known:
        return 0
    if known.startswith(word):
        return 1
    return 2 if len(word) >= _INNER_FROM and word in known else None


def _far_with_slips(word: str, known: str) -> int | None:
    far = _far(word, known)
    return 3 if far is None and len(word) >= _TYPO_FROM and _is_slip(word, known) else far


def _is_slip(word: str, known: str) -> bool:
    """Tell whether the typed word is the known one's beginning but for one letter: more, missing, other, or swapped."""
    at = next((at for at, pair in enumerate(zip(word, known, strict=False)) if pair[0] != pair[1]), None)
    if at is None:
        return len(word) == len(known) + 1  # `known` goes on in what was typed
    typed, meant = word[at:], known[at:]
    return (
        meant.startswith(typed[1:])  # one more
        or meant[1:].startswith(typed)  # one missing
        or meant[1:].startswith(typed[1:])  # another
        or (meant[:2] == typed[1::-1] and meant[2:].startswith(typed[2:]))  # two swapped
    )
