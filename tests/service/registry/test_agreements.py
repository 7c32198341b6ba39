"""Which memoranda link two institutions, by which route, until when, and with how many minutes left."""

from datetime import UTC, date, datetime, timedelta

import build
from service import tables
from service.kernel import clock
from service.kernel.work import Work
from service.registry import agreements
from service.rules.case import MemorandumLink


async def found(
    w: Work, asking: tables.Institution, answering: tables.Institution, **how: object
) -> list[MemorandumLink]:
    agreed = await agreements.agreed(w, asking.id, [answering.id], (await build.programme(w)).id)
    return [*(await agreements.with_minutes_left(w, agreed, **how)).get(answering.id, ())]  # type: ignore[arg-type]


async def member(
    w: Work, institution: tables.Institution, network: tables.Institution, from_on: date, until_on: date | None = None
) -> None:
    row = tables.Membership(
        id=clock.new_id(), institution_id=institution.id, network_id=network.id, from_on=from_on, until_on=until_on
    )
    await build.add(w, row)


async def test_parties_on_different_sides_are_linked_directly(w: Work) -> None:
    asking, answering = await build.institution(w), await build.partner(w)
    made = await build.memorandum(w, asking, answering, areas=["oncology"])
    [link] = await found(w, asking, answering)
    assert (link.memorandum_id, link.route, link.status) == (made.id, "direct", "active")
    assert link.areas == {"oncology"}
    assert link.minutes_left is None


async def test_validity_begins_and_ends_at_midnight_in_the_zone_of_the_programme(w: Work) -> None:
    asking, answering = await build.institution(w), await build.partner(w)
    await build.memorandum(w, asking, answering, valid_from=date(2026, 7, 1), valid_until=date(2026, 12, 1))
    [link] = await found(w, asking, answering)
    assert link.valid_from == datetime(2026, 6, 30, 21, tzinfo=UTC)
    assert link.valid_until == datetime(2026, 11, 30, 22, tzinfo=UTC)


async def test_parties_on_the_same_side_are_not_linked(w: Work) -> None:
    one, other, far = await build.institution(w), await build.institution(w), await build.partner(w)
    await build.memorandum(w, [one, other], far, kind="multilateral")
    assert await found(w, one, other) == []
    assert await found(w, far, one) == []


async def test_a_member_is_linked_through_its_network_while_it_belongs_to_it(w: Work) -> None:
    asking, network, hospital = await build.institution(w), await build.partner(w), await build.partner(w)
    await build.memorandum(w, asking, network, valid_from=date(2026, 1, 1), valid_until=date(2029, 1, 1))
    await member(w, hospital, network, date(2026, 11, 1), date(2027, 1, 1))
    [link] = await found(w, asking, hospital)
    assert link.route == "network"
    assert link.valid_from == datetime(2026, 10, 31, 22, tzinfo=UTC)
    assert link.valid_until == datetime(2026, 12, 31, 22, tzinfo=UTC)


async def test_an_umbrella_reaches_members_on_both_sides_while_both_belong_to_it(w: Work) -> None:
    ministry, agency = await build.institution(w), await build.partner(w)
    asking, answering = await build.institution(w), await build.partner(w)
    await build.memorandum(w, ministry, agency, kind="umbrella", valid_from=None, valid_until=None)
    await member(w, asking, ministry, date(2026, 3, 1))
    await member(w, answering, agency, date(2026, 5, 1), date(2026, 12, 1))
    [link] = await found(w, asking, answering)
    assert link.route == "umbrella"
    assert link.valid_from == datetime(2026, 4, 30, 21, tzinfo=UTC)
    assert link.valid_until == datetime(2026, 11, 30, 22, tzinfo=UTC)


async def test_memberships_that_never_meet_link_nothing(w: Work) -> None:
    ministry, agency = await build.institution(w), await build.partner(w)
    asking, answering = await build.institution(w), await build.partner(w)
    await build.memorandum(w, ministry, agency, kind="umbrella")
    await member(w, asking, ministry, date(2026, 3, 1), date(2026, 4, 1))
    await member(w, answering, agency, date(2026, 4, 1))
    assert await found(w, asking, answering) == []


async def test_a_direct_link_is_named_before_the_network(w: Work) -> None:
    asking, network, hospital = await build.institution(w), await build.partner(w), await build.partner(w)
    await build.memorandum(w, asking, [hospital, network], kind="multilateral")
    await member(w, hospital, network, date(2020, 1, 1))
    assert [link.route for link in await found(w, asking, hospital)] == ["direct", "network"]


async def test_no_partners_named_means_all_partners(w: Work) -> None:
    asking, one, other = await build.institution(w), await build.partner(w), await build.partner(w)
    await build.memorandum(w, asking, one)
    await build.memorandum(w, asking, other, status="suspended")
    links = (await agreements.agreed(w, asking.id, None, (await build.programme(w)).id)).links
    assert set(links) == {one.id, other.id}
    assert links[other.id][0].status == "suspended"


async def test_another_programme_links_nothing(w: Work) -> None:
    asking, answering = await build.institution(w), await build.partner(w)
    elsewhere = await build.programme(w, code="elsewhere")
    await build.memorandum(w, asking, answering, programme_id=elsewhere.id)
    assert await found(w, asking, answering) == []


async def test_booked_held_and_logged_minutes_are_spent_in_the_period_of_their_start(w: Work) -> None:
    asking, answering = await build.institution(w), await build.partner(w)
    made = await build.memorandum(w, asking, answering, budget_minutes=120, budget_per="month")
    clinician, mentor = await build.clinician(w, asking), await build.mentor(w, answering)
    case = await build.consultation(w, clinician, asking)
    booked = await build.appointment(w, case, mentor, made, minutes=45)
    assert [link.minutes_left for link in await found(w, asking, answering)] == [75]
    assert [link.minutes_left for link in await found(w, asking, answering, but_appointment=booked.id)] == [120]
    december = datetime(2026, 12, 5, tzinfo=UTC)
    assert [link.minutes_left for link in await found(w, asking, answering, at=december)] == [120]


async def test_a_hold_that_is_over_spends_nothing(w: Work) -> None:
    asking, answering = await build.institution(w), await build.partner(w)
    made = await build.memorandum(w, asking, answering, budget_minutes=60, budget_per="total")
    case = await build.consultation(w, await build.clinician(w, asking), asking)
    mentor = await build.mentor(w, answering)
    held = await build.appointment(w, case, mentor, made, status="pending", held_until=w.now + timedelta(minutes=1))
    assert await agreements.minutes_left(w, made, w.now) == 30
    held.held_until = w.now
    assert await agreements.minutes_left(w, made, w.now) == 60


def test_budget_periods_are_calendar_periods_in_the_zone() -> None:
    at = datetime(2026, 12, 31, 23, tzinfo=UTC)  # 2027 in Kyiv
    bounds = {
        "month": (datetime(2026, 12, 31, 22, tzinfo=UTC), datetime(2027, 1, 31, 22, tzinfo=UTC)),
        "quarter": (datetime(2026, 12, 31, 22, tzinfo=UTC), datetime(2027, 3, 31, 21, tzinfo=UTC)),
        "year": (datetime(2026, 12, 31, 22, tzinfo=UTC), datetime(2027, 12, 31, 22, tzinfo=UTC)),
    }
    assert {per: agreements.budget_period(per, at, "Europe/Kyiv") for per in bounds} == bounds
