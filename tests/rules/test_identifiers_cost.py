"""The search costs as much as the text is long, whatever stands in it: what is counted is steps, not time (SEC-04)."""

# ruff: noqa: RUF001 - the texts are Ukrainian

import re
import sys
import threading
from collections.abc import Iterator
from datetime import date
from re import _constants, _parser  # the only way to read what a pattern repeats
from types import FrameType, ModuleType
from typing import Any

import pytest

from service.rules import deidentify
from service.rules.deidentify import addresses, birth_dates, folding, name_words, names, numbers, telephones

TODAY = date(2026, 11, 22)
SHORT = 400
FAR = 1_000
COSTLY = [
    "1", "0 ", "0 5 ", "3 8 0 ", "2 12 ", "12.", "+1 ", "+", "а@", "a@b.c ", "12.03.1984 ", "січ 12 1984 ",
    "операція 12.03.1984 р.н. ",
    "А.", "А. ", "О. М. Петренко ", "Петрович ", "Іваненко ", "Аа-", "пацієнт Ааа ", "Mr ", "ім. А. ",
    "\u200b", "0\u200b", "a\u0301", "\u00ad", "٣",
    "\"'", "а'", "паспорт ", "тел. 1 ", "№ ", "карта № ", "вул. Ш ", "5 Baker ",
    "rue Aa ", "A1B2-", "AB12 ", "д. 1, кв. 1 ", "mrn 1", "\n", "🙂",
]  # fmt: skip
# Patterns with a repetition that has no bound, and why that costs no more than the text is long.
UNBOUNDED = {
    "telephones._GROUP": "whatever it starts to read, it takes",
    "telephones._GAP": "it is tried on a few signs",
    "names._WORD": "whatever it starts to read, it takes",
    "numbers._LONG": "it starts where a row of digits does, and takes it whole or not at all",
}


def steps(text: str) -> int:
    """How many lines run when the text is searched."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - as sys.settrace has it
        nonlocal count
        count += event == "line"
        return trace if "deidentify" in frame.f_code.co_filename else None

    def search() -> None:
        sys.settrace(trace)
        deidentify.find(text, TODAY)

    # In a thread of its own, since a tracer is a thread's: coverage's does not survive being taken away and put back.
    searching = threading.Thread(target=search)
    searching.start()
    searching.join()
    return count


@pytest.mark.slow
@pytest.mark.parametrize("costly", COSTLY)
def test_sec_04_twice_the_text_takes_twice_the_steps(costly: str) -> None:
    once, twice = (steps((costly * length)[:length]) for length in (SHORT, 2 * SHORT))
    assert twice <= 2.2 * once + 100


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    modules: list[ModuleType] = [addresses, birth_dates, folding, name_words, names, numbers, telephones]
    for module in modules:
        for name, value in vars(module).items():
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, re.Pattern):
                    yield f"{module.__name__.rpartition('.')[2]}.{name}", each


def most_repeats(parsed: Any) -> float:  # noqa: ANN401 - the parser's own type
    """How many signs a pattern may repeat over, repetitions inside repetitions multiplied."""
    most = 1.0
    for operation, argument in parsed:
        inner: list[Any] = []
        times = 1.0
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            _, high, repeated = argument
            times, inner = float("inf") if high is _constants.MAXREPEAT else max(1, high), [repeated]
        elif operation is _constants.BRANCH:
            inner = argument[1]
        elif operation is _constants.SUBPATTERN:
            inner = [argument[3]]
        elif operation in (_constants.ASSERT, _constants.ASSERT_NOT):
            inner = [argument[1]]
        most = max([most, times, *(times * most_repeats(each) for each in inner)])
    return most


def test_sec_04_no_pattern_repeats_without_a_bound_or_far() -> None:
    repeats = [(name, most_repeats(_parser.parse(pattern.pattern))) for name, pattern in patterns()]
    assert {name for name, most in repeats if most == float("inf")} == set(UNBOUNDED)
    assert [name for name, most in repeats if FAR < most < float("inf")] == []
