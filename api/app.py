"""The application: puts the routers together and decides nothing."""

import asyncio
import functools
import multiprocessing
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from api import VERSION, pages
from api.edge import event_schemas, openapi, problems, query, raw
from api.v1 import (
    activities,
    appointments,
    auth,
    certificates,
    clients,
    consultations,
    events,
    health,
    imports,
    institutions,
    journal,
    log,
    me,
    memoranda,
    mentors,
    oauth,
    offers,
    operations,
    own_account,
    people,
    programmes,
    push,
    rehearsals,
    remedies,
    reports,
    sessions,
    specialties,
    webhook_endpoints,
)
from integrations.runtime import live, logs, loops, settings, warming
from integrations.runtime import world as worlds
from integrations.runtime.world import World

ROUTERS = (
    health.router,
    health.demo_router,
    auth.router,
    oauth.router,
    clients.router,
    me.router,
    own_account.router,
    push.router,
    programmes.router,
    rehearsals.router,
    specialties.router,
    institutions.router,
    imports.router,
    people.router,
    mentors.router,
    memoranda.router,
    log.router,
    remedies.router,
    consultations.router,
    offers.router,
    appointments.router,
    sessions.router,
    certificates.router,
    activities.router,
    reports.router,
    journal.router,
    events.router,
    webhook_endpoints.router,
    operations.router,
    event_schemas.router,
    *pages.ROUTERS,
)
_STYLE = Path(__file__).parent / "edge" / "templates" / "docs.css"
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create(world: World | None = None, lifespan: Lifespan | None = None) -> FastAPI:
    """Give the application over this world; without one, `lifespan` must bring it into `app.state.world`."""
    app = FastAPI(
        title="Pobratym",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        # As the routers made them: `include_router` makes each anew, and compares each twice with every request.
        routes=[route for router in ROUTERS for route in router.routes],
        # FastAPI's own would export paths, which hold tokens, and texts of exceptions (`integrations.runtime.tracing`).
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.world = world
    app.state.batch_turn = asyncio.Lock()
    app.state.problem_page = pages.problem_page
    app.add_middleware(raw.Edge)
    problems.install(app)
    app.openapi = functools.partial(openapi.describe, app)  # type: ignore[method-assign]  # as FastAPI says to
    _add_description(app)
    return app


def serving(world: World | None = None) -> FastAPI:
    """Give the application of a server process that does the jobs as well; without a world it opens its own."""
    return create(world, lifespan=_with_jobs)


def serving_only(world: World | None = None) -> FastAPI:
    """Give the application of a server process beside which a worker runs; without a world it opens its own."""
    return create(world, lifespan=_without_jobs)


@asynccontextmanager
async def _with_world(app: FastAPI, purpose: str) -> AsyncIterator[None]:
    """Have a world: that of whoever made the application, else one of this process, which is one of several."""
    if app.state.world is not None:
        yield
        return
    loaded_settings = settings.load()
    logs.configure(loaded_settings.log_level)
    _end_with_parent()
    async with worlds.opened(loaded_settings, purpose=purpose, version=VERSION) as app.state.world:
        yield


def _end_with_parent() -> None:
    """Stop in good order once the process is gone that started this one of several, even if it was killed.

    Else they would serve on with nobody to stop them, and keep the port from whoever is started next.
    """
    parent, loop = multiprocessing.parent_process(), asyncio.get_running_loop()
    if parent is None:
        return

    def end() -> None:
        loop.remove_reader(parent.sentinel)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(parent.sentinel, end)


@asynccontextmanager
async def _without_jobs(app: FastAPI) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with _with_world(app, "api"), asyncio.TaskGroup() as tasks:
        tasks.create_task(loops.beat(app.state.world, stop))
        tasks.create_task(live.run(app.state.world, stop))
        tasks.create_task(warming.run(app.state.world, stop))
        yield
        stop.set()


@asynccontextmanager
async def _with_jobs(app: FastAPI) -> AsyncIterator[None]:
    from api.exchange import import_work  # noqa: PLC0415 - a server beside which a worker runs needs neither
    from integrations.runtime import worker  # noqa: PLC0415

    stop = asyncio.Event()
    async with _with_world(app, "api with worker"), asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run(app.state.world, stop, import_work.run))
        tasks.create_task(live.run(app.state.world, stop))
        tasks.create_task(warming.run(app.state.world, stop))
        yield
        stop.set()


def _base_url(app: FastAPI) -> str:
    world: World = app.state.world
    return world.settings.base_url


def _add_description(app: FastAPI) -> None:
    @app.get("/openapi.json", include_in_schema=False, dependencies=query.KNOWN_ONLY)
    async def description() -> JSONResponse:
        return JSONResponse(await asyncio.to_thread(openapi.served, app, _base_url(app)))

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    async def docs() -> HTMLResponse:
        return HTMLResponse(await asyncio.to_thread(openapi.page, app, _base_url(app)))

    @app.get("/docs/style.css", include_in_schema=False)
    async def style() -> Response:
        return FileResponse(_STYLE, media_type="text/css")
