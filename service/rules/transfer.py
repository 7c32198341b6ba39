"""To which countries a case's text may go (invariant S2). The list is data with a version; a lawyer owns it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TransferBasis:
    """The countries that the general consent reaches, as ISO 3166-1 codes, and the version of the list."""

    version: str
    general: frozenset[str]


@dataclass(frozen=True, slots=True)
class Consent:
    """What the patient agreed to: the general list (and any countries named besides), or the named countries only."""

    scope: str  # general | countries
    countries: frozenset[str] = frozenset()


def parse(document: Mapping[str, Any]) -> TransferBasis:
    """Read the basis from the document `service/data/transfer_basis.json`."""
    groups = document["groups"].values()
    return TransferBasis(str(document["version"]), frozenset(code for group in groups for code in group))


def allows(
    basis: TransferBasis,
    consent: Consent | None,
    own_country: str | None,
    to_country: str | None,
) -> bool:
    """Tell whether the text may go there; it may always stay in the clinician's own country."""
    if to_country is None:
        return False
    if to_country == own_country:
        return True
    if consent is None:
        return False
    return to_country in consent.countries or (consent.scope == "general" and to_country in basis.general)
