"""Schemathesis over the description, as people of several roles: no 5xx, and nothing that is not described.

Two roles with few examples in `make test`; every role with many when `DRILLS=1`.
"""

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import build
import targets
import world as simulated
from api.edge import openapi
from flow import Scene
from integrations.runtime.world import World

IS_DRILL = os.environ.get("DRILLS") == "1"
ROLES = ("clinician", "coordinator", "mentor", "partner", "admin") if IS_DRILL else ("coordinator",)
EXAMPLES = 40 if IS_DRILL else 5
LEFT_OUT = ("/demo/",)  # the clock of others is not to be moved


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The application behind a real server, on this loop."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, access_log=False))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells no other way
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await running


def failures(document: dict[str, Any], url: str, bearer: dict[str, str], known: dict[str, str]) -> Iterator[str]:
    """Drive every operation, and word what does not hold."""
    import schemathesis  # noqa: PLC0415 - its import takes seconds
    from schemathesis.checks import not_a_server_error  # noqa: PLC0415
    from schemathesis.core.result import Ok  # noqa: PLC0415
    from schemathesis.specs.openapi import checks  # noqa: PLC0415

    held = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        if operation.path.startswith(LEFT_OUT):
            continue
        names = {
            parameter["name"]
            for parameter in operation.definition.raw.get("parameters", [])
            if parameter["in"] == "path"
        }
        filled = dict(zip_path(operation.path, targets.at(known, operation.path))) if names else None
        modes = [operation.as_strategy(mode, path_parameters=filled) for mode in schemathesis.GenerationMode]

        @seed(2026)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=st.one_of(modes))
        def drive(case: Any) -> None:  # noqa: ANN401
            case.call_and_validate(base_url=url, headers=bearer, checks=held)

        try:
            drive()
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - it is told, and the next operation driven
            yield f"{operation.label}: {error}"


def zip_path(template: str, path: str) -> Iterator[tuple[str, str]]:
    for name, value in zip(template.split("/"), path.split("/"), strict=True):
        if name.startswith("{"):
            yield name.strip("{}"), value


@pytest.mark.races
@pytest.mark.slow
@pytest.mark.load(30)
@pytest.mark.parametrize("role", ROLES)
async def test_every_operation_does_as_it_is_described(
    application: FastAPI, world: World, client: httpx.AsyncClient, test_clock: simulated.TestClock, role: str
) -> None:
    scene = Scene(world, test_clock, client)
    known = await targets.ids(scene)
    bearer = await build.bearer(world, scene.people[role])
    document = openapi.describe(application)
    async with served(application) as url:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = await asyncio.to_thread(lambda: list(failures(document, url, bearer, known)))

    assert not found, "\n\n".join(found)
