"""What would help, in words and as the value of a button: one press changes the request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from api.edge import shapes
from api.pages.words import Words
from integrations import catalogues, remedy_words
from service import vocabulary
from service.care import unmatched
from service.care.widening import Outlook
from service.outbox import events
from service.rules.matching.remedies import Change, Remedy

_KINDS: tuple[vocabulary.ChangeKind, ...] = get_args(vocabulary.ChangeKind)
_OF_CONSENT = frozenset({"consent", "country"})
_codes: dict[str, TypeAdapter[str]] = {
    "language": TypeAdapter(shapes.Language),
    "country": TypeAdapter(shapes.Country),
}
_until = TypeAdapter(shapes.Instant)


@dataclass(frozen=True, slots=True)
class Shown:
    """One thing that would help: what its button sends, how it is worded, how many mentors it opens."""

    values: Sequence[str]
    text: str
    mentors: int
    opens: str
    needs_consent: bool


def shown(helping: Sequence[Remedy], words: Words, zone: str) -> list[Shown]:
    """Word what would help."""
    catalogue = catalogues.of(words.locale)
    return [
        Shown(
            [_value(change) for change in remedy.changes],
            remedy_words.worded(unmatched.plain(remedy)["changes"], zone, catalogue),
            remedy.mentors,
            words.counted("help", "opens", remedy.mentors),
            any(change.kind in _OF_CONSENT for change in remedy.changes),
        )
        for remedy in helping
    ]


def before_filing(found: Outlook, words: Words, zone: str) -> list[Shown]:
    """Word what would help a request that is not filed yet: when its answer is due, its urgency says."""
    helping = [remedy for remedy in found.remedies if all(change.kind != "time" for change in remedy.changes)]
    return shown(helping, words, zone)


def of_stuck(stuck: Outlook | None, words: Words, zone: str, today: date) -> Mapping[str, Any]:
    """Give what `remedies.html` shows of a request that nobody can take; nothing of any other."""
    return {
        "stuck": stuck,
        "help": shown(stuck.remedies, words, zone) if stuck else [],
        "reasons": reasons(stuck, words) if stuck else [],
        "today": today.isoformat(),
    }


def reasons(found: Outlook, words: Words) -> list[tuple[int, str]]:
    """Word why mentors cannot answer, the commonest reason first."""
    texts = words.table["reasons"]
    return [
        (number, texts.get(code, code)) for code, number in sorted(found.reasons.items(), key=lambda item: -item[1])
    ]


def read(values: Sequence[str]) -> list[Change] | None:
    """Read what a button of ours sent, several with blanks between them; None for anything else."""
    changes = []
    for value in " ".join(values).split():
        name, _, rest = value.partition(":")
        kind = next((each for each in _KINDS if each == name), None)
        try:
            if kind is None or (rest and kind not in _codes and kind != "time"):
                return None
            code = _codes[kind].validate_python(rest) if kind in _codes else None
            changes.append(Change(kind, code, _until.validate_python(rest) if kind == "time" else None))
        except ValidationError:
            return None
    return changes or None


def _value(change: Change) -> str:
    return f"{change.kind}:{change.code or (events.instant(change.until) if change.until else '')}"
