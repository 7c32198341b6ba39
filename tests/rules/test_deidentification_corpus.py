"""A corpus of 214 texts of our own, as clinicians write them: 100 clean, 114 with one identifier each (SEC-04).

`⟦` and `⟧` stand around the identifier. The texts of the part `tuned` were written before the rules, which were made to
fit them; those of the parts `held_out` and `later` afterwards, and the rules were measured on them before anything was
mended (the figures are in docs/security.md). Those of `reported` are of kinds that somebody tried and that were missed.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

from service import vocabulary
from service.rules import deidentify

TODAY = date(2026, 11, 22)
MOST_MISSES = MOST_FALSE_ALARMS = 2
LANGUAGES = {"uk", "en", "ru", "fr", "de"}


class Sample(NamedTuple):
    part: str
    language: str
    kind: str
    """Of the identifier, one of `vocabulary.PERSONAL_DATA`; empty in a clean text."""
    text: str

    @property
    def place(self) -> tuple[int, int]:
        return self.text.find("⟦"), self.text.find("⟧") - 1

    @property
    def plain(self) -> str:
        return self.text.replace("⟦", "").replace("⟧", "")


def samples() -> list[Sample]:
    path = Path(__file__).with_name("deidentification_corpus.tsv")
    with path.open(encoding="utf-8", newline="") as file:
        return [Sample(**row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def missed(sample: Sample) -> bool:
    start, end = sample.place
    found = deidentify.find(sample.plain, TODAY)
    return bool(sample.kind) and not any(span.start < end and start < span.end for span in found)


def false_alarms(sample: Sample) -> Iterator[str]:
    """What was found in a clean text, or beside the identifier."""
    start, end = sample.place
    for span in deidentify.find(sample.plain, TODAY):
        if not sample.kind or span.end <= start or end <= span.start:
            yield f"{span.kind}: {sample.plain[span.start : span.end]}"


def test_sec_04_the_corpus_is_as_described() -> None:
    texts = samples()
    assert Counter(bool(sample.kind) for sample in texts) == {True: 114, False: 100}
    assert Counter(sample.part for sample in texts) == {"tuned": 81, "held_out": 39, "later": 70, "reported": 24}
    assert {sample.language for sample in texts} == LANGUAGES
    assert {sample.kind for sample in texts if sample.kind} == set(vocabulary.PERSONAL_DATA)


def test_sec_04_misses_and_false_alarms_in_the_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    texts = samples()
    misses = [f"{sample.kind}: {sample.text}" for sample in texts if missed(sample)]
    alarms = [alarm for sample in texts for alarm in false_alarms(sample)]
    with capsys.disabled():
        print(f"\n{len(texts)} texts: {len(misses)} missed {misses}, {len(alarms)} false alarms {alarms}")  # noqa: T201 - the figures, for whoever runs it
    assert len(misses) <= MOST_MISSES
    assert len(alarms) <= MOST_FALSE_ALARMS


def test_sec_04_of_the_clean_texts_one_in_thirty_is_alarmed_at_most() -> None:
    clean = [sample for sample in samples() if not sample.kind]
    alarmed = [sample.text for sample in clean if any(false_alarms(sample))]
    assert len(alarmed) * 30 <= len(clean)
