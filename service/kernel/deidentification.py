"""Checks free text before it is stored (invariant D3).

What may name a patient is refused, unless the writer confirms a false alarm.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from service.kernel import audit, errors
from service.kernel.work import Work

if TYPE_CHECKING:
    from service.rules import deidentify

_GLUED = re.compile(r"(?<=[A-Za-z])[._-](?=\d)")


@dataclass(frozen=True, slots=True)
class ConfirmedSpan:
    """A half-open range of a field, in code points, that names nobody according to the writer."""

    field: str
    start: int
    end: int


def numbered(field: str, texts: Iterable[str]) -> dict[str, str]:
    """Give the texts of a list, each under its place in the field."""
    return {f"{field}/{number}": text for number, text in enumerate(texts)}


def of_tags(tags: Iterable[str]) -> dict[str, str]:
    """Give tags as texts by place; a letter and a digit joined by a sign are separated, as a tag has no blanks."""
    return numbered("tags", (_GLUED.sub(" ", tag) for tag in tags))


def check(w: Work, texts: Mapping[str, str | None], confirmed: Collection[ConfirmedSpan] = ()) -> None:
    """Go on only if nothing in the texts, by field, seems to name a person; else raises PersonalDataFound.

    What was confirmed as a false alarm is audited: its place and kind, never the text.
    """
    _judge(w, _search(texts, w.now.date()), confirmed)


async def check_long(w: Work, texts: Mapping[str, str | None], confirmed: Collection[ConfirmedSpan] = ()) -> None:
    """Do as `check` with texts of thousands of characters: in a thread, as the costliest would hold the loop."""
    _judge(w, await asyncio.to_thread(_search, texts, w.now.date()), confirmed)


async def look(w: Work, texts: Mapping[str, str | None], confirmed: Collection[ConfirmedSpan] = ()) -> None:
    """Raise what `check_long` raises, and write nothing: of a text that is stored later, and checked again then."""
    findings, _ = _sorted(await asyncio.to_thread(_search, texts, w.now.date()), confirmed)
    if findings:
        raise errors.PersonalDataFound(findings)


def _search(texts: Mapping[str, str | None], today: date) -> "list[tuple[str, deidentify.Span]]":
    from service.rules import deidentify  # noqa: PLC0415 - its many patterns are compiled then, not at each start

    return [(field, span) for field, text in texts.items() if text for span in deidentify.find(text, today)]


def _judge(w: Work, found: "list[tuple[str, deidentify.Span]]", confirmed: Collection[ConfirmedSpan]) -> None:
    findings, alarms = _sorted(found, confirmed)
    if findings:
        raise errors.PersonalDataFound(findings)
    if alarms:
        audit.record(w, "confirmed_false_alarm", "text", None, spans=alarms)


def _sorted(
    found: "list[tuple[str, deidentify.Span]]", confirmed: Collection[ConfirmedSpan]
) -> tuple[list[tuple[str, int, int, str]], list[dict[str, object]]]:
    """Tell what may name a person from what was confirmed to be a false alarm."""
    confirmed_spans = set(confirmed)
    findings: list[tuple[str, int, int, str]] = []
    alarms: list[dict[str, object]] = []
    for field, span in found:
        if ConfirmedSpan(field, span.start, span.end) in confirmed_spans:
            alarms.append({"field": field, "start": span.start, "end": span.end, "kind": span.kind})
        else:
            findings.append((field, span.start, span.end, span.kind))
    return findings, alarms
