"""One cell of a file, read as a person meant it where there is one meaning; else the cell is Unreadable, in words.

Cells of a spreadsheet have types, those of text have none. Results are what the shapes of the API take: texts, whole
numbers, truths, days as `2026-12-31`, instants with their offset.
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from service.rules import file_tables
from service.rules.file_tables import Cell, Unreadable

NOT_A_DAY = "is no date: write 2026-12-31 or 31.12.2026"
WITH_A_TIME = "has a time of day, and a date is wanted: write 2026-12-31"
NO_SUCH_DAY = "there is no such date: write 2026-12-31 or 31.12.2026"
NO_DAY_NAMED = "names a month or a year, and a day is wanted: write 2026-12-31"
TWO_DAYS = "may be {first} or {second} (year-month-day): write it in this order"
READ_AS = "was read as {day}"
NOT_WHOLE = "is no whole number: write it as 1200"
NOT_A_TRUTH = "must be yes or no"
NOT_AN_INSTANT = "is no date with a time: write 2026-11-21 15:00+02:00"
NO_OFFSET = "does not say the offset from UTC: write 2026-11-21 15:00+02:00"
NOT_A_CLOCK = "is no time of day: write 07:30"

_BLANKS = "\u200b\ufeff \xa0\t\r\n\f\v\u2007\u202f\u3000"
_EPOCH, _EPOCH_1904 = date(1899, 12, 30), date(1904, 1, 1)
_DAY_MINUTES = 1440
_SERIALS = range(36_526, 109_575)  # of the years 2000 to 2199, counted from 1900
_DAY = re.compile(
    r"(?:(?P<y>\d{4})(?P<s>[-./])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})"
    r"|(?P<a>\d{1,2})(?P<sep>[-./])(?P<b>\d{1,2})(?P=sep)(?P<year>\d{4}|\d\d))",
    re.ASCII,
)
_NAMED_DAY = re.compile(
    r"(?P<d>\d{1,2})(?:-?го|st|nd|rd|th)?[. -]+(?P<month>[^\W\d_]+)[., -]+(?P<y>\d{4}|\d\d)", re.IGNORECASE
)
_NAMED_MONTH_FIRST = re.compile(
    r"(?P<month>[^\W\d_]+)[. ]+(?P<d>\d{1,2})(?:st|nd|rd|th)?,? (?P<y>\d{4})", re.IGNORECASE
)
_WEEKDAY = re.compile(r"^[^\W\d_]{2,9}\.?, ?(?=.*\d.*\d)")
_QUOTED_DAY = re.compile(r"^[«\"“„](\d{1,2})[»\"”“]")
_TEXT_SERIAL = re.compile(r"(\d{5,6})(?:[.,]0+)?", re.ASCII)
_MONTH_OR_YEAR = re.compile(r"\d{4}|\d{1,2}[./-]\d{4}|\d{4}[./-]\d{1,2}|[^\W\d_]+\.? \d{4}")
_SHORT_YEAR = re.compile(r"(?:.*\D)?\d{1,2}\D+\d\d", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2})[:.](\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)?", re.ASCII)
_HALF = re.compile(r"\s*([ap])\.?m\.?$", re.IGNORECASE)
_OFFSET = re.compile(
    r"(?P<rest>.*?\d)\s*"
    r"(?:(?P<utc>z|utc|gmt)|(?:utc|gmt)?(?P<sign>[+\-\u2212])(?P<h>\d\d?):?(?P<m>\d\d)?)",
    re.IGNORECASE,
)
_GROUPED = re.compile(r"\d{1,3}([ .,'])\d{3}(\1\d{3})*", re.ASCII)
_WHOLE = re.compile(r"(?P<whole>\d{1,15})(?:[.,]0*)?", re.ASCII)
_YEAR_END = re.compile(r"\s*(?:р\.|р|року|г\.)$", re.IGNORECASE)
_MIDNIGHT = re.compile(r"[ T]0?0:00(:00(\.0+)?)?$", re.ASCII)
_TIME = re.compile(
    r"[ T,]+\d{1,2}[:.]\d\d(?::\d\d(?:\.\d+)?)?\s*(?:Z|UTC|[+-]\d\d:?\d\d|[ap]\.?m\.?)?$", re.ASCII | re.IGNORECASE
)
_MONTHS = {
    stem: number
    for number, stems in enumerate(
        ("січ jan янв i", "лют feb фев ii", "бер mar мар iii", "кві apr апр iv", "тра may май мая v", "чер jun июн vi",
         "лип jul июл vii", "сер aug авг viii", "вер sep сен ix", "жов oct окт x", "лис nov ноя xi", "гру dec дек xii"),
        1,
    )
    for stem in stems.split()
}  # fmt: skip
_TRUTHS = {
    **dict.fromkeys(("yes", "true", "1", "y", "x", "х", "так", "т", "істина", "+", "✓", "v"), True),
    **dict.fromkeys(("no", "false", "0", "n", "ні", "н", "хибність", "-", "–", "—"), False),
}


def text(cell: Cell) -> str:
    """Give the cell as text without blanks around it: a number without a needless `.0`, a day as `2026-12-31`."""
    if isinstance(cell, str):
        return cell.strip(_BLANKS)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat()
    if isinstance(cell, time):
        return cell.isoformat(timespec="minutes")
    return "" if cell is None else str(cell)


def latin_digits(written: str) -> str:
    """Write every digit as a Latin one: `١٢` and `१२` are 12, as digits have one meaning in each script."""
    if written.isascii():
        return written
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in written)


def day(cell: Cell, *, is_1904: bool = False) -> str:
    """Give the day as `2026-12-31`; a number is a serial day of a spreadsheet, counted from 1900 or 1904."""
    if isinstance(cell, datetime):
        if cell.time() != time():
            raise Unreadable(WITH_A_TIME)
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _serial(cell, is_1904=is_1904)
    if isinstance(cell, time):
        raise Unreadable(WITH_A_TIME)
    written = _MIDNIGHT.sub("", _figures(cell))
    serial = _TEXT_SERIAL.fullmatch(written)
    if serial:
        return _serial(int(serial[1]), is_1904=is_1904)
    found = _day(written)
    if found is None:
        raise Unreadable(_why_no_day(written))
    return found.isoformat()


def is_guessed(cell: Cell) -> bool:
    """Tell whether a day was read of a text that somebody may have meant otherwise: a serial number, a short year."""
    if not isinstance(cell, str):
        return False
    written = _figures(cell)
    return bool(_TEXT_SERIAL.fullmatch(written) or (_SHORT_YEAR.fullmatch(written) and not written[:4].isdigit()))


def instant(cell: Cell) -> str:
    """Give the instant with its offset, as RFC 3339 has it."""
    if isinstance(cell, date | int | float) and not isinstance(cell, bool):
        raise Unreadable(NO_OFFSET)
    written = _figures(cell)
    found = _OFFSET.fullmatch(written)
    if found is None or (found["sign"] and ":" not in found["rest"]):
        raise Unreadable(NO_OFFSET if _wall(written) else NOT_AN_INSTANT)
    at = _wall(found["rest"])
    if at is None:
        raise Unreadable(NOT_AN_INSTANT)
    offset = "Z" if found["utc"] else f"{found['sign'].replace(chr(0x2212), '-')}{found['h']:0>2}:{found['m'] or '00'}"
    return at.isoformat() + offset


def wall(cell: str) -> str | None:
    """Give a wall-clock time as `2026-12-24T00:00`, or None."""
    at = _wall(_figures(cell))
    return None if at is None else at.isoformat(timespec="minutes")


def whole(cell: Cell) -> int:
    """Give the whole number: `1 200`, `1200,00` and `1,200,000` are; `1,200` may be a fraction, and is none."""
    if isinstance(cell, int | float) and not isinstance(cell, bool) and float(cell).is_integer():
        return int(cell)
    written = re.sub(r"(?<=\d)[ \xa0\u2009\u202f](?=\d{3}(\D|$))", "", _figures(cell))
    grouped = _GROUPED.fullmatch(written)
    if grouped:
        if not grouped[2]:
            raise Unreadable("may be a fraction or thousands: write it as 1200")
        written = written.replace(grouped[1], "")
    found = _WHOLE.fullmatch(written)
    if found is None:
        raise Unreadable(NOT_WHOLE)
    return int(found["whole"])


def truth(cell: Cell) -> bool:
    """Give the truth: yes, true, 1, x, так; no, false, 0, ні."""
    if isinstance(cell, bool):
        return cell
    found = _TRUTHS.get(_figures(cell).casefold())
    if found is None:
        raise Unreadable(NOT_A_TRUTH)
    return found


def clock(cell: Cell) -> str:
    """Give the time of day as `07:30`."""
    if isinstance(cell, float) and math.isfinite(cell):  # a part of a day
        hours, minutes = divmod(round(cell % 1 * _DAY_MINUTES), 60)
        return f"{hours:02}:{minutes:02}"
    written = _figures(cell)
    halved = _HALF.search(written)  # 10:00:00 PM, as a spreadsheet writes what it took for a time
    found = _CLOCK.fullmatch(_HALF.sub("", written))
    if found is None:
        raise Unreadable(NOT_A_CLOCK)
    hours = int(found[1]) if halved is None else int(found[1]) % 12 + 12 * (halved[1].lower() == "p")
    return f"{hours:02}:{found[2]}"


def period(cell: Cell) -> str:
    """Give a year, a month or a quarter: `2026`, `2026-10`, `2026-Q4`; a spreadsheet makes a month its first day."""
    if isinstance(cell, date):
        return cell.strftime("%Y-%m")
    written = _figures(cell).upper().replace(" ", "")
    month = re.fullmatch(r"(\d{1,2})[./](20\d\d)|(20\d\d)[./-](\d{1,2})(?:-01)?", written, re.ASCII)
    if month:
        return f"{month[2] or month[3]}-{month[1] or month[4]:0>2}"
    quarter = re.fullmatch(r"(20\d\d)-?[QК]([1-4])|[QК]([1-4])[-/]?(20\d\d)", written)  # or К of квартал
    return f"{quarter[1] or quarter[4]}-Q{quarter[2] or quarter[3]}" if quarter else written


def code(cell: Cell, words: Mapping[str, str]) -> str:
    """Give the code that the word stands for (`words` are as `file_tables.plain` writes them), else the text."""
    written = text(cell)
    return words.get(file_tables.plain(written), written)


def _figures(cell: Cell) -> str:
    """Give the text of a cell that holds a number, a day or a time, with Latin digits."""
    return latin_digits(text(cell))


def _why_no_day(written: str) -> str:
    if _TIME.search(written):
        return WITH_A_TIME
    if _MONTH_OR_YEAR.fullmatch(_YEAR_END.sub("", written)):
        return NO_DAY_NAMED
    return NO_SUCH_DAY if _DAY.fullmatch(_plain(written)) else NOT_A_DAY


def _plain(written: str) -> str:
    """Give the text of a day without what people put around it: a weekday, quotation marks, `року`, blanks at dots."""
    written = " ".join(_YEAR_END.sub("", written).split()).rstrip(".")
    return re.sub(r"(?<=\d)\. (?=\d)", ".", _QUOTED_DAY.sub(r"\1", _WEEKDAY.sub("", written)))


def _serial(number: float, *, is_1904: bool) -> str:
    if not math.isfinite(number):
        raise Unreadable(NOT_A_DAY)
    serial = int(number) + ((_EPOCH_1904 - _EPOCH).days if is_1904 else 0)
    if serial not in _SERIALS:
        raise Unreadable(NOT_A_DAY)
    if number != int(number):
        raise Unreadable(WITH_A_TIME)
    return (_EPOCH + timedelta(days=serial)).isoformat()


def _day(written: str) -> date | None:
    """Read a day; raises Unreadable if it may be two days."""
    written = _plain(written)
    named = _NAMED_DAY.fullmatch(written) or _NAMED_MONTH_FIRST.fullmatch(written)
    if named:
        month = named["month"].casefold()
        return _of(_year(named["y"]), _MONTHS.get(month) or _MONTHS.get(month[:3]) or 0, int(named["d"]))
    found = _DAY.fullmatch(written)
    if found is None:
        return None
    if found["y"]:
        return _of(int(found["y"]), int(found["m"]), int(found["d"]))
    first, second, year = int(found["a"]), int(found["b"]), _year(found["year"])
    if found["sep"] == ".":
        return _of(year, second, first)
    days = {day for day in (_of(year, second, first), _of(year, first, second)) if day}
    if len(days) > 1:
        raise Unreadable(TWO_DAYS, **_both(days))
    return next(iter(days), None)


def _year(digits: str) -> int:
    return int(digits) + (2000 if len(digits) == 2 else 0)  # noqa: PLR2004 - digits


def _both(days: set[date]) -> dict[str, str]:
    first, second = sorted(days)
    return {"first": first.isoformat(), "second": second.isoformat()}


def _of(year: int, month: int, day_: int) -> date | None:
    try:
        return date(year, month, day_)
    except ValueError:
        return None


def _wall(written: str) -> datetime | None:
    on, _, at = " ".join(written.replace("T", " ").replace("t", " ").replace(", ", " ").split()).rpartition(" ")
    clock_ = _CLOCK.fullmatch(at)
    on_day = _day(on)
    if clock_ is None or on_day is None:
        return None
    try:
        moment = time(int(clock_[1]), int(clock_[2]), int(clock_[3] or 0), int((clock_[4] or "0").ljust(6, "0")))
    except ValueError:
        return None
    return datetime.combine(on_day, moment)
