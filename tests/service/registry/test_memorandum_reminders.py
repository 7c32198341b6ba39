"""The registry at work: told in time before an end or a spent budget, and why a memorandum lies idle."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables, timers
from service.kernel import actor, clock
from service.kernel.work import Work
from service.registry import agreements, memoranda, memorandum_reminders
from service.rules import policy
from world import MONDAY, TestClock

TODAY = MONDAY.date()


async def mails(world: World, template: str) -> list[str]:
    async with world.database.work(actor.TIMER) as w:
        rows = await w.sql(
            sa.text(
                "SELECT p.display_name FROM delivery d JOIN person p ON p.id = d.person_id"
                " WHERE payload->>'template' = :template ORDER BY 1"
            ),
            {"template": template},
        )
        return list(rows.scalars())


class Scene:
    """A memorandum with coordinators on both sides and an admin."""

    async def set_up(self, world: World, **fields: Any) -> "Scene":  # noqa: ANN401 - columns
        async with world.database.work(actor.TIMER) as w:
            self.asking, self.partner = await build.institution(w), await build.partner(w)
            self.names = [
                (await build.coordinator(w, self.asking, display_name="asking")).display_name,
                (await build.coordinator(w, self.partner, display_name="partner")).display_name,
                (await build.admin(w, display_name="admin")).display_name,
            ]
            self.memorandum = await build.memorandum(w, self.asking, self.partner, **fields)
        return self


async def test_both_sides_and_the_admin_are_told_ninety_thirty_and_seven_days_before_the_end_once_each(
    world: World, test_clock: TestClock
) -> None:
    scene = await Scene().set_up(world, valid_until=TODAY + timedelta(days=95))
    told = []
    for days in (0, 5, 1, 58, 1, 22, 1, 7):
        test_clock.forward(days=days)
        assert await timers.once(world.database) == []
        told.append(len(await mails(world, "memorandum_ending")) // 3)
    assert told == [0, 1, 1, 1, 2, 2, 3, 3]
    assert sorted(set(await mails(world, "memorandum_ending"))) == sorted(scene.names)


async def test_a_memorandum_entered_late_gets_the_last_reminder_only(world: World) -> None:
    await Scene().set_up(world, valid_until=TODAY + timedelta(days=5))
    for _ in range(2):
        assert await timers.once(world.database) == []
    assert len(await mails(world, "memorandum_ending")) == 3


async def test_a_programme_has_its_own_days(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        await build.programme(w, policy={"end_reminder_days": [200]})
    await Scene().set_up(world, valid_until=TODAY + timedelta(days=150))
    await timers.once(world.database)
    assert len(await mails(world, "memorandum_ending")) == 3


async def test_another_last_day_begins_the_reminders_anew_and_a_renewed_one_needs_none(
    world: World, test_clock: TestClock
) -> None:
    scene = await Scene().set_up(world, valid_until=TODAY + timedelta(days=30))
    await timers.once(world.database)
    async with world.database.work(actor.TIMER) as w:
        row = await w.read(tables.Memorandum, scene.memorandum.id)
        await memoranda.change(w, row, {"valid_until": TODAY + timedelta(days=60)})
    await timers.once(world.database)
    assert len(await mails(world, "memorandum_ending")) == 6
    async with world.database.work(actor.TIMER) as w:
        newer = await build.memorandum(w, scene.asking, scene.partner)
        row = await w.read(tables.Memorandum, scene.memorandum.id)
        await memoranda.change(w, row, {"renewed_by": newer.id})
    test_clock.forward(days=40)
    await timers.once(world.database)
    assert len(await mails(world, "memorandum_ending")) == 6


async def logged(w: Work, memorandum: tables.Memorandum, minutes: int, ago: timedelta = timedelta(0)) -> None:
    """Have a session of so many minutes under the memorandum."""
    party = tables.MemorandumParty
    rows = (await w.sql(sa.select(party).where(party.memorandum_id == memorandum.id))).scalars().all()  # type: ignore[arg-type]
    places = {row.side: await w.read(tables.Institution, row.institution_id) for row in rows}
    clinician = await build.clinician(w, places["requesting"])
    mentor = await build.mentor(w, places["partner"])
    asked = await build.consultation(w, clinician, places["requesting"], opened_at=w.now - ago, state="completed")
    await build.add(w, tables.Session(
        id=clock.new_id(), consultation_id=asked.id, memorandum_id=memorandum.id,
        programme_id=memorandum.programme_id, route="direct", mode="live", specialty_code="paediatrics",
        priority="routine", requesting_institution_id=places["requesting"].id,
        partner_institution_id=places["partner"].id, clinician_id=clinician.id, mentor_id=mentor.id,
        participants=[], started_at=w.now - ago, ended_at=w.now - ago, minutes=minutes, outcome="advice_given",
        is_civil_for_requester=True, is_civil_for_mentor=True,
    ))  # fmt: skip


async def test_a_budget_that_is_nearly_spent_is_told_once_a_period(world: World, test_clock: TestClock) -> None:
    scene = await Scene().set_up(world, budget_minutes=600, budget_per="month")
    told = []
    for minutes in (500, 40, 10):
        async with world.database.work(actor.TIMER) as w:
            await logged(w, scene.memorandum, minutes)
        assert await timers.once(world.database) == []
        told.append(len(await mails(world, "memorandum_budget_low")) // 3)
        test_clock.forward(hours=1)
    assert told == [0, 1, 1]
    async with world.database.work(actor.TIMER) as w:
        (event,) = (await w.sql(sa.text("SELECT * FROM event WHERE type = 'memorandum.budget_low'"))).all()
        assert sorted(event.institution_ids) == sorted([scene.asking.id, scene.partner.id])
    test_clock.forward(days=20)
    async with world.database.work(actor.TIMER) as w:
        await logged(w, scene.memorandum, 590)
    await timers.once(world.database)
    assert len(await mails(world, "memorandum_budget_low")) == 6


async def reasons(w: Work, memorandum: tables.Memorandum) -> tuple[str, ...] | None:
    found = {each.memorandum_id: each.reasons for each in await memorandum_reminders.idle(w, memorandum.programme_id)}
    return found.get(memorandum.id)


async def test_an_idle_memorandum_says_why_step_by_step(w: Work) -> None:
    asking, partner = await build.institution(w), await build.partner(w)
    made = await build.memorandum(w, asking, partner)
    assert await reasons(w, made) == ("no_mentors", "no_clinicians", "no_requests")
    mentor = await build.mentor(w, partner, verified_until=None, weekly=())
    clinician = await build.clinician(w, asking)
    assert await reasons(w, made) == ("no_verified_mentors", "no_requests")
    await w.sql(sa.text("UPDATE mentor_profile SET verified_until = '2028-01-01Z'"))
    assert await reasons(w, made) == ("no_availability", "no_requests")
    await build.add(
        w, tables.WeeklyHours(id=clock.new_id(), person_id=mentor.id, weekday=0, from_minute=540, until_minute=600)
    )
    asked = await build.consultation(w, clinician, asking)
    assert await reasons(w, made) == ("asked_elsewhere",)
    await build.offer(w, asked, mentor, made, state="expired")
    assert await reasons(w, made) == ("offers_unanswered",)
    await logged(w, made, 20)
    assert await reasons(w, made) is None


async def test_a_spent_budget_and_dates_that_are_over_are_reasons(w: Work) -> None:
    asking, partner = await build.institution(w), await build.partner(w)
    made = await build.memorandum(w, asking, partner, budget_minutes=10, budget_per="total")
    await logged(w, made, 30, ago=timedelta(days=100))
    assert (await reasons(w, made) or ())[:1] == ("budget_spent",)
    made.valid_until = date(2026, 2, 1)
    assert (await reasons(w, made) or ())[:2] == ("not_in_force", "budget_spent")


async def test_a_memorandum_is_idle_from_the_ninetieth_day_on_and_a_new_one_is_not(w: Work) -> None:
    asking, partner = await build.institution(w), await build.partner(w)
    used, new = await build.memorandum(w, asking, partner), await build.memorandum(w, asking, partner, valid_from=TODAY)
    await logged(w, used, 20, ago=timedelta(days=90))
    found = await memorandum_reminders.idle(w, used.programme_id)
    assert [(each.memorandum_id, each.idle_days) for each in found] == [(used.id, 90)]
    assert new.id not in {each.memorandum_id for each in await memorandum_reminders.idle(w, used.programme_id, 89)}


async def test_what_to_do_goes_with_every_reason(world: World, client: httpx.AsyncClient) -> None:
    async with world.database.work(actor.TIMER) as w:
        made = await build.memorandum(w, await build.institution(w), await build.partner(w))
        admin = await build.admin(w)
    answer = await client.get(f"/v1/programmes/{made.programme_id}/idle", headers=await build.bearer(world, admin))
    (found,) = answer.json()["items"]
    assert found["memorandum_id"] == str(made.id)
    assert all(reason["what_to_do"] for reason in found["reasons"])


@pytest.mark.parametrize("value", ["90", [0], [1.5], [True], list(range(1, 20)), [10**9]])
def test_reminder_days_that_cannot_be_are_refused(value: object) -> None:
    with pytest.raises(policy.InvalidPolicy, match="end_reminder_days"):
        policy.from_overrides({"end_reminder_days": value})


@pytest.mark.parametrize(("kind", "members", "route"), [("umbrella", 17, "umbrella"), ("bilateral", 44, "network")])
async def test_a_network_of_many_reaches_each_member_from_and_until_its_dates(
    w: Work, kind: str, members: int, route: str
) -> None:
    """GIZ's umbrella has 17 German institutions, AP-HP 44 hospitals."""
    asking, network = await build.institution(w), await build.partner(w)
    hospitals = [await build.partner(w) for _ in range(members)]
    programme = await build.programme(w)
    made = await build.memorandum(w, asking, network, kind=kind)
    for number, hospital in enumerate(hospitals):
        until = TODAY if number == 0 else TODAY + timedelta(days=1) if number == 1 else None
        await build.add(w, tables.Membership(
            id=clock.new_id(), institution_id=hospital.id, network_id=network.id,
            from_on=TODAY + timedelta(days=1) if number == 2 else date(2026, 1, 1), until_on=until,
        ))  # fmt: skip
    found = (await agreements.agreed(w, asking.id, [hospital.id for hospital in hospitals], programme.id)).links
    now = {key for key, links in found.items() for link in links if link.is_valid(w.now)}

    assert now == {hospital.id for number, hospital in enumerate(hospitals) if number not in {0, 2}}
    assert {(link.memorandum_id, link.route) for links in found.values() for link in links} == {(made.id, route)}


async def left(w: Work, memorandum_id: UUID) -> int | None:
    return await agreements.minutes_left(w, await w.read(tables.Memorandum, memorandum_id), w.now)


async def test_two_memoranda_between_the_same_institutions_keep_their_hours_apart(w: Work) -> None:
    asking, partner = await build.institution(w), await build.partner(w)
    one, other = [await build.memorandum(w, asking, partner, budget_minutes=100, budget_per="total") for _ in range(2)]
    await logged(w, one, 30)
    assert (await left(w, one.id), await left(w, other.id)) == (70, 100)


async def test_hours_of_a_memorandum_of_many_parties_are_charged_once(w: Work) -> None:
    asking = [await build.institution(w) for _ in range(3)]
    partners = [await build.partner(w) for _ in range(2)]
    made = await build.memorandum(w, asking, partners, kind="multilateral", budget_minutes=100, budget_per="total")
    await logged(w, made, 30)
    programme = await build.programme(w)
    agreed = [await agreements.agreed(w, place.id, None, programme.id) for place in asking]
    counted = [await agreements.with_minutes_left(w, each) for each in agreed]
    found = [link.minutes_left for by_partner in counted for links in by_partner.values() for link in links]
    assert await left(w, made.id) == 70
    assert found == [70] * 6
