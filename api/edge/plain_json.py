"""JSON that means the same to every reader (RFC 7493), bounded before a parser that trusts it sees it."""

import itertools
import json
import math
import re
from typing import Any

from api.edge import problems
from service.rules.sentences import Sentence

DEEPEST = 32
MOST_VALUES = 5_000

_LONGEST_INTEGER = 20
_INTEGERS = range(-(2**63), 2**63)
# An unclosed text is taken to the end: were it no match, the search would begin anew at each of its quotes, for hours.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def is_meant(content_type: str) -> bool:
    """Tell whether a body with this header is meant as JSON."""
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def check(body: bytes) -> None:
    """Pass what is UTF-8, at most 32 deep, of at most 5,000 values, with each name once; raises BadBody."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        msg = "The body is not UTF-8."
        raise problems.BadBody(msg) from None
    _check_structure(text)
    try:
        value = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_number, parse_int=_integer, parse_float=_number
        )
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        msg = "A text holds half a character (a lone surrogate)."
        raise problems.BadBody(msg) from None
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError):
            raise problems.BadBody(Sentence("The body is not JSON near character {place}.", place=error.pos)) from None
        raise problems.BadBody("The body is not JSON.") from None


def _check_structure(text: str) -> None:
    """Count what a parser would make: each value but the first follows a comma or an opening bracket.

    Most bodies have few such signs, texts included. Only of those with many are the texts taken out; of what remains
    no more is walked than a body may have.
    """
    if text.count("[") + text.count("{") > DEEPEST or _signs(text) >= MOST_VALUES:
        text = _STRING.sub("", text)
    depth = 0
    for bracket in itertools.islice(_BRACKET.finditer(text), 2 * MOST_VALUES):  # a closing one for each opening one
        depth += 1 if bracket[0] in "[{" else -1
        if depth > DEEPEST:
            raise problems.BadBody(Sentence("The body is nested more than {most} deep.", most=DEEPEST))
    if _signs(text) >= MOST_VALUES:
        raise problems.BadBody(Sentence("There are more than {most} values.", most=MOST_VALUES))


def _signs(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        msg = "A name stands twice in one object."
        raise problems.BadBody(msg)
    return members


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= _LONGEST_INTEGER else _INTEGERS.stop
    if value not in _INTEGERS:
        msg = "A number does not fit into 64 bits."
        raise problems.BadBody(msg)
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        msg = "A number is infinite or none at all."
        raise problems.BadBody(msg)
    return value
