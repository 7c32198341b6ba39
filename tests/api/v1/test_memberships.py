"""A hospital reads and writes under a network's memoranda while it belongs to the network, by the programme's days."""

from datetime import UTC, date, datetime
from uuid import UUID

import httpx
import pytest

import build
from flow import Scene
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock
from world import TestClock

KINDS = ("", "/log", "/log/verification", "/report", "/activities")
VISIT = {"kind": "visit", "on": "2026-11-01"}


class Network(Scene):
    """Lille and a network of Ukrainian hospitals have a memorandum; one hospital is or was in the network."""

    path: str

    async def set_up_network(self) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            self.network = await build.institution(w, kind="network")
            self.hospital = await build.institution(w)
            agreed = await build.memorandum(w, self.network, self.lille)
            self.people["hospital"] = await build.coordinator(w, self.hospital)
            self.people["network"] = await build.coordinator(w, self.network)
        self.path = f"/v1/memoranda/{agreed.id}"

    async def joins(self, from_on: date, until_on: date | None, hospital: tables.Institution | None = None) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            row_id, joining = clock.new_id(), (hospital or self.hospital).id
            await build.add(
                w,
                tables.Membership(
                    id=row_id, institution_id=joining, network_id=self.network.id, from_on=from_on, until_on=until_on
                ),
            )

    async def read(self) -> set[int]:
        return {(await self.call("hospital", "GET", self.path + kind)).status_code for kind in KINDS}

    async def listed(self) -> int:
        return len((await self.get("hospital", "/v1/memoranda"))["items"])


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Network:
    made = Network(world, test_clock, client)
    await made.set_up()
    await made.set_up_network()
    return made


@pytest.mark.parametrize(
    ("from_on", "until_on"),
    [(date(2024, 1, 1), date(2025, 1, 1)), (date(2027, 6, 1), None)],
    ids=["has left", "has not joined yet"],
)
async def test_who_is_not_in_the_network_neither_reads_nor_writes_under_its_memorandum(
    scene: Network, from_on: date, until_on: date | None
) -> None:
    await scene.joins(from_on, until_on)
    assert await scene.read() == {404}
    assert await scene.listed() == 0
    assert (await scene.call("hospital", "POST", scene.path + "/activities", VISIT)).status_code == 404
    assert await scene.rows("SELECT 1 FROM activity") == []
    assert (await scene.get("hospital", "/v1/mentors"))["items"] == []


async def test_who_is_in_the_network_does(scene: Network) -> None:
    await scene.joins(date(2024, 1, 1), date(2027, 1, 1))
    assert await scene.read() == {200}
    assert await scene.listed() == 1
    assert (await scene.call("hospital", "POST", scene.path + "/activities", VISIT)).status_code == 201
    assert len((await scene.get("hospital", "/v1/mentors"))["items"]) == 2


async def test_the_day_of_a_membership_is_the_programmes(scene: Network) -> None:
    # In Kyiv the first of December began two hours before it did in UTC.
    await scene.joins(date(2026, 1, 1), date(2026, 12, 1))
    scene.clock.set(datetime(2026, 11, 30, 21, 59, tzinfo=UTC))
    assert await scene.read() == {200}
    scene.clock.set(datetime(2026, 11, 30, 22, 0, tzinfo=UTC))
    assert await scene.read() == {404}
    await scene.joins(date(2026, 12, 1), None)
    assert await scene.read() == {200}


async def test_mentors_of_a_hospital_that_left_the_partners_network_are_missing(scene: Network) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        left = await build.partner(w)
        there = await build.mentor(w, left)
        await build.memorandum(w, scene.asking, scene.network)
    await scene.joins(date(2024, 1, 1), date(2025, 1, 1), left)
    answer = await scene.call("coordinator", "GET", f"/v1/mentors/{there.id}/profile")
    assert answer.status_code == 404
    await scene.joins(date(2026, 1, 1), None, left)
    answer = await scene.call("coordinator", "GET", f"/v1/mentors/{there.id}/profile")
    assert answer.status_code == 200


async def test_what_becomes_of_a_memorandum_is_told_to_its_members_of_the_day(scene: Network) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        late = await build.institution(w)
    await scene.joins(date(2026, 1, 1), date(2026, 12, 1))
    await scene.joins(date(2026, 12, 2), None, late)
    scene.clock.set(datetime(2026, 11, 30, 22, 30, tzinfo=UTC))
    await scene.post("admin", scene.path + "/transitions", {"to": "suspended", "on": "2026-12-01"})
    (row,) = await scene.rows("SELECT institution_ids FROM event WHERE type = 'memorandum.suspended'")
    assert set(row.institution_ids) == {scene.network.id, scene.lille.id}


async def test_who_has_left_reads_their_own_sessions_still(scene: Network) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        clinician = await build.clinician(w, scene.hospital)
        agreed = await w.read(tables.Memorandum, UUID(scene.path.rpartition("/")[2]))
        asked = await build.consultation(w, clinician, scene.hospital, state="scheduled")
        booked = await build.appointment(w, asked, scene.people["mentor"], agreed)
    await scene.joins(date(2024, 1, 1), date(2025, 1, 1))
    assert (await scene.call("hospital", "GET", f"/v1/appointments/{booked.id}")).status_code == 200
    assert (await scene.call("hospital", "GET", f"/v1/institutions/{scene.hospital.id}/report")).status_code == 200
    assert await scene.read() == {404}


async def test_a_request_belongs_to_the_programme_of_the_network_of_the_day(scene: Network) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        now = await build.programme(w)
        before = await build.add(w, tables.Programme(**(now.model_dump() | {"id": clock.new_id(), "code": "before"})))
        left, scene.network = await build.institution(w, kind="network"), await build.institution(w, kind="network")
        await build.memorandum(w, left, scene.lille, programme_id=before.id)
        await build.memorandum(w, scene.network, scene.lille)
        scene.people["hers"] = await build.clinician(w, scene.hospital)
        membership = {"id": clock.new_id(), "institution_id": scene.hospital.id, "network_id": left.id}
        await build.add(w, tables.Membership(**membership, from_on=date(2024, 1, 1), until_on=date(2025, 1, 1)))
    refused = await scene.call("hers", "POST", "/v1/consultations", scene.wish())
    assert (refused.status_code, refused.json()["reasons"]) == (403, ["no_memorandum"])
    await scene.joins(date(2025, 1, 1), None)
    filed = await scene.call("hers", "POST", "/v1/consultations", scene.wish())
    assert filed.json()["programme_id"] == str(now.id)
