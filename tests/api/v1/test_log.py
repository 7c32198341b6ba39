"""The log over HTTP: what a party reads is enough to follow the chain without us."""

from datetime import timedelta
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

import build
from api.edge import deps
from integrations.runtime.world import World
from service import tables
from service.care import sessions
from service.kernel import actor, clock
from service.rules import chain
from world import MONDAY


class Scene:
    """A memorandum with three sessions in its log, the second of them corrected."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def set_up(self) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            asking, partner = await build.institution(w), await build.partner(w)
            self.clinician, self.coordinator = await build.clinician(w, asking), await build.coordinator(w, partner)
            self.mentor = await build.mentor(w, partner)
            self.stranger = await build.coordinator(w, await build.institution(w))
            self.memorandum = await build.memorandum(w, asking, partner)
            booked = []
            for hours in (2, 4, 6):
                asked = await build.consultation(
                    w, self.clinician, asking, state="scheduled", opened_at=MONDAY - timedelta(days=1)
                )
                starts_at = MONDAY - timedelta(hours=hours)
                booked.append(await build.appointment(w, asked, self.mentor, self.memorandum, starts_at=starts_at))
            who = await build.actor(w, self.mentor)
        self.ids = [await self._logged(who, appointment) for appointment in booked]
        async with self.world.database.work(who) as w:
            corrected = await sessions.correct(w, self.ids[1], happened(booked[1], minutes=20))
        self.ids.append(corrected.id)

    async def _logged(self, who: actor.Actor, appointment: tables.Appointment) -> UUID:
        async with self.world.database.work(who) as w:
            return (await sessions.log(w, appointment.id, happened(appointment))).id

    async def get(self, client: httpx.AsyncClient, query: str = "", who: tables.Person | None = None) -> httpx.Response:
        headers = await build.bearer(self.world, who or self.coordinator)
        return await client.get(f"/v1/memoranda/{self.memorandum.id}/log{query}", headers=headers)


def happened(appointment: tables.Appointment, minutes: int = 25) -> sessions.SessionEntry:
    return sessions.SessionEntry(
        started_at=appointment.starts_at,
        ended_at=appointment.starts_at + timedelta(minutes=minutes),
        outcome="advice_given",
        conclusion="Half the dose.",
    )


@pytest.fixture
async def scene(world: World) -> Scene:
    made = Scene(world)
    await made.set_up()
    return made


async def test_entries_come_in_their_order_and_a_correction_names_the_old_one(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    items = (await scene.get(client)).json()["items"]

    assert [item["id"] for item in items] == [str(each) for each in scene.ids]
    assert [item["position"] for item in items] == [1, 2, 3, 4]
    assert [item["corrects"] for item in items] == [None, None, None, str(scene.ids[1])]


async def test_a_reader_can_follow_the_chain_from_what_was_sent(scene: Scene, client: httpx.AsyncClient) -> None:
    items = (await scene.get(client)).json()["items"]
    head = (await scene.get(client, "/verification")).json()["head"]
    previous = chain.GENESIS
    for item in items:
        body = {key: value for key, value in item.items() if key not in {"hash", "previous_hash"}}
        assert item["previous_hash"] == previous
        assert item["hash"] == chain.entry_hash(previous, body)
        previous = item["hash"]

    assert previous == head


async def test_pages_follow_one_another_by_position(scene: Scene, client: httpx.AsyncClient) -> None:
    first = (await scene.get(client, "?limit=3")).json()
    second = (await scene.get(client, f"?limit=3&after={first['next']}")).json()

    assert [len(first["items"]), len(second["items"]), second["next"]] == [3, 1, None]
    assert second["items"][0]["position"] == 4


async def test_ops_10_a_log_that_was_restored_and_written_anew_is_told_to_whoever_was_paging_through_it(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    following = (await scene.get(client, "?limit=3")).json()["next"]
    for spoil in (
        "UPDATE log_entry SET hash = repeat('f', 64) WHERE position = 3 RETURNING id",  # another one at its position
        "DELETE FROM log_entry WHERE position >= 3 RETURNING id",  # cut off before it
    ):
        async with scene.world.database.work(actor.TIMER) as w:
            await w.sql(sa.text("SET LOCAL session_replication_role = replica"))  # only an administrator can
            await w.sql(sa.text(spoil))
            await w.sql(sa.text("SET LOCAL session_replication_role = origin"))
        answer = await scene.get(client, f"?limit=3&after={following}")
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/log-forked")
        assert "Entry 3" in answer.json()["detail"]
    assert len((await scene.get(client)).json()["items"]) == 2


async def test_a_cursor_of_an_earlier_release_which_names_the_position_alone_is_taken(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    answer = await scene.get(client, f"?after={deps.cursor(2)}")
    assert [item["position"] for item in answer.json()["items"]] == [3, 4]


@pytest.mark.parametrize("values", [(3, 4), ("x", "0" * 16), (3, "no hash"), (3, "0" * 15), (-1, "0" * 16), (1, 2, 3)])
async def test_a_cursor_that_no_log_gave_is_refused(
    scene: Scene, client: httpx.AsyncClient, values: tuple[object, ...]
) -> None:
    assert (await scene.get(client, f"?after={deps.cursor(*values)}")).status_code == 422


async def test_no_conclusion_is_in_the_log(scene: Scene, client: httpx.AsyncClient) -> None:
    assert "dose" not in (await scene.get(client)).text


async def test_a_whole_chain_verifies(scene: Scene, client: httpx.AsyncClient) -> None:
    found = (await scene.get(client, "/verification")).json()

    assert (found["ok"], found["entries"], found["first_broken"]) == (True, 4, None)


async def test_a_changed_fact_is_named(scene: Scene, client: httpx.AsyncClient) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE session SET minutes = minutes + 1 WHERE id = :id"), {"id": scene.ids[2]})
    found = (await scene.get(client, "/verification")).json()

    assert (found["ok"], found["entries"], found["first_broken"]) == (False, 2, str(scene.ids[2]))


async def test_the_log_is_there_for_the_parties_only(scene: Scene, client: httpx.AsyncClient) -> None:
    for path in ("", "/verification"):
        assert (await scene.get(client, path, scene.stranger)).status_code == 404
        assert (await scene.get(client, path, scene.mentor)).status_code == 403
        assert (await client.get(f"/v1/memoranda/{scene.memorandum.id}/log{path}")).status_code == 401
    headers = await build.bearer(scene.world, scene.coordinator)
    assert (await client.get(f"/v1/memoranda/{clock.new_id()}/log", headers=headers)).status_code == 404


@pytest.mark.parametrize("after", ["x", "W10", "WyJhIl0", "WzE4NDQ2NzQ0MDczNzA5NTUxNjE2XQ", "Wy0xLDJd"])
async def test_a_strange_cursor_is_refused(scene: Scene, client: httpx.AsyncClient, after: str) -> None:
    assert (await scene.get(client, f"?after={after}")).status_code == 422
