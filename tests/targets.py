"""Ids of things that exist, for tests that go over every path of the description."""

import re

from flow import Scene
from service.kernel import clock

_FIRST_ID = re.compile(r"(/v1/[a-z-]+/)\{[^}]*\}")


async def ids(scene: Scene) -> dict[str, str]:
    """Have a request that was booked and another that is offered; gives an id for each kind of path."""
    await scene.set_up()
    booked = await scene.booked()
    await scene.request(mode="written")
    offer = await scene.offer("rival")
    return {
        "/v1/consultations/": offer["consultation_id"],
        "/v1/offers/": offer["id"],
        "/v1/appointments/": booked["id"],
        "/v1/memoranda/": str(scene.memorandum.id),
        "/v1/programmes/": str(scene.programme.id),
        "/v1/institutions/": str(scene.asking.id),
        "/v1/people/": str(scene.people["colleague"].id),
        "/v1/mentors/": str(scene.people["mentor"].id),
    }


def at(known: dict[str, str], path: str) -> str:
    """Put an id that exists in the first place of the path, and one that does not into the others."""
    put = _FIRST_ID.sub(lambda found: found[1] + known.get(found[1], str(clock.new_id())), path)
    return re.sub(r"\{[^}]*\}", str(clock.new_id()), put)
