"""A recorded history of many clients: each refusal was true, each booking was alone, when it was said."""

import asyncio
import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

import pytest

import build
import crowd
import flow
from service.kernel import actor

pytestmark = [pytest.mark.races, pytest.mark.slow, pytest.mark.load(10)]

OPERATIONS = 10_000 if os.environ.get("DRILLS") == "1" else 240
CLIENTS = 16
MENTORS = ("mentor", "rival", "third")
OCCUPIED = timedelta(minutes=40)


@dataclass(frozen=True)
class Attempt:
    """One call to hold a mentor's time: when it was made and answered, and until when the time was held if it was."""

    client: int
    mentor: str
    start: datetime
    invoked: float
    returned: float
    status: int
    problem: str
    release_invoked: float = float("inf")
    release_returned: float = float("inf")

    def meets(self, other: "Attempt") -> bool:
        """Tell whether the two want the same mentor at overlapping times, buffers included."""
        return self.mentor == other.mentor and abs(self.start - other.start) < OCCUPIED


class Client:
    """One coordinator at work on a case of their own: holds a time, lets it go, again and again."""

    def __init__(self, scene: flow.Scene, number: int, case: str, headers: dict[str, str]) -> None:
        self.scene, self.number, self.case, self.headers = scene, number, case, headers
        self.random = Random(number)
        self.operations = 0
        self.history: list[Attempt] = []

    async def work(self, operations: int) -> None:
        while self.operations < operations:
            await self.once()

    async def once(self) -> None:
        mentor = self.random.choice(MENTORS)
        start = self.scene.clock.now() + timedelta(days=1, minutes=15 * self.random.randrange(12))
        invoked = time.perf_counter()
        answer = await self.scene.client.post(
            f"/v1/consultations/{self.case}/holds",
            json={"mentor_id": str(self.scene.people[mentor].id), "starts_at": flow.instant(start)},
            headers=self.headers,
        )
        returned = time.perf_counter()
        self.operations += 1
        problem = "" if answer.is_success else answer.json()["type"]
        released = (float("inf"), float("inf"))
        if answer.is_success:
            await asyncio.sleep(self.random.choice((0.0, 0.01, 0.05)))
            released = await self.release(answer.json()["id"])
        self.history.append(
            Attempt(self.number, mentor, start, invoked, returned, answer.status_code, problem, *released)
        )

    async def release(self, appointment: str) -> tuple[float, float]:
        invoked = time.perf_counter()
        answer = await self.scene.client.delete(f"/v1/appointments/{appointment}/hold", headers=self.headers)
        assert answer.status_code == 200, answer.text
        self.operations += 1
        return invoked, time.perf_counter()


async def cases(scene: flow.Scene) -> list[str]:
    """Have a case for each client, which every mentor was asked to take at any of the times."""
    found: list[str] = []
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["third"] = await build.mentor(
            w, scene.lille, profile={"sessions_per_week": 100, "offers_per_week": 100}
        )
        starts = [w.now + timedelta(days=1, minutes=15 * step) for step in range(12)]
        for _ in range(CLIENTS):
            clinician = await build.clinician(w, scene.asking)
            case = await build.consultation(w, clinician, scene.asking, state="offered")
            for mentor in MENTORS:
                await build.offer(
                    w, case, scene.people[mentor], scene.memorandum, starts=starts, answer_by=w.now + timedelta(days=6)
                )
            found.append(str(case.id))
    return found


async def test_every_refusal_in_a_long_history_is_justified_and_no_two_holds_meet(scene: flow.Scene) -> None:
    headers = await crowd.bearer(scene, "coordinator")
    clients = [Client(scene, number, case, headers) for number, case in enumerate(await cases(scene))]
    await asyncio.gather(*(client.work(OPERATIONS // CLIENTS) for client in clients))
    history = [attempt for client in clients for attempt in client.history]
    assert sum(client.operations for client in clients) >= OPERATIONS
    assert {(attempt.status, attempt.problem) for attempt in history} == {(201, ""), (409, "/problems/slot-taken")}
    held = [attempt for attempt in history if attempt.status == 201]
    assert [refused for refused in history if refused.status == 409 and not is_justified(refused, held)] == []
    assert [pair for pair in pairs(held) if were_held_together(*pair)] == []
    assert await crowd.faults(scene) == []


def is_justified(refused: Attempt, held: list[Attempt]) -> bool:
    """Tell whether a meeting hold may have been there at some moment between the call and its answer."""
    return any(
        other.invoked <= refused.returned and refused.invoked <= other.release_returned
        for other in held
        if refused.meets(other)
    )


def pairs(held: list[Attempt]) -> list[tuple[Attempt, Attempt]]:
    """Give the holds that want the same mentor's same time."""
    return [(one, other) for place, one in enumerate(held) for other in held[:place] if one.meets(other)]


def were_held_together(one: Attempt, other: Attempt) -> bool:
    """Tell whether both were surely there at one moment: answered and not yet asked to be released."""
    return one.returned < other.release_invoked and other.returned < one.release_invoked
