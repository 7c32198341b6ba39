"""Kinds of field that bodies, queries and answers are made of: strict, bounded, and the same everywhere.

Nothing is guessed: `"5"` is no number, an instant has an offset, an unknown field is refused (invariant I1).
"""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID
from warnings import filterwarnings

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.warnings import UnsupportedFieldAttributeWarning

from service import vocabulary
from service.kernel import email_addresses
from service.kernel.deidentification import ConfirmedSpan
from service.outbox.events import instant as written
from service.rules import case_numbers, suspicious_text
from service.rules.sentences import Sentence
from service.rules.time import zone_names
from service.rules.time.night import NightHours

LONGEST_TEXT = 10_000
MOST_MARKS = 8
"""How many marks may follow one another: a letter of any living script has fewer, and NFC sorts them in square time."""
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
DOUBTS_ARE_ASKED = "doubts are asked about"
"""The context in which a name that only looks damaged is taken: of files, whose sender is shown it and confirms."""
T = TypeVar("T")

# FastAPI names bodies in a way that pydantic finds odd, and silences it while it makes what checks them; ours is made
# later (see `Shape`).
filterwarnings("ignore", category=UnsupportedFieldAttributeWarning)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_WALL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_CONTROLS = frozenset(["Cc", "Cs"])
_LAYOUT = frozenset("\n\t")
_AROUND = "\u200b\u2060\ufeff\xad \xa0\u2007\u202f\u3000"


class Shape(BaseModel):
    """What goes over the wire; a field that is not listed is refused."""

    # What checks a shape is made when the first one comes, a few milliseconds each: of all of them, a start's tenth.
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class Problem(BaseModel):
    """What went wrong (RFC 9457). `type` is the address of a page that explains it; there may be further members."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(examples=["/problems/not-found"])]
    title: str
    status: int
    detail: str | None = None
    instance: str
    errors: Annotated[
        list[dict[str, Any]] | None,
        Field(description="What is wrong with the input: a JSON pointer and a sentence each."),
    ] = None


class Listing(Shape, Generic[T]):
    """One page of a list; `next` is the `after` of the page that follows, null on the last one."""

    items: list[T]
    next: str | None


def _instant(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        msg = "must be an RFC 3339 instant with an offset, such as 2026-11-21T15:00:00Z"
        raise ValueError(msg)
    try:
        parsed = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        msg = "there is no such instant"
        raise ValueError(msg) from None
    if not FIRST <= parsed < LAST:
        msg = "must lie between the years 2000 and 2199"
        raise ValueError(msg)
    return parsed


def _wall(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _WALL.fullmatch(value):
        msg = "must be a wall-clock time without an offset, such as 2026-11-21T15:00"
        raise ValueError(msg)
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        msg = "there is no such time"
        raise ValueError(msg) from None
    if not FIRST <= parsed.replace(tzinfo=UTC) < LAST:
        msg = "must lie between the years 2000 and 2199"
        raise ValueError(msg)
    return parsed


def _day(value: object) -> object:
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        msg = "must be a date such as 2026-11-21"
        raise ValueError(msg)
    try:
        parsed = date.fromisoformat(value)
    except ValueError:
        msg = "there is no such date"
        raise ValueError(msg) from None
    if not FIRST.date() <= parsed < LAST.date():
        msg = "must lie between the years 2000 and 2199"
        raise ValueError(msg)
    return parsed


def _day_or_instant(value: object) -> object:
    if isinstance(value, str) and _DAY.fullmatch(value):
        return _day(value)
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        return _instant(value)
    msg = "must be a date such as 2026-11-21, or an instant such as 2026-11-21T15:00:00Z"
    raise ValueError(msg)


def _id(value: object) -> object:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        msg = "must be an id such as 0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
        raise ValueError(msg)
    return UUID(value)


def piles_marks(text: str) -> bool:
    """Tell whether more marks follow one another (accents, vowel points, enclosing signs) than anybody writes."""
    if text.isascii():
        return False
    run = 0
    for char in text:
        run = run + 1 if unicodedata.category(char)[0] == "M" else 0
        if run > MOST_MARKS:
            return True
    return False


def composed(text: str) -> str:
    """Give the text in NFC; it is bounded, and piles no marks."""
    return unicodedata.normalize("NFC", text)


def _clean(value: str) -> str:
    """Give the text in NFC; control characters but line breaks and tabs are refused."""
    if any(unicodedata.category(char) in _CONTROLS and char not in _LAYOUT for char in value):
        msg = "must not contain control characters"
        raise ValueError(msg)
    if piles_marks(value):
        msg = Sentence("must not pile more than {most} marks on one letter", most=MOST_MARKS)
        raise ValueError(msg)
    return composed(value)


def _trimmed(value: str) -> str:
    """Take away what cannot be seen at either end, as files have it around their cells."""
    return value.strip(_AROUND) or value


def _single(value: str) -> str:
    if _LAYOUT & set(value):
        msg = "must be a single line"
        raise ValueError(msg)
    fault = suspicious_text.fault_of_name(value)
    if fault:
        raise ValueError(fault)
    return value


def _undoubted(value: str, info: ValidationInfo) -> str:
    doubt = None if info.context == DOUBTS_ARE_ASKED else suspicious_text.doubt_of_name(value)
    if doubt:
        raise ValueError(doubt)
    return value


def _seen(value: str) -> str:
    fault = suspicious_text.fault_of_text(value)
    if fault:
        raise ValueError(fault)
    return value


def _zone(value: str) -> str:
    try:
        return zone_names.canonical(value)
    except zone_names.FixedOffset:
        msg = "must be a place, such as Europe/Kyiv: an offset from UTC knows no summer time"
        raise ValueError(msg) from None
    except zone_names.UnknownZone:
        msg = "must be a zone of the tz database, such as Europe/Kyiv"
        raise ValueError(msg) from None


_TEXT = (AfterValidator(_clean), AfterValidator(_seen))
_LINE = (AfterValidator(_trimmed), AfterValidator(_clean), AfterValidator(_single), AfterValidator(_undoubted))


def wall(at: datetime) -> str:
    """Write a wall-clock time as every answer does: to the minute, without an offset."""
    return at.isoformat(timespec="minutes")


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    PlainSerializer(written, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-21T15:00:00Z"]}),
]
"""An instant; an offset is required, the answer is in UTC."""

Wall = Annotated[
    datetime,
    BeforeValidator(_wall),
    PlainSerializer(wall, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": _WALL.pattern, "examples": ["2026-11-21T17:00"]}),
]
"""A wall-clock time without an offset; another field names its zone."""

Day = Annotated[
    date,
    BeforeValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-21"]}),
]
DayOrInstant = Annotated[
    date | datetime,
    PlainValidator(_day_or_instant),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]},
    ),
]
"""A day, or an instant with its offset."""
Id = Annotated[
    UUID,
    BeforeValidator(_id),
    WithJsonSchema({"type": "string", "format": "uuid", "examples": ["0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"]}),
]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), *_LINE]
"""A name or title: one line of at most 200 characters."""
Note = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000), *_TEXT]
CaseText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT), *_TEXT]
Code = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A word of a fixed vocabulary: specialty, tag, kind."""


class Span(Shape):
    """A place in a text, in code points, half-open, that names nobody although it seems to."""

    field: Annotated[str, Field(max_length=40)]
    start: Annotated[int, Field(ge=0, le=20_000)]
    end: Annotated[int, Field(ge=0, le=20_000)]


Spans = Annotated[list[Span], Field(max_length=100)]
"""What the writer confirms to be a false alarm: the same places as the 422 named."""


class WarningOut(Shape):
    """A time that is allowed, but that whoever agrees on it should know of: at night (outside 07-22) for that side."""

    code: vocabulary.WarningCode
    at: Instant
    side: vocabulary.Side


def warnings(found: Iterable[NightHours]) -> list[WarningOut]:
    """Show which times are at night for whom."""
    return [WarningOut(code=warning.code, at=warning.at, side=warning.side) for warning in found]


def confirmed(spans: list[Span]) -> tuple[ConfirmedSpan, ...]:
    """Give the places as the verbs take them."""
    return tuple(ConfirmedSpan(span.field, span.start, span.end) for span in spans)


def _case_number(typed: str) -> str:
    number = case_numbers.read(typed)
    if number is None:
        raise ValueError(_NO_NUMBER)
    return number


_NO_NUMBER = "is not the number of a case, such as R-7F3K"
CaseNumber = Annotated[str, Field(min_length=4, max_length=20, examples=["R-7F3K"]), AfterValidator(_case_number)]
"""The number by which people call a case, as they type it; read into its own form."""
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
"""ISO 639: `uk`, `en`, `pl`."""
Email = Annotated[
    str,
    StringConstraints(max_length=email_addresses.LONGEST_TYPED),
    AfterValidator(email_addresses.normal_form),
    WithJsonSchema({"type": "string", "format": "email", "minLength": 3, "maxLength": email_addresses.LONGEST}),
]
"""An e-mail address, blanks around it aside; a domain in letters of its own (`.укр`) is taken and becomes A-labels."""
Zone = Annotated[
    str, StringConstraints(min_length=1, max_length=64), AfterValidator(_zone), Field(examples=["Europe/Kyiv"])
]
"""A zone of the tz database by any of its names, former ones and those of Windows too; the present name is kept."""
Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
ClockEnd = Annotated[str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
"""A time of day by a wall clock; `ClockEnd` may be midnight at its end."""
Period = Annotated[
    str,
    Field(
        pattern=r"^20[0-9]{2}(-(0[1-9]|1[0-2])|-Q[1-4])?$",
        description="A year, a month or a quarter, when no day is known.",
        examples=["2026-10", "2026-Q4"],
    ),
]
BudgetMinutes = Annotated[int, Field(ge=0, le=10_000_000)]
ShownOnce = Annotated[str | None, Field(json_schema_extra={"x-shown-once": True})]
"""A secret: when an answer is repeated for its Idempotency-Key, it is null."""


def shown_once(model: object) -> frozenset[str]:
    """Name the fields of an answer that a repetition must not show."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return frozenset()
    extras = {name: field.json_schema_extra for name, field in model.model_fields.items()}
    return frozenset(name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("x-shown-once"))
