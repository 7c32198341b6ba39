"""Texts that were damaged on their way: what is certain, what is a guess, and names that only look odd."""

import pytest

from service.rules import suspicious_text

NAME = "Обласна лікарня «Схід» №1, ім. Її Руденко"


def misread(text: str, encoding: str) -> str:
    """Show the bytes of UTF-8 as a program does that takes them for something else."""
    return "".join(bytes([byte]).decode(encoding, "replace").replace("\ufffd", chr(byte)) for byte in text.encode())


@pytest.mark.parametrize(
    "char", ["\u202e", "\u202a", "\u2066", "\u2069", "\u200f", "\u200e", "\u061c", "\u2028", "\u2029"]
)
def test_ft_26_what_steers_is_refused(char: str) -> None:
    assert suspicious_text.fault(f"Іван{char}ов") == suspicious_text.STEERS


def test_ft_26_a_lost_character_is_refused() -> None:
    assert suspicious_text.fault("Ів\ufffdн") == suspicious_text.IS_LOST


@pytest.mark.parametrize("text", ["?????", "?? ???", "????? ?.?."])
def test_ft_26_a_name_of_question_marks_is_refused(text: str) -> None:
    assert suspicious_text.fault(text) == suspicious_text.ONLY_QUESTIONS


@pytest.mark.parametrize("text", ["Іван", "Why?", "?", "O'Brien", ""])
def test_other_texts_have_no_fault(text: str) -> None:
    assert suspicious_text.fault(text) is None


@pytest.mark.parametrize("encoding", ["cp1251", "cp1252"])
def test_ft_26_utf_8_that_was_read_as_something_else_is_known_with_what_was_meant(encoding: str) -> None:
    assert suspicious_text.meant(misread(NAME, encoding)) == NAME
    assert suspicious_text.meant(misread("Лікарня", encoding)) == "Лікарня"


def test_ft_26_the_example_of_the_trial() -> None:
    assert suspicious_text.meant("Р›С–РєР°СЂРЅСЏ") == "Лікарня"
    assert suspicious_text.meant("Ð›Ñ–") == "Лі"


def test_ft_26_latin_letters_in_place_of_cyrillic_ones() -> None:
    assert suspicious_text.meant("Ëіêàðíÿ".replace("і", "³")) == "Лікарня"


@pytest.mark.parametrize(
    "text",
    [
        "Hospital",
        NAME,
        "Université de Liège",
        "Hôpital Éric",
        "MÜNCHEN",
        "Ні",
        "Їжак",
        "Łódź",
        "Ålesund",
        "北京医院",
    ],
)
def test_ft_26_names_of_every_language_are_left_alone(text: str) -> None:
    assert suspicious_text.meant(text) is None


@pytest.mark.parametrize(
    ("text", "lost"), [("?????? лікарня", True), ("?? ??", True), ("Why??", False), ("Іван", False)]
)
def test_ft_26_question_marks_in_a_row_are_doubtful(text: str, lost: bool) -> None:
    assert suspicious_text.has_lost_letters(text) is lost
