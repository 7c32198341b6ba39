"""In which language a question seems to be, so that it is read aloud rightly."""

import pytest

from service.rules import text_language


@pytest.mark.parametrize(
    ("text", "languages", "language"),
    [
        ("Дитина 5 років, доза morphine?", ["uk", "en"], "uk"),
        ("Дитина 5 років: яка доза?", ["en"], "uk"),
        ("Which dose?", ["uk", "en", "fr"], "en"),
        ("Quelle dose ?", ["uk", "fr"], "fr"),
        ("Quelle dose ?", ["de", "fr"], None),
        ("Which dose?", ["uk"], "en"),
        ("\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET}", ["en"], "he"),
        ("\N{GREEK SMALL LETTER ALPHA}", ["en"], None),
        ("20 mg? 5 !", ["en"], "en"),
        ("20 % ?", ["en"], None),
        ("", [], None),
    ],
)
def test_a_language_is_guessed_by_letters_and_by_what_the_writer_has(
    text: str, languages: list[str], language: str | None
) -> None:
    assert text_language.guess(text, languages) == language
