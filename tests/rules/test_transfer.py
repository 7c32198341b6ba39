import re

import pytest

from rules.values import basis
from service.rules import transfer
from service.rules.transfer import Consent

GENERAL = Consent("general")


def test_the_shipped_list_is_the_eea_and_the_named_parties_of_convention_108() -> None:
    assert len(basis().general) == 34
    assert {"FR", "IS", "LI", "NO", "MD", "MK", "GB", "TR"} <= basis().general
    assert basis().general.isdisjoint({"IL", "CA", "US", "UZ", "CH"})
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", basis().version)


@pytest.mark.parametrize(
    ("consent", "to_country", "allowed"),
    [
        (GENERAL, "FR", True),
        (GENERAL, "US", False),
        (Consent("general", frozenset({"US"})), "US", True),
        (Consent("general", frozenset({"US"})), "FR", True),
        (Consent("countries", frozenset({"US"})), "US", True),
        (Consent("countries", frozenset({"US"})), "FR", False),
        (Consent("countries"), "UA", True),
        (None, "UA", True),
        (None, "FR", False),
        (GENERAL, None, False),
    ],
)
def test_the_text_goes_only_where_the_consent_reaches(
    consent: Consent | None, to_country: str | None, allowed: bool
) -> None:
    assert transfer.allows(basis(), consent, "UA", to_country) == allowed


def test_an_unknown_country_is_nobodys_own() -> None:
    assert not transfer.allows(basis(), GENERAL, None, None)
