"""Free text is checked before it is stored: whatever may name a patient is refused, or confirmed as a false alarm."""

from collections.abc import Collection
from dataclasses import dataclass

from service import errors
from service.rules import deidentify
from service.work import Work


@dataclass(frozen=True, slots=True)
class ConfirmedSpan:
    """A place in a field, in code points and half-open, that the writer says names nobody."""

    field: str
    start: int
    end: int


def check(w: Work, texts: dict[str, str | None], confirmed: Collection[ConfirmedSpan] = ()) -> None:
    """Go on only if nothing in the texts, by field, seems to name a person; else raises PersonalDataFound."""
    said = set(confirmed)
    found = [
        (field, span.start, span.end, span.kind)
        for field, text in texts.items()
        for span in (deidentify.find(text, w.now.date()) if text else ())
        if ConfirmedSpan(field, span.start, span.end) not in said
    ]
    if found:
        raise errors.PersonalDataFound(found)
