"""Finds what in a free text could name a patient (invariant D3); the 422 that comes of it lists positions, never text.

Prefers a false alarm, which the clinician confirms, to a miss; but leaves alone what clinical text is full of:
pressures, doses, laboratory values, clock times, the dates of operations and scans, and names that diseases and methods
are called by. Each module searches the text that `folding` has made plain, in time that grows with its length alone.

    folding               signs that nobody sees taken out, digits of all scripts as ASCII; the way back to the places
    numbers, telephones   mail addresses, tax numbers, passports, telephones, record numbers, long numbers
    accounts              accounts of messengers and networks
    birth_dates           dates of birth among the other dates
    names, name_words     names of persons, and the words that tell them
    addresses             streets with their houses
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from service import vocabulary
from service.rules.deidentify import addresses, birth_dates, folding, names, numbers


@dataclass(frozen=True, slots=True)
class Span:
    """Where something was found: `[start, end)` in code points, and its kind, one of `vocabulary.PERSONAL_DATA`."""

    start: int
    end: int
    kind: vocabulary.PersonalData


def find(text: str, today: date) -> list[Span]:
    """Give what may name a patient, in order and without overlaps, at its places in `text`, which is in NFC.

    `today` tells old dates from recent ones. Of two finds that overlap, the one whose kind stands first in
    `vocabulary.PERSONAL_DATA` stays; of one kind, the one that starts first.
    """
    folded = folding.fold(text)
    spans = sorted(_candidates(folded.text, today), key=lambda s: (vocabulary.PERSONAL_DATA.index(s.kind), s.start))
    kept = _without_overlaps(spans, len(folded.text))
    return [Span(*folded.place(span.start, span.end), span.kind) for span in sorted(kept, key=lambda s: s.start)]


def _candidates(plain: str, today: date) -> Iterator[Span]:
    for kind, search in numbers.SEARCHES.items():
        yield from (Span(start, end, kind) for start, end in search(plain))
    yield from (Span(start, end, "birth_date") for start, end in birth_dates.find(plain, today))
    yield from (Span(start, end, "name") for start, end in names.find(plain))
    yield from (Span(start, end, "address") for start, end in addresses.find(plain))


def _without_overlaps(spans: Iterable[Span], length: int) -> Iterator[Span]:
    taken = bytearray(length)  # a mark for each code point: comparing every span with every other is quadratic
    for span in spans:
        if not any(taken[span.start : span.end]):
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            yield span
