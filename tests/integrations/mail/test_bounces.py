"""A mail that is refused for good: the coordinators of the person's institution are told, once for each address."""

from typing import Any

import httpx
import pytest

import build
import flow
import postoffice
from integrations.runtime import doctor
from integrations.runtime.world import World
from service.kernel import actor, outcomes
from service.outbox import deliveries
from service.rules.delivery import retry
from world import TestClock


class Refusing(postoffice.Reachable):
    """A mail server that knows none of these addresses, and takes everything else."""

    def __init__(self, *unknown: str) -> None:
        self.unknown = unknown

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:  # noqa: ARG002 - the outbox's own form
        return outcomes.Refused("550 no such user") if recipient in self.unknown else outcomes.Delivered(250)


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def bounced(scene: flow.Scene) -> list[str]:
    """Name who was told."""
    rows = await scene.rows("SELECT person_id FROM delivery WHERE payload ->> 'template' = 'bounced'")
    return sorted(scene.name(row.person_id) for row in rows)


async def test_the_coordinators_are_told_once_and_not_again(scene: flow.Scene) -> None:
    scene.world.outbox = Refusing(scene.people["mentor"].email)
    await scene.booked_by_the_mentor()
    await postoffice.deliver_all(scene)
    await postoffice.deliver_all(scene)  # the notice itself
    refused = await scene.rows("SELECT person_id FROM delivery WHERE state = 'refused'")
    assert {row.person_id for row in refused} == {scene.people["mentor"].id}
    assert len(refused) > 1
    assert await bounced(scene) == ["partner"]
    (row,) = await scene.rows("SELECT state, payload FROM delivery WHERE payload ->> 'template' = 'bounced'")
    assert row.state == "delivered"
    mentor = str(scene.people["mentor"].id)
    assert row.payload["values"] == {"person_id": mentor, "page": "/people", "zone": scene.people["partner"].zone}
    (told,) = await scene.rows("SELECT details FROM audit WHERE action = 'mail_bounced'")
    assert told.details == {"delivery_id": told.details["delivery_id"]}


async def test_another_address_that_is_refused_is_told_again(scene: flow.Scene) -> None:
    scene.world.outbox = Refusing(scene.people["clinician"].email, "typo@hospital.example")
    await scene.request()
    await postoffice.deliver_all(scene)
    path = f"/v1/people/{scene.people['clinician'].id}"
    known = await scene.call("coordinator", "GET", path)
    assert known.json()["mail_refused_at"] == flow.instant(scene.clock.now())
    change = {"email": "typo@hospital.example"}
    changed: Any = await scene.call(
        "coordinator", "PATCH", path, change, status=200, headers={"If-Match": known.headers["etag"]}
    )
    assert changed.json()["mail_refused_at"] is None
    await scene.request()
    await postoffice.deliver_all(scene)
    assert await bounced(scene) == ["coordinator", "coordinator"]


async def tried_to_the_end(scene: flow.Scene) -> None:
    for _ in range(retry.MAX_ATTEMPTS):
        await postoffice.deliver_all(scene)
        scene.clock.forward(hours=30)


class Saying(postoffice.Reachable):
    """A mail server that says the same to this address always, and takes everything else."""

    def __init__(self, address: str, outcome: outcomes.Outcome) -> None:
        self.address, self.outcome = address, outcome

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:  # noqa: ARG002 - the outbox's own form
        return self.outcome if recipient == self.address else outcomes.Delivered(250)


async def test_ft_22_a_mailbox_that_stays_full_is_tried_for_long_and_then_told(scene: flow.Scene) -> None:
    scene.world.outbox = Saying(scene.people["clinician"].email, outcomes.Full(None, "452 4.2.2 over quota", 452))
    await scene.request()
    await postoffice.deliver_all(scene)
    assert await bounced(scene) == []
    await tried_to_the_end(scene)
    assert await bounced(scene) == ["coordinator"]


async def test_ft_22_what_is_our_fault_is_kept_and_laid_on_nobody(scene: flow.Scene) -> None:
    said = outcomes.Ours(None, "554 Service unavailable; Client host blocked using a list", 554, phase="rcpt")
    scene.world.outbox = Saying(scene.people["clinician"].email, said)
    await scene.request()
    await postoffice.deliver_all(scene)
    (finding,) = [finding async for finding in doctor.database(scene.world) if not finding.is_well]
    assert finding.subject == "mail"
    assert "554" in finding.detail
    (row,) = await scene.rows("SELECT state, attempt FROM delivery WHERE error IS NOT NULL")
    assert (row.state, row.attempt) == ("pending", 1)
    await tried_to_the_end(scene)
    assert await bounced(scene) == []
    assert await scene.rows("SELECT 1 FROM person WHERE mail_refused_at IS NOT NULL") == []


async def test_a_refused_notice_is_told_to_nobody(scene: flow.Scene) -> None:
    scene.world.outbox = Refusing(*(person.email for person in scene.people.values()))
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["second"] = await build.coordinator(w, scene.lille)
    await scene.booked_by_the_mentor()
    for _ in range(3):
        await postoffice.deliver_all(scene)
    assert await scene.rows("SELECT 1 FROM delivery WHERE state = 'pending'") == []
    assert await bounced(scene) == ["coordinator", "partner", "partner", "second", "second"]


async def test_a_mail_that_cannot_be_made_says_nothing_of_the_address(scene: flow.Scene) -> None:
    await scene.request()
    await scene.rows("UPDATE delivery SET payload = jsonb_set(payload, '{template}', '\"unknown\"')")
    await postoffice.deliver_all(scene)
    assert {row.state for row in await scene.rows("SELECT state FROM delivery")} == {"refused"}
    assert await bounced(scene) == []
    assert await scene.rows("SELECT 1 FROM person WHERE mail_refused_at IS NOT NULL") == []


async def test_what_can_be_told_to_nobody_breaks_nothing(scene: flow.Scene) -> None:
    scene.world.outbox = Refusing(scene.people["admin"].email, scene.people["coordinator"].email)
    for who in ("admin", "coordinator"):
        await scene.client.post("/v1/auth/sign-in-links", json={"email": scene.people[who].email})
    await postoffice.deliver_all(scene)
    states = await scene.rows("SELECT state FROM delivery")
    assert [row.state for row in states] == ["refused", "refused"]


async def test_the_other_admins_of_the_programme_are_told_of_one_of_theirs(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["second"] = await build.admin(w, scene.programme)
        scene.people["elsewhere"] = await build.admin(w, await build.programme(w, code="other"))
    scene.world.outbox = Refusing(scene.people["admin"].email)
    await scene.client.post("/v1/auth/sign-in-links", json={"email": scene.people["admin"].email})
    for _ in range(2):
        await postoffice.deliver_all(scene)
    assert await bounced(scene) == ["second"]
    async with scene.world.database.work(actor.TIMER) as w:
        assert await deliveries.unreachable(w) == []


@pytest.mark.parametrize("who", ["admin", "coordinator"])
async def test_a_place_where_nobody_takes_mail_is_named_to_the_operator(scene: flow.Scene, who: str) -> None:
    scene.world.outbox = Refusing(scene.people[who].email)
    await scene.client.post("/v1/auth/sign-in-links", json={"email": scene.people[who].email})
    await postoffice.deliver_all(scene)
    # There is no other coordinator, so the admins are told; of an admin nobody is left.
    assert await bounced(scene) == ([] if who == "admin" else ["admin"])
    place = str(scene.programme.code if who == "admin" else scene.asking.name)
    async with scene.world.database.work(actor.TIMER) as w:
        assert await deliveries.unreachable(w) == [place]
    found = [finding async for finding in doctor.database(scene.world)]
    (told,) = [finding for finding in found if not finding.is_well]
    assert told.subject == "addresses"
    assert place in told.detail


async def test_an_operator_reads_who_has_an_address_that_mail_cannot_carry(scene: flow.Scene) -> None:
    """An older release took such addresses, and said nothing."""
    clinician, mentor = scene.people["clinician"], scene.people["mentor"]
    await scene.rows("UPDATE person SET email = 'koval..x@hospital.ua' WHERE id = :id", id=clinician.id)
    (finding,) = [finding async for finding in doctor.database(scene.world) if not finding.is_well]
    assert finding.subject == "addresses"
    assert str(clinician.id) in finding.detail
    assert str(mentor.id) not in finding.detail


async def test_an_address_that_takes_mail_again_is_marked_no_more(scene: flow.Scene) -> None:
    scene.world.outbox = Refusing(scene.people["clinician"].email)
    await scene.request()
    await postoffice.deliver_all(scene)
    marked = "SELECT 1 FROM person WHERE mail_refused_at IS NOT NULL"
    assert len(await scene.rows(marked)) == 1
    scene.world.outbox = Refusing()
    await scene.request()
    await postoffice.deliver_all(scene)
    assert await scene.rows(marked) == []


@pytest.mark.parametrize(
    "address", ["koval..x@hospital.example", "\u043e.koval@hospital.example", "doc\u200b1@hospital.example"]
)
async def test_ft_20_a_stored_address_that_mail_cannot_carry_is_told_like_a_refused_one(
    scene: flow.Scene, address: str
) -> None:
    scene.world.outbox = Refusing()
    await scene.rows(
        "UPDATE person SET email = :address WHERE id = :id RETURNING 1", address=address, id=scene.people["mentor"].id
    )
    await scene.booked_by_the_mentor()
    await postoffice.deliver_all(scene)
    await postoffice.deliver_all(scene)
    assert await bounced(scene) == ["partner"]
    known = await scene.call("partner", "GET", f"/v1/people/{scene.people['mentor'].id}")
    assert known.json()["mail_refused_at"] == flow.instant(scene.clock.now())
