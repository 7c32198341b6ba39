"""What other people's programs make of our description (OPS-13): Redocly, Spectral, and two makers of clients."""

import json
import os
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import build
from api import app
from api.edge import openapi
from drills import site
from service.kernel import clock

# ruff: noqa: T201 - printed for `make drills`

pytestmark = [pytest.mark.drill]
FOLDER = Path(__file__).parent / "openapi"
PROGRAMS = FOLDER / "node_modules" / ".bin"
MAKER = Path(".cache/openapi-python-client/bin")


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document as a file."""
    file = tmp_path_factory.mktemp("description") / "openapi.json"
    file.write_text(json.dumps(openapi.served(app.create(), "https://pobratym.example")))
    return file


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program that was installed beside the drills, to its end."""
    if not program.exists():
        pytest.skip(f"no {program.name} (make setup-openapi)")
    told = os.environ | {"PATH": f"{program.parent.absolute()}:{os.environ['PATH']}", "REDOCLY_TELEMETRY": "off"}
    return subprocess.run(
        [program.absolute(), *map(str, arguments)], env=told, capture_output=True, text=True, check=False
    )


def test_ops_13_drill_redocly_finds_nothing(description: Path) -> None:
    done = run(PROGRAMS / "redocly", "lint", description, "--config", FOLDER / "redocly.yaml", "--format=json")

    assert json.loads(done.stdout)["problems"] == []
    assert done.returncode == 0


def test_ops_13_drill_spectral_finds_nothing(description: Path) -> None:
    done = run(PROGRAMS / "spectral", "lint", description, "-r", FOLDER / "spectral.yaml", "-f", "json", "-q")

    assert json.loads(done.stdout) == []
    assert done.returncode == 0


def test_ops_13_drill_openapi_typescript_writes_types_that_compile(description: Path) -> None:
    types = description.parent / "api.ts"
    made = run(PROGRAMS / "openapi-typescript", description, "-o", types)
    assert made.returncode == 0, made.stderr
    compiled = run(PROGRAMS / "tsc", "--noEmit", "--strict", "--target", "es2022", types)

    assert (compiled.returncode, compiled.stdout) == (0, "")
    names = re.findall(r"^    \w+: \{$", types.read_text().partition("export interface operations")[2], re.MULTILINE)
    print(f"{len(names)} operations in TypeScript")
    assert len(names) >= len(operations(description))


async def test_ops_13_drill_the_generated_python_client_walks_from_a_request_to_its_session(
    description: Path, folder: Path
) -> None:
    async with site.opened(folder) as here:
        base = here.world.settings.base_url
        described = await here.client.get("/openapi.json")
        assert described.json()["servers"] == [{"url": base}]
        made = run(MAKER / "openapi-python-client", "generate", "--path", description, "--meta", "none",
                   "--output-path", description.parent / "pobratym_client", "--overwrite")  # fmt: skip
        told = made.stdout + made.stderr
        assert (made.returncode, "WARNING" in told, "unsupported" in told.lower()) == (0, False, False), told
        files = [file for file in description.parent.glob("pobratym_client/api/*/*.py") if file.name != "__init__.py"]
        print(f"{len(files)} operations in Python")
        assert len(files) == len(operations(description))

        ours = here.scene.wish()["consent"]["given_on"]
        booked = walk(description, "ask", base, await token(here, "clinician0"), await token(here, "mentor0"), ours)
        assert isinstance(here.world.clock, clock.ManualClock)
        here.world.clock.set(datetime.fromisoformat(booked["ends_at"]))
        mentor = await token(here, "mentor0")
        logged = walk(description, "log", base, mentor, booked["id"], booked["starts_at"], booked["ends_at"])
        assert logged["location"] == f"/v1/sessions/{logged['id']}"


async def token(here: site.Site, name: str) -> str:
    """Give an access token of that person."""
    headers = await build.bearer(here.world, here.scene.people[name])
    return headers["Authorization"].removeprefix("Bearer ")


def walk(description: Path, *arguments: str) -> Any:  # noqa: ANN401 - JSON
    """Run a part of the walk by the generated client's own Python."""
    shutil.copy(FOLDER / "walk.py", description.parent)
    command = [str(MAKER.absolute() / "python"), str(description.parent / "walk.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def operations(description: Path) -> list[str]:
    """Name every operation of the document."""
    paths = json.loads(description.read_text())["paths"]
    return [operation["operationId"] for methods in paths.values() for operation in methods.values()]
