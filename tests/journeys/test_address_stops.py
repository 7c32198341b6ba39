"""The former address stops a change: whatever happened meanwhile it ends safely, and an admin hears where needed."""

# ruff: noqa: ANN401 - rows

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

import addressing
import flow
import postoffice
from addressing import ANY, NEW, OLD, THIRD, change, confirm, id_of, page_of, post, told
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from service.kernel.actor import Actor
from service.people import address_changes, logins, people
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    return await addressing.set_up(world, test_clock, client)


async def mentor(scene: flow.Scene) -> Any:
    (row,) = await scene.rows("SELECT * FROM person WHERE id = :id", id=id_of(scene))
    return row


async def registered_at_the_former(scene: flow.Scene) -> None:
    roles = [{"role": "clinician", "institution_id": str(scene.lille.id)}]
    body = {"email": OLD, "display_name": "X", "zone": "Europe/Paris", "roles": roles}
    await scene.post("partner", "/v1/people", body, 201)


async def test_sec_03_a_stop_leaves_no_address_where_somebody_else_has_the_former_one(scene: flow.Scene) -> None:
    booked = await scene.booked()
    await change(scene)
    await registered_at_the_former(scene)
    path = await page_of(scene, "address.stop")
    assert (await scene.client.post(path)).status_code == 303
    assert (await scene.client.get(path)).status_code == 200
    row = await mentor(scene)
    assert row.email.endswith(address_changes.NOWHERE)
    assert (row.state, row.address_unconfirmed_since is None, row.mail_refused_at is None) == ("active", False, False)
    assert await told(scene, "address_contested") == ["admin", "second"]
    assert (await scene.get("coordinator", f"/v1/appointments/{booked['id']}"))["status"] == "booked"
    await scene.client.post("/v1/auth/sign-in-links", json={"email": NEW})
    assert await scene.rows("SELECT 1 FROM link WHERE purpose = 'sign_in'") == []
    assert await confirm(scene, "admin") == 409  # there is nothing to confirm

    assert (await change(scene, THIRD, "second"))["address_confirmed"] is False
    await postoffice.deliver_all(scene)
    assert post(scene).with_link("/a/address/")[-1] == OLD  # the last one that was trusted
    assert await confirm(scene, "admin") == 200


async def test_sec_03_a_confirmation_by_two_who_work_together_is_contested_from_the_former_address(
    scene: flow.Scene,
) -> None:
    case = await scene.request()
    await change(scene)
    stop = await page_of(scene, "address.stop")
    assert await confirm(scene, "second") == 200
    async with scene.world.database.work(actor.TIMER) as w:
        token = await logins.link_token(w, NEW, timedelta(minutes=15))
    signed_in = (await scene.client.post("/v1/auth/tokens", json={"link_token": token})).json()
    bearer = {"Authorization": f"Bearer {signed_in['access_token']}"}
    scene.clock.forward(minutes=10)
    assert (await scene.client.get(stop)).status_code == 200
    assert (await scene.client.post(stop)).status_code == 303
    assert (await scene.client.post(stop)).status_code == 200  # it was done
    assert (await scene.client.get("/v1/me", headers=bearer)).status_code == 401
    row = await mentor(scene)
    assert (row.email, row.address_unconfirmed_since) == (NEW, scene.clock.now())
    assert (await scene.get("mentor", f"/v1/consultations/{case}"))["question"] is None
    assert await told(scene, "address_contested") == ["admin", "second"]
    assert await confirm(scene, "second") == 403  # had confirmed it
    assert await confirm(scene, "partner") == 403  # changed it
    assert await confirm(scene, "admin") == 200
    assert (await scene.client.post(stop)).status_code == 200
    assert (await mentor(scene)).address_unconfirmed_since is None  # an admin's word stands


async def test_sec_03_a_contested_address_is_given_back_by_a_keeper(scene: flow.Scene) -> None:
    await change(scene)
    await confirm(scene, "second")
    await scene.client.post(await page_of(scene, "address.stop"))
    assert (await change(scene, OLD, "admin"))["address_confirmed"] is True


async def test_sec_03_a_confirmation_can_be_contested_for_fourteen_days_and_whatever_followed(
    scene: flow.Scene,
) -> None:
    await change(scene)
    stop = await page_of(scene, "address.stop")
    await confirm(scene, "second")
    await change(scene, THIRD)
    scene.clock.forward(days=13)
    assert (await scene.client.post(stop)).status_code == 303
    assert (await mentor(scene)).address_unconfirmed_since is not None
    opened = await scene.rows("SELECT trusted, id FROM address_change WHERE outcome IS NULL")
    assert [scene.world.keys.decrypt(row.trusted, row.id) for row in opened] == [OLD]


async def test_sec_03_a_confirmation_is_no_more_contested_after_fourteen_days(scene: flow.Scene) -> None:
    await change(scene)
    stop = await page_of(scene, "address.stop")
    await confirm(scene, "second")
    scene.clock.forward(days=14)
    assert (await scene.client.get(stop)).status_code == 410
    assert (await scene.client.post(stop)).status_code == 410
    assert (await mentor(scene)).address_unconfirmed_since is None


async def links(scene: flow.Scene, purpose: str) -> set[UUID]:
    rows = await scene.rows(
        "SELECT id FROM link WHERE person_id = :id AND purpose = :purpose", id=id_of(scene), purpose=purpose
    )
    return {row.id for row in rows}


async def test_sec_03_links_of_mails_from_before_that_left_to_the_new_address_die_with_the_stop(
    scene: flow.Scene,
) -> None:
    await scene.booked()
    assert await links(scene, "join") != set()
    await change(scene)
    scene.clock.forward(minutes=1)
    await postoffice.deliver_all(scene)
    assert NEW in post(scene).with_link("/j/")
    await scene.client.post(await page_of(scene, "address.stop"))
    assert await links(scene, "join") == set()


async def test_sec_03_links_of_mails_that_had_not_left_before_the_stop_go_to_the_former_address_and_act(
    scene: flow.Scene,
) -> None:
    await scene.booked()
    await change(scene)
    before = await links(scene, "join")
    await scene.client.post(await page_of(scene, "address.stop"))
    assert await links(scene, "join") == before != set()
    await postoffice.deliver_all(scene)
    assert OLD in post(scene).with_link("/j/")
    assert NEW not in {to for to, _ in post(scene).mails}


async def test_sec_03_links_of_mails_that_left_to_the_new_address_alone_act_after_its_confirmation(
    scene: flow.Scene,
) -> None:
    await scene.booked()
    before = await links(scene, "join")
    scene.clock.forward(minutes=1)
    await change(scene)
    await postoffice.deliver_all(scene)
    assert await confirm(scene, "second") == 200
    assert await links(scene, "join") == before != set()


async def test_sec_03_links_of_mails_to_the_former_address_die_with_the_confirmation(scene: flow.Scene) -> None:
    await scene.booked()
    await postoffice.deliver_all(scene)
    before = await links(scene, "join")
    scene.clock.forward(minutes=1)
    await change(scene)
    assert await confirm(scene, "second") == 200
    assert await links(scene, "join") & before == set()


async def changes(scene: flow.Scene, by: str, number: int, whose: str = "mentor") -> int:
    path = f"/v1/people/{id_of(scene, whose)}"
    answer = await scene.call(by, "PATCH", path, {"email": f"{whose}.{number}@lille.example"}, headers=ANY)
    assert answer.status_code != 429 or int(answer.headers["retry-after"]) > 0
    return answer.status_code


@pytest.mark.usefixtures("stopped_wall")
async def test_sec_03_an_address_is_changed_five_times_a_day_at_most_and_always_given_back(scene: flow.Scene) -> None:
    by = ["partner", "second", "admin"]
    answers = [await changes(scene, by[number % 3], number) for number in range(7)]
    assert answers == [200] * address_changes.CHANGES_OF_ONE_PERSON + [429] * 2
    assert await changes(scene, "partner", 1, "rival") == 200
    assert (await change(scene, OLD, "second"))["address_confirmed"] is True


@pytest.mark.usefixtures("stopped_wall")
async def test_sec_03_somebody_changes_so_many_addresses_a_day_at_most(
    scene: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address_changes, "CHANGES_BY_ONE_PERSON", 1)
    assert await changes(scene, "partner", 1) == 200
    assert await changes(scene, "partner", 1, "rival") == 429
    assert await changes(scene, "second", 1, "rival") == 200


async def until_it_waits(world: World, task: asyncio.Task[object]) -> None:
    """Go on once the task waits for a lock, or is done."""
    waiting = sa.text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    while not task.done():
        async with world.database.work(actor.TIMER) as w:
            if (await w.sql(waiting)).first():
                return
        await asyncio.sleep(0.01)


@pytest.mark.races
@pytest.mark.parametrize("fields", [{"email": NEW}, {"state": "disabled"}], ids=["address", "disabled"])
async def test_sec_03_a_sign_in_that_begins_while_the_address_changes_ends_with_it(
    scene: flow.Scene, fields: dict[str, str]
) -> None:
    """The link is taken up first; the change waits for it, and sees the tokens that came of it."""
    database = scene.world.database
    async with database.work(actor.TIMER) as w:
        token = await logins.link_token(w, OLD, timedelta(minutes=15))

    async def change_it() -> None:
        async with database.work(actor.TIMER) as w:
            person = await w.read(tables.Person, scene.people["mentor"].id)
            await people.change(w, person, fields, None)

    async with database.work(Actor("stranger")) as w:
        signed_in = await logins.exchange(w, token)
        await w.flush()
        task = asyncio.ensure_future(change_it())
        await until_it_waits(scene.world, task)
        assert not task.done()
    await task
    left = await scene.rows("SELECT 1 FROM refresh_token WHERE person_id = :id AND revoked_at IS NULL", id=id_of(scene))
    assert left == []
    assert await scene.rows("SELECT 1 FROM revoked_token WHERE jti = :id", id=signed_in.token_id) != []
