"""What runs, for admins."""

from fastapi import APIRouter, Response

from api.pages import frame
from service.kernel import processes

router = APIRouter(route_class=frame.PageRoute)


@router.get("/operations")
async def show(visit: frame.Known) -> Response:
    """Show the processes of the last day, and what is wrong with each."""
    found = await visit.do(processes.running)
    return visit.show("operations.html", processes=found, works=any(process.works for process in found))
