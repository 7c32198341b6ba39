"""What operators and their machines ask: alive, ready, figures. And the demo's clock."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from api.edge import deps, metrics, problems, query, shapes
from integrations.runtime import health
from service.kernel import clock, errors

router = APIRouter(tags=["operation"], dependencies=query.KNOWN_ONLY)


class Alive(shapes.Shape):
    """The process answers."""

    status: str = "ok"


class Ready(shapes.Shape):
    """Whether the process can do its work, and if not, why; `notices` name what it can work without."""

    status: str
    reasons: list[str]
    notices: list[str]


class DemoClock(shapes.Shape):
    """What every process of this data directory reads as now; null returns to the system's time."""

    model_config = shapes.Shape.model_config | {"json_schema_extra": {"examples": [{"now": "2026-11-16T08:00:00Z"}]}}

    now: shapes.Instant | None


@router.get("/health/live")
async def live() -> Alive:
    """Tell that the process answers; it asks nothing else."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Ready, "description": "It cannot, for these reasons."}})
async def ready(world: deps.TheWorld) -> Response:
    """Tell whether the database is there, has this program's schema, and its deliveries leave in time."""
    reasons = await health.faults(world)
    notices = [] if reasons else await health.notices(world)
    answer = Ready(status="unready" if reasons else "ready", reasons=reasons, notices=notices)
    return JSONResponse(answer.model_dump(), 503 if reasons else 200)


@router.get("/metrics", include_in_schema=False)
async def figures(request: Request, world: deps.TheWorld) -> Response:
    """Give the figures for Prometheus, to the machine itself or with the token of the settings."""
    address = request.client.host if request.client else ""
    if not health.may_see_figures(world.settings, address, request.headers.get("authorization", "")):
        raise errors.LocalOnly
    body, media_type = metrics.shown(await health.backlog(world))
    return Response(body, media_type=media_type)


class DemoRoute(APIRoute):
    """A route that exists in a demo, for the machine itself; asked before a body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the questions before the handler."""
        handler = super().get_route_handler()

        async def asked_first(request: Request) -> Response:
            if not isinstance(request.app.state.world.clock, clock.ManualClock):
                raise errors.NotFound
            if not is_local(request):
                raise errors.LocalOnly
            return await handler(request)

        return asked_first


demo_router = APIRouter(tags=["operation"], route_class=DemoRoute, dependencies=query.KNOWN_ONLY)


@demo_router.put("/demo/clock", responses=problems.of(errors.LocalOnly, errors.NotFound))
async def set_clock(request: Request, wanted: DemoClock) -> DemoClock:
    """Set the demo's time, from the machine itself; there is no such address unless `POBRATYM_CLOCK=manual`."""
    demo_clock: clock.ManualClock = request.app.state.world.clock
    demo_clock.set(wanted.now)
    return DemoClock(now=demo_clock.now())


def is_local(request: Request) -> bool:
    """Tell whether the machine itself asks."""
    return request.client is not None and health.is_local(request.client.host)
