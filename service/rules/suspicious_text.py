"""Texts that were damaged on their way, or that show something else than they hold.

What steers the reader's eye, and what stands for a character that was lost, is a fault. What looks like letters in the
wrong encoding is a guess: a warning that says what was probably meant.
"""

import re
from typing import Literal

STEERING = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LOST = "\N{REPLACEMENT CHARACTER}"
STEERS = "holds an invisible character that turns the direction of writing or breaks the line: take it out"
IS_LOST = "a character was lost (shown as {lost}): type it again"
ONLY_QUESTIONS = "holds question marks in place of its letters: they were lost when the file was saved"
MISREAD = "looks read in a wrong encoding: was “{meant}” meant?"
QUESTIONS = "holds question marks that may stand for lost letters"
WARNINGS = (MISREAD, QUESTIONS)

_RUN = re.compile(r"[^\x00-\x7f]+(?: [^\x00-\x7f]+)*")
_LETTERS = re.compile(r"[\u0400-\u045f\u0490\u0491\u00c0-\u017f\u2010-\u2026\u00ab\u00bb\u02bc\u2116 ]+")
_QUESTIONS = re.compile(r"\?{3,}|\?\?+ \?\?+")
_LATIN_WORD = re.compile(r"[\u00c0-\u00ff\u00b3\u00bf\u00ba\u00b2\u00af\u00aa\u00b4\u00a5]{4,}")
_READ_AS: tuple[Literal["cp1251", "cp1252"], ...] = ("cp1251", "cp1252")


def fault(text: str) -> str | None:
    """Say what is wrong with the text, if that is certain: a sentence with a gap for `lost`."""
    if any(char in STEERING for char in text):
        return STEERS
    if LOST in text:
        return IS_LOST
    return ONLY_QUESTIONS if "??" in text and not text.strip("? .,-\xa0") else None


def meant(text: str) -> str | None:
    """Give what the text was probably meant to be, if it looks read in a wrong encoding: `Р›С–РєР°СЂ` was `Лікар`."""
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


def _as_utf8(run: str, encoding: str) -> str | None:
    """Take the run back to its bytes, and read these as UTF-8; None if they are none, or give no letters."""
    try:
        decoded = b"".join(_byte(char, encoding) for char in run).decode("utf-8", "ignore")
    except UnicodeEncodeError:
        return None
    is_whole = len(decoded) > 1 and 2 * len(decoded) >= len(run) - 1  # a byte without a character may be gone
    return decoded if is_whole and _LETTERS.fullmatch(decoded) else None


def _byte(char: str, encoding: str) -> bytes:
    """Give the byte that was shown as the character; those without a character keep their number (C1)."""
    return bytes([ord(char)]) if "\x80" <= char <= "\xa0" else char.encode(encoding)


def _as_cyrillic(word: str) -> str | None:
    """Read a word of nothing but accented Latin letters as cp1251: no language writes four of them in a row."""
    decoded = word.encode("cp1252").decode("cp1251")
    return decoded if all("\u0400" <= char <= "\u04ff" for char in decoded) else None
