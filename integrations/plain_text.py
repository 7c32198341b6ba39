"""Text as it may leave the building: without the characters that steer a reader's machine or eye.

Headers, calendar lines, pages of mail and cells of tables all take their words through here, so that no value can start
a header, a property, a line or a formula of its own, or turn the direction of what follows it.
"""

import re

from service.rules import csv_tables

# C0, DEL, C1 (with NEL), line and paragraph separators, marks of direction, the byte-order mark, lone surrogates.
_STEERING = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_IN_LINE = re.compile(f"[{_STEERING}]+")
_IN_TEXT = re.compile(f"(?!\n)[{_STEERING}]")


def line(text: str, limit: int = 200) -> str:
    """The text is one line of at most `limit` characters; what could break it is a space now."""
    return " ".join(_IN_LINE.sub(" ", text).split())[:limit]


def text(value: str) -> str:
    """The text keeps its line ends, as newlines, and nothing else that steers."""
    return _IN_TEXT.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))


def cell(value: str) -> str:
    """The text stands in a cell of a table, and no spreadsheet takes it for a formula."""
    return csv_tables.neutral(text(value))
