"""Documents on paper: Cyrillic is there to be read, nothing in a text is markup, the same words are the same bytes."""

import pypdfium2

from integrations.documents import pdf

ABOUT = pdf.About("Звіт", "uk", "foot")


def text_of(document: bytes) -> str:
    pages = pypdfium2.PdfDocument(document)
    return "\n".join(page.get_textpage().get_text_range() for page in pages)


def test_letters_of_every_alphabet_of_ours_are_drawn_and_can_be_read_back() -> None:
    said = "Ґанок, їжак, Є — o\N{MODIFIER LETTER TURNED COMMA}zbek, ąžuolas, Şişli, łódź"
    assert said in text_of(pdf.render([pdf.words(said)], ABOUT))


def test_no_text_is_markup() -> None:
    said = "<b>bold</b> & <img src=x> </para>"
    assert said in text_of(pdf.render([pdf.words(said), pdf.table([["a"], [said]], [1])], ABOUT))


def test_the_same_words_are_the_same_bytes() -> None:
    story = [["a", "b"], ["c", "1"]]
    once = pdf.render([pdf.table(story, [1, 1], numeric=[1])], ABOUT)
    again = pdf.render([pdf.table(story, [1, 1], numeric=[1])], ABOUT)
    assert once == again


def test_a_long_table_repeats_its_head_and_the_foot_on_every_page() -> None:
    rows = [["Head", "Number"], *([str(n), str(n)] for n in range(120))]
    document = pdf.render([pdf.table(rows, [3, 1], numeric=[1])], ABOUT)
    pages = pypdfium2.PdfDocument(document)
    assert len(pages) > 1
    assert text_of(document).count("Head") == len(pages)
    assert text_of(document).count("foot") == len(pages)
