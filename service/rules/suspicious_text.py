"""Texts that show nothing, were damaged on their way, or show something else than they hold.

Names and titles are read strictly (`fault_of_name`): what steers the reader's eye, cannot be seen, has no meaning, or
stands for a character that was lost is a fault. What looks like letters in the wrong encoding, or like letters of
another script, is a guess (`doubt_of_name`): whoever types it is asked to type it again, whoever sends a file is shown
it. Of longer texts, which may hold anything, only those that show nothing are refused (`fault_of_text`).
"""

import html
import re
import unicodedata
import urllib.parse
from typing import Literal

from service.rules import file_tables
from service.rules.sentences import Sentence

STEERING = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Invisible although their category is a letter, mark or symbol: joiners, fillers, selectors, empty Braille."""
LOST = "\N{REPLACEMENT CHARACTER}"
STEERS = "holds an invisible character that turns the direction of writing or breaks the line: take it out"
IS_LOST = "a character was lost (shown as {lost}): type it again"
ONLY_QUESTIONS = "holds question marks in place of its letters: they were lost when the file was saved"
NOTHING_SEEN = "holds nothing that can be seen: type it again"
NO_LETTER = "holds neither a letter nor a figure: type it again"
IS_INVISIBLE = "holds an invisible character ({code}) at place {place}: take it out"
HAS_NO_MEANING = "holds a character without a meaning ({code}) at place {place}: take it out"
MISREAD = "looks read in a wrong encoding: was “{meant}” meant?"
MIXED = "has a letter of another alphabet that looks the same ({code}) at place {place}: was “{meant}” meant?"
QUESTIONS = "holds question marks that may stand for lost letters"
WARNINGS = (MISREAD, MIXED, QUESTIONS)
FAULTS = (STEERS, IS_LOST, ONLY_QUESTIONS, NOTHING_SEEN, NO_LETTER, IS_INVISIBLE, HAS_NO_MEANING, MISREAD, MIXED)

_JOINERS = "\u200c\u200d"
_JOINED_BY_NATURE = ("LATIN", "CYRILLIC", "GREEK")
"""Scripts in which nothing joins letters; in others (Arabic, Indic) a joiner changes how a name is written."""
_SEEN_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2\U000110bd\U000110cd")
_CHINESE = range(0x20000, 0x3FFFE)  # characters of names, some newer than the tables of this Python
_RUN = re.compile(r"[^\x00-\x7f]+(?: [^\x00-\x7f]+)*")
_LETTERS = re.compile(r"[\u0400-\u045f\u0490\u0491\u00c0-\u017f\u2010-\u2026\u00ab\u00bb\u02bc\u2116 ]+")
_QUESTIONS = re.compile(r"\?{3,}|\?\?+ \?\?+")
_LATIN_WORD = re.compile(r"[\u00c0-\u00ff\u00b3\u00bf\u00ba\u00b2\u00af\u00aa\u00b4\u00a5]{4,}")
_ACCENTED_TOGETHER = 3  # Estonian has `Jäääär`
_ACCENTED = re.compile("[\u00c2-\u00c5][\u00a1-\u00a9\u00ac-\u00b4\u00b6-\u00b9\u00bc-\u00bf]")
"""Both bytes of an accented Latin letter, as cp1252 shows them: no name has a capital before such a sign."""
_READ_AS: tuple[Literal["cp1251", "cp1252"], ...] = ("cp1251", "cp1252")
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|(?:%[0-9a-fA-F]{2}){2,}|&(?:#\d{2,6}|#x[0-9a-fA-F]{2,5}|[a-z]{2,6});")
_UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_WORD = re.compile(r"[^\W\d_]+")
_ROMAN = frozenset("IVXLCDM\u0406\u0425\u0421\u041c")  # numerals, with letters of either keyboard
_ELECTRONIC = re.compile(r"[ei][\u0400-\u042f\u0490]")
"""A lone Latin letter before a Cyrillic capital, as brands of the kind of eHealth are written."""
_LOOK_ALIKE = dict(zip(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0457\u0458\u0455\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0423\u0406\u0407\u0408\u0405",
    "aeopcyxi\u00efjsABEKMHOPCTXYI\u00cfJS", strict=True,
))  # fmt: skip
"""Cyrillic letters and the Latin ones that look the same."""
_LOOKED_LIKE = {latin: cyrillic for cyrillic, latin in _LOOK_ALIKE.items()}


def fault_of_name(text: str) -> str | None:
    """Say what is wrong with a name or title, if that is certain."""
    if not STEERING.isdisjoint(text):
        return STEERS
    if LOST in text:
        return Sentence(IS_LOST, lost=LOST)
    if shows_nothing(text):
        return NOTHING_SEEN
    if not any(char.isalnum() for char in text):
        return ONLY_QUESTIONS if "??" in text else NO_LETTER
    for place, char in enumerate(text):
        key = HAS_NO_MEANING if _is_meaningless(char) else IS_INVISIBLE if _is_invisible(text, place) else None
        if key:
            return Sentence(key, code=_code(char), place=place + 1)
    return None


def doubt_of_name(text: str) -> str | None:
    """Say what a name or title was probably meant to be, if it looks damaged or mixes letters that look the same."""
    probable = meant(text)
    if probable is not None:
        return Sentence(MISREAD, meant=file_tables.shown(probable))
    return _mixed(text)


def fault_of_text(text: str) -> str | None:
    """Say what is wrong with a text of any length: only that it shows nothing."""
    return NOTHING_SEEN if shows_nothing(text) else None


def shows_nothing(text: str) -> bool:
    """Tell whether no character of the text can be seen: blanks, joiners, fillers, or marks without a letter."""
    chars = (char for char in text if char not in _SEEN_FORMATS)
    return all(unicodedata.category(char)[0] in "ZCM" or UNSEEN.match(char) for char in chars)


def meant(text: str) -> str | None:
    """Give what the text was probably meant to be, if it looks read in a wrong encoding: `Р›С–РєР°СЂ` was `Лікар`."""
    escaped = _ESCAPED.sub(lambda found: _unescaped(found[0]), text)
    if escaped != text:
        return escaped
    if text.isascii():
        return None
    for encoding in _READ_AS:
        repaired = _RUN.sub(lambda run, encoding=encoding: _as_utf8(run[0], encoding) or run[0], text)  # type: ignore[misc]
        if repaired != text:
            return repaired
    repaired = _LATIN_WORD.sub(lambda word: _as_cyrillic(word[0]) or word[0], text)
    return repaired if repaired != text else None


def has_lost_letters(text: str) -> bool:
    """Tell whether question marks probably stand in place of letters."""
    return _QUESTIONS.search(text) is not None


def _is_meaningless(char: str) -> bool:
    """Tell whether the character is of private use, or assigned to nothing."""
    category = unicodedata.category(char)
    return category == "Co" or (category == "Cn" and ord(char) not in _CHINESE)


def _is_invisible(text: str, place: int) -> bool:
    """Tell whether the character cannot be seen where it stands; joiners may be between letters that they join."""
    char = text[place]
    if unicodedata.category(char) != "Cf" or char in _SEEN_FORMATS:
        return char in "\u115f\u1160\u2800\u3164\uffa0"
    around = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
    names = [unicodedata.name(each, "") for each in around]
    return char not in _JOINERS or not names or any(name.startswith(_JOINED_BY_NATURE) for name in names)


def _mixed(text: str) -> str | None:
    """Name the first letter that stands in a word of another script and looks like one of it."""
    for word in _WORD.finditer(text):
        cyrillic = [char for char in word[0] if "\u0400" <= char <= "\u052f"]
        latin = [char for char in word[0] if unicodedata.name(char, "").startswith("LATIN ")]
        if not cyrillic or not latin or set(word[0]) <= _ROMAN or (len(latin) == 1 and _ELECTRONIC.match(word[0])):
            continue
        is_latin_meant = len(latin) > len(cyrillic)
        for odd, table in ((cyrillic, _LOOK_ALIKE), (latin, _LOOKED_LIKE))[:: 1 if is_latin_meant else -1]:
            if all(char in table for char in odd):
                place = word.start() + word[0].index(odd[0])
                whole = text[: word.start()] + "".join(table.get(char, char) for char in word[0]) + text[word.end() :]
                return Sentence(MIXED, code=_code(text[place]), place=place + 1, meant=file_tables.shown(whole))
    return None


def _unescaped(text: str) -> str:
    """Give the letters of an escape of JSON, HTML or an address; what is none, or of none but ASCII, stays as it is."""
    if text.startswith("\\"):
        units = b"".join(int(unit, 16).to_bytes(2) for unit in _UNICODE_ESCAPE.findall(text))
        return units.decode("utf-16-be", "replace")
    if text.startswith("&"):
        return html.unescape(text)
    letters = urllib.parse.unquote(text, errors="replace")
    return text if letters.isascii() or LOST in letters else letters


def _code(char: str) -> str:
    return f"U+{ord(char):04X}"


def _as_utf8(run: str, encoding: str) -> str | None:
    """Take the run back to its bytes, and read these as UTF-8; None if they are none, or give no letters."""
    try:
        decoded = b"".join(_byte(char, encoding) for char in run).decode("utf-8", "ignore")
    except UnicodeEncodeError:
        return None
    is_whole = len(decoded) > 1 and len(decoded.encode()) >= len(run) - 1  # a byte without a character may be gone
    is_whole |= _ACCENTED.fullmatch(run) is not None
    return decoded if is_whole and _LETTERS.fullmatch(decoded) else None


def _byte(char: str, encoding: str) -> bytes:
    """Give the byte that was shown as the character; those without a character keep their number (C1)."""
    return bytes([ord(char)]) if "\x80" <= char <= "\xa0" else char.encode(encoding)


def _as_cyrillic(word: str) -> str | None:
    """Read a word of nothing but accented Latin letters as cp1251: so many different ones in a row are none."""
    if len(set(word.lower())) < _ACCENTED_TOGETHER:
        return None
    decoded = word.encode("cp1252").decode("cp1251")
    return decoded if all("\u0400" <= char <= "\u04ff" for char in decoded) else None
