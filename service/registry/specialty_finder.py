"""The specialties that may be meant by what somebody types, from the registry's rows and the synonyms that we keep."""

import csv
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources

import sqlalchemy as sa

from service.kernel.work import Work
from service.rules.specialty_search import Index, Specialty

_ROWS = sa.text("SELECT code, parent_code, name_en, name_uk FROM specialty ORDER BY code")


async def find(w: Work, typed: str) -> Sequence[str]:
    """Give the codes of the specialties that may be meant, the likeliest first; areas, and what is not asked for, too.

    The synonyms are those of the specialties that every installation begins with; one of its own has its names only.
    """
    rows = await w.fetch(_ROWS, {})
    return _index(tuple(Specialty(*row) for row in rows)).find(typed)


@lru_cache(maxsize=4)
def _index(specialties: tuple[Specialty, ...]) -> Index:
    """Fold all names once: cached by themselves, so it is never stale."""
    return Index(specialties, _synonyms())


@cache
def _synonyms() -> Mapping[str, Sequence[str]]:
    """Read the synonyms by code: what people call a specialty, its organ, what it treats."""
    text = resources.files("service").joinpath("data/specialty_synonyms.csv").read_text(encoding="utf-8")
    by_code: dict[str, list[str]] = {}
    for row in csv.DictReader(text.splitlines()):
        by_code.setdefault(row["code"], []).append(row["synonym"])
    return by_code
