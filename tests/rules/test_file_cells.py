"""Cells as people write them: one meaning is taken, two meanings and none are said in words."""

from collections.abc import Callable
from datetime import date, datetime, time

import babel.dates
import pytest

from service.rules import file_cells
from service.rules.file_tables import Cell, Unreadable

DAY = datetime(2026, 12, 31)  # noqa: DTZ001 - as a spreadsheet has it


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("\xa0 x\u202f", "x"),
        (2.0, "2"),
        (2.5, "2.5"),
        (7, "7"),
        (True, "yes"),
        (False, "no"),
        (None, ""),
        (DAY, "2026-12-31"),
        (DAY.replace(hour=7), "2026-12-31T07:00:00"),
        (DAY.date(), "2026-12-31"),
        (time(7, 30), "07:30"),
    ],
)
def test_ft_24_a_typed_cell_has_a_text(cell: Cell, text: str) -> None:
    assert file_cells.text(cell) == text


@pytest.mark.parametrize(
    "cell",
    [
        "2026-12-31", "2026/12/31", "2026.12.31", "31.12.2026", "31.12.26", "31/12/2026", "12/31/2026", "31-12-2026",
        " 31.12.2026\xa0", "31.12.2026 р.", "31.12.2026 00:00:00", "2026-12-31T00:00", "31 грудня 2026 року",
        "31 December 2026", "31. Dec 2026", DAY, DAY.date(), 46_387, 46_387.0, "46387", "46387,0", "31. 12. 2026",
        "«31» грудня 2026 р.", '"31" грудня 2026', "31-го грудня 2026", "Dec 31, 2026", "December 31st, 2026",
        "31-Dec-26", "31 декабря 2026 г.", "31.XII.2026", "чт, 31.12.2026", "Thursday, 31 December 2026", "31.12.2026.",
    ],
)  # fmt: skip
def test_ft_24_a_day_is_read_however_it_is_written(cell: Cell) -> None:
    assert file_cells.day(cell) == "2026-12-31"


def test_ft_24_a_serial_day_is_counted_from_the_epoch_of_its_workbook() -> None:
    assert file_cells.day(46_387 - 1_462, is_1904=True) == "2026-12-31"


def test_a_day_and_month_that_are_one_number_are_one_day() -> None:
    assert file_cells.day("05/05/2026") == "2026-05-05"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("03/04/2026", "may be {first} or {second}"),
        ("31.02.2026", "there is no such date"),
        ("31/02/2026", "there is no such date"),
        ("2026-13-01", "there is no such date"),
        ("12.31.2026", "there is no such date"),
        ("1900-02-29", "there is no such date"),
        ("12.2026", "names a month or a year"),
        ("2026 р.", "names a month or a year"),
        ("грудень 2026", "names a month or a year"),
        ("31.12.2026 14:30", "has a time of day"),
        ("2026-12-31T22:00:00Z", "has a time of day"),
        ("31 смарагд 2026", "is no date"),
        ("tomorrow", "is no date"),
        ("12345", "is no date"),
        (46_387.5, "has a time of day"),
        (12.0, "is no date"),
        (True, "is no date"),
        (time(7), "has a time of day"),
        (DAY.replace(hour=7), "has a time of day"),
    ],
)
def test_ft_24_what_is_no_day_or_may_be_two_is_said(cell: Cell, said: str) -> None:
    with pytest.raises(Unreadable, match=said.replace("{", r"\{")):
        file_cells.day(cell)


@pytest.mark.parametrize(
    ("cell", "is_guessed"),
    [
        ("46387", True), ("31.12.26", True), ("1.1.27", True), ("31 грудня 26", True),
        ("31.12.2026", False), ("2026-12-31", False), (46_387, False), (DAY, False),
    ],
)  # fmt: skip
def test_ft_24_a_day_that_was_guessed_is_shown(cell: Cell, is_guessed: bool) -> None:
    assert file_cells.is_guessed(cell) is is_guessed


@pytest.mark.parametrize("number", range(1, 13))
def test_ft_24_months_have_names_in_the_languages_of_files_and_roman_numbers(number: int) -> None:
    names = [babel.dates.format_date(date(2026, number, 5), "d MMMM y", locale) for locale in ("uk", "en", "ru")]
    roman = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"][number - 1]
    assert {file_cells.day(name) for name in (*names, f"5.{roman}.2026")} == {f"2026-{number:02}-05"}


@pytest.mark.parametrize(
    ("cell", "instant"),
    [
        ("2026-11-21T15:00:00Z", "2026-11-21T15:00:00Z"),
        ("2026-11-21 15:00Z", "2026-11-21T15:00:00Z"),
        ("21.11.2026 15:00 +02:00", "2026-11-21T15:00:00+02:00"),
        ("21.11.2026, 15:00:30.5 UTC+2", "2026-11-21T15:00:30.500000+02:00"),
        ("2026-11-21T15:00\u22120530", "2026-11-21T15:00:00-05:30"),
        ("21 листопада 2026 15:00 UTC", "2026-11-21T15:00:00Z"),
    ],
)
def test_ft_24_an_instant_has_its_offset(cell: str, instant: str) -> None:
    assert file_cells.instant(cell) == instant


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("2026-11-21 15:00", "does not say the offset"),
        ("21.11.2026 15:00:00", "does not say the offset"),
        (DAY, "does not say the offset"),
        ("2026-11-21", "is no date with a time"),
        ("2026-11-21Z", "is no date with a time"),
        ("2026-11-21 25:00Z", "is no date with a time"),
        ("2026-11-31 15:00Z", "is no date with a time"),
        ("soon", "is no date with a time"),
    ],
)
def test_ft_24_a_time_without_an_offset_is_no_instant(cell: Cell, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        file_cells.instant(cell)


def test_a_wall_clock_time_has_no_offset() -> None:
    assert file_cells.wall("24.12.2026 00:00") == "2026-12-24T00:00"
    assert file_cells.wall("2026-12-24T09:30:00") == "2026-12-24T09:30"
    assert file_cells.wall("Christmas") is None


@pytest.mark.parametrize(
    "cell",
    ["1200", " 1 200", "1\xa0200", "1\u202f200", "1200,00", "1200.0", "1200,", 1200, 1200.0],
)
def test_ft_24_a_whole_number_is_read_however_it_is_written(cell: Cell) -> None:
    assert file_cells.whole(cell) == 1200


SCRIPTS = ("٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "０１２３４５６７８９", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗")
READERS: dict[Callable[[str], object], tuple[str, ...]] = {
    file_cells.day: ("2026-12-31", "31.12.2026", "12/31/26", "31 грудня 2026 р.", "Dec 31st, 2026", "«31» грудня 2026"),
    file_cells.instant: ("2026-11-21T15:00:00Z", "21.11.2026, 15:00:30.5 UTC+2", "2026-11-21 15:00 -05:30"),
    file_cells.whole: ("1200", "1 200 000", "1200,00", "1,200,000"),
    file_cells.clock: ("7:30", "22.00", "10:00:00 PM"),
    file_cells.period: ("2026", "2026-10", "10.2026", "2026-Q4", "К4 2026"),
    file_cells.truth: ("1", "0"),
    file_cells.wall: ("24.12.2026 00:00", "2026-12-24T09:30:00"),
    file_cells.is_guessed: ("46387", "31.12.26", "31.12.2026"),
}  # fmt: skip
"""Whatever reads figures of a cell, and cells that it reads."""


@pytest.mark.parametrize("digits", SCRIPTS)
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_ft_24_digits_of_each_script_mean_what_latin_ones_mean(read: Callable[[str], object], digits: str) -> None:
    written = {cell: cell.translate(str.maketrans("0123456789", digits)) for cell in READERS[read]}
    assert {cell: read(other) for cell, other in written.items()} == {cell: read(cell) for cell in written}


def test_signs_that_are_no_digits_of_a_number_stay_as_they_are() -> None:
    assert file_cells.latin_digits("x²½Ⅻ①") == "x²½Ⅻ①"


@pytest.mark.parametrize("cell", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("read", [file_cells.day, file_cells.whole, file_cells.clock, file_cells.truth])
def test_ft_24_a_number_without_a_value_is_said(read: Callable[[Cell], object], cell: float) -> None:
    with pytest.raises(Unreadable):
        read(cell)


@pytest.mark.parametrize("cell", ["1,200,000", "1.200.000", "1 200 000", "1'200'000"])
def test_two_groups_are_thousands(cell: str) -> None:
    assert file_cells.whole(cell) == 1_200_000


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1,200", "may be a fraction"),
        ("1.200", "may be a fraction"),
        ("12,5", "is no whole"),
        ("a", "is no whole"),
        ("-5", "is no whole"),
        (12.5, "is no whole"),
        (True, "is no whole"),
    ],
)
def test_ft_24_what_is_no_whole_number_is_said(cell: Cell, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        file_cells.whole(cell)


@pytest.mark.parametrize("cell", ["так", "Так ", "yes", "TRUE", "1", "x", "Х", "+", True, 1.0])
def test_ft_24_yes_has_many_words(cell: Cell) -> None:
    assert file_cells.truth(cell) is True


@pytest.mark.parametrize("cell", ["ні", "no", "false", "0", False, 0])
def test_ft_24_no_has_many_words(cell: Cell) -> None:
    assert file_cells.truth(cell) is False


def test_ft_24_perhaps_is_neither() -> None:
    with pytest.raises(Unreadable, match="yes or no"):
        file_cells.truth("можливо")


@pytest.mark.parametrize(
    ("cell", "clock"),
    [
        ("7:30", "07:30"),
        ("22.00", "22:00"),
        (time(7, 30), "07:30"),
        (0.3125, "07:30"),
        ("10:00:00 PM", "22:00"),
        ("12:30 am", "00:30"),
    ],
)
def test_ft_24_a_time_of_day(cell: Cell, clock: str) -> None:
    assert file_cells.clock(cell) == clock


def test_what_is_no_time_of_day_is_said() -> None:
    with pytest.raises(Unreadable, match="no time of day"):
        file_cells.clock("noon")


@pytest.mark.parametrize(
    ("cell", "period"),
    [
        ("2026", "2026"), (2026.0, "2026"), ("2026-10", "2026-10"), ("10.2026", "2026-10"), ("2026/10", "2026-10"),
        (date(2026, 10, 1), "2026-10"), ("2026-10-01", "2026-10"), ("2026-q4", "2026-Q4"), ("Q4 2026", "2026-Q4"),
        ("soon", "SOON"),
    ],
)  # fmt: skip
def test_ft_24_a_period_is_read_although_a_spreadsheet_made_a_day_of_it(cell: Cell, period: str) -> None:
    assert file_cells.period(cell) == period


def test_a_word_stands_for_its_code() -> None:
    words = {"чинний": "active"}
    assert [file_cells.code(cell, words) for cell in (" Чинний ", "x-1", 2.0)] == ["active", "x-1", "2"]
