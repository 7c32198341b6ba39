"""What people type as a case's number, and the number that is meant."""

import pytest

from service.rules import case_numbers


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("R-7F3K", "R-7F3K"),
        ("r-7f3k", "R-7F3K"),
        ("7F3K", "R-7F3K"),
        (" r 7f3k. ", "R-7F3K"),
        ("R\N{EN DASH}7F3K", "R-7F3K"),
        ("R7F3K", "R-7F3K"),
        ("\N{CYRILLIC CAPITAL LETTER ER}-7F3\N{CYRILLIC CAPITAL LETTER KA}", "R-7F3K"),
        ("№ R-7F3K", "R-7F3K"),
        ("RABC", "R-RABC"),
        ("R-RABCD", "R-RABCD"),
        ("R-7F3K2", "R-7F3K2"),
    ],
)
def test_a_number_is_read_as_people_type_it(typed: str, meant: str) -> None:
    """Small letters, dashes of any kind or none, and letters of the other alphabet that look the same."""
    assert case_numbers.read(typed) == meant


@pytest.mark.parametrize("typed", ["", "R-", "7F3", "R-7F3O", "R-7F31", "кардіологія", "R-ABCDEFGHJKMNP", "7F3K; DROP"])
def test_what_can_be_no_number_is_none(typed: str) -> None:
    """Too short, too long, or with a letter that no number has."""
    assert case_numbers.read(typed) is None


def test_no_two_symbols_are_taken_for_one_another() -> None:
    """31 of them, each once, none of the five that look alike."""
    assert len(case_numbers.SYMBOLS) == len(set(case_numbers.SYMBOLS)) == 31
    assert not set(case_numbers.SYMBOLS) & set("01ILO")
