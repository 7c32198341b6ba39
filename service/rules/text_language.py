"""In which language a text seems to be written, by its letters and by the languages that its writer has."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

_BY_SCRIPT = {"CYRILLIC": "uk", "HEBREW": "he"}
_OTHERS = frozenset(_BY_SCRIPT.values())


def guess(text: str, languages: Sequence[str]) -> str | None:
    """Give the language (ISO 639-1) that the text seems to be in, which may be none of `languages`; None: not known.

    Latin letters are those of many languages: then it is the one of `languages` that is written so, or English.
    """
    scripts = Counter(unicodedata.name(sign, "").partition(" ")[0] for sign in text if sign.isalpha())
    if not scripts:
        return None
    ((script, _),) = scripts.most_common(1)
    if script != "LATIN":
        return _BY_SCRIPT.get(script)
    latin = [code for code in languages if code not in _OTHERS]
    if len(latin) == 1:
        return latin[0]
    return "en" if not latin or "en" in latin else None
