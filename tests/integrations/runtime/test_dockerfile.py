"""The image, as far as it can be seen without a container engine; `make test` also lints the Dockerfile."""

import asyncio
import contextlib
import dataclasses
import importlib.machinery
import importlib.util
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

import postoffice
import world as simulated
from integrations.runtime.settings import Settings
from service.kernel import clock

ROOT = Path(__file__).resolve().parents[3]


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("dockerfile_as_script", str(ROOT / "deploy/image/as-script"))
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


def test_its_health_is_that_of_whichever_command_runs() -> None:
    assert said("HEALTHCHECK")[0].endswith('CMD ["python", "-m", "api", "health"]')


@pytest.mark.parametrize("name", [".git/config", ".env", "tests/conftest.py", ".pobratym/secret-keys", "api/.env"])
def test_what_is_nobodys_business_stays_outside(name: str) -> None:
    assert script().ignored(ROOT / name)


def test_everything_that_is_copied_is_let_through() -> None:
    sources = [rest.split()[0] for rest in said("COPY") if not rest.startswith("--from")]
    assert not [name for name in sources if script().ignored(ROOT / name)]
    assert not [name for name in sources if not (ROOT / name).exists()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - the script's Stage, and it is no module
    """What the Dockerfile's steps make: a folder that knows neither this repository nor what is installed for it."""
    return script().build(tmp_path_factory.mktemp("image") / "root")


def run(image: Any, *arguments: str, told: dict[str, str] | None = None) -> subprocess.Popen[str]:  # noqa: ANN401 - as above
    """Start the entry point as an engine would: from its folder, told nothing but these settings."""
    return subprocess.Popen(
        image.command(list(arguments)),
        cwd=image.place("."),
        env=image.environment() | (told or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


async def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; gives the exit code, and everything that was said."""
    printed, _ = await asyncio.to_thread(process.communicate, timeout=120)
    return process.returncode, printed


@pytest.mark.slow
@pytest.mark.load(80)
@pytest.mark.xdist_group("image")  # which is made once
async def test_a_command_that_the_image_does_not_know_fails_and_is_named(image: Any) -> None:  # noqa: ANN401 - as above
    code, printed = await ended(run(image, "nonsense"))

    assert code != 0
    assert "nonsense" in printed


@pytest.mark.slow
@pytest.mark.load(80)
@pytest.mark.xdist_group("image")  # which is made once
async def test_its_steps_make_something_that_migrates_serves_and_works(
    image: Any,  # noqa: ANN401 - as above
    server_url: URL,
    the_settings: Settings,
) -> None:
    port = free_port()
    async with simulated.database(server_url, f"image_{clock.new_id().hex}") as url:
        told = {
            "POBRATYM_DATABASE_URL": url.render_as_string(hide_password=False).replace("+asyncpg", ""),
            "POBRATYM_SECRET_KEYS": "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        }
        code, printed = await ended(run(image, "migrate", told=told))
        assert (code, printed[:16]) == (0, "The schema is 20"), printed

        api = run(image, *image.arguments, "--port", str(port), told=told)
        worker = run(image, "worker", told=told)
        try:
            ready = await served(f"http://127.0.0.1:{port}/health/ready", api)
            is_healthy = await ended(run(dataclasses.replace(image, entry=health_check(port), arguments=[])))
            await working(simulated.engine(the_settings, url), worker)
        finally:
            api.terminate()
            worker.terminate()
            ends = [await ended(process) for process in (api, worker)]

    assert ready == {"status": "ready", "reasons": [], "notices": []}
    assert is_healthy == (0, "")
    assert "Application shutdown complete" in ends[0][1]
    assert ends[1][0] == 0, ends[1][1]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def health_check(port: int) -> list[str]:
    """Give the command of HEALTHCHECK, asking at another port than the image's."""
    command: list[str] = json.loads(said("HEALTHCHECK")[0].partition("CMD ")[2])
    return [*command, "--port", str(port)]


async def served(url: str, server: subprocess.Popen[str]) -> object:
    """Wait until the server answers here; gives the answer."""
    found: list[object] = []

    async def answers() -> bool:
        assert server.poll() is None, server.communicate()
        with contextlib.suppress(httpx.TransportError):
            found.append((await client.get(url)).json())
        return bool(found)

    async with httpx.AsyncClient() as client:
        await postoffice.until(answers)
    return found[0]


async def working(engine: AsyncEngine, worker: subprocess.Popen[str]) -> None:
    """Wait until the worker has connected to the database."""
    count = sa.text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pobratym worker'")

    async def is_there() -> bool:
        assert worker.poll() is None, worker.communicate()
        async with engine.connect() as connection:
            return bool((await connection.execute(count)).scalar_one())

    await postoffice.until(is_there)
    await engine.dispose()
