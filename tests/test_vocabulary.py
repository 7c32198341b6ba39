"""Every code stands once, in `service/vocabulary.py`: no second list anywhere, and what is keyed by codes is whole.

A list that is written out again is found by reading the source. What has to be written out (tables keyed by codes,
words of catalogues, lists inside SQL texts, comparisons with a column, columns of the access table) is compared with
the vocabulary instead.
"""

import ast
import csv
import functools
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import EnumMeta
from pathlib import Path

import pytest
from sqlalchemy import CheckConstraint

from integrations import catalogues
from integrations.calendar import invites
from service import tables, vocabulary
from service.rules import lifecycle
from service.rules.figures import journal_columns

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "service" / "vocabulary.py"
SOURCES = [
    path for area in ("service", "api", "integrations") for path in sorted((ROOT / area).rglob("*.py")) if path != HOME
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MANY = 3
"""So many codes of one list, written side by side, are a list of their own."""
KEYED_IN_PART = {
    (
        "api/edge/scopes.py",
        (
            " consultations:read appointments:read appointments:write availability:write memoranda:read events:read"
            " webhooks:write reports:read"
        ),
    ): "consultations:write opens nothing yet, and any token does for what is keyed by nothing",
    ("service/rules/lifecycle.py", "consultation offer appointment memorandum"): "what has states, not what can wait",
    ("service/registry/agreements.py", "month quarter year"): "the whole time of a memorandum has no length",
    ("service/registry/memoranda.py", "active suspended expired terminated"): "of a draft nobody is told",
    (
        "service/rules/deidentify/numbers.py",
        "email tax_number passport phone account record_number long_number",
    ): "names, addresses and dates are no numbers",
    ("service/exchange/analysis.py", "sessions activities consultations"): "what analysts count, not a report's rows",
    ("service/care/sessions.py", "no_show_mentor no_show_clinician"): "whose absence: a late cancellation is nobody's",
    (
        "service/reporting/count_queries.py",
        "consultations offers sessions answers",
    ): "what SQL counts",
    ("service/rules/figures/figures.py", "filed completed unmatched cancelled expired"): "as a report tells them",
}
"""Tables keyed by some codes of a list, each with the reason why the others have no row."""
WRITTEN_OUT = {
    ("service/exchange/exports.py", "institutions memberships people mentors"): "whose rows depend on a programme's",
    ("service/exchange/imports/scope.py", "memoranda sessions activities"): "files whose rows are a programme's",
    ("service/exchange/imports/desk.py", "programme institution memorandum"): "names of tables",
    ("api/v1/institutions.py", "sun mon tue wed thu"): "an example of a week",
}
"""Lists that look like one of the vocabulary's, each with the reason why it is none."""
NAMED_IN_PART = {("api.md", "signed active suspended expired terminated"): "to which a memorandum can be moved"}
"""Lists of the pages, as above."""


def codes_of(value: object) -> frozenset[str]:
    """The codes that a name of the vocabulary stands for; none if it is no list."""
    if typing.get_origin(value) is typing.Literal:
        return frozenset(typing.get_args(value))
    if isinstance(value, EnumMeta | tuple | Mapping) and all(isinstance(each, str) for each in value):
        return frozenset(map(str, value))
    return frozenset()


LISTS = {name: codes for name, value in vars(vocabulary).items() if name[0] != "_" and (codes := codes_of(value))}


def known_columns() -> dict[str, set[str]]:
    """The codes that a column of this name may hold, in any table: as the CHECK constraints have it."""
    known: dict[str, set[str]] = {}
    for table in tables.metadata.tables.values():
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint) and str(constraint.name).endswith("_known"):
                column, _, listed = str(constraint.sqltext).partition(" IN ")
                known.setdefault(column, set()).update(re.findall(r"'([^']+)'", listed))
    return known


COLUMNS = known_columns()
COLUMNS["kind"] |= {*vocabulary.ACTOR_KINDS, *vocabulary.REPORT_KINDS, *vocabulary.RECORD_KINDS}
COLUMNS["kind"] |= {*vocabulary.CHANGE_KINDS}
COLUMNS["state"] |= {*vocabulary.ACT_STATES}
COLUMNS |= {"action": set(vocabulary.AUDIT_ACTIONS), "purpose": set(vocabulary.LINK_PURPOSES)}
"""What else has such a field: who acts, what a report is of, which table a file holds, what a button stands for."""


def strings(nodes: Iterable[ast.expr | None]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def listed(tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """Every list of texts: of a literal collection, of a `Literal`, of the arguments of a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            yield node.lineno, strings(node.elts)
        elif isinstance(node, ast.Call):
            yield node.lineno, strings(node.args)


def keyed(tree: ast.AST) -> Iterator[tuple[int, list[str]]]:
    """The keys of every table."""
    return ((node.lineno, strings(node.keys)) for node in ast.walk(tree) if isinstance(node, ast.Dict))


def repeats(words: Iterable[str]) -> str | None:
    """The list of the vocabulary that these words repeat, wholly or in large part, if they do."""
    codes = frozenset(words)
    for name, known in LISTS.items():
        if len(known) > 1 and codes <= known and (codes == known or len(codes) >= MANY):
            return name
        if len(known) >= MANY and known < codes and len(codes) == len(known) + 1:
            return name
    return None


def keyed_in_part(keys: Iterable[str]) -> str | None:
    """The list of the vocabulary of which a table has many keys and not all, beside one that is none at most."""
    codes = frozenset(keys)
    if codes in LISTS.values():
        return None
    for name, known in LISTS.items():
        shared, others = codes & known, codes - known
        if len(known) >= MANY and len(shared) >= min(MANY, len(known) - 1) and len(others) <= 1 and shared != known:
            return name
    return None


def compared(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Every text that a column is compared with or set to: line, column, text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            columns = [column for side in sides if (column := column_of(side))]
            texts = strings([each for side in sides for each in getattr(side, "elts", [side])])
        elif isinstance(node, ast.Assign):
            columns = [column for target in node.targets if (column := column_of(target))]
            texts = strings([node.value])
        else:
            continue
        yield from ((node.lineno, column, text) for column in columns for text in texts)


def column_of(node: ast.expr) -> str | None:
    """The name of a coded column that the expression reads: `row.state`, `col(tables.Offer.state)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "col":
        node = node.args[0]
    return node.attr if isinstance(node, ast.Attribute) and node.attr in COLUMNS else None


IN_SQL = re.compile(r"(?:\b\w+\.)?\b(\w+) (?:NOT )?IN \(('[^)]*')\)|(?:\b\w+\.)?\b(\w+) (?:=|<>) '([^']*)'")


def in_sql(tree: ast.AST) -> Iterator[tuple[int, str, frozenset[str], bool]]:
    """Every comparison of a coded column inside a text: line, column, words, and whether they are a list."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr):
            continue
        for text in strings([node]):
            for match in IN_SQL.finditer(text):
                column = match[1] or match[3]
                if column in COLUMNS:
                    words = re.findall(r"'([^']*)'", match[2]) if match[2] else [match[4]]
                    yield node.lineno, column, frozenset(words), bool(match[2])


def wrong_in_sql(tree: ast.AST) -> list[str]:
    """Comparisons in SQL texts with what is no code, and lists that are none of the vocabulary's."""
    return [
        f"{line}: {column} {' '.join(sorted(words))}"
        for line, column, words, is_list in in_sql(tree)
        if not words <= COLUMNS[column] or (is_list and words not in LISTS.values())
    ]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def offending(
    found: Callable[[ast.AST], Iterator[tuple[int, list[str]]]],
    fault: Callable[[Iterable[str]], str | None],
    allowed: Mapping[tuple[str, str], str],
) -> list[str]:
    places = [
        (path.relative_to(ROOT).as_posix(), line, words) for path in SOURCES for line, words in found(tree_of(path))
    ]
    return [
        f"{name}:{line} {' '.join(words)}: {fault(words)}"
        for name, line, words in places
        if fault(words) and (name, " ".join(words)) not in allowed
    ]


def test_no_list_of_codes_is_written_a_second_time() -> None:
    assert offending(listed, repeats, WRITTEN_OUT) == []


def test_a_table_keyed_by_codes_has_them_all() -> None:
    assert offending(keyed, keyed_in_part, KEYED_IN_PART) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_column_is_compared_with_is_a_code_of_it(path: Path) -> None:
    tree = tree_of(path)
    strange = [f"{line}: {column} {text}" for line, column, text in compared(tree) if text not in COLUMNS[column]]
    assert strange == []
    assert wrong_in_sql(tree) == []


@pytest.mark.parametrize(
    "second",
    [
        "x = ('requesting', 'partner')",
        "x = ['routine', 'stat', 'urgent']",
        "class X:\n    x: Literal['routine', 'urgent', 'asap', 'stat']",
        "one_of('role', *('clinician', 'mentor', 'coordinator'))",
        "requires(w, 'clinician', 'mentor', 'coordinator')",
        "x = frozenset({'none', 'live', 'written', 'either'})",
    ],
)
def test_the_rule_about_lists_finds_what_it_is_for(second: str) -> None:
    assert [words for _, words in listed(ast.parse(second)) if repeats(words)] != []


def test_the_other_rules_find_what_they_are_for() -> None:
    assert [keys for _, keys in keyed(ast.parse("{'routine': 1, 'urgent': 2, 'asap': 3}")) if keyed_in_part(keys)]
    assert list(compared(ast.parse("if offer.state == 'pendng': pass"))) == [(1, "state", "pendng")]
    assert list(compared(ast.parse("col(row.status).x; col(row.status) in ('a',)"))) == [(1, "status", "a")]
    assert list(compared(ast.parse("offer.state = 'x'"))) == [(1, "state", "x")]
    assert wrong_in_sql(ast.parse("'WHERE o.state = \\'pendng\\' AND x = 1'")) == ["1: state pendng"]
    assert wrong_in_sql(ast.parse("\"WHERE state IN ('open', 'offered')\"")) == ["1: state offered open"]
    assert wrong_in_sql(ast.parse("\"WHERE state IN ('open', 'offered', 'unmatched')\"")) == []


@pytest.mark.parametrize(
    ("subject", "states"),
    [
        ("consultation", vocabulary.CONSULTATION_STATES),
        ("offer", vocabulary.OFFER_STATES),
        ("appointment", vocabulary.APPOINTMENT_STATUSES),
        ("memorandum", vocabulary.MEMORANDUM_STATUSES),
    ],
)
def test_the_steps_of_a_life_lead_from_state_to_state(subject: str, states: tuple[str, ...]) -> None:
    steps = lifecycle.TABLES[subject]
    assert set(steps) == set(states)
    assert set().union(*steps.values()) <= set(states)


def test_a_calendar_knows_every_answer_of_a_participant() -> None:
    known = typing.get_args(typing.get_type_hints(invites.Attendee)["partstat"])
    assert {status.upper() for status in vocabulary.PARTICIPANT_STATUSES} == set(known)


PERSONAS = {
    "clinician": "clinician",
    "colleague": "clinician",
    "mentor": "mentor",
    "rival": "mentor",
    "coordinator": "coordinator",
    "partner": "coordinator",
    "admin": "programme_admin",
    "system": "partner_system",
    "mentors_system": "partner_system",
    "scopeless": "partner_system",
}


def test_every_role_is_tried_at_every_route() -> None:
    with (ROOT / "tests" / "api" / "edge" / "access.csv").open(encoding="utf-8") as file:
        columns = next(csv.reader(file))
    assert set(columns) - {"path", "method", "thing", "nobody"} == set(PERSONAS)
    assert set(PERSONAS.values()) == set(vocabulary.ROLES)


REASONS = frozenset().union(
    LISTS["GateRefusal"],
    vocabulary.DECLINE_REASONS,
    vocabulary.CANCEL_REASONS,
    vocabulary.APPOINTMENT_CANCEL_REASONS,
    vocabulary.RELEASE_REASONS,
)
WORDED = [
    ("priorities", vocabulary.PRIORITIES),
    ("page.new.priorities", vocabulary.PRIORITIES),
    ("report.priorities", vocabulary.PRIORITIES),
    ("modes", vocabulary.MODES),
    ("journal.mode", vocabulary.SESSION_MODES),
    ("certificate.modes", vocabulary.SESSION_MODES),
    ("age_bands", vocabulary.AGE_BANDS),
    ("outcomes", vocabulary.SESSION_OUTCOMES),
    ("page.states", vocabulary.CONSULTATION_STATES),
    ("page.state_says", vocabulary.CONSULTATION_STATES),
    ("page.offer_states", (*vocabulary.OFFER_STATES, "ended")),
    ("page.personal_data", vocabulary.PERSONAL_DATA),
    ("page.statuses", vocabulary.APPOINTMENT_STATUSES),
    ("page.roles", vocabulary.PARTICIPANT_ROLES),
    ("page.partstats", {*vocabulary.PARTICIPANT_STATUSES} - {"needs-action"}),
    ("page.new.consents", ("none", *vocabulary.CONSENT_SCOPES)),
    ("page.feedback.outcomes", vocabulary.PATIENT_OUTCOMES),
    ("page.feedback.by", vocabulary.SIDES),
    ("journal.side", vocabulary.SIDES),
    ("journal.columns", journal_columns.COLUMNS),
    ("certificate.roles", typing.get_args(vocabulary.CertificateRole)),
]


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
@pytest.mark.parametrize(("context", "codes"), WORDED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_catalogue_has_words_for_every_code_and_for_nothing_else(
    context: str, codes: Iterable[str], locale: str
) -> None:
    assert set(catalogues.of(locale)[context]) == set(codes)


def test_every_act_of_a_button_has_words() -> None:
    worded = {context.removeprefix("page.acts.") for context in catalogues.of("en").contexts if "page.acts." in context}
    assert worded == set(typing.get_args(vocabulary.ActPurpose))


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
def test_every_reason_has_words(locale: str) -> None:
    assert set(catalogues.of(locale)["reasons"]) >= REASONS


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_that_lists_codes_names_them_all(page: Path) -> None:
    """Codes in backticks beside each other, such as the reasons for declining; the rest may stand in the same part."""
    partial = []
    for part in re.split(r"(?m)^#+ ", page.read_text()):
        named = set(re.findall(r"`([\w.-]+)`", part))
        runs = [re.findall(r"`([\w.-]+)`", run) for run in re.findall(r"`[\w.-]+`(?:,\s+`[\w.-]+`){2,}", part)]
        partial += [run for run in runs if (name := repeats(run)) and LISTS[name] - named]
    assert [run for run in partial if (page.name, " ".join(run)) not in NAMED_IN_PART] == []
