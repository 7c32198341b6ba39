"""Texts that show nothing, were damaged or mix scripts: what is certain, what is a guess, what only looks odd."""

import pytest

from service.rules import sentences, suspicious_text

NAME = "Обласна лікарня «Схід» №1, ім. Її Руденко"
REAL = (
    *("Hospital", NAME, "Université de Liège", "Hôpital Éric", "MÜNCHEN", "Ні", "Їжак", "Łódź", "Ålesund", "北京医院"),
    *("О’Коннор", "Мар'яна Дерʼкач", "O'Brien", "Anne-Marie Müller", "І. Франко", "J. R. Smith", "Ғалым", "Ø. Ø."),
    *("محمد عبد الله", "გიორგი ბერიძე", "山田太郎", "김철수", "𠮷野家", "Đặng Thị Hồng", "יוסף כהן", "नरेन्द्र"),
    *("می‌خواهم", "COVID-центр", "Відділення ХІV-Б", "МРТ/CT", "UA-клініка", "ЛОР", "Zустріч", "Rh-фактор"),
    *("pH-метрія", "002", "№ 5", "β-блокатори", "Lékařská fakulta", "São João", "Ålands sjukhus", "Şişli Etfal"),
    *("Lviv & Sons", "100%", "Ç.É.", "«Надія»", "Jean‐Luc", "Haʻena", "Ж", "ß", "Ángel Ñáñez", "Þórður", "d’Île"),
)
EMPTY = (
    *(
        "\u200b\u200b",
        "\u2060",
        "\ufeff",
        "\xad",
        " \xa0\u3000",
        "\u0301\u0300",
        "\u20dd",
        "\u3164",
        "\u2800\u2800",
        "",
    ),
    *("\u115f\u1160", "\ufe0f", "\u034f", "\U000e0041", "\U000e0100", "\ue000", "\U0010fffd", "\u0378", "\uffff"),
)
MEANINGLESS = ("\ue000", "\uf0b7", "\U000f0001", "\u0378", "\ufdd0", "\uffff", "\U0003ffff", "\U000e0fff")
INVISIBLE = ("\u200b", "\u2060", "\ufeff", "\xad", "\u200d", "\u200c", "\u3164", "\u2800", "\U000e0041", "\u180e")


def misread(text: str, encoding: str) -> str:
    """Show the bytes of UTF-8 as a program does that takes them for something else."""
    return "".join(bytes([byte]).decode(encoding, "replace").replace("\ufffd", chr(byte)) for byte in text.encode())


def key(text: str | None) -> str | None:
    return None if text is None else sentences.key(text)


@pytest.mark.parametrize(
    "char", ["\u202e", "\u202a", "\u2066", "\u2069", "\u200f", "\u200e", "\u061c", "\u2028", "\u2029"]
)
def test_ft_26_what_steers_is_refused(char: str) -> None:
    assert suspicious_text.fault_of_name(f"Іван{char}ов") == suspicious_text.STEERS


def test_ft_26_a_lost_character_is_refused() -> None:
    assert suspicious_text.fault_of_name("Ів\ufffdн") == "a character was lost (shown as \ufffd): type it again"


@pytest.mark.parametrize("text", ["?????", "?? ???", "????? ?.?."])
def test_ft_26_a_name_of_question_marks_is_refused(text: str) -> None:
    assert suspicious_text.fault_of_name(text) == suspicious_text.ONLY_QUESTIONS


@pytest.mark.parametrize("text", EMPTY)
def test_ft_26_a_text_that_shows_nothing_is_refused(text: str) -> None:
    assert suspicious_text.fault_of_name(text) == suspicious_text.NOTHING_SEEN
    assert suspicious_text.fault_of_text(text) == suspicious_text.NOTHING_SEEN


@pytest.mark.parametrize("char", MEANINGLESS)
def test_ft_26_a_character_without_a_meaning_is_named_with_its_place(char: str) -> None:
    fault = suspicious_text.fault_of_name(f"Ів{char}ан")
    assert fault == f"holds a character without a meaning (U+{ord(char):04X}) at place 3: take it out"
    assert suspicious_text.fault_of_text(f"Ів{char}ан") is None


@pytest.mark.parametrize("char", INVISIBLE)
def test_ft_26_an_invisible_character_within_a_name_is_named_with_its_place(char: str) -> None:
    assert key(suspicious_text.fault_of_name(f"Ів{char}ан")) == suspicious_text.IS_INVISIBLE
    assert key(suspicious_text.fault_of_name(f"Iv{char}an")) == suspicious_text.IS_INVISIBLE


@pytest.mark.parametrize("text", ["\u200d", "\u200d\u200d"])
def test_a_joiner_alone_shows_nothing(text: str) -> None:
    assert suspicious_text.shows_nothing(text)


@pytest.mark.parametrize("text", ["—", "...", "!", "?", "🙂", "№"])
def test_ft_26_a_name_of_signs_alone_is_refused_and_a_text_is_not(text: str) -> None:
    assert suspicious_text.fault_of_name(text) == suspicious_text.NO_LETTER
    assert suspicious_text.fault_of_text(text) is None


def test_a_number_sign_that_is_seen_is_no_invisible_one() -> None:
    assert suspicious_text.fault_of_name("\u0600١٢") is None


@pytest.mark.parametrize("text", [*REAL, "Why?", "eЗдоров'я", "iКлініка", "eМед", "Jäääär", "Ріс Рік"])
def test_ft_26_real_names_of_every_script_pass(text: str) -> None:
    assert (suspicious_text.fault_of_name(text), suspicious_text.doubt_of_name(text)) == (None, None)


@pytest.mark.parametrize("encoding", ["cp1251", "cp1252"])
def test_ft_26_utf_8_that_was_read_as_something_else_is_known_with_what_was_meant(encoding: str) -> None:
    assert suspicious_text.meant(misread(NAME, encoding)) == NAME
    assert suspicious_text.meant(misread("Лікарня", encoding)) == "Лікарня"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Р›С–РєР°СЂРЅСЏ", "Лікарня"),
        ("Ð›Ñ–", "Лі"),
        ("Ð†Ð²Ð°Ð½", "Іван"),
        ("Ëіêàðíÿ".replace("і", "³"), "Лікарня"),
        ("HÃ´pital", "Hôpital"),
        ("MÃ¼ller", "Müller"),
        ("JosÃ©", "José"),
        ("\\u0406\\u0432\\u0430\\u043d", "Іван"),
        ("&#1030;&#1074;&#1072;&#1085;", "Іван"),
        ("M&uuml;ller", "Müller"),
        ("Smith &amp; Sons", "Smith & Sons"),
        ("%D0%86%D0%B2%D0%B0%D0%BD", "Іван"),
    ],
)
def test_ft_26_letters_in_a_wrong_encoding_are_shown_with_what_was_meant(text: str, meant: str) -> None:
    assert suspicious_text.meant(text) == meant
    assert suspicious_text.doubt_of_name(text) == f"looks read in a wrong encoding: was “{meant}” meant?"


@pytest.mark.parametrize("text", ["%FF%FE", "%41%42", "&nosuch;", "100%25"])
def test_what_is_no_escape_of_letters_is_left_alone(text: str) -> None:
    assert suspicious_text.meant(text) is None


@pytest.mark.parametrize(
    ("text", "code", "place", "meant"),
    [
        ("Kоval", "U+043E", 2, "Koval"),
        ("Кoваль", "U+006F", 2, "Коваль"),
        ("Лікарня Цeнтр", "U+0065", 10, "Лікарня Центр"),
        ("Іvan", "U+0406", 1, "Ivan"),
        ("COVID СOVID", "U+0421", 7, "COVID COVID"),
    ],
)
def test_ft_26_a_word_of_two_scripts_that_look_alike_is_shown_with_what_was_meant(
    text: str, code: str, place: int, meant: str
) -> None:
    said = suspicious_text.doubt_of_name(text)
    assert said is not None
    assert (sentences.key(said), sentences.facts(said)) == (
        suspicious_text.MIXED,
        {"code": code, "place": place, "meant": meant},
    )


@pytest.mark.parametrize(
    ("text", "lost"), [("?????? лікарня", True), ("?? ??", True), ("Why??", False), ("Іван", False)]
)
def test_ft_26_question_marks_in_a_row_are_doubtful(text: str, lost: bool) -> None:
    assert suspicious_text.has_lost_letters(text) is lost
