# ruff: noqa: RUF001 - the texts are Ukrainian
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import PROPERTY
from service import vocabulary
from service.rules import deidentify
from service.rules.deidentify import numbers

TODAY = date(2026, 11, 22)


def found(text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.kind) for span in deidentify.find(text, TODAY)]


@pytest.mark.parametrize(
    "number",
    ["+380671234567", "+380 67 123 45 67", "+38 (067) 123-45-67", "380671234567", "38 067 123 45 67", "0671234567",
     "067 123 45 67", "067-123-45-67", "067.123.45.67", "(067) 123-45-67", "(0462) 12-34-56", "(04622) 1-23-45",
     "8 (067) 123 45 67", "+33 6 12 34 56 78", "+33612345678", "0033 6 12 34 56 78", "+1 (204) 555-0123",
     "+49 30 901820", "067\u00a0123\u00a045\u00a067", "067–123–45–67"],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "Дзвонити {}, після 18:00.", "call {} tonight"])
def test_a_phone_number_is_found(number: str, around: str) -> None:
    assert found(around.format(number)) == [(number, "phone")]


@pytest.mark.parametrize("address", ["a.b@likarnia.com.ua", "ІВАН@пошта.укр", "x+y%z@a-b.example"])
def test_a_mail_address_is_found(address: str) -> None:
    assert found(f"пишіть на {address}, дякую") == [(address, "email")]


def test_a_tax_number_is_told_by_its_check_digit() -> None:
    assert found("код 3184710691") == [("3184710691", "tax_number")]
    assert found("код 3184710692") == [("3184710692", "long_number")]


def test_every_digit_of_a_tax_number_has_its_weight_in_the_check() -> None:
    assert numbers.has_check_digit("1111111118")
    assert [n for n in range(10) if numbers.has_check_digit(f"123456789{n}")] == [9]


def test_the_check_digit_of_a_sum_that_leaves_ten_is_nought() -> None:
    assert numbers.has_check_digit("2000000110")


@pytest.mark.parametrize(
    "number",
    ["АВ 123456", "АВ123456", "СН № 123456", "FE123456", "19840312-01234"],
)  # fmt: skip
def test_a_passport_is_found(number: str) -> None:
    assert found(f"хворий, {number}.") == [(number, "passport")]


@pytest.mark.parametrize("number", ["123456789", "1234 5678 9012 3456", "1234-5678-9012-3456", "12345678901234"])
def test_a_long_number_is_found(number: str) -> None:
    assert found(f"картка {number};") == [(number, "long_number")]


@pytest.mark.parametrize(
    "day",
    ["12.03.1984", "12/03/1984", "12-03-1984", "1984-03-12", "3/25/1984", "12 березня 1984", "12 March 1984",
     "12th of March 1984", "March 12, 1984", "Mar. 12 1984", "1 лист. 2001", "31 січня 1984", "24.11.2024"],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "чоловік, {}, Чернігів", "({})"])
def test_a_full_date_of_more_than_a_year_ago_may_be_a_birth_date(day: str, around: str) -> None:
    assert found(around.format(day)) == [(day, "birth_date")]


@pytest.mark.parametrize(
    ("day", "is_found"),
    [("31.12.1899", False), ("01.01.1900", True), ("21.11.2025", True), ("22.11.2025", False)],
)
def test_without_the_word_a_birth_date_lies_between_1900_and_a_year_ago(day: str, is_found: bool) -> None:
    assert found(day) == ([(day, "birth_date")] if is_found else [])


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("born" + " " * 26 + "03.11.2026", True),
        ("born" + " " * 27 + "03.11.2026", False),
        ("03.11.2026" + " " * 11 + "born", True),
        ("03.11.2026" + " " * 12 + "born", False),
        ("born 22.11.2026", True),  # today
        ("born 23.11.2026", False),
    ],
)
def test_the_word_stands_thirty_characters_before_or_fifteen_after_the_date_at_most(text: str, is_found: bool) -> None:
    assert bool(found(text)) is is_found


@pytest.mark.parametrize(
    "text",
    ["народився 03.11.2026", "дата народження: 03.11.2026", "03.11.2026 р.н.", "д.н. 03.11.2026", "DOB 03.11.2026",
     "born on 03.11.2026", "03.11.2026 року народження", "г.р. 03.11.2026"],
)  # fmt: skip
def test_a_recent_date_is_a_birth_date_when_the_word_is_beside_it(text: str) -> None:
    assert found(text) == [("03.11.2026", "birth_date")]


@pytest.mark.parametrize(
    ("short", "is_found"),
    [("12.03.84 р.н.", True), ("12.03.26 р.н.", True), ("29.02.84 р.н.", True), ("12.03.84", False)],
)
def test_a_year_of_two_digits_counts_only_beside_the_word(short: str, is_found: bool) -> None:
    assert found(short) == ([(short[:8], "birth_date")] if is_found else [])


@pytest.mark.parametrize(
    "text",
    [
        "АТ 120/80 мм рт. ст., ЧСС 95, SpO2 94 %, t 38.5, ЧД 22",
        "BP 120/80, HR 110, GCS 13 (3-4-6), pH 7.35, BE -4.5",
        "цефтріаксон 2 г 2 рази на добу, норадреналін 0.05 мкг/кг/хв, 0.9% NaCl 1000 мл",
        "Hb 95, Le 12.4, Tr 250 000, креатинін 110, CRP 180, D-dimer 1500, фібриноген 4,5",
        "Поранення 25.10.2026 о 10:30, операція 26.10.2026 11:45-14:20, КТ 09.11.2026 10:30",
        "scheduled for 15.01.2027; next 2027-02-01; 3 March 2027",
        "31.02.1984 is no day, nor is 45.13.1984, nor 12 Foo 1984, nor 12.03.1884",
        "L4-L5, C5/C6, T12, ISS 34, TNM T2N1M0, ICD S06.5, 5-ALA, 10-15 мл/год",
        "1.123456789 та 0,1234567890",
        "10 20 30 40 50 60 70 80",
        "Дозування: 100 - 200 - 300 мг; 2x2; №5; 1000000 ОД",
        "пацієнт 42 роки, 3-й день, 2024 рік, у 2014-2022 рр.",
        "CK 12345 U/L, AB 12345, лікар А.В. 12345",
        "народився недоношеним, 34 тижні, вага 2100",
        "@ndrii wrote a@b without a domain",
        "",
    ],
)
def test_clinical_text_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_all_finds_are_told_in_order_and_by_the_code_point() -> None:
    text = "😀 Іван, 12.03.1984 р.н., 0671234567, i@x.ua"
    assert deidentify.find(text, TODAY) == [
        deidentify.Span(8, 18, "birth_date"),
        deidentify.Span(25, 35, "phone"),
        deidentify.Span(37, 43, "email"),
    ]


@PROPERTY
@given(st.text(st.sampled_from("0123456789 .-/()+@абАВab\n№,"), max_size=80))
def test_finds_never_overlap_and_lie_inside_the_text(text: str) -> None:
    spans = deidentify.find(text, TODAY)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(span.start < span.end <= len(text) and span.kind in vocabulary.PERSONAL_DATA for span in spans)


@PROPERTY
@given(st.text(st.sampled_from("0123456789 абвAB,.-"), max_size=30), st.text("абв, ", max_size=10))
def test_nine_digits_in_a_row_are_always_found(before: str, after: str) -> None:
    text = f"{before} 123456789 {after}"
    at = len(before) + 1
    assert any(span.start <= at + 4 < span.end for span in deidentify.find(text, TODAY))


@pytest.mark.slow
@pytest.mark.parametrize("character", ["1", "0", "a", "+", "1 ", "0-", "12.", "a.", "a@", "т"])
def test_a_long_text_of_one_character_is_read_in_one_go(character: str) -> None:
    deidentify.find(character * 20_000, TODAY)
