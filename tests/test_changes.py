"""Every change of somebody by everything that depends on them: the table of docs/concepts.md, and each cell's test.

A cell that is empty, that tells nobody, or that no test walks fails; so does one whose test is not there or asserts
nothing about the cell. What stays is compared row by row by one test, which takes the columns from the table that is
asked here (`standing.STAYS`); any other test has to speak of the column in an assertion of its own.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from standing import COLUMNS, STAYS

ROOT = Path(__file__).resolve().parent.parent


def row(*tests: str) -> dict[str, str]:
    """Give the tests of one row, in the order of the columns."""
    return dict(zip(COLUMNS, tests, strict=True))


_OFFER = "test_ft_01_an_open_offer_of_a_mentor_who_left_is_withdrawn_and_the_next_is_asked"
_PLACE = "test_ft_01_the_place_of_a_booked_mentor_who_left_is_offered_for_the_same_time"
_LET_IN = "test_ft_01_who_left_is_neither_reminded_nor_let_into_the_room"
MENTOR_GONE = row(
    _OFFER,
    "test_ft_01_a_hold_of_a_mentor_who_left_is_let_go",
    _PLACE,
    "test_ft_01_advice_promised_by_a_mentor_who_left_is_sought_elsewhere",
    _PLACE,
    _LET_IN,
    _LET_IN,
    _PLACE,
    "test_ft_01_nothing_waits_for_a_mentor_who_left",
    _PLACE,
)
_STAYS = "test_ft_01_what_a_change_does_not_touch_stays_as_it_is"
_STAYS_BOOKED = "test_ft_02_a_booked_time_stays_and_is_taken_out_of_the_calendar_of_the_one_who_left"
CLINICIAN_GONE = row(
    _STAYS,
    "test_ft_02_a_held_time_stays_without_the_clinician_who_left",
    _STAYS_BOOKED,
    "test_ft_02_advice_that_was_promised_is_read_by_who_stands_in",
    _STAYS_BOOKED,
    "test_ft_02_who_left_opens_nothing_of_the_case",
    _STAYS_BOOKED,
    _STAYS_BOOKED,
    "test_ft_02_a_case_without_a_clinician_waits_on_the_first_page_and_a_colleague_is_assigned_on_its_own",
    "test_ft_02_one_mail_lists_the_cases_that_need_a_clinician",
)
_BACK = "test_ft_02_back_before_anybody_was_assigned_the_case_is_theirs_again"
_ASSIGNED = "test_ft_02_who_is_assigned_has_the_case_and_its_time"
_ERASED = "test_ft_01_erasing_waits_until_nothing_is_with_the_person"
_LATER = "test_ft_01_mails_after_a_change_of_language_and_name_are_in_it"
_ZONE = "test_ft_01_who_lives_in_another_zone_is_told_when_the_call_is_on_their_clock"
_ADMIN = "test_ft_02_without_a_coordinator_an_admin_hears"
_TOLD_AT_ONCE = "test_ft_02_the_admins_are_told_once_when_the_last_coordinator_leaves"
_UNREACHED = "test_ft_01_open_offers_that_no_memorandum_reaches_are_withdrawn"
_UNREACHED_CALL = "test_ft_01_both_sides_hear_of_a_booked_time_that_a_membership_no_longer_reaches"
_UNREACHED_ADVICE = "test_ft_01_both_sides_hear_of_promised_advice_that_no_memorandum_reaches"
_UNREACHED_HOLD = "test_ft_01_what_is_held_goes_with_the_offer_that_no_memorandum_reaches"
_ENDED_CALL = "test_a_memorandum_that_ends_is_told_to_the_coordinators_of_both_sides_once"
TESTS = {
    "mentor disabled": MENTOR_GONE,
    "mentor's role ended or moved": MENTOR_GONE,
    "verification revoked, or over before the start": MENTOR_GONE
    | {"Booked times": "test_ft_01_a_verification_that_ends_before_the_booked_start_is_found_when_it_is_shortened"},
    "clinician disabled": CLINICIAN_GONE,
    "clinician's role ended or moved": CLINICIAN_GONE,
    "clinician enabled again": row(
        _STAYS, _STAYS, _ASSIGNED, _STAYS, _ASSIGNED, _ASSIGNED, _ASSIGNED, _ASSIGNED, _BACK, _ASSIGNED
    ),
    "person erased": dict.fromkeys(COLUMNS, _STAYS) | dict.fromkeys(("Links mailed", "Reminders", "Pages"), _ERASED),
    "department changed": dict.fromkeys(COLUMNS, _STAYS),
    "renamed": dict.fromkeys(COLUMNS, _STAYS) | dict.fromkeys(("Calendars sent", "Pages", "Who is told"), _LATER),
    "address changed": dict.fromkeys(COLUMNS, _STAYS)
    | {"Calendars sent": "test_ft_04_the_calendars_follow_a_new_address"}
    | {"Who is told": "test_sec_03_the_former_address_is_told_and_stops_it"},
    "person's zone changed": dict.fromkeys(COLUMNS, _STAYS)
    | dict.fromkeys(("Calendars sent", "Reminders", "Pages", "Who is told"), _ZONE),
    "language changed": dict.fromkeys(COLUMNS, _STAYS)
    | dict.fromkeys(("Calendars sent", "Reminders", "Who is told"), _LATER),
    "mentor paused, away, or caps lowered": dict.fromkeys(COLUMNS, _STAYS),
    "last coordinator gone": dict.fromkeys(COLUMNS, _STAYS) | {"Pages": _ADMIN, "Who is told": _TOLD_AT_ONCE},
    "institution's zone, working days, name": dict.fromkeys(COLUMNS, _STAYS),
    "membership ended": dict.fromkeys(COLUMNS, _UNREACHED)
    | {"Held times": _UNREACHED_HOLD, "Booked times": _UNREACHED_CALL, "Promised advice": _UNREACHED_ADVICE}
    | dict.fromkeys(("Calendars sent", "Reminders", "Who is told"), _UNREACHED_CALL),
    "memorandum suspended, expired, terminated": dict.fromkeys(COLUMNS, _UNREACHED)
    | {"Held times": _UNREACHED_HOLD, "Promised advice": _UNREACHED_ADVICE}
    | dict.fromkeys(("Booked times", "Calendars sent", "Reminders", "Who is told"), _ENDED_CALL),
}


def table() -> dict[str, dict[str, str]]:
    """Read the page's table: change -> column -> what happens."""
    text = (ROOT / "docs" / "concepts.md").read_text("utf-8")
    section = text.split("## When somebody changes\n", 1)[1].split("\n## ", 1)[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    head, _, *rows = lines
    assert tuple(head[1:]) == COLUMNS
    return {cells[0]: dict(zip(COLUMNS, cells[1:], strict=True)) for cells in rows}


SPOKEN_OF: Mapping[str, tuple[str, ...]] = {
    "Open offers": ("offer",),
    "Held times": ("held", "hold", "pending", "released"),
    "Booked times": ("booked", "appointment", "participants", "state()"),
    "Promised advice": ("advice", "promise"),
    "Calendars sent": ("calendar", "cancel", "request", "ics"),
    "Links mailed": ("link", "/a/", "/j/", "press", "410"),
    "Reminders": ("remind",),
    "Events": ("event",),
    "Pages": (".get(", "/v1/", "page"),
    "Who is told": ("mails", "told"),
}
"""Words of which an assertion about a column has one at least."""


@functools.cache
def asserted() -> dict[str, str]:
    """Every test by its name, with what it asserts: itself, and by the functions of its file that it calls."""
    found = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        functions = {node.name: node for node in tree.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}
        for name in functions:
            if name.startswith("test_"):
                found[name] = "\n".join(_assertions(name, functions, set())).lower()
    return found


def _assertions(name: str, functions: Mapping[str, ast.AST], seen: set[str]) -> Iterator[str]:
    seen.add(name)
    for node in ast.walk(functions[name]):
        if isinstance(node, ast.Assert):
            yield ast.unparse(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = node.func.id
            if called in functions and called not in seen:
                yield from _assertions(called, functions, seen)


@pytest.mark.parametrize("change", sorted(TESTS))
def test_ft_01_ft_02_every_cell_of_the_table_of_changes_says_what_happens_and_has_a_test_that_asserts_it(
    change: str,
) -> None:
    cells = table()[change]
    for column in COLUMNS:
        assert cells[column].strip(), (change, column)
        test = TESTS[change][column]
        if test == _STAYS:
            assert column in STAYS[change], (change, column)
        else:
            assert any(word in asserted()[test] for word in SPOKEN_OF[column]), (change, column, test)
    assert "nobody" not in cells["Who is told"]


def test_ft_01_ft_02_the_table_of_changes_and_its_tests_name_the_same_changes() -> None:
    assert table().keys() == TESTS.keys()
