"""Two hundred people change in every way while everybody works: nothing stays with whoever may not act, all are told.

The requests come through the API, two sweeps run beside them. Who may act is judged here anew, by the rows at the end.
"""

# ruff: noqa: ANN401 - bodies and rows are JSON and columns

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

import build
import crowd
import flow
from integrations.runtime.world import World
from service import tables, timers
from service.kernel import actor, clock, errors
from service.outbox import deliveries
from service.people import privacy
from world import TestClock

pytestmark = [pytest.mark.drill, pytest.mark.races]

ALWAYS = [(day, 0, 1440) for day in range(7)]
HOSPITALS, PARTNERS, CLINICIANS, MENTORS = 6, 5, 15, 19
AT_ONCE = 6
REQUESTING = {"clinician", "coordinator", "programme_admin"}


class Town:
    """Hospitals, partners and two hundred people, who work and change."""

    def __init__(self, world: World, clock_: TestClock, client: httpx.AsyncClient) -> None:
        self.scene = flow.Scene(world, clock_, client)
        self.world, self.chance = world, random.Random(20261116)
        self.statuses: Counter[str] = Counter()
        self.failures: list[Any] = []
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.made: Counter[str] = Counter()
        self.is_over = False

    async def people(self) -> None:
        scene = self.scene
        await scene.set_up(mentors=())
        self.clinicians, self.mentors, self.keepers = [], [], []
        async with self.world.database.work(actor.TIMER) as w:
            network = await build.institution(w, kind="network")
            self.places = [await build.institution(w) for _ in range(HOSPITALS)]
            self.partners = [await build.partner(w) for _ in range(PARTNERS)]
            self.elsewhere = await build.partner(w)
            self.membership = await build.add(
                w,
                tables.Membership(
                    id=clock.new_id(), institution_id=self.places[0].id, network_id=network.id, from_on=date(2026, 1, 1)
                ),
            )
            self.memoranda = [
                await build.memorandum(w, [network, *self.places[1:]], partner) for partner in self.partners
            ]
            for place in self.places:
                self.clinicians += [
                    await build.clinician(w, place, department=f"ward {number % 2}") for number in range(CLINICIANS)
                ]
            for place in [*self.places, *self.partners]:
                self.keepers.append(await build.coordinator(w, place))
            scene.people["second admin"] = await build.admin(w, scene.programme)
            self.idle = [await build.clinician(w, self.places[3]) for _ in range(5)]
            profile = {"sessions_per_week": 100, "offers_per_week": 100}
            for partner in self.partners:
                self.mentors += [await build.mentor(w, partner, weekly=ALWAYS, profile=profile) for _ in range(MENTORS)]
        everybody = [*self.clinicians, *self.mentors, *self.keepers, *self.idle]
        assert len(everybody) >= 190
        for number, person in enumerate(everybody):
            scene.people[str(number)] = person
        self.names = {person.id: name for name, person in scene.people.items()}

    async def call(self, who: UUID, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        async with self.gate:
            answer = await self.scene.call(self.names[who], method, path, body, headers=headers)
        self.statuses[f"{answer.status_code}"] += 1
        if answer.status_code >= 500:
            self.failures.append((method, path, answer.text))
        return answer

    async def ask(self, clinician: tables.Person) -> None:
        for mode in ("live", "written", "either"):
            await self.call(clinician.id, "POST", "/v1/consultations", self.scene.wish(mode=mode))

    async def answer(self, mentor: tables.Person) -> None:
        inbox = await self.call(mentor.id, "GET", "/v1/offers?state=pending")
        for offer in inbox.json().get("items", [])[:6]:
            path = f"/v1/offers/{offer['id']}"
            chance = self.chance.random()
            if chance < 0.5:
                body = {"starts_at": self.chance.choice(offer["starts"])} if offer["starts"] else {}
                await self.call(mentor.id, "POST", f"{path}/accept", body)
            elif chance < 0.65 and offer["starts"]:
                start = flow.instant(flow.read_instant(offer["starts"][0]) + timedelta(hours=1))
                await self.call(mentor.id, "POST", f"{path}/counter", {"starts": [start]})

    async def patch(self, person: tables.Person, body: Any) -> None:
        path = f"/v1/people/{person.id}"
        admin = self.scene.people["admin"].id
        tag = (await self.call(admin, "GET", path)).headers["etag"]
        answer = await self.call(admin, "PATCH", path, body, **{"If-Match": tag})
        assert answer.status_code == 200, answer.text

    async def verify(self, mentor: tables.Person, hours: float) -> None:
        until = flow.instant(self.scene.clock.now() + timedelta(hours=hours))
        path = f"/v1/people/{mentor.id}/verification"
        assert (await self.call(self.scene.people["admin"].id, "POST", path, {"until": until})).status_code == 200

    async def change_address(self, person: tables.Person, *, ends: str) -> None:
        """Give them another address, which a second person confirms, the former address stops, or nobody does."""
        await self.patch(person, {"email": f"moved.{person.id.hex}@hospital.example"})
        if ends == "confirmed":
            path = f"/v1/people/{person.id}/address-confirmation"
            answer = await self.call(self.scene.people["second admin"].id, "POST", path)
            assert answer.status_code == 200, answer.text
        if ends == "stopped":
            (link,) = await self.scene.rows(
                "SELECT id, purpose FROM link WHERE person_id = :id AND purpose = 'address.stop'", id=person.id
            )
            answer = await self.scene.client.post(f"/a/address/{self.world.keys.link_token(link.id, link.purpose)}")
            assert answer.status_code == 303, answer.text

    async def erase(self, person: tables.Person) -> None:
        """Erase them, if nothing is with them."""
        try:
            async with self.world.database.work(actor.TIMER) as w:
                await privacy.erase(w, person.email)
        except errors.Conflict:
            self.made["erasure refused"] += 1

    async def lower_caps(self, mentor: tables.Person) -> None:
        path = f"/v1/mentors/{mentor.id}/profile"
        admin = self.scene.people["admin"].id
        answer = await self.call(admin, "GET", path)
        body = answer.json() | {"caps": {"offers_per_week": 1, "sessions_per_week": 1}}
        answer = await self.call(admin, "PUT", path, body, **{"If-Match": answer.headers["etag"]})
        assert answer.status_code == 200, answer.text

    async def move_institution(self, place: tables.Institution) -> None:
        path, body = f"/v1/institutions/{place.id}", {"zone": "Europe/Warsaw", "name_en": "Moved hospital"}
        answer = await self.call(self.scene.people["admin"].id, "PATCH", path, body, **{"If-Match": "*"})
        assert answer.status_code == 200, answer.text

    async def away(self, mentor: tables.Person) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            wall = w.now.replace(tzinfo=None)
            at: dict[str, Any] = {"from_wall": wall, "until_wall": wall + timedelta(days=9), "kind": "away"}
            await build.add(w, tables.AvailabilityException(id=clock.new_id(), person_id=mentor.id, **at))

    def changes(self) -> list[Any]:
        """Give every change of the table, each for several people, in an order by chance."""
        mentors, clinicians = self.mentors.copy(), self.clinicians.copy()
        self.chance.shuffle(mentors)
        self.chance.shuffle(clinicians)
        there = {"role": "mentor", "institution_id": str(self.elsewhere.id)}
        away = {"role": "clinician", "institution_id": str(self.elsewhere.id)}
        helps = {"role": "coordinator", "institution_id": str(self.elsewhere.id)}
        zone, name, language = {"zone": "Asia/Tokyo"}, {"display_name": "Anne"}, {"locale": "uk"}

        def ward(person: tables.Person) -> Any:
            place = self.places[self.clinicians.index(person) // CLINICIANS]
            return {"role": "clinician", "institution_id": str(place.id), "department": "another ward"}

        ends = ("confirmed", "stopped", "waiting")
        made: dict[str, list[Any]] = {
            "disabled": [self.patch(person, {"state": "disabled"}) for person in [*mentors[:10], *clinicians[:10]]],
            "role moved": [
                *(self.patch(person, {"roles": [there]}) for person in mentors[10:16]),
                *(self.patch(person, {"roles": [away]}) for person in clinicians[10:16]),
            ],
            "role ended": [self.patch(person, {"roles": [helps]}) for person in [*mentors[16:18], *clinicians[16:18]]],
            "unverified": [self.verify(person, -1) for person in mentors[18:26]],
            "verified too short": [self.verify(person, 3) for person in mentors[26:32]],
            "away": [self.away(person) for person in mentors[32:38]],
            "zone": [self.patch(person, zone) for person in [*mentors[38:44], *clinicians[18:24]]],
            "renamed, language": [
                self.patch(person, name | language) for person in [*mentors[44:50], *clinicians[24:30]]
            ],
            "coordinator disabled": [
                self.patch(self.keepers[number], {"state": "disabled"}) for number in (1, HOSPITALS)
            ],
            "back": [self.back(person) for person in clinicians[30:34]],
            "address": [
                self.change_address(person, ends=ends[number % 3])
                for number, person in enumerate([*mentors[50:59], *clinicians[34:43]])
            ],
            "erased": [self.erase(person) for person in [*mentors[59:64], *clinicians[43:48], *self.idle]],
            "department": [self.patch(person, {"roles": [ward(person)]}) for person in clinicians[48:54]],
            "caps": [self.lower_caps(person) for person in mentors[64:70]],
            "institution moved": [self.move_institution(place) for place in (self.places[2], self.partners[2])],
            "memorandum suspended": [self.step(self.memoranda[0], "suspended")],
            "memorandum terminated": [self.step(self.memoranda[1], "terminated")],
            "membership ended": [self.leave_network()],
        }
        self.made.update({kind: len(changes) for kind, changes in made.items()})
        every = [change for changes in made.values() for change in changes]
        self.chance.shuffle(every)
        return every

    async def back(self, clinician: tables.Person) -> None:
        await self.patch(clinician, {"state": "disabled"})
        await asyncio.sleep(0.5)
        await self.patch(clinician, {"state": "active"})

    async def step(self, memorandum: tables.Memorandum, to: str) -> None:
        body = {"to": to, "on": self.scene.clock.now().date().isoformat()}
        path = f"/v1/memoranda/{memorandum.id}/transitions"
        answer = await self.call(self.scene.people["admin"].id, "POST", path, body)
        assert answer.is_success, answer.text

    async def leave_network(self) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            membership = await w.read(tables.Membership, self.membership.id)
            membership.until_on = w.now.date()

    async def sweep(self) -> None:
        while not self.is_over:
            self.failures += await timers.once(self.world.database)

    async def work(self) -> None:
        sweeps = [asyncio.ensure_future(self.sweep()) for _ in range(2)]
        await asyncio.gather(*(self.ask(clinician) for clinician in self.clinicians))
        await asyncio.gather(*(self.answer(mentor) for mentor in self.mentors[::2]))
        await asyncio.gather(
            *self.changes(),
            *(self.answer(mentor) for mentor in self.mentors),
            *(self.ask(clinician) for clinician in self.clinicians[::3]),
        )
        self.failures += await timers.once(self.world.database)  # a sweep a second, in life
        for _ in range(3):
            self.scene.clock.forward(hours=2)
            await asyncio.gather(*(self.answer(mentor) for mentor in self.mentors[::4]))
        self.is_over = True
        await asyncio.gather(*sweeps)
        for _ in range(4):
            self.failures += await timers.once(self.world.database)


async def rights(town: Town) -> tuple[set[Any], dict[UUID, Any], set[UUID]]:
    """Read who is active in which role where, until when each mentor is verified, and who is active at all."""
    rows = await town.scene.rows(
        "SELECT g.person_id, g.role, g.institution_id FROM role_grant g JOIN person p ON p.id = g.person_id"
        " WHERE p.state = 'active'"
    )
    verified = await town.scene.rows("SELECT person_id, verified_until FROM mentor_profile")
    active = await town.scene.rows("SELECT id FROM person WHERE state = 'active'")
    return {tuple(row) for row in rows}, {row.person_id: row.verified_until for row in verified}, {r.id for r in active}


def mentor_acts(row: Any, at: Any, held: set[Any], verified: dict[UUID, Any]) -> bool:
    until = verified.get(row.person_id)
    return (row.person_id, "mentor", row.institution_id) in held and until is not None and until > at


async def waiting_addresses(town: Town) -> set[UUID]:
    rows = await town.scene.rows("SELECT id FROM person WHERE address_unconfirmed_since IS NOT NULL")
    return {row.id for row in rows}


async def with_the_wrong(town: Town) -> list[Any]:
    """Name every open offer, booked time, promise, place and link of somebody who may not act on it."""
    now, found = town.scene.clock.now(), list[Any]()
    held, verified, active = await rights(town)
    waiting = await waiting_addresses(town)
    offers = """SELECT o.id, o.mentor_id AS person_id, o.institution_id, o.state, m.status FROM offer o
        JOIN consultation c ON c.id = o.consultation_id JOIN memorandum m ON m.id = o.memorandum_id
        WHERE o.state IN ('pending', 'countered')
        OR (o.state = 'accepted' AND o.ended_at IS NULL AND c.state = 'scheduled' AND c.advice_due_at IS NOT NULL)"""
    for row in await town.scene.rows(offers):
        is_open = row.state in {"pending", "countered"}
        if not mentor_acts(row, now, held, verified) or (is_open and row.person_id in waiting):
            found.append(("offer", *row))
        if row.state != "accepted" and row.status != "active":
            found.append(("offer without a memorandum", *row))
    booked = """SELECT a.id, a.starts_at, t.person_id, t.institution_id, t.role FROM appointment a
        JOIN participant t ON t.appointment_id = a.id WHERE a.status IN ('pending', 'booked') AND a.starts_at > :now"""
    for row in await town.scene.rows(booked, now=now):
        is_there = (row.person_id, "clinician", row.institution_id) in held
        if not (is_there if row.role == "clinician" else mentor_acts(row, row.starts_at, held, verified)):
            found.append(("booked", *row))
    seats = "SELECT s.person_id FROM seat s WHERE upper(s.during) > :now"
    found += [("seat", row.person_id) for row in await town.scene.rows(seats, now=now) if row.person_id not in active]
    untold_ends = """SELECT a.id, a.memorandum_id FROM appointment a JOIN memorandum m ON m.id = a.memorandum_id
        WHERE a.status IN ('pending', 'booked') AND m.status <> 'active' AND a.told_end_id IS NULL"""
    found += [("under a memorandum that ended, and nobody told", *row) for row in await town.scene.rows(untold_ends)]
    erased = """SELECT p.id FROM person p WHERE p.email LIKE '%@erased.invalid' AND (
        EXISTS (SELECT FROM link l WHERE l.person_id = p.id)
        OR EXISTS (SELECT FROM role_grant g WHERE g.person_id = p.id)
        OR EXISTS (SELECT FROM delivery d WHERE d.person_id = p.id AND d.state = 'pending'))"""
    found += [("of somebody erased", *row) for row in await town.scene.rows(erased)]
    unassigned = """SELECT c.id, c.clinician_id, c.institution_id, c.clinician_left_at FROM consultation c
        WHERE c.state NOT IN ('completed', 'cancelled', 'expired')"""
    for row in await town.scene.rows(unassigned):
        is_there = (row.clinician_id, "clinician", row.institution_id) in held
        if not is_there and row.clinician_left_at is None:
            found.append(("case", *row))
    return found


LINKS = """
SELECT l.id, l.person_id, l.purpose, l.used_at, l.created_at, o.mentor_id, o.state, o.institution_id,
       c.clinician_id, c.institution_id AS asking_id, c.department, a.status, t.person_id AS takes_part
FROM link l LEFT JOIN offer o ON o.id = l.subject_id LEFT JOIN appointment a ON a.id = l.subject_id
LEFT JOIN consultation c ON c.id = coalesce(o.consultation_id, a.consultation_id)
LEFT JOIN participant t ON t.appointment_id = a.id AND t.person_id = l.person_id
WHERE l.purpose NOT LIKE 'address.%' ORDER BY l.id"""


async def may_act(town: Town) -> Any:
    """Give what tells whether a link's person may do what the link does, by the rows as they are now."""
    held, verified, active = await rights(town)
    waiting, now = await waiting_addresses(town), town.scene.clock.now()

    def may(link: Any) -> bool:
        if link.person_id not in active:
            return False
        if link.purpose.startswith("offer."):
            of_mentor = link.mentor_id == link.person_id and (link.person_id, "mentor", link.institution_id) in held
            is_verified = (verified.get(link.person_id) or now) > now and link.person_id not in waiting
            return of_mentor and (is_verified or link.purpose == "offer.decline") and link.state == "pending"
        if link.purpose.startswith("counter."):  # the clinician's, or whoever hears of the case in their stead
            places = {place for person, role, place in held if person == link.person_id and role in REQUESTING}
            return link.state == "countered" and link.asking_id in places | {None}
        return link.takes_part is not None or link.purpose in {"sign_in", "feedback"}

    return may


async def links_that_act(town: Town) -> tuple[list[Any], Counter[str]]:
    """Press every link ever mailed to somebody who may not do what it does; name those that did something."""
    may, found, pressed = await may_act(town), list[Any](), Counter[str]()

    async def press(link: Any) -> None:
        token = town.world.keys.link_token(link.id, link.purpose)
        async with town.gate:
            if link.purpose == "join":
                answer = await town.scene.client.get(f"/j/{token}")
            else:
                folder = "sign-in" if link.purpose == "sign_in" else "a"
                answer = await town.scene.client.post(f"/{folder}/{token}", data={"reason": "busy", "sure": "yes"})
        pressed[f"{link.purpose} {answer.status_code}"] += 1
        is_let_in = link.purpose == "join" and answer.status_code in {200, 303}
        if answer.status_code >= 500 or is_let_in:
            found.append((link.purpose, link.person_id, answer.status_code))

    before = {link.id: link for link in await town.scene.rows(LINKS) if not may(link)}
    await asyncio.gather(*(press(link) for link in before.values()))
    for link in await town.scene.rows(LINKS):  # what was done already is shown again, and uses no link up
        if link.id in before and link.used_at != before[link.id].used_at:
            found.append((link.purpose, link.person_id, "used"))
    return found, pressed


async def untold(town: Town) -> tuple[list[Any], Counter[str]]:
    """Name every departure of which somebody concerned was not told; count what was told."""
    mails = await town.scene.rows("SELECT person_id, payload FROM delivery WHERE kind = 'mail'")
    counted = Counter(mail.payload["template"] for mail in mails)
    named: defaultdict[str, Counter[UUID]] = defaultdict(Counter)  # case -> who was told of it, how often
    for mail in mails:
        if mail.payload["template"] == "clinician_left":
            for case in {case["consultation_id"] for case in mail.payload["values"]["cases"]}:
                named[case][mail.person_id] += 1
    events = await town.scene.rows(
        "SELECT type, subject_id, count(*) AS count FROM event WHERE type LIKE '%_left' GROUP BY type, subject_id"
    )
    by_appointment = Counter(
        mail.payload["values"].get("appointment_id")
        for mail in mails
        if mail.payload["template"] in {"mentor_left", "called_off"}
    )
    taken_out = Counter(
        mail.payload["values"].get("appointment_id") for mail in mails if mail.payload["template"] == "taken_out"
    )
    faults = list[Any]()
    for event in events:
        subject = str(event.subject_id)
        counted[event.type] += event.count
        if event.type == "consultation.clinician_left" and set(named[subject].values()) != {event.count}:
            faults.append((event.type, subject, event.count, named[subject]))
        if event.type == "appointment.mentor_left" and by_appointment[subject] < 2 * event.count:
            faults.append((event.type, subject, event.count, by_appointment[subject]))
        if event.type.startswith("appointment.") and taken_out[subject] < event.count:
            faults.append(("not taken out", subject, event.count, taken_out[subject]))
    return faults, counted


async def mailed_to_the_disabled(town: Town) -> list[str]:
    """Claim every mail that waits, as the worker would, and name what would go to somebody who is disabled."""
    waiting = await town.scene.rows(
        "SELECT d.id FROM delivery d JOIN person p ON p.id = d.person_id AND p.state = 'disabled'"
        " WHERE d.state = 'pending'"
    )
    found = list[str]()
    for row in waiting:
        async with town.world.database.work(actor.TIMER) as w:
            claimed = await deliveries.claim(w, row.id)
        if claimed and claimed.payload.get("calendar", {}).get("method") != "CANCEL":
            found.append(claimed.payload["template"])
    return found


def tell(figures: Iterable[tuple[str, int]]) -> None:
    print(", ".join(f"{name} {number}" for name, number in sorted(figures)))  # noqa: T201 - the drill's figures


async def test_ft_01_ft_02_two_hundred_people_change_while_everybody_works_and_nothing_is_left_with_who_may_not_act(
    world: World, test_clock: TestClock, client: httpx.AsyncClient
) -> None:
    town = Town(world, test_clock, client)
    await town.people()
    await town.work()
    faults, counted = await untold(town)
    acting, pressed = await links_that_act(town)
    for figures in (town.made, town.statuses, counted, pressed):
        tell(figures.items())
    assert town.failures == []
    assert await with_the_wrong(town) == []
    assert faults == []
    assert acting == []
    assert await mailed_to_the_disabled(town) == []
    # A new zone changes what is shown of a booked time, which is no event.
    faults = [fault for fault in await crowd.faults(town.scene) if fault[0] != "a version that rose without a word"]
    assert faults == []
    assert min(counted["appointment.mentor_left"], counted["consultation.clinician_left"]) > 0
    assert town.made["erased"] > town.made["erasure refused"] > 0
    assert counted["address_changed"] == town.made["address"]
    assert counted["address_confirmed"] == 2 * town.made["address"] // 3  # at both addresses
    assert counted["uncoordinated"] == 2 * town.made["coordinator disabled"]  # two admins
    assert counted["memorandum_ended"] > 0
    assert counted["zone_changed"] > 0
    assert sum(pressed.values()) > 500
