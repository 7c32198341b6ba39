"""What pydantic finds wrong with an input, in words of ours: no pattern, no class and no sentence of a library's.

Each kind of fault has a sentence with gaps, its key in the catalogues. A kind that nobody has worded "cannot be
read"; a test walks the schemas of every route for one.
"""

import re
from collections.abc import Mapping
from typing import Any

from integrations import address_words
from integrations.catalogues import Catalogue
from service.kernel import email_addresses
from service.rules.sentences import Sentence

UNWORDED = "cannot be read"
CODE = "must be a code of Latin letters, digits, dots and hyphens, such as {example}"
LIKE = "must be written like this: {example}"
FORMS: Mapping[str, tuple[str, str]] = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": (CODE, "ua-one"),
    r"^[A-Za-z0-9_=-]+$": (LIKE, "BTBZMqHH6r4Tts7J_aSIgg"),
    r"^[A-Za-z0-9._=-]+$": ("is no token of ours", ""),
    r"^[A-Z]{2}$": (LIKE, "UA"),
    r"^[A-Z]{2}-[A-Z0-9]{1,3}$": (LIKE, "UA-74"),
    r"^[a-z]{2,3}$": (LIKE, "uk"),
    r"^[0-9]{6,18}$": (LIKE, "408467006"),
    r"^20[0-9]{2}(-(0[1-9]|1[0-2])|-Q[1-4])?$": (LIKE, "2026-10, 2026-Q4"),
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": (LIKE, "07:30"),
    r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$": (LIKE, "07:30"),
    r"^https?://[!-~]+$": (LIKE, "https://pobratym.example/hooks"),
    r"^[a-z0-9_]+(\.[a-z0-9_]+)+$": (LIKE, "appointment.booked"),
    r"^[a-z0-9_.]+(,[a-z0-9_.]+)*$": (LIKE, "appointment.booked,appointment.cancelled"),
    r"^[a-z:]+( [a-z:]+)*$": (LIKE, "consultations:read events:read"),
}
"""How a field is written whose form a pattern holds: the sentence, and its example."""
SENTENCES: Mapping[str, str] = {
    "missing": "needs a value",
    "extra_forbidden": "there is no such field",
    "string_type": "must be a text",
    "string_unicode": "holds half a character",
    "string_too_short": "needs at least {min_length} characters",
    "string_too_long": "is longer than {max_length} characters",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "too_short": "needs at least {min_length} items",
    "too_long": "lists more than {max_length}",
    "dict_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "literal_error": "must be one of: {expected}",
    "string_pattern_mismatch": LIKE,
    "value_error": UNWORDED,
    "date_type": UNWORDED,
    "datetime_type": UNWORDED,
    "uuid_type": UNWORDED,
}
"""What each kind of fault is called; the gaps are pydantic's names of the limits."""
_QUOTED = re.compile(r"'([^']*)'")


def sentence(fault: Mapping[str, Any], words: Catalogue) -> str:
    """Word a fault, in the language of `words`; the input is never repeated."""
    limits = fault.get("ctx", {})
    cause = limits.get("error")
    if isinstance(cause, email_addresses.Refused):
        return address_words.worded(cause, words)
    said = _of(str(fault["type"]), limits, cause)
    return words.said(said) or words.said(UNWORDED) or UNWORDED


def _of(kind: str, limits: Mapping[str, Any], cause: object) -> str:
    if isinstance(cause, ValueError) and cause.args:
        return cause.args[0] if isinstance(cause.args[0], Sentence) else str(cause.args[0])
    if kind == "string_pattern_mismatch" and limits["pattern"] in FORMS:
        key, example = FORMS[limits["pattern"]]
        return Sentence(key, example=example) if example else key
    if kind == "literal_error":
        return Sentence(SENTENCES[kind], expected=tuple(_QUOTED.findall(str(limits["expected"]))))
    if kind in ("string_too_short", "too_short") and limits["min_length"] == 1:
        return SENTENCES["missing"]
    facts = {name: str(value) for name, value in limits.items() if name != "error"}
    key = SENTENCES.get(kind, UNWORDED)
    return Sentence(key, **facts) if "{" in key else key
