"""Files that are not what their name says: the first message says what they truly are."""

import io
import zipfile

import pytest

from api.exchange import import_words, record_tables


def told(content: bytes) -> list[str]:
    """What is wrong with the file, in Ukrainian."""
    return [import_words.sentence(fault, "uk") for fault in record_tables.read("institutions", content).faults]


def packed(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"<x/>")
    return buffer.getvalue()


OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
RENAMED = {
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)),
    "GZIP": b"\x1f\x8b\x08\x00" + bytes(30),
    "HTML": b"\xef\xbb\xbf \n<HTML><table><tr><td>code</td></tr></table>",
    "XML": b'<?xml version="1.0"?><rows/>',
    "JSON": b'[{"code": "x"}]',
    "OpenDocument": packed("mimetype", "content.xml"),
    "Word": packed("word/document.xml"),
    "XLSB": packed("xl/workbook.bin"),
    "ZIP": packed("institutions.csv"),
    "XLS of an old Excel": OLD_OFFICE,
}


@pytest.mark.parametrize("what", RENAMED)
def test_ft_24_a_file_of_another_kind_is_called_what_it_is(what: str) -> None:
    (said,) = told(RENAMED[what])
    assert f"насправді це файл іншого виду ({what})" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (OLD_OFFICE + "EncryptedPackage".encode("utf-16-le") + bytes(50), "захищено паролем"),
        (packed("xl/workbook.xml")[:-20], "файл XLSX, але пошкоджений"),
        (packed("xl/workbook.xml"), "файл XLSX, але пошкоджений"),
        (b"", "файл порожній"),
        ("x-one,hospital,Перша\n".encode(), "перший рядок не називає жодного стовпця"),
        ('code,kind,name\nx,hospital,"Перша\ny,hospital,Друга\n'.encode(), "тут відкрито лапки"),
    ],
)
def test_ft_24_the_first_message_says_what_a_file_truly_is(content: bytes, said: str) -> None:
    assert said in told(content)[0]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_ft_24_a_file_in_wide_characters_is_read(encoding: str) -> None:
    table = record_tables.read("institutions", "code,kind,name\nx,hospital,Перша\n".encode(encoding))
    assert (table.faults, [row.values["name"] for row in table.rows]) == ([], ["Перша"])
