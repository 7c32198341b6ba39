"""The pages of `docs/` and the map of the domain name what exists: modules, settings, problems, routes, files."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import service
from api import app
from api.edge import problems
from integrations.runtime.settings import Settings
from service import timers

ROOT = Path(__file__).resolve().parent.parent
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")), *DECISIONS]
LONGEST_DECISION = 40


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


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


@pytest.mark.parametrize("folder", ["api", "api/edge", "integrations", "service"])
def test_the_architecture_page_names_every_module(folder: str) -> None:
    text = page("architecture.md")
    found = (ROOT / folder).rglob("*.py") if folder in {"integrations", "service"} else (ROOT / folder).glob("*.py")
    there = {path.stem for path in found if not path.name.startswith("_") and path.parent.name != "imports"}
    assert {name for name in there if f"`{name}`" not in text} == set()


def test_the_operations_page_names_every_setting_and_no_other() -> None:
    table = page("operations.md").split("## Settings")[1].split("## Installation")[0]
    first_cells = " ".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))
    told = set(re.findall(r"`([A-Z_]+)`", first_cells))
    assert told == {name.upper() for name in Settings.model_fields}


def test_the_operations_page_tells_how_long_the_sweep_keeps_what_it_deletes() -> None:
    table = page("operations.md").split("## Retention")[1].split("## Doctor")[0]
    kept = dict(re.findall(r"^\| ([^|]*) \| ([^|]*) \|$", table, re.MULTILINE))
    for what in ("events", "deliveries of webhooks", "links, refresh tokens"):
        (told,) = [cell for first, cell in kept.items() if what in first]
        assert told.startswith(f"{timers.KEPT.days} days")


def test_the_api_page_names_every_problem_and_no_other() -> None:
    table = page("api.md").split("| Status | Types |")[1].split("## Sign in")[0]
    told = set(re.findall(r"`([a-z-]+)`", table))
    beside = {"reasons", "errors", "spans"}  # members that a problem carries
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
