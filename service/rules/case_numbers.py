"""The short number by which people name a case: `R-` and at least four of 31 letters and digits, drawn at random.

The database draws it (`tables.ddl`), so that each case has one whatever program files it. This reads what people type.
"""

import re
import unicodedata

SYMBOLS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without 0 and 1, I, L and O, which are taken for one another."""
LEAST_LENGTH = 4
"""Of the symbols behind `R-`; one more each time when a tenth of those of a length is drawn."""

_BETWEEN = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"[RР]?(.{4,12})")  # noqa: RUF001 - the second one is Cyrillic
# On a Ukrainian keyboard these letters look the same, and people type what they see.
_LOOK_ALIKE = str.maketrans("АВЕКМНРСТУХ", "ABEKMHPCTYX")  # noqa: RUF001


def read(typed: str) -> str | None:
    """Give the number that was typed, in its own form; None if it can be none.

    Small letters, any dash or none, and numbers without their sign are how people write. An R before four symbols or
    more is the sign: so of a number of five symbols that begins with R the sign has to be typed too.
    """
    match = _NUMBER.fullmatch(_BETWEEN.sub("", unicodedata.normalize("NFC", typed)).upper())
    symbols = match[1].translate(_LOOK_ALIKE) if match else ""
    return f"R-{symbols}" if symbols and set(symbols) <= set(SYMBOLS) else None
