"""What a form sent, read as strictly as the API reads its bodies; every fault stands beside its field."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from api.edge import incoming, problems, shapes
from service.kernel import email_addresses, errors
from service.kernel.deidentification import ConfirmedSpan
from service.rules import sentences, suspicious_text
from service.rules.time import availability, typed_hours
from service.rules.time.night import NightHours

T = TypeVar("T")
MOST_FIELDS = 400
MEDIA_TYPE = "application/x-www-form-urlencoded"
_DURATION = re.compile(r"([0-9]{1,4})(?::([0-5][0-9]))?")

_wall: TypeAdapter[datetime] = TypeAdapter(shapes.Wall)
_instant: TypeAdapter[datetime] = TypeAdapter(shapes.Instant)
_day: TypeAdapter[date] = TypeAdapter(shapes.Day)
_id: TypeAdapter[UUID] = TypeAdapter(shapes.Id)
_note: TypeAdapter[str] = TypeAdapter(shapes.Note)
_text: TypeAdapter[str] = TypeAdapter(shapes.CaseText)
_line: TypeAdapter[str] = TypeAdapter(shapes.Line)
_email: TypeAdapter[str] = TypeAdapter(shapes.Email)
_KINDS: dict[str, TypeAdapter[str]] = {"note": _note, "text": _text, "line": _line, "email": _email}


class Fields:
    """The values by name, as typed, and the faults found while reading them: words of the catalogue's `faults`.

    A page that shows several forms tells their fields apart by each form's `prefix`. While the page is made, its fields
    `place` themselves here, so that the summary of the faults names them, in the order of the page.
    """

    def __init__(self, pairs: list[tuple[str, str]], prefix: str = "") -> None:
        """Keep the pairs as they will be stored: in NFC, with LF where browsers send CRLF."""
        self.prefix = prefix
        self.labels: dict[str, str] = {}
        self.values: dict[str, list[str]] = {}
        for name, value in pairs:
            self.values.setdefault(name, []).append(_normal(value.replace("\r\n", "\n").strip()))
        self.faults: dict[str, str | email_addresses.Refused] = {}

    def id_of(self, name: str) -> str:
        """Give the field's id on its page."""
        return f"{self.prefix}{name}"

    def place(self, name: str, label: str) -> str:
        """Note that the page shows this field here, under this label; gives the field's id."""
        self.labels[name] = label
        return self.id_of(name)

    def summary(self) -> list[tuple[str, str, str | email_addresses.Refused]]:
        """List id, label and fault of each field at fault, as they stand on the page; no id if it is not there."""
        named = [(self.id_of(name), label, name) for name, label in self.labels.items() if name in self.faults]
        nameless = [("", "", name) for name in self.faults if name not in self.labels]
        return [(id_, label, self.faults[name]) for id_, label, name in named + nameless]

    def typed(self, name: str) -> str:
        """Give what was typed, to show it again."""
        return self.values.get(name, [""])[0]

    def items(self, name: str) -> list[str]:
        """Read a list that was typed with commas, in small letters."""
        return [item.strip().lower() for item in self.typed(name).split(",") if item.strip()]

    def all(self, name: str) -> list[str]:
        """Give every value of the name."""
        return [value for value in self.values.get(name, []) if value]

    def has(self, name: str, value: str) -> bool:
        """Tell whether the value was chosen."""
        return value in self.values.get(name, ())

    def words(self, name: str, kind: str, *, needed: bool = True) -> str | None:
        """Read a text: line, note, text or email."""
        return self._read(name, _KINDS[kind], f"bad_{kind}", needed=needed)

    def one_of(self, name: str, choices: Any, *, needed: bool = True) -> str:  # noqa: ANN401 - any container
        """Read a choice; an empty text if none was made."""
        value = self.typed(name)
        if value in choices:
            return value
        if value or needed:
            self.faults[name] = "choose"
        return ""

    def some_of(self, name: str, choices: Any, *, needed: bool = True) -> tuple[str, ...]:  # noqa: ANN401
        """Read several choices."""
        chosen = self.all(name)
        if set(chosen) - set(choices) or (needed and not chosen):
            self.faults[name] = "choose"
            return ()
        return tuple(dict.fromkeys(chosen))

    def number(self, name: str, least: int, most: int) -> int:
        """Read a whole number within the bounds; the least if it is none."""
        value = self.typed(name)
        if value.isascii() and value.isdigit() and len(value) <= len(str(most)) and least <= int(value) <= most:
            return int(value)
        self.faults[name] = "bad_number"
        return least

    def day(self, name: str) -> date | None:
        """Read a date."""
        return self._read(name, _day, "bad_day", needed=True)

    def wall(self, name: str) -> datetime | None:
        """Read a wall time that one of our own buttons sent."""
        return self._read(name, _wall, "choose", needed=True)

    def clock(self, name: str) -> int | None:
        """Read a time of day ("9", "930", "9:30") as the minute of the day; midnight may be 24:00."""
        value = self.typed(name)
        try:
            return typed_hours.read_clock(value)
        except typed_hours.UnreadableClock:
            self.faults[name] = "bad_clock" if value else "needed"
            return None

    def duration(self, name: str, most: int) -> int:
        """Read hours, with or without minutes ("24", "1:30"), as minutes; 0 if it is none, or more than `most`."""
        match = _DURATION.fullmatch(self.typed(name))
        minutes = int(match[1]) * 60 + int(match[2] or 0) if match else most + 1
        if minutes <= most:
            return minutes
        self.faults[name] = "bad_duration"
        return 0

    def instant(self, name: str) -> datetime | None:
        """Read an instant that one of our own buttons sent."""
        return self._read(name, _instant, "choose", needed=True)

    def id(self, name: str) -> UUID | None:
        """Read an id that one of our own lists sent; None is no choice."""
        return self._read(name, _id, "choose", needed=False)

    def local(self, name: str, zone: str, *, needed: bool = False) -> datetime | None:
        """Read a wall time in the zone; a time that its clock skips is refused, a repeated one means the first."""
        wall = self._read(name, _wall, "bad_time", needed=needed)
        if wall is None:
            return None
        try:
            return availability.to_instant(wall, zone, strict=True)
        except availability.NonexistentTime:
            self.faults[name] = "no_such_time"
            return None

    def confirmed(self) -> tuple[ConfirmedSpan, ...]:
        """Read the places that the writer says name nobody."""
        spans = []
        for value in self.all("confirmed"):
            name, _, place = value.partition(":")
            start, _, end = place.partition(":")
            if start.isascii() and start.isdigit() and end.isascii() and end.isdigit():
                spans.append(ConfirmedSpan(name, int(start[:9]), int(end[:9])))
        return tuple(spans)

    def _read(self, name: str, kind: TypeAdapter[T], fault: str, *, needed: bool) -> T | None:
        value = self.typed(name)
        if not value:
            if needed:
                self.faults[name] = "needed"
            return None
        try:
            return kind.validate_python(value)
        except ValidationError as error:
            cause = error.errors()[0].get("ctx", {}).get("error")
            said = cause.args[0] if isinstance(cause, ValueError) else ""
            if isinstance(cause, email_addresses.Refused):
                self.faults[name] = cause
            elif sentences.key(said) in suspicious_text.FAULTS:
                self.faults[name] = said
            else:
                self.faults[name] = "piled_marks" if shapes.piles_marks(value) else fault
            return None


def _normal(text: str) -> str:
    """Give the text in NFC; what no field takes stays as it was typed, and the field that reads it finds the fault."""
    return text if len(text) > shapes.LONGEST_TEXT or shapes.piles_marks(text) else shapes.composed(text)


def id_of(text: str) -> UUID:
    """Read an id in an address; raises NotFound for what is none."""
    try:
        return _id.validate_python(text)
    except ValidationError:
        raise errors.NotFound from None


@dataclass(frozen=True, slots=True)
class Tried:
    """A form that failed, to be shown again: which one, what was typed, what is wrong, where somebody seems named.

    `confirm`: each place that can be confirmed, as the form sends it, and its kind (`vocabulary.PERSONAL_DATA`).
    """

    name: str
    form: Fields
    said: Mapping[str, str] | None = None
    marks: Sequence[tuple[str, Sequence[tuple[str, bool]]]] = ()
    confirm: Sequence[tuple[str, str]] = ()
    confirmed: Sequence[str] = ()
    next_starts: Sequence[datetime] = ()  # in place of a time that was taken meanwhile
    night: Sequence[NightHours] = ()  # whose night the time is: it is sent again with the mark that this is meant

    def of(self, name: str) -> Fields:
        """Give the form of this name on a page of several: what was tried if it was this one, else an empty one."""
        if name != self.name:
            return Fields([], f"{name}-")
        self.form.prefix = f"{name}-"
        return self.form


def named(name: str, form: Fields, error: errors.PersonalDataFound) -> Tried:
    """Give the form to show again, what seems to name somebody marked; ticking the places once confirms them."""
    reported = error.members["spans"]
    listed = reported if isinstance(reported, list) else []
    spans = [(str(span["field"]), int(span["start"]), int(span["end"])) for span in listed]
    marks = []
    for field in dict.fromkeys(field for field, _, _ in spans):
        list_name, _, number = field.partition("/")  # `tags/0` is the first item of a list
        text, parts, at = form.items(list_name)[int(number)] if number else form.typed(field), [], 0
        for start, end in sorted((start, end) for span_field, start, end in spans if span_field == field):
            parts += [(text[at:start], False), (text[max(at, start) : end], True)]
            at = max(at, end)
        marks.append((field, [*parts, (text[at:], False)]))
    confirmed = [f"{span.field}:{span.start}:{span.end}" for span in form.confirmed()]
    kinds = [str(span["kind"]) for span in listed]
    confirm = [(f"{field}:{start}:{end}", kind) for (field, start, end), kind in zip(spans, kinds, strict=True)]
    return Tried(name, form, None, marks, confirm, confirmed)


async def sent(request: Request) -> Fields:
    """Read the form; raises UnsupportedMediaType or BadBody for what no form of ours sends."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if incoming.is_announced(request.headers) and media_type != MEDIA_TYPE:
        raise problems.UnsupportedMediaType
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise problems.BadBody("The form cannot be read.") from None
    form = Fields(pairs)
    request.state.form = form
    return form
