"""Which specialty is meant by what people type, in either language and any spelling."""

import csv
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import DATA, PROPERTY
from service.rules.specialty_search import Index, Specialty


def read(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = read("specialties.csv")
SYNONYMS = read("specialty_synonyms.csv")


def _index() -> Index:
    synonyms = defaultdict(list)
    for row in SYNONYMS:
        synonyms[row["code"]].append(row["synonym"])
    return Index([Specialty(r["code"], r["parent"] or None, r["name_en"], r["name_uk"]) for r in ROWS], synonyms)


INDEX = _index()


@pytest.mark.parametrize("row", [pytest.param(row, id=row["code"]) for row in ROWS])
def test_each_specialty_is_the_first_by_either_of_its_names(row: dict[str, str]) -> None:
    """In small and large letters."""
    for name in (row["name_en"], row["name_uk"]):
        assert INDEX.find(name)[0] == row["code"], name
        assert INDEX.find(name.upper())[0] == row["code"], name


def test_each_synonym_finds_its_specialty_among_the_first_three() -> None:
    """Some are shared, such as the nose."""
    lost = [row for row in SYNONYMS if row["code"] not in INDEX.find(row["synonym"])[:3]]
    assert not lost


def test_each_synonym_is_of_a_specialty_that_is_asked_for_has_a_source_and_stands_once() -> None:
    """In a language of the catalogues."""
    asked_for = {row["code"] for row in ROWS if row["bookable"] == "yes"}
    assert {row["code"] for row in SYNONYMS} <= asked_for
    assert {row["language"] for row in SYNONYMS} == {"en", "uk"}
    assert all(row["source"] and row["synonym"] == row["synonym"].strip() for row in SYNONYMS)
    keys = [(row["code"], row["synonym"].casefold()) for row in SYNONYMS]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("heart", "med.cardiology"),
        ("опіки", "sur.burns"),
        ("опік", "sur.burns"),
        ("опіків", "sur.burns"),
        ("ENT", "hnk.ent"),
        ("лор", "hnk.ent"),
        ("kardiologia", "med.cardiology"),
        ("kardiolohiia", "med.cardiology"),
        ("kardiologiya", "med.cardiology"),
        ("кардиология", "med.cardiology"),
        ("cardiol", "med.cardiology"),
        ("cardioligy", "med.cardiology"),
        ("cadriology", "med.cardiology"),
        ("cardilogy", "med.cardiology"),
        ("carrdiology", "med.cardiology"),
        ("neyrohirurgiya", "sur.neuro"),
        ("нейрохир", "sur.neuro"),
        ("hematology", "med.haematology"),
        ("офталмологія", "hnk.ophthalmology"),
        ("x-ray", "dia.radiology"),
        ("xray", "dia.radiology"),
        ("здоров\N{RIGHT SINGLE QUOTATION MARK}я жіноче", "obp.obgyn"),
        ("child heart", "ped.cardiology"),
        ("дит серце", "ped.cardiology"),
        ("psychiatry child", "mhe.child"),
    ],
)
def test_what_people_type_finds_what_they_mean(typed: str, code: str) -> None:
    """Beginnings, other spellings, Latin letters, one slip, words in any order."""
    assert INDEX.find(typed)[0] == code


def test_an_area_finds_what_stands_below_it() -> None:
    """After those whose own names have the word."""
    found = INDEX.find("transplantation")
    assert found[:2] == ["tra", "tra.bmt"]
    assert "tra.surgery" in found


@pytest.mark.parametrize("typed", ["", "   ", "!!!", "ь", "\N{COMBINING ACUTE ACCENT}", "блабла", "лікарня Суми"])
def test_what_means_nothing_finds_nothing(typed: str) -> None:
    assert INDEX.find(typed) == []


def test_a_slip_is_forgiven_only_where_nothing_is_found_without() -> None:
    """`heart` is no slip of `health`."""
    assert "mhe" not in INDEX.find("heart")


def test_of_a_long_text_the_first_words_are_looked_for() -> None:
    """Whatever comes behind them, in no more time."""
    assert INDEX.find("cardiology " * 8 + "zzz " * 1000)[0] == "med.cardiology"


@PROPERTY
@given(st.text(max_size=40))
def test_any_text_is_looked_for(typed: str) -> None:
    """Nothing that can be typed is an error."""
    assert set(INDEX.find(typed)) <= {row["code"] for row in ROWS}
