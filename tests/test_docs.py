"""The pages of `docs/` and the map of the domain name what exists: modules, settings, problems, routes, rules."""

import ast
import functools
import hashlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import service
from api import VERSION, app
from api.edge import problems
from integrations.runtime.settings import Settings
from service import housekeeping, tables
from service.rules import lifecycle

ROOT = Path(__file__).resolve().parent.parent
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
FRONT_DOOR = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md")
]
PAGES = [*FRONT_DOOR, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")), *DECISIONS]
LONGEST_DECISION = 40
LONGEST_FACE = 15
AREAS = {"kernel", "outbox", "people", "registry", "care", "reporting", "exchange", "worklists"}
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""What apache.org's LICENSE-2.0.txt and Debian's copy of it hash to."""


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[Path]:
    """Every file that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in sorted(set(names)) if (ROOT / name).is_file()]


def test_the_map_of_the_domain_is_the_order_of_its_imports() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == ["service"])
    there = {path.stem for path in (ROOT / "service").iterdir() if not path.name.startswith("_")} - {"data"}
    ordered = [name for layer in layers for name in re.findall(r"\w+", layer) if name in there]
    lines = [line[4:] for line in (service.__doc__ or "").splitlines() if line.startswith("    ")]
    mapped = [name for line in lines for name in re.findall(r"^(\w+)\s{2,}", line) if name in there]
    rank = {name: place for place, layer in enumerate(layers) for name in re.findall(r"\w+", layer)}
    assert sorted(mapped) == sorted(ordered) == sorted(there)
    assert [rank[name] for name in mapped] == sorted(rank[name] for name in mapped)


@functools.cache
def imports() -> list[tuple[str, str]]:
    """Give every import of something of `service` by a program: the file, and the dotted name of what it imports."""
    programs = [path for path in tracked() if path.relative_to(ROOT).parts[0] in {"service", "api", "integrations"}]
    return [
        (name_of(path), f"{node.module}.{alias.name}")
        for path in programs
        if path.suffix == ".py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("service")
        for alias in node.names
    ]


@pytest.mark.parametrize("area", sorted(AREAS))
def test_an_area_names_what_others_use_of_it_in_fifteen_lines_at_most(area: str) -> None:
    home = ROOT / "service" / area
    names = [name for file, name in imports() if not file.startswith(f"service/{area}/")]
    used = {name.split(".")[2] for name in names if name.startswith(f"service.{area}.")}
    face = ast.get_docstring(ast.parse((home / "__init__.py").read_text())) or ""
    named = set(re.findall(r"\w+", " ".join(re.findall(r"^    ((?:\w+(?:, )?)+)  ", face, re.MULTILINE))))
    assert len(face.splitlines()) <= LONGEST_FACE
    assert used - named == set()
    assert {name for name in named if not (home / name).is_dir() and not (home / f"{name}.py").is_file()} == set()


@pytest.mark.parametrize("folder", ["api", "api/edge", "integrations", "service"])
def test_the_architecture_page_names_every_module(folder: str) -> None:
    text = page("architecture.md")
    found = (ROOT / folder).rglob("*.py") if folder in {"integrations", "service"} else (ROOT / folder).glob("*.py")
    there = {path.stem for path in found if not path.name.startswith("_") and path.parent.name != "imports"}
    assert {name for name in there if f"`{name}`" not in text} == set()


def test_the_operations_page_names_every_setting_and_no_other() -> None:
    table = page("operations.md").split("## Settings")[1].split("## Installation")[0]
    first_cells = " ".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))
    told = set(re.findall(r"`([A-Z0-9_]+)`", first_cells))
    assert told == {name.upper() for name in Settings.model_fields}


def _retention() -> dict[str, str]:
    """Give what the operations page says of each table."""
    table = page("operations.md").split("## Retention")[1].split("## Doctor")[0]
    rows = re.findall(r"^\| ([^|]*) \| ([^|]*) \|$", table, re.MULTILINE)
    return {name: told for first, told in rows for name in re.findall(r"`([a-z_.]+)`", first)}


def test_ops_09_every_table_is_kept_for_a_time_that_the_operations_page_tells() -> None:
    of_the_queue = {"queue.pgqueuer", "queue.pgqueuer_log", "queue.pgqueuer_statistics", "queue.pgqueuer_schedules"}
    assert _retention().keys() == tables.metadata.tables.keys() | of_the_queue
    assert {task.table for task in housekeeping.TASKS} <= _retention().keys()


def test_the_operations_page_tells_how_long_the_housekeeper_keeps_what_it_deletes() -> None:
    kept = _retention()
    days = f"{housekeeping.KEPT.days} days"
    for name in ("event", "link", "refresh_token", "client_secret", "webhook_secret"):
        assert kept[name].startswith(days), name
    usual = housekeeping.Kept(0)
    assert f"{housekeeping.ATTEMPTS_KEPT.days} days" in kept["delivery_attempt"]
    assert f"mails: {usual.mail_days} days" in kept["delivery"]
    assert kept["queue.pgqueuer_log"].startswith(f"{housekeeping.QUEUE_LOG_KEPT.days} days")


def test_the_api_page_names_every_problem_and_no_other() -> None:
    table = page("api.md").split("| Status | Types |")[1].split("## Sign in")[0]
    told = set(re.findall(r"`([a-z-]+)`", table))
    beside = {"reasons", "errors", "spans", "instead"}  # members that a problem carries
    unlisted = {"internal", "method-not-allowed", "not-acceptable"}  # nobody writes code for these
    assert told - beside == problems.catalogue().keys() - unlisted


def test_the_api_page_names_every_route() -> None:
    text = page("api.md")
    missing = []
    for path in app.create().openapi()["paths"]:
        short = re.sub(r"\{\w+\}", "{id}", path.removeprefix("/v1"))
        ending = short.rsplit("/{id}", maxsplit=1)[-1]
        if short not in text and not (ending and f"…{ending}" in text) and not short.startswith(("/health", "/demo")):
            missing.append(path)
    assert missing == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]*)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_is_short_and_whole(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_DECISION
    parts = ("Context", "Decision", "Consequences", "What enforces it")
    assert [part for part in parts if f"**{part}.**" not in text] == []


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_names_files_that_exist(path: Path) -> None:
    named = re.findall(r"`((?:service|api|integrations|tests|migrations)/[\w/.]+\.\w+)", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_python_is_asked_for_as_promised_3_11_or_later() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"] == ">=3.11"
    check = re.search(r"'(import sys, venv; [^']*)'", (ROOT / "Makefile").read_text())
    assert check is not None
    for version, code in (((3, 10, 14), True), ((3, 11, 0), False), ((3, 13, 1), False), ((3, 14, 0), False)):
        asked = check[1].replace("sys.version_info", repr(version))
        found = subprocess.run([sys.executable, "-c", asked], check=False).returncode
        assert bool(found) == code, version
    for name in ("README.md", "docs/operations.md"):
        assert "Python 3.11 or later" in (ROOT / name).read_text()


# --- The front door -------------------------------------------------------------------------------------------------


def test_the_changelogs_newest_section_is_the_version_and_the_older_ones_have_their_day() -> None:
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert re.fullmatch(rf"\[{re.escape(VERSION)}\] - (Unreleased|\d{{4}}-\d\d-\d\d)", heads[0])
    versions = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", head) for head in heads[1:]]
    assert all(versions)
    numbers = [tuple(map(int, match.groups())) for match in versions if match]
    assert sorted({*numbers, tuple(map(int, VERSION.split(".")))}, reverse=True)[1:] == numbers


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "api.VERSION"}
    assert app.create().version == VERSION


def test_the_licence_is_the_standard_text_and_the_image_has_it() -> None:
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == APACHE_2_0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert [name for name in project["license-files"] if not (ROOT / name).is_file()] == []
    assert "LICENSE" in project["license-files"]
    assert "!LICENSE" in (ROOT / ".dockerignore").read_text().splitlines()
    assert re.search(r"^COPY LICENSE ", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", FRONT_DOOR, ids=name_of)
def test_the_front_door_names_files_and_make_targets_that_exist(path: Path) -> None:
    text = path.read_text()
    named = re.findall(r"`((?:service|api|integrations|tests|migrations|bench|docs|deploy|\.ci)/[\w/.-]*\w)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = set(re.findall(r"`make ([a-z][\w-]*)|^make ([a-z][\w-]*)", text, re.MULTILINE))
    assert {name for pair in called for name in pair if name} <= targets


def test_the_hook_before_a_commit_runs_what_make_fast_runs_and_fetches_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"^\s+- repo: (.*)$", text, re.MULTILINE) == ["local"]
    assert re.findall(r"^\s+entry: (.*)$", text, re.MULTILINE) == ["make fast"]
    assert re.findall(r"^\s+language: (.*)$", text, re.MULTILINE) == ["system"]


# --- Citations ------------------------------------------------------------------------------------------------------

# What a comment cites can be opened from this repository. A rule is cited in one form, `invariant B1`. Checks (`INV-12`
# or, in a test's name, `inv_12`), decisions and goals of the bench go by their number, pages by their file.
FOREIGN = {
    "a section of a paper": re.compile(r"(?<!RFC \d{4} )§ ?[\d.]*"),
    "a numbered rule that is no invariant": re.compile(r"\brules? \d+(?!\d| %)", re.IGNORECASE),
    "an issue by its number": re.compile(r"\bissues? #?\d+", re.IGNORECASE),
    "a page that is not here": re.compile(
        r"\bperformance page\b|\bgoals of performance\b|\bfield.trial\b", re.IGNORECASE
    ),
    "a folder that is not here": re.compile(r"\.\./(?:shared|design|checks)\b|\b(?:design|checks)/\w+\.md"),
    "invariants in another form": re.compile(
        r"\binvariants [A-Z]\d|\binvariant [a-z]\d|\binvariant [A-Z]-\d", re.ASCII
    ),
}
CHECKS = "INV|WH|FH|TR|FT|SEC|OPS"


def running_text(text: str) -> str:
    """Join lines, so that a citation is found that a line's end cuts in two."""
    return re.sub(r"\s*\n\s*(?:#(?!#)\s*)?", " ", text)


def first_cells(text: str) -> str:
    """Give the first cell of every row of a page's tables."""
    return "\n".join(re.findall(r"^\|([^|]*)\|", text, re.MULTILINE))


def rows_of(text: str, code: str) -> set[str]:
    """Name the rows of a page's tables whose first cell is such a code."""
    return set(re.findall(rf"^\| ({code}) \|", text, re.MULTILINE))


def checks_in_names(text: str) -> set[str]:
    """Give the checks that the names of tests carry: `test_inv_12_…` carries INV-12."""
    names = " ".join(re.findall(r"def test(_\w+)", text))
    return {f"{kind.upper()}-{number}" for kind, number in re.findall(rf"_({CHECKS.lower()})_(\d\d)(?=_)", names)}


@functools.cache
def numbered() -> dict[str, set[str]]:
    """Give the numbers of each kind that can be looked up here."""
    rules, goals = page("invariants.md"), (ROOT / "bench" / "README.md").read_text()
    return {
        "rule": rows_of(rules, r"[A-Z]\d+"),
        "check": rows_of(rules, rf"(?:{CHECKS})-\d\d"),
        "decision": {path.name[:4] for path in DECISIONS},
        "goal": set(re.findall(r"\bP\d+", first_cells(goals))),
    }


def unresolved(text: str, place: Path) -> list[str]:
    """Name what the text cites and nobody finds."""
    text = running_text(text)
    cited = {
        "rule": set(re.findall(r"\b[Ii]nvariant ([A-Z]\d+)\b", text)),
        "check": set(re.findall(rf"\b((?:{CHECKS})-\d\d)\b", text)) | checks_in_names(text),
        "decision": set(re.findall(r"\b[Dd]ecision (\d{4})\b", text)),
        "goal": set(re.findall(r"\bP\d{1,2}\b", text)),
    }
    found = [f"no such {kind}: {code}" for kind in cited for code in sorted(cited[kind] - numbered()[kind])]
    found += [f"{what}: {match.group()}" for what, form in FOREIGN.items() for match in form.finditer(text)]
    pages = set(re.findall(r"(?<![\w*/.-])[\w./-]*\w\.md\b", text))
    folders = (place.parent, ROOT, ROOT / "docs")
    return found + [
        f"no such page: {name}" for name in sorted(pages) if not any((at / name).exists() for at in folders)
    ]


def citing() -> list[Path]:
    """Every text of ours that may cite something: no data, no locks, no licence."""
    return [
        path
        for path in tracked()
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".html", ".css", ".js", ".sql", ".po", ".mako", ""}
        and path.name not in {"LICENSE", Path(__file__).name}
    ]


def test_what_is_cited_can_be_opened_here() -> None:
    faults = {f"{name_of(path)}: {fault}" for path in citing() for fault in unresolved(path.read_text(), path)}
    assert faults == set()


@pytest.mark.parametrize(
    "text",
    [
        "(invariant B99)", "Invariant Q1 holds", "(invariant\n    # X3)", "(INV-99)", "# WH-77",
        "def test_wh_77_it_is() -> None:",
        "decision 0999", "(bench, P77)", "see nothing.md", "../design/domain.md",
        "(reliability §7)", "(domain §3, §4)", "Contract §1", "(architecture, rule 1)", "architecture rule 5",
        "issue 4",
        "the performance page", "(performance.md)", "(invariants A1, A2)", "checks/webhooks.md",
    ],
)  # fmt: skip
def test_a_citation_of_nothing_is_found(text: str) -> None:
    assert unresolved(text, ROOT / "service" / "timers.py") != []


@pytest.mark.parametrize(
    "text",
    [
        "(invariant B1)", "(invariant D1, invariant A2)", "Invariant\n    I2", "(INV-12, WH-08)",
        "def test_inv_12_and_15_one() -> None:",
        "decision 0001", "(bench, P4)", "docs/partners.md", "concepts.md", "(RFC 6749 §4.4)", "coverage of rules 100 %",
    ],
)  # fmt: skip
def test_a_citation_of_something_is_no_fault(text: str) -> None:
    assert unresolved(text, ROOT / "service" / "timers.py") == []


def test_an_invariant_names_what_holds_it_and_a_test_that_exists() -> None:
    rows = re.findall(r"^\| ([A-Z]\d+) \| (.+) \| (.+) \| (.+) \|$", page("invariants.md"), re.MULTILINE)
    assert {code for code, *_ in rows} == rows_of(page("invariants.md"), r"[A-Z]\d+")
    assert [code for code, *_ in rows] == list(dict.fromkeys(code for code, *_ in rows))
    for code, _, held_by, shown_by in rows:
        assert held_by.strip(), code
        assert re.search(r"`tests/", shown_by), code
        named = re.findall(r"`((?:service|api|integrations|tests)/[\w/.-]*\w)`", held_by + shown_by)
        assert [name for name in named if not (ROOT / name).exists()] == [], code


def test_a_check_names_a_rule_that_exists() -> None:
    text = page("invariants.md")
    behind = re.findall(rf"^\| (?:{CHECKS})-\d\d \| .+ \| ([A-Z0-9, ]*)\|$", text, re.MULTILINE)
    assert len(behind) == len(rows_of(text, rf"(?:{CHECKS})-\d\d"))
    assert {code for cell in behind for code in re.findall(r"[A-Z]\d+", cell)} <= rows_of(text, r"[A-Z]\d+")


@pytest.mark.parametrize("table", lifecycle.STEP_TABLES)
def test_the_page_shows_when_each_step_may_be_taken_as_the_rules_have_it(table: str) -> None:
    heads, rows = lifecycle.PHASES[table], lifecycle.STEP_TABLES[table]
    (shown,) = [
        part for part in page("concepts.md").split("\n\n") if f"| {' | '.join(heads)} |" in part.partition("\n")[0]
    ]
    assert shown.splitlines()[2:] == [f"| `{step}` | {' | '.join(cells)} |" for step, cells in rows.items()]
