"""Finds what in a free text could name a patient (invariant D3); the 422 that comes of it lists positions, never text.

Prefers a false alarm, which the clinician confirms, to a miss; but leaves alone what clinical text is full of:
pressures, doses, laboratory values, clock times and recent dates. The text is in NFC; positions are code points.
"""

# ruff: noqa: RUF001 - the patterns are made for Ukrainian text

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from service import vocabulary

_MONTHS = {
    stem: number
    for number, stems in enumerate(
        (
            "січ jan", "лют feb", "бер mar", "квіт apr", "трав may", "черв jun", "лип jul", "серп aug", "вер sep",
            "жовт oct", "лист nov", "груд dec",
        ),
        start=1,
    )
    for stem in stems.split()
}  # fmt: skip
_OLDEST_YEAR = 1900
# A full date may be a birth date if it is more than a year ago: dates in a consultation's last months are those of the
# injury, the operation, the scan. A younger patient's birth date is found by the word beside it.
_RECENT_DAYS = 366
_BESIDE = 30  # code points around a date in which a word of birth is looked for

_GAP = "[ \u00a0\u2009\u202f.\u2010-\u2013-]"
_EMAIL = re.compile(r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_BIRTH = re.compile(
    r"народ|уродж|\bд\.?\s?н\.?(?!\w)|\bд/н\b|\bр\.\s?н\.?|\bр/н\b|\bг\.\s?р\.?|\bd\.?o\.?b\b|\bborn\b|\bbirth",
    re.IGNORECASE,
)
_NUMERIC_DATE = re.compile(
    r"(?<![\d.,/-])(?:(?P<d>\d{1,2})(?P<s>[./-])(?P<m>\d{1,2})(?P=s)(?P<y>\d{4}|\d{2})"
    r"|(?P<y2>\d{4})(?P<s2>[./-])(?P<m2>\d{1,2})(?P=s2)(?P<d2>\d{1,2}))(?![\d/-]|[.,]\d)"
)
_WORDED_DATE = re.compile(
    r"(?<!\d)(?:(?P<d>\d{1,2})(?:st|nd|rd|th)?[\s-]{1,3}(?:of\s)?(?P<m>[^\W\d_]{3,10})\.?,?[\s-]{1,3}(?P<y>\d{4})"
    r"|(?P<m2>[^\W\d_]{3,10})\.?\s{1,3}(?P<d2>\d{1,2})(?:st|nd|rd|th)?,?\s{1,3}(?P<y2>\d{4}))(?!\d)"
)
_PASSPORT = re.compile(
    # The old booklet and the travel passport: two letters and six digits. The card: nine, or the register's number.
    r"(?<![^\W_])(?:[А-ЩЬЮЯЄІЇҐ]{2}|[A-Z]{2})[ \u00a0]?(?:№|N|No\.?)?[ \u00a0]?\d{6}(?!\d)"
    r"|(?<!\d)(?:19|20)\d{6}[-\u2010-\u2013]\d{5}(?!\d)"
    r"|(?i:паспорт|passport|\bid[ -]?(?:card|картк))[^\d\n]{0,25}\d{6,9}(?!\d)"
)
_PHONE = re.compile(
    rf"(?<![\d.,])(?:\+|00{_GAP}?)[1-9](?:{_GAP}?[()]?{_GAP}?\d){{7,14}}(?!\d)"
    rf"|(?<![\d.,])(?:3{_GAP}?8{_GAP}?)?\(?0\d{{2}}\)?{_GAP}{{0,2}}\d{{3}}{_GAP}?\d{{2}}{_GAP}?\d{{2}}(?!\d)"
    rf"|(?<![\d.,])(?:3?8{_GAP}?)?\(0\d{{2,4}}\)(?:{_GAP}?\d){{5,7}}(?!\d)"
    rf"|(?i:\bтел|\bмоб|\bphone|\bmobile|\bviber|\bwhatsapp)[^\d\n]{{0,20}}\d(?:{_GAP}?[()]?{_GAP}?\d){{5,14}}(?!\d)"
)
_LONG = re.compile(r"(?<!\d)(?<!\d[.,])\d{9,}(?!\d)|(?<!\d)\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?!\d)")
_TAX = re.compile(r"(?<!\d)(?<!\d[.,])\d{10}(?!\d)")
_TAX_WEIGHTS = (-1, 5, 7, 9, 4, 6, 10, 5, 7)
_PATTERNS: Mapping[vocabulary.PersonalData, re.Pattern[str]] = MappingProxyType({
    "email": _EMAIL,
    "passport": _PASSPORT,
    "phone": _PHONE,
    "long_number": _LONG,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """Where something was found: `[start, end)` in code points, and its kind, one of `vocabulary.PERSONAL_DATA`."""

    start: int
    end: int
    kind: vocabulary.PersonalData


def find(text: str, today: date) -> list[Span]:
    """Give what may name a patient, in order and without overlaps; `today` tells old dates from recent ones."""
    spans: list[Span] = []
    for span in sorted(_candidates(text, today), key=lambda s: (vocabulary.PERSONAL_DATA.index(s.kind), s.start)):
        if not any(span.start < other.end and other.start < span.end for other in spans):
            spans.append(span)
    return sorted(spans, key=lambda s: s.start)


def _candidates(text: str, today: date) -> Iterator[Span]:
    for kind, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            yield Span(match.start(), match.end(), kind)
    for match in _TAX.finditer(text):
        if has_check_digit(match.group()):
            yield Span(match.start(), match.end(), "tax_number")
    for match in (*_NUMERIC_DATE.finditer(text), *_WORDED_DATE.finditer(text)):
        if _is_birth_date(match, text, today):
            yield Span(match.start(), match.end(), "birth_date")


def has_check_digit(number: str) -> bool:
    """Tell whether ten digits are a РНОКПП: its last one follows from the others."""
    digits = [int(digit) for digit in number]
    return sum(d * w for d, w in zip(digits, _TAX_WEIGHTS, strict=False)) % 11 % 10 == digits[-1]


def _is_birth_date(match: re.Match[str], text: str, today: date) -> bool:
    is_named = _BIRTH.search(text, max(0, match.start() - _BESIDE), match.end() + _BESIDE // 2) is not None
    day = _read_date(match, today)
    if day is None or not date(_OLDEST_YEAR, 1, 1) <= day <= today:
        return False
    has_century = len(match["y"] or match["y2"]) > 2  # noqa: PLR2004 - 84 for 1984
    return is_named or (has_century and (today - day).days >= _RECENT_DAYS)


def _read_date(match: re.Match[str], today: date) -> date | None:
    year_text, month_text, day_text = match["y"] or match["y2"], match["m"] or match["m2"], match["d"] or match["d2"]
    month = int(month_text) if month_text.isdigit() else _month(month_text)
    year, day = int(year_text), int(day_text)
    if len(year_text) < 4:  # noqa: PLR2004 - 84 for 1984
        year += 2000 if year <= today.year % 100 else 1900
    for month_number, day_number in ((month, day), (day, month)):  # Americans put the month first
        try:
            return date(year, month_number, day_number)
        except ValueError:
            continue
    return None


def _month(word: str) -> int:
    word = word.casefold()
    return next((number for stem, number in _MONTHS.items() if word.startswith(stem)), 0)
