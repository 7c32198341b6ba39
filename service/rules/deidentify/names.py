"""Names of persons: by patronymic, initials, given name, or the word before them; one pass over the words of a text.

What has none of these is not found: most surnames alone, nicknames, call signs.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.rules.deidentify import name_words

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019\u02bc-][^\W\d_]+)*\.?")
_LONGEST = 40  # letters; longer than any name
_SHORTEST = 3
_SHORT = 5  # letters; a patronymic has more
_LONG_PATRONYMIC = 7  # letters; shorter words that end so may be adjectives
_MOST_TOGETHER = 4  # surname, two given names, patronymic
_NEAR = frozenset(["", " ", "  "])
_JOINED = _NEAR | {", "}
_AFTER_MARKER = re.compile(r"[ :,\u00ab\u201c\"(-]{1,4}")
_PERSON, _TITLE, _EPONYM = (
    re.compile(words, re.IGNORECASE) for words in (name_words.PERSONS, name_words.TITLES, name_words.EPONYMS)
)
_DOSE = re.compile(r"\s{0,2}\d")


class _Word(NamedTuple):
    start: int
    end: int
    """Without a full stop."""
    small: str
    """In small letters."""
    is_large: bool
    """It begins with a capital, as a name does."""
    is_shouted: bool
    """It is all capitals."""
    has_stop: bool
    """A full stop follows at once."""

    @property
    def is_initial(self) -> bool:
        return self.has_stop and self.is_large and len(self.small) == 1

    @property
    def may_be_name(self) -> bool:
        """Large, no initial, no abbreviation, and none of the words that begin a sentence or a title."""
        is_short = self.is_shouted and self.small not in name_words.GIVEN_NAMES
        is_long = len(self.small) >= (_SHORTEST + 2 if is_short else _SHORTEST)
        return self.is_large and is_long and self.small not in name_words.NO_NAMES


def find(text: str) -> Iterator[tuple[int, int]]:
    """Give the half-open places of names in a plain text."""
    words = [_word(match) for match in _WORD.finditer(text)]
    is_name = bytearray(len(words))
    for number, word in enumerate(words):
        if word.is_large or (len(word.small) > _SHORT and word.small.endswith(name_words.MALE_PATRONYMICS)):
            for member in _Reader(text, words, number).names():
                is_name[member] = 1
    yield from _joined(text, words, is_name)


def _word(match: re.Match[str]) -> _Word:
    written = match.group()
    bare = written.removesuffix(".")
    is_large = bare[0].isupper()
    return _Word(
        match.start(), match.start() + len(bare), bare[:_LONGEST].casefold(), is_large, bare.isupper(), bare != written
    )


def _joined(text: str, words: Sequence[_Word], is_name: bytearray) -> Iterator[tuple[int, int]]:
    """Give names that stand side by side as one."""
    start: int | None = None
    for number, word in enumerate(words):
        if not is_name[number]:
            continue
        start = word.start if start is None else start
        end = word.end + word.is_initial
        goes_on = number + 1 < len(words) and is_name[number + 1] and text[end : words[number + 1].start] in _JOINED
        if not goes_on:
            yield start, end
            start = None


@dataclass(frozen=True, slots=True)
class _Reader:
    """One word with what stands around it."""

    text: str
    words: Sequence[_Word]
    number: int

    def names(self) -> Sequence[int]:
        """Give which words are a name because of this one."""
        word = self.words[self.number]
        if word.is_initial:
            return self._with_initials()
        if word.small.endswith(name_words.MALE_PATRONYMICS):
            return self._with_patronymic(is_certain=word.is_large)
        if word.small.endswith(name_words.FEMALE_PATRONYMICS) and not word.small.startswith(name_words.NO_PATRONYMICS):
            is_long = len(word.small) >= _LONG_PATRONYMIC and not word.small.endswith(name_words.LIKE_ADJECTIVES)
            return self._with_patronymic(is_certain=is_long)
        if not word.may_be_name or self._is_eponym(self.number):
            return ()
        pair = self._with_given_name() if name_words.GIVEN_NAMES.issuperset(word.small.split("-")) else ()
        is_sure = word.small.endswith(name_words.SURELY_SURNAMES) and not word.small.startswith(name_words.NO_SURNAMES)
        alone = (self.number,) if is_sure else ()
        return pair or alone or self._after_marker()

    def _at(self, number: int) -> _Word | None:
        return self.words[number] if 0 <= number < len(self.words) else None

    def _are_near(self, number: int) -> bool:
        """Tell whether a word and the next one stand side by side, in one sentence."""
        left, right = self._at(number), self._at(number + 1)
        if not left or not right or (left.has_stop and not left.is_initial):
            return False
        return self.text[left.end + left.has_stop : right.start] in _NEAR

    def _is_surname(self, number: int) -> bool:
        word = self._at(number)
        return word is not None and word.may_be_name and not self._is_marker(number) and not self._is_eponym(number)

    def _is_marker(self, number: int) -> bool:
        small = self.words[number].small
        return bool(_PERSON.fullmatch(small) or _TITLE.fullmatch(small))

    def _is_eponym(self, number: int) -> bool:
        """Tell whether a disease, a method or a house is named here."""
        before = self._at(number - 1)
        if before and _EPONYM.fullmatch(before.small):
            return True
        after = self.words[number : number + 4]
        return any(word.small in name_words.AFTER_EPONYMS for word in after)

    def _with_initials(self) -> Sequence[int]:
        """Two initials with a surname before or after them; with one, only what is like a surname."""
        first = last = self.number
        if self._are_near(first - 1) and self.words[first - 1].is_initial:
            return ()  # read from the first initial on
        while self._are_near(last) and self.words[last + 1].is_initial and last - first < 2:  # noqa: PLR2004
            last += 1
        if (
            self._is_eponym(first)
            or "".join(word.small for word in self.words[first : last + 1]) in name_words.NO_INITIALS
        ):
            return ()
        for place, is_near in ((first - 1, self._are_near(first - 1)), (last + 1, self._are_near(last))):
            if is_near and self._is_surname(place):
                is_sure = self.words[place].small.endswith(name_words.SURELY_SURNAMES + name_words.OFTEN_SURNAMES)
                if last > first or is_sure:
                    return range(min(first, place), max(last, place) + 1)
        return self._after_marker() if self._are_near(last) and self._is_surname(last + 1) else ()

    def _with_patronymic(self, *, is_certain: bool) -> Sequence[int]:
        """A given name and a patronymic, with the surname on either side."""
        first = last = self.number
        while self._are_near(first - 1) and last - first < 2 and self._is_part(first - 1):  # noqa: PLR2004
            first -= 1
        is_called = self._are_near(first - 1) and self._is_marker(first - 1)
        if not (is_certain or first < last or is_called):
            return ()
        if self._are_near(last) and self._is_surname(last + 1):
            last += 1
        return range(first, last + 1)

    def _is_part(self, number: int) -> bool:
        word = self.words[number]
        return word.is_initial or self._is_surname(number) or word.small in name_words.GIVEN_NAMES

    def _with_given_name(self) -> Sequence[int]:
        """A given name with a surname before or after it."""
        at = self.number
        if self._are_near(at) and self._is_surname(at + 1):
            return (at, at + 1)
        before = self.text[self.words[at - 1].end : self.words[at].start] if at else None
        if (before == ", " or self._are_near(at - 1)) and self._is_surname(at - 1):
            return (at - 1, at)
        return ()

    def _after_marker(self) -> Sequence[int]:
        """What follows "patient", "Mrs", "прізвище"."""
        at = self.number
        before = self._at(at - 1)
        while before and before.small in name_words.DEGREES:
            at -= 1
            before = self._at(at - 1)
        if not before or not (self._is_marker(at - 1) or before.small == "name"):
            return ()
        if not _AFTER_MARKER.fullmatch(self.text, before.end + before.has_stop, self.words[at].start):
            return ()
        run = [self.number]
        while len(run) < _MOST_TOGETHER and self._are_near(run[-1]) and self._may_follow(run[-1] + 1):
            run.append(run[-1] + 1)
        is_abbreviation = before.is_shouted and not before.has_stop and len(before.small) < _SHORTEST  # MR angiography
        is_label = before.small == "name" and self.text[before.end] == ":"
        is_title = is_label or (not is_abbreviation and _TITLE.fullmatch(before.small))
        return run if is_title or self._is_likely(run) else ()

    def _may_follow(self, number: int) -> bool:
        word = self.words[number]
        return word.may_be_name or word.is_initial

    def _is_likely(self, run: Sequence[int]) -> bool:
        """Tell a name after a person from a drug or a state: what is declined as surnames are from Meronem."""
        words = [self.words[number] for number in run]
        if any(word.small in name_words.GIVEN_NAMES for word in words):
            return True
        is_drug = any(word.small.endswith(name_words.DRUGS) for word in words)
        if (
            is_drug
            or _DOSE.match(self.text, words[-1].end)
            or any(word.is_shouted and not word.is_initial for word in words[1:])
        ):
            return False
        if len(words) > 1:
            return True
        around = self.words[run[0] + 1 : run[0] + 4]
        is_of_a_house = any(word.small.startswith(name_words.HOUSES) for word in around)
        does = bool(around) and around[0].small in name_words.WHAT_PATIENTS_DO and self._are_near(run[0])
        return (does or words[0].small.endswith(name_words.OFTEN_SURNAMES)) and not is_of_a_house
