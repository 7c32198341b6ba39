"""A shape from a file has counts and codes, and nothing by which somebody could be known."""

import json
from typing import Any

import pytest

from lab import shapes, worlds
from lab.shapes import UnfitShape
from lab.worlds import Setting

FIT: dict[str, Any] = {
    "format": "pobratym-shape 1",
    "hospitals": [{"zone": "Europe/Kyiv", "clinicians": 4}, {"zone": "Europe/Kyiv", "clinicians": 0}],
    "partners": [{"country": "FR", "zone": "Europe/Paris", "mentors": [["sur.neuro"], ["sur.plastic", "sur.burns"]]}],
    "memoranda": [{"hospital": 0, "partner": 0, "areas": ["sur"]}],
}
NAME, ADDRESS = "Olena Petrenko", "olena@example.org"


def changed(path: str, value: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(FIT))
    *steps, last = path.split("/")
    at: Any = document
    for step in steps:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return document


def test_a_file_of_counts_and_codes_is_a_registry() -> None:
    plan = shapes.read(json.dumps(FIT), "file")
    world = worlds.make(Setting("file", "bursts", 14, 10, plan), 1)
    assert [person.base.specialties for person in world.registry.mentors] == [
        frozenset({"sur.neuro"}),
        frozenset({"sur.plastic", "sur.burns"}),
    ]
    assert [len(reached) for reached in world.registry.reached] == [2, 0]
    assert len(world.requests) == 10


@pytest.mark.parametrize("text", [NAME, ADDRESS, "вул. Шевченка 5", ""])
@pytest.mark.parametrize(
    "path",
    [
        "name", "format", "hospitals", "partners", "memoranda",
        "hospitals/0", "hospitals/0/name", "hospitals/0/zone", "hospitals/0/clinicians",
        "partners/0", "partners/0/email", "partners/0/country", "partners/0/zone", "partners/0/mentors",
        "partners/0/mentors/0", "partners/0/mentors/0/0", "memoranda/0", "memoranda/0/title",
        "memoranda/0/hospital", "memoranda/0/partner", "memoranda/0/areas", "memoranda/0/areas/0",
    ],
)  # fmt: skip
def test_a_text_that_is_no_code_is_refused_wherever_it_stands_and_not_repeated(path: str, text: str) -> None:
    with pytest.raises(UnfitShape) as refused:
        shapes.read(json.dumps(changed(path, text)), "file")
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hospitals/0/clinicians", -1), ("hospitals/0/clinicians", True), ("hospitals/0/clinicians", 1e9),
        ("partners/0/mentors/0", []), ("memoranda/0/partner", 1), ("memoranda/0/hospital", 2), ("hospitals", []),
        ("partners/0/country", "fr"), ("partners/0/zone", "../../etc/passwd"), ("memoranda/0/areas", None),
    ],
)  # fmt: skip
def test_a_number_beyond_what_is_there_is_refused(path: str, value: object) -> None:
    with pytest.raises(UnfitShape):
        shapes.read(json.dumps(changed(path, value)), "file")


@pytest.mark.parametrize("text", ["", "[", "null", "[]", '"x"', "[" * 100_000])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(UnfitShape):
        shapes.read(text, "file")
