"""People at work, who send again what was not answered; and what must hold whatever died meanwhile."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx

import crowd
from drills.site import Site
from postoffice import until
from service.kernel import actor, clock
from service.registry import memorandum_log

_PAUSE_SECONDS = 0.2
_AGAIN_SECONDS = 0.5


class Load:
    """Clinicians who file and cancel, mentors who accept and advise; keeps what the API acknowledged."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.stop = asyncio.Event()
        self.filed: set[str] = set()
        self.accepted: set[str] = set()
        self.booked: set[str] = set()
        self.cancelled: set[str] = set()
        self.advised: set[str] = set()
        self.refused: list[str] = []
        self.again: Counter[str] = Counter()  # why something was sent again
        self.slowest_seconds = 0.0
        self.clients = [site.client]  # of each program that answers, in turn
        self._turns = itertools.count()

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Have everybody at work until the block ends; every request that was begun is answered in the end."""
        people = [(name, self._clinician) for name in self.site.names("clinician")]
        people += [(name, self._mentor) for name in self.site.names("mentor")]
        async with asyncio.TaskGroup() as tasks:
            for name, work in people:
                tasks.create_task(work(name))
            yield
            self.stop.set()

    async def grows(self, count: int) -> None:
        """Wait until so much more was acknowledged."""
        wanted = self.acknowledged + count
        await until(lambda: self.acknowledged >= wanted)

    @property
    def repeated(self) -> int:
        """How often something was sent again."""
        return self.again.total()

    @property
    def acknowledged(self) -> int:
        """How much was acknowledged."""
        return sum(map(len, (self.filed, self.accepted, self.cancelled, self.advised)))

    async def send(self, who: str, method: str, path: str, body: Any = None) -> httpx.Response:  # noqa: ANN401 - JSON
        """Send until it is answered, always under the same key."""
        headers = self.site.bearers[who] | {"Idempotency-Key": clock.new_id().hex}
        while True:
            client = self.clients[next(self._turns) % len(self.clients)]
            began = clock.monotonic()
            try:
                answer = await client.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                answer, why = None, type(error).__name__
            self.slowest_seconds = max(self.slowest_seconds, clock.monotonic() - began)
            if answer is not None and (answer.status_code != 503 or "retry-after" not in answer.headers):
                if answer.status_code >= 400:
                    self.refused.append(f"{method} {path.split('/')[2]} {answer.status_code} {answer.json()['type']}")
                return answer
            self.again[str(answer.status_code) if answer is not None else why] += 1
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _clinician(self, name: str) -> None:
        for number in itertools.count():
            if self.stop.is_set():
                return
            mode = "written" if number % 2 else "live"
            wish = self.site.scene.wish(priority="routine", mode=mode)
            answer = await self.send(name, "POST", "/v1/consultations", wish)
            if answer.status_code == 201:
                self.filed.add(answer.json()["id"])
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _mentor(self, name: str) -> None:
        while not self.stop.is_set():
            inbox = await self.send(name, "GET", "/v1/offers?state=pending")
            for offer in inbox.json()["items"][:2] if inbox.status_code == 200 else []:
                await self._answer(name, offer)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _answer(self, name: str, offer: Any) -> None:  # noqa: ANN401 - JSON
        if offer["kind"] == "live" and not offer["starts"]:  # each of its times was taken meanwhile
            await self.send(name, "POST", f"/v1/offers/{offer['id']}/decline", {"reason": "busy"})
            return
        body = {"starts_at": offer["starts"][0]} if offer["kind"] == "live" else {}
        answer = await self.send(name, "POST", f"/v1/offers/{offer['id']}/accept", body)
        if answer.status_code != 200:
            return
        self.accepted.add(offer["id"])
        if offer["kind"] == "written":
            path, advice = f"/v1/consultations/{offer['consultation_id']}/advice", {"text": "Wait.", "minutes": 5}
            if (await self.send(name, "POST", path, advice)).status_code == 201:
                self.advised.add(offer["consultation_id"])
            return
        booked = answer.json()["id"]
        self.booked.add(booked)
        if len(self.booked) % 3 == 0:
            gone = await self.send(name, "POST", f"/v1/appointments/{booked}/cancel", {"reason": "illness"})
            if gone.status_code == 200:
                self.cancelled.add(booked)


async def settled(site: Site) -> None:
    """Wait until every delivery has left and every event has its place."""

    async def is_quiet() -> bool:
        waiting = "SELECT (SELECT count(*) FROM delivery WHERE state = 'pending') AS mails"
        (row,) = await site.scene.rows(f"{waiting}, (SELECT count(*) FROM event WHERE position IS NULL) AS events")
        return (row.mails, row.events) == (0, 0)

    await until(is_quiet)


async def faults(site: Site, load: Load) -> list[object]:
    """Name everything that was lost, is there twice, or is half done."""
    found: list[object] = list(await crowd.faults(site.scene))
    for name, acknowledged, statement in (
        ("filed", load.filed, "SELECT id FROM consultation"),
        ("accepted", load.accepted, "SELECT id FROM offer WHERE state = 'accepted'"),
        ("booked", load.booked, "SELECT id FROM appointment"),
        ("cancelled", load.cancelled, "SELECT id FROM appointment WHERE status = 'cancelled'"),
        ("advised", load.advised, "SELECT consultation_id FROM advice"),
        ("logged", load.advised, "SELECT s.consultation_id FROM session s JOIN log_entry USING (id)"),
    ):
        kept = [str(row[0]) for row in await site.scene.rows(statement)]
        if sorted(kept) != sorted(acknowledged):
            found.append((name, "lost", acknowledged - set(kept), "unasked", set(kept) - acknowledged, len(kept)))
    for name, statement in _FAULTS.items():
        found += [(name, *row) for row in await site.scene.rows(statement)]
    async with site.world.database.work(actor.TIMER) as w:
        found += [("chain", found) for found in (await memorandum_log.verify_all(w)).values() if not found.ok]
    return found + await _mail_faults(site)


_FAULTS = {
    "booked without exactly two seats": """
        SELECT a.id, count(s.person_id) FROM appointment a LEFT JOIN seat s ON s.appointment_id = a.id
        WHERE a.status = 'booked' GROUP BY a.id HAVING count(s.person_id) <> 2""",
    "positions with a gap": """
        SELECT count(*), min(position), max(position) FROM event
        HAVING max(position) <> count(*) OR min(position) <> 1""",
    "a delivery that did not arrive": """
        SELECT id, state, error FROM delivery WHERE state NOT IN ('delivered', 'dropped')""",
    "a delivery delivered twice": """
        SELECT delivery_id FROM delivery_attempt WHERE outcome = 'delivered'
        GROUP BY delivery_id HAVING count(*) > 1""",
}


async def _mail_faults(site: Site) -> list[object]:
    """Compare what lies in the Maildir with the deliveries, Message-ID by Message-ID.

    A mail that was handed over by a worker that died before it could say so may be of no use any more when another one
    takes it up: then it lies there, and its delivery was dropped after an attempt of which nobody knows the end.
    """
    states = "SELECT id, state = 'delivered' AS is_delivered FROM delivery WHERE state = 'delivered'"
    unknown = f"{_UNKNOWN_END} AND state = 'dropped'"
    rows = await site.scene.rows(f"{states} UNION ALL SELECT id, false FROM delivery WHERE {unknown}")
    delivered = {str(row.id) for row in rows if row.is_delivered}
    letters = [path.read_bytes() for path in (site.world.settings.mail_dir / "new").iterdir()]
    lying = [letter.split(b"Message-ID: <", 1)[1].split(b"@", 1)[0].decode() for letter in letters]
    may_lie = delivered | {str(row.id) for row in rows}
    is_well = delivered <= set(lying) <= may_lie and len(lying) == len(set(lying))
    return [] if is_well else [("mail", delivered ^ set(lying), len(lying), len(delivered))]


_UNKNOWN_END = "attempt > (SELECT count(*) FROM delivery_attempt WHERE delivery_id = delivery.id)"
