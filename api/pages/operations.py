"""What runs, for admins."""

from fastapi import APIRouter, Response

from api.pages import frame
from service import housekeeping
from service.kernel import processes

router = APIRouter(route_class=frame.PageRoute)


@router.get("/operations")
async def show(visit: frame.Known) -> Response:
    """Show the processes of the last day, and what is wrong with each; and when the house was last kept."""
    found = await visit.do(processes.running)
    tasks = await visit.do(housekeeping.tasks)
    works = any(process.works for process in found)
    return visit.show("operations.html", processes=found, works=works, tasks=tasks)
