"""Whether what was told of is told as promised: by its served schema, with a state, and with a link that answers."""

import json
from typing import Any

import jsonschema_rs

from flow import Scene


async def faults(scene: Scene) -> list[str]:
    """Look at every event there is; gives what is wrong with each: nothing, when invariant W1 is kept."""
    found: list[str] = []
    for event in await scene.rows("SELECT type, body FROM event ORDER BY id"):
        told = json.loads(event.body)
        served = await scene.client.get(f"/schemas/events/{event.type}.json")
        validator = jsonschema_rs.validator_for(served.json(), validate_formats=True)
        wrong = [str(fault) for fault in validator.iter_errors(told)]
        wrong += [f"no {name}" for name in ("state", "links") if not told["data"].get(name)]
        wrong += [
            f"{path} answers nobody" for path in told["data"]["links"].values() if not await _answers(scene, path)
        ]
        found += [f"{event.type}: {fault}" for fault in wrong]
    return found


async def types(scene: Scene) -> set[Any]:
    """Give what was told of."""
    return {row.type for row in await scene.rows("SELECT DISTINCT type FROM event")}


async def _answers(scene: Scene, path: str) -> bool:
    for who in scene.people:
        if (await scene.call(who, "GET", path)).status_code == 200:
            return True
    return False
