"""Says in one sentence what is wrong with a setting: what it may be, and what it is unless that is secret."""

from typing import Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_LONGEST_SHOWN = 40


def worded(about: FieldInfo, fault: ErrorDetails, text: str) -> str:
    """Say what the setting must be, and is: in the words of its own check, or by its kind where pydantic found it."""
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    case = ", in small letters" if text != text.lower() and text.lower() in get_args(about.annotation) else ""
    return f"must be {_kind(about)}{case}, not {shown(text)}"


def empty(about: FieldInfo) -> str:
    """Say that nothing was given, where nothing is no value."""
    kind = f"it must be {_kind(about)}" if _kind(about) else "give it a value"
    default = ", ".join(about.default) if isinstance(about.default, tuple) else about.default
    told = {True: "on", False: "off"}[default] if isinstance(default, bool) else default
    return (
        f"is empty; {kind}, or be left out ({told})" if _kind(about) else f"is empty; {kind}, or leave it out ({told})"
    )


def shown(text: str) -> str:
    """Quote what is no secret, its beginning if it is long; what holds an @ may hold a password before it."""
    if "@" in text:
        return "what is set (not shown, as it holds an @)"
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")


def _kind(about: FieldInfo) -> str:
    """Say what a value of this kind may be; empty for a text, of which its own check tells."""
    if get_origin(about.annotation) is Literal:
        *others, last = get_args(about.annotation)
        return f"{', '.join(others)} or {last}"
    if about.annotation is bool:
        return "on or off"
    if about.annotation not in (int, float):
        return ""
    number = "a whole number" if about.annotation is int else "a number"
    most = next(mark.le for mark in about.metadata if isinstance(mark, Le))
    above = [mark.gt for mark in about.metadata if isinstance(mark, Gt)]
    if above:
        return f"{number} above {above[0]} and at most {most}"
    least = next(mark.ge for mark in about.metadata if isinstance(mark, Ge))
    return f"{number} from {least} to {most}"
