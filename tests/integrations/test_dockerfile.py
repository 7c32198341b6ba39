"""The image, as far as it can be seen without a container engine; `make test` also lints the Dockerfile."""

import importlib.machinery
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("dockerfile_as_script", str(ROOT / "ops/dockerfile-as-script"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


STEPS: list[tuple[str, str]] = script().steps((ROOT / "Dockerfile").read_text())


def said(word: str) -> list[str]:
    return [rest for step, rest in STEPS if step == word]


def test_the_image_is_made_in_stages_from_images_with_a_full_version() -> None:
    assert len(said("FROM")) > 1
    assert all(re.match(r"python:3\.1[12]\.\d+-slim-\w+( AS \w+)?$", image) for image in said("FROM"))


def test_it_runs_as_nobody_in_particular() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said("USER")[-1])


def test_packages_come_with_their_hashes_only() -> None:
    installed = [step for step in said("RUN") if "pip install" in step]
    assert installed
    assert all("--require-hashes" in step for step in installed)


def test_no_secret_is_built_in() -> None:
    assert not re.search(r"(?i)secret|token|password|_key", " ".join(said("ENV") + said("ARG")))


def test_its_health_is_the_apis() -> None:
    assert "/health/live" in said("HEALTHCHECK")[0]


@pytest.mark.parametrize("name", [".git/config", ".env", "tests/conftest.py", ".pobratym/secret-keys", "api/.env"])
def test_what_is_nobodys_business_stays_outside(name: str) -> None:
    assert script().ignored(ROOT / name)


def test_everything_that_is_copied_is_let_through() -> None:
    sources = [rest.split()[0] for rest in said("COPY") if not rest.startswith("--from")]
    assert not [name for name in sources if script().ignored(ROOT / name)]
    assert not [name for name in sources if not (ROOT / name).exists()]


@pytest.mark.slow
@pytest.mark.load
def test_its_steps_make_something_that_starts_as_api_and_as_worker(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    command = [sys.executable, str(ROOT / "ops/dockerfile-as-script"), str(folder)]
    done = subprocess.run([*command, "serve", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    python = folder / "final/opt/pobratym/bin/python"
    worker = subprocess.run(
        [str(python), "-m", "api.cli", "worker", "--help"], cwd=folder / "final/app", capture_output=True, check=False
    )
    assert worker.returncode == 0, worker.stderr[-2000:]
