"""The application: routers put together, nothing decided."""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from api import health, openapi, problems, raw
from integrations.world import World

RESOURCES = (
    "auth",
    "me",
    "registry",
    "people",
    "mentors",
    "memoranda",
    "consultations",
    "offers",
    "appointments",
    "sessions",
    "activities",
    "reports",
    "events",
    "webhooks",
    "links",
    "pages",
)
_STYLE = Path(__file__).parent / "templates" / "docs.css"
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create(world: World | None = None, lifespan: Lifespan | None = None) -> FastAPI:
    """Give the application over this world; without one, `lifespan` must bring it into `app.state.world`."""
    app = FastAPI(
        title="Pobratym",
        version=importlib.metadata.version("pobratym"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.world = world
    app.add_middleware(raw.Edge)
    problems.install(app)
    app.include_router(health.router)
    for name in RESOURCES:
        if importlib.util.find_spec(f"api.{name}"):
            app.include_router(importlib.import_module(f"api.{name}").router)
    _add_description(app)
    return app


def _add_description(app: FastAPI) -> None:
    @app.get("/openapi.json", include_in_schema=False)
    async def description() -> JSONResponse:
        return JSONResponse(openapi.describe(app))

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    async def docs() -> HTMLResponse:
        return HTMLResponse(openapi.page(app))

    @app.get("/docs/style.css", include_in_schema=False)
    async def style() -> Response:
        return FileResponse(_STYLE, media_type="text/css")
