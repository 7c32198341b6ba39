"""The house's small rules, read from the source: what a linter does not know."""

import ast
import functools
import gc
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FUNCTION, LONGEST_FILE = 60, 500
CLOCK = "service/kernel/clock.py"
DELIBERATELY_READ = {"uuid.UUID", "uuid.NAMESPACE_URL"}  # names of types are no randomness
CHANCE = {"random", "secrets", "uuid"}
TIME = {
    "datetime.now", "datetime.utcnow", "datetime.today", "datetime.datetime.now", "datetime.datetime.utcnow",
    "datetime.date.today", "date.today", "time.time", "time.time_ns",
}  # fmt: skip
PRINTERS = ("api/cli/", "bench/", "tests/")
MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home/\w+|opt/(?:pypi|wheels))/|pypi\.org/simple|registry\.npmjs")


def tracked(*patterns: str) -> list[Path]:
    """Every file that git knows or would take, so that a new one is checked before it is added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in sorted(set(names)) if (ROOT / name).is_file()]


PACKAGES = {"service", "api", "integrations", "lab"}
SOURCES = [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] in PACKAGES]
HAND_WRITTEN = [path for path in tracked("*.py") if "versions" not in path.parts]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def trees() -> dict[Path, ast.Module]:
    """Every file parsed; a million nodes that stay, which the collector need not look through again and again."""
    gc.disable()
    try:
        return {path: ast.parse(path.read_text(), str(path)) for path in HAND_WRITTEN}
    finally:
        gc.freeze()
        gc.enable()


@functools.cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(trees()[path]))


def dotted(node: ast.expr) -> str:
    """The name as written; a dot before it where it is an attribute of what has none, such as a call."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function, by way of statements only: expressions hold none, and are most of a tree."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        if not isinstance(node, ast.expr):
            yield from functions_of(node)


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Every call by its dotted name as written."""
    for node in nodes_of(path):
        if isinstance(node, ast.Call):
            yield node.lineno, dotted(node.func)


def chance_and_time(nodes: Iterable[ast.AST]) -> list[str]:
    """Readings of time and chance, called or handed over: `default_factory=uuid4` is one too."""
    found = []
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = dotted(node)
            if name in TIME or (name.split(".")[0] in CHANCE and name not in DELIBERATELY_READ):
                found.append(f"{node.lineno}: {name}")
        elif isinstance(node, ast.ImportFrom) and node.module in {*CHANCE, "time"}:
            names = {f"{node.module}.{alias.name}" for alias in node.names} - DELIBERATELY_READ
            found += [f"{node.lineno}: {name}" for name in sorted(names) if node.module != "time" or name in TIME]
    return found


def test_only_the_clock_reads_time_chance_and_ids() -> None:
    found = {name_of(path): chance_and_time(nodes_of(path)) for path in SOURCES if name_of(path) != CLOCK}
    assert {name: places for name, places in found.items() if places} == {}


def test_the_domain_commits_in_one_place() -> None:
    found = [
        f"{name_of(path)}:{line}"
        for path in SOURCES
        for line, name in calls(path)
        if name.endswith(".commit") or name == "commit"
    ]
    places = [place.split(":")[0] for place in found]
    assert set(places) <= {"service/kernel/work.py", "integrations/runtime/migrate.py"}, (
        found
    )  # a migration is no unit of work
    assert len(places) == len(set(places)), found


def test_a_case_changes_its_state_in_one_place() -> None:
    """`CaseFile.become` alone: beside it only participants' answers (`row.status`) are written in the area."""
    found = [
        f"{name_of(path)}:{node.lineno} {dotted(target)}"
        for path in SOURCES
        if name_of(path).startswith("service/care/") and path.name != "casefile.py"
        for node in nodes_of(path)
        if isinstance(node, ast.Assign)
        for assigned in node.targets
        for target in (assigned.elts if isinstance(assigned, ast.Tuple) else [assigned])
        if isinstance(target, ast.Attribute) and target.attr in {"state", "status"} and dotted(target) != "row.status"
    ]
    assert found == []


def test_only_commands_print() -> None:
    found = [
        f"{name_of(path)}:{line}"
        for path in HAND_WRITTEN
        if not name_of(path).startswith(PRINTERS)
        for line, name in calls(path)
        if name == "print"
    ]
    assert found == []


def test_a_log_line_is_named_by_a_literal() -> None:
    """An event put together at run time could carry anything; fields are listed, names are not."""
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    found = []
    for path in SOURCES:
        for node in nodes_of(path):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels):
                continue
            first = node.args[0] if node.args else None
            is_log = "log" in ast.unparse(node.func.value).lower()
            if is_log and not (isinstance(first, ast.Constant) and len(node.args) == 1):
                found.append(f"{name_of(path)}:{node.lineno}")
    assert found == []


def imported_privates(nodes: Iterable[ast.AST]) -> list[str]:
    """Names with an underscore imported from a module of ours; those read as attributes are ruff's (SLF001)."""
    return [
        f"{node.lineno}: {node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]


def test_a_name_with_an_underscore_stays_in_its_module() -> None:
    found = {name_of(path): imported_privates(nodes_of(path)) for path in SOURCES}
    assert {name: places for name, places in found.items() if places} == {}


def test_the_rule_about_underscores_finds_what_it_is_for() -> None:
    broken = ast.parse("from service.kernel.access import __doc__, _seen, requires")
    assert imported_privates(ast.walk(broken)) == ["1: service.kernel.access._seen"]


def test_only_the_kernel_speaks_to_the_session() -> None:
    """Everybody else asks the database by `Work`: what was added is sent first, a broken constraint is translated."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        if not name_of(path).startswith("service/kernel/")
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and node.attr == "session" and dotted(node).endswith("w.session")
    ]
    assert found == []


def test_ft_12_no_statement_sorts_by_names() -> None:
    """PostgreSQL sorts by code point; whoever lists names sorts them by `service/rules/name_order.py`."""
    by_name = re.compile(
        r"order_by\([^)]*(display_name|name_en|name_uk|\.name\b)|ORDER BY [^\"]*(display_name|name_en|name_uk)"
    )
    assert [name_of(path) for path in SOURCES if by_name.search(path.read_text())] == []


def test_functions_fit_on_a_screen() -> None:
    found = [
        f"{name_of(path)}:{node.lineno} {node.name}: {length} lines"
        for path in HAND_WRITTEN
        for node in functions_of(trees()[path])
        if (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert found == []


def test_files_are_short_enough_to_read() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in HAND_WRITTEN}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_nothing_names_this_machine_or_a_registry() -> None:
    here = name_of(Path(__file__))
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if name_of(path) != here:
            found += [f"{name_of(path)}: {match.group()}" for match in MACHINE.finditer(text)]
    assert found == []


def test_every_ignored_rule_has_its_reason() -> None:
    section = (ROOT / "pyproject.toml").read_text().split("[tool.ruff.lint]")[1].split("[tool.mypy]")[0]
    rules = [line for line in section.splitlines() if re.match(r'\s+"[A-Z]+[0-9]*",', line)]
    assert [line for line in rules if "#" not in line] == []


@pytest.mark.parametrize(
    "broken",
    [
        "import uuid\nx = uuid.uuid4()",
        "from uuid import uuid4",
        "from datetime import datetime\nx = datetime.now()",
        "import random\nx = random.choice([1])",
        "from time import time",
        "import secrets\ndef f(make=secrets.token_hex): ...",
    ],
)
def test_the_rule_about_the_clock_finds_what_it_is_for(broken: str) -> None:
    assert chance_and_time(ast.walk(ast.parse(broken))) != []


def test_the_rule_about_the_clock_lets_types_pass() -> None:
    types = ast.parse("import uuid\nfrom uuid import UUID\nx: uuid.UUID\nfrom time import sleep")
    assert chance_and_time(ast.walk(types)) == []
