"""Telephone numbers, however their digits are grouped.

The digits of a text are read once as groups; a number is some groups in a row that begin and end where groups do, with
short gaps between them. Whether one of so many digits begins at a group is looked up, so each group costs the same.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

_GROUP = re.compile(r"\d+")
_POINTS = (".", ",", ":")
_GAP = re.compile(r"[ ./_*~,;:|\n\u00b7\u2022'()-]+")
_RARE = frozenset(
    ",;:|\n"
)  # between groups of one number only if its code is whole: else these part measures and hours
_WIDEST = 4  # signs between two groups of one number
_ABROAD = range(15, 7, -1)  # digits of a number with its country: 15 at most (E.164), the longer the better

_MOBILE = "39 50 63 66 67 68 70 73 75 77 89 91 92 93 94 95 96 97 98 99"
_TOWNS = "31 32 33 34 35 36 37 38 41 43 44 45 46 47 48 51 52 53 54 55 56 57 58 61 62 64 65 69 80"
_UKRAINIAN = frozenset(f"{_MOBILE} {_TOWNS}".split())
"""The two digits that follow the nought of a Ukrainian number."""
_AT_HOME = re.compile(r"(0038|38|8|)0(\d\d)\d{7}")
_MOBILE_ELSEWHERE = ((11, re.compile("01[567]|07[1-9]")), (12, re.compile("01[567]")))  # German and British
_LENGTHS = {"380": 12, "33": 11, "370": 11, "48": 11, "1": 11, "998": 12, "7": 11, "44": 12}
"""How many digits a number abroad has with the code of its country; others have whatever stands there."""
_FROM_00 = re.compile("00[1-9]")
_COUNTRY = re.compile(r"380|370|998|33|44|48|1|7")

_AMERICAN = re.compile(r"(?<![\d.,-])(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\d-]|[.,]\d)")
_NAMED = re.compile(
    r"\b(?i:тел(?:ефон\w{0,3}|еф)?\b|моб(?:ільн\w{2,3}|ильн\w{2,3})?\b|вайбер\w{0,2}|вотсап\w{0,2}|телеграм\w{0,2}"
    r"|дзвон\w{1,4}"
    r"|зателефон\w{1,5}|подзвон\w{1,4}|звон\w{1,3}|позвон\w{1,4}|phone|mobile|viber|whatsapp|telegram|tel\b"
    r"|telefon\w{0,3}|handy"
    r"|mobil\b|fax|rückruf|téléphone|tél\b|portable :|gsm\b|joignable|cell(?: ?phone|:)|call(?: him| her| them"
    r"| back)?\b"
    r"|reached|appeler|anrufen|контакт\w{0,4}|zadzwoni\w|telefonas)[^\d\n]{0,20}(?=\d)"
)
_SHORTEST_NAMED = 6
_MOMENT = re.compile(
    r"\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\d{1,2}-\d{1,2}-\d{4}\b|\d{4}-\d\d-\d\d\b|\d{1,2}[:.]\d\d\b(?![ .-]?\d\d)"
)


@dataclass(frozen=True, slots=True)
class _Groups:
    """The groups of digits of a text."""

    text: str
    places: Sequence[tuple[int, int]]
    digits: str
    """All of them in a row; group `n` begins there at `offsets[n]`."""
    offsets: Sequence[int]
    by_end: Mapping[int, int]
    """The group that ends at an offset."""
    gaps_too_wide: Sequence[int]
    """How many gaps before a group are too wide for one number."""

    def last(self, first: int, count: int) -> int | None:
        """Give the group that ends `count` digits after `first` begins, if all between may be one number."""
        last = self.by_end.get(self.offsets[first] + count)
        return last if last is not None and self.gaps_too_wide[last] == self.gaps_too_wide[first] else None

    def gaps(self, first: int, last: int) -> list[str]:
        return [self.text[left[1] : right[0]] for left, right in pairwise(self.places[first : last + 1])]

    def lengths(self, first: int, last: int) -> list[int]:
        return [end - start for start, end in self.places[first : last + 1]]


def _read(text: str) -> _Groups:
    places = [match.span() for match in _GROUP.finditer(text)]
    offsets = [0, *accumulate(end - start for start, end in places)]
    wide = (
        right[0] - left[1] > _WIDEST or not _GAP.fullmatch(text, left[1], right[0]) for left, right in pairwise(places)
    )
    return _Groups(
        text,
        places,
        "".join(text[start:end] for start, end in places),
        offsets,
        {offset: number for number, offset in enumerate(offsets[1:])},
        [0, *accumulate(wide)],
    )


def find(text: str) -> Iterator[tuple[int, int]]:
    """Give the half-open places of telephone numbers in a plain text."""
    groups, taken = _read(text), 0
    for first, (start, _) in enumerate(groups.places):
        if start < taken:
            continue  # inside the number before
        before = text[max(0, start - 3) : start]
        if before[-1:] in _POINTS and before[-2:-1].isdigit():
            continue  # the rest of a decimal, the minutes of an hour
        plus = before.rfind("+") + 1 if not before.rpartition("+")[2].strip(" (") else 0
        last = _abroad(groups, first) if plus else None
        last = _at_home(groups, first) if last is None else last
        if last is not None:
            opening = start - len(before) + plus - 1 if plus else start - before.endswith("(")
            taken = groups.places[last][1]
            yield opening, taken
    yield from (match.span() for match in _AMERICAN.finditer(text))
    yield from _named(groups)


def _abroad(groups: _Groups, first: int) -> int | None:
    """Find the last group of a number with a plus before it."""
    text, start = groups.text, groups.places[first][0]
    if text[start] == "0" or (text[start - 1] == " " and not text.startswith("38", start)):
        return None
    country = _COUNTRY.match(groups.digits, groups.offsets[first])
    for count in (_LENGTHS[country.group()] if country else 15, *_ABROAD):
        last = groups.last(first, count)
        if last is not None and not _is_measure(groups, first, last):
            return last
    return None


def _is_measure(groups: _Groups, first: int, last: int) -> bool:
    """Tell whether what follows the plus is rather measures, such as "+38.5, 120/80"."""
    gaps = groups.gaps(first, last)
    is_decimal = gaps[:1] == ["."] and groups.lengths(first, last)[1] == 1 and len(set(gaps)) > 1
    return is_decimal or any(_RARE & set(gap) for gap in gaps)


def _at_home(groups: _Groups, first: int) -> int | None:
    """Find the last group of a number as it is dialled in the country, or after 00."""
    at, (start, end) = groups.offsets[first], groups.places[first]
    if groups.digits[at] not in "038":
        return None
    match = _AT_HOME.match(groups.digits, at)
    last = groups.last(first, match.end() - at) if match else None
    if match and last is not None:
        if match[2] in _UKRAINIAN and _is_grouped(groups, first, last, len(match[1])):
            return last
        if not match[1] and end - start == 2 and _is_in_pairs(groups, first, last):  # noqa: PLR2004
            return last
    if end - start > 3:  # noqa: PLR2004 - a code, which is not torn
        for count, code in _MOBILE_ELSEWHERE:
            last = groups.last(first, count)
            if last is not None and code.match(groups.digits, at):
                return last
    if _FROM_00.match(groups.digits, at) and end - start > 1:
        return next((last for count in _ABROAD if (last := groups.last(first, count + 2)) is not None), None)
    return None


def _is_grouped(groups: _Groups, first: int, last: int, nought_at: int) -> bool:
    """Tell a number from a list of measures: "0 67 …" from "0 5 10 …"; `nought_at` digits stand before its nought."""
    lengths, gaps = groups.lengths(first, last), groups.gaps(first, last)
    if lengths[0] >= nought_at + 3:  # the code is not torn: 067 …, 38067 …
        return True
    if any(_RARE & set(gap) for gap in gaps):
        return False
    if set(lengths) == {1}:
        return True
    if lengths[0] == nought_at + 1:  # 0 67 …, 380 67 …
        return lengths[1] > 1 and "." not in gaps[0]
    if lengths[0] <= nought_at:  # 38 067 …, 3 80 67 …
        return True
    return len(set(gaps)) == 1  # 06 71 …


def _is_in_pairs(groups: _Groups, first: int, last: int) -> bool:
    gaps = set(groups.gaps(first, last))
    return set(groups.lengths(first, last)) == {2} and len(gaps) == 1 and gaps <= {" ", ".", "-"}


def _named(groups: _Groups) -> Iterator[tuple[int, int]]:
    """Give numbers that are known by the word before them alone, such as local ones and those of other countries."""
    by_start = {start: number for number, (start, _) in enumerate(groups.places)}
    for match in _NAMED.finditer(groups.text):
        if _MOMENT.match(groups.text, match.end()):
            continue  # when to call
        first = by_start[match.end()]
        lasts = (groups.last(first, count) for count in range(_ABROAD.start, _SHORTEST_NAMED - 1, -1))
        last = next((last for last in lasts if last is not None), None)
        if last is not None:
            yield match.end(), groups.places[last][1]
