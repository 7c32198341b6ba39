"""What runs, for admins."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from api.pages import frame
from service import housekeeping, tables
from service.kernel import processes
from service.kernel.work import Work

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)


@router.get("/operations")
async def show(visit: frame.Known) -> Response:
    """Show the processes of the last day, and what is wrong with each; and when the house was last kept."""
    found, tasks = await visit.read(_standing)
    works = any(process.works for process in found)
    return visit.show("operations.html", processes=found, works=works, tasks=tasks)


async def _standing(w: Work) -> tuple[Sequence[processes.Running], Sequence[tables.Housekeeping]]:
    return await processes.running(w), await housekeeping.tasks(w)
