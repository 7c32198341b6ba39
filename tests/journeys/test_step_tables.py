"""Each cell of the tables of holds, offers and cases without a booked time, asked for over HTTP (FT-03, FT-06).

A cell is tried at the very instant at which its phase begins, the one before it a second earlier, and no timer has
acted in between: the tables hold whether or not a sweep has run. What a table refuses leaves everything as it was.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

import flow
from integrations.runtime.world import World
from service.rules import lifecycle
from service.rules.lifecycle import May
from world import TestClock

A_SECOND = timedelta(seconds=1)
Call = Callable[[flow.Scene, Any], Awaitable[httpx.Response]]


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


def cells(table: str, *, besides: Iterable[int] = ()) -> pytest.MarkDecorator:
    """Every cell of the table as a case: the step, the number of its phase, what it says."""
    steps = lifecycle.STEP_TABLES[table]
    return pytest.mark.parametrize(
        ("step", "phase", "may"),
        [
            pytest.param(step, phase, may, id=f"{step} {lifecycle.PHASES[table][phase]}")
            for step, row in steps.items()
            for phase, may in enumerate(row)
            if phase not in besides
        ],
    )


def post(who: str, path: str, body: Any = None) -> Call:  # noqa: ANN401 - JSON
    """A step: this person's call; `{names}` of the path are fields of what it is about."""

    async def called(scene: flow.Scene, about: Any) -> httpx.Response:  # noqa: ANN401 - JSON
        sent = body(scene, about) if callable(body) else body or {}
        return await scene.call(who, "POST", path.format_map(about), sent)

    return called


async def refused(scene: flow.Scene, call: Call, about: Any) -> str:  # noqa: ANN401 - JSON
    """Make a call that is refused and changes nothing; gives the kind of problem."""
    kept = await _rows(scene)
    answer = await call(scene, about)
    assert answer.status_code in {403, 409, 422}, answer.text
    assert await _rows(scene) == kept
    return str(answer.json()["type"]).removeprefix("/problems/")


async def _rows(scene: flow.Scene) -> list[Any]:
    return [
        tuple(row)
        for table, state in (("consultation", "state"), ("offer", "state"), ("appointment", "status"))
        for row in await scene.rows(f"SELECT id, version, {state} FROM {table} ORDER BY id")
    ]


async def shown(scene: flow.Scene, offer: Any) -> str:  # noqa: ANN401 - JSON
    return str((await scene.get("mentor", f"/v1/offers/{offer['id']}"))["state"])


# --- a time is held ------------------------------------------------------------------------------------------------


async def release(scene: flow.Scene, held: Any) -> httpx.Response:  # noqa: ANN401 - JSON
    return await scene.call("coordinator", "DELETE", f"/v1/appointments/{held['id']}/hold")


async def confirm(scene: flow.Scene, held: Any) -> httpx.Response:  # noqa: ANN401 - JSON
    offer = await scene.offer()
    return await scene.call("mentor", "POST", f"/v1/offers/{offer['id']}/accept", {"starts_at": held["starts_at"]})


HELD: Mapping[str, tuple[Call, str]] = {"confirm": (confirm, "booked"), "release": (release, "cancelled")}


@cells("held")
async def test_ft_03_a_held_time_is_confirmed_and_released_as_its_table_says(
    scene: flow.Scene, step: str, phase: int, may: May
) -> None:
    held = await flow.held(scene)
    ends_at = flow.read_instant(held["held_until"])
    scene.clock.set(ends_at if phase else ends_at - A_SECOND)
    call, status = HELD[step]
    if may is May.NO:
        assert await refused(scene, call, held) == "hold-expired"
        return
    answer = await call(scene, held)
    assert (answer.status_code, answer.json()["status"]) == (200, status)


# --- an offer ------------------------------------------------------------------------------------------------------

OFFERED: Mapping[str, Call] = {
    "accept": post("mentor", "/v1/offers/{id}/accept", lambda _, offer: {"starts_at": offer["starts"][-1]}),
    "decline": post("mentor", "/v1/offers/{id}/decline", {"reason": "busy"}),
    "counter": post("mentor", "/v1/offers/{id}/counter", lambda scene, _: {"starts": [in_two_days(scene)]}),
    "show_again": post("mentor", "/v1/offers/{id}/show"),
    "decline_after_counter": post("mentor", "/v1/offers/{id}/decline", {"reason": "busy"}),
    "accept_counter": post(
        "clinician", "/v1/offers/{id}/counter/accept", lambda _, offer: {"starts_at": offer["counter_starts"][0]}
    ),
    "decline_counter": post("clinician", "/v1/offers/{id}/counter/decline"),
}
LEADS_TO = {
    "accept": "accepted",
    "decline": "declined",
    "counter": "countered",
    "show_again": "pending",
    "decline_after_counter": "declined",
    "accept_counter": "accepted",
    "decline_counter": "pending",
}


def in_two_days(scene: flow.Scene) -> str:
    return flow.instant((scene.clock.now() + timedelta(days=2)).replace(minute=0, second=0))


async def an_offer(scene: flow.Scene, step: str) -> Any:  # noqa: ANN401 - JSON
    """An offer that its mentor has countered, if the step is about a counter."""
    await scene.request(mode="either")
    offer = await scene.offer()
    if not step.endswith("_counter"):
        return offer
    return await scene.post("mentor", f"/v1/offers/{offer['id']}/counter", {"starts": [in_two_days(scene)]})


async def its_times_have_passed(scene: flow.Scene, offer: Any) -> datetime:  # noqa: ANN401 - JSON
    """The answer is due after all the offer's times, as where a working day lies between; gives the last of them."""
    last = max(map(flow.read_instant, offer["counter_starts"] or offer["starts"]))
    await scene.rows("UPDATE offer SET answer_by = :by", by=last + timedelta(days=1))
    await scene.rows("UPDATE consultation SET answer_due_at = :by", by=last + timedelta(days=3))
    return last


@cells("offered")
async def test_ft_03_an_offer_is_answered_as_its_table_says(scene: flow.Scene, step: str, phase: int, may: May) -> None:
    offer = await an_offer(scene, step)
    answer_by = flow.read_instant(offer["answer_by"])
    (case,) = await scene.rows("SELECT answer_due_at FROM consultation")
    at = (answer_by - A_SECOND, answer_by, case.answer_due_at)
    scene.clock.set(at[phase] if phase < len(at) else await its_times_have_passed(scene, offer))
    if may is May.NO:
        assert await refused(scene, OFFERED[step], offer) == ("time-not-bookable" if phase > 2 else "offer-expired")
        return
    if may is May.OTHER_TIME:
        assert await refused(scene, OFFERED[step], offer) == "time-not-bookable"
        await scene.post("mentor", f"/v1/offers/{offer['id']}/accept")  # in writing
    else:
        answer = await OFFERED[step](scene, offer)
        assert answer.status_code == 200, answer.text
    assert await shown(scene, offer) == {May.OVER: "expired", May.LATE: "late"}.get(may, LEADS_TO[step])


async def test_ft_03_when_an_offers_times_have_passed_another_bookable_one_is_taken(scene: flow.Scene) -> None:
    offer = await an_offer(scene, "accept")
    scene.clock.set(await its_times_have_passed(scene, offer))
    other = flow.instant((scene.clock.now() + timedelta(days=1)).replace(hour=10, minute=0))
    booked = await scene.post("mentor", f"/v1/offers/{offer['id']}/accept", {"starts_at": other})
    assert (booked["status"], booked["starts_at"]) == ("booked", other)


# --- nothing is booked ---------------------------------------------------------------------------------------------


def to_the_other_mentor(scene: flow.Scene, _: object) -> dict[str, str]:
    return {"mentor_id": str(scene.people["rival"].id)}


def a_time_of_the_other_mentor(scene: flow.Scene, about: Mapping[str, str]) -> dict[str, str]:
    return to_the_other_mentor(scene, about) | {"starts_at": about["start"]}


SOUGHT: Mapping[str, Call] = {
    "consent": post("clinician", "/v1/consultations/{id}/consent", lambda scene, _: flow.given_today(scene)),
    "widen": post("clinician", "/v1/consultations/{id}/widen", {"changes": [{"kind": "language", "code": "fr"}]}),
    "assign": post(
        "coordinator",
        "/v1/consultations/{id}/assign",
        lambda scene, _: {"clinician_id": str(scene.people["colleague"].id)},
    ),
    "cancel_consultation": post("clinician", "/v1/consultations/{id}/cancel", {"reason": "no_longer_needed"}),
    "manual_offer": post("coordinator", "/v1/consultations/{id}/offers", to_the_other_mentor),
    "hold": post("coordinator", "/v1/consultations/{id}/holds", a_time_of_the_other_mentor),
    "advice": post("mentor", "/v1/consultations/{id}/advice", {"text": "Give it twice a day.", "minutes": 20}),
    "hand_back_advice": post("mentor", "/v1/offers/{offer}/decline", {"reason": "busy"}),
}
OF_ADVICE = {"advice", "hand_back_advice"}
CLOSED = 2


async def a_case(scene: flow.Scene, *, is_promised: bool, **fields: Any) -> dict[str, str]:  # noqa: ANN401 - a request's
    """A case that one mentor was asked about, who promised their advice or has not answered yet."""
    asked = await scene.request(mode="either", **fields)
    offer = await scene.offer()
    if is_promised:
        await scene.post("mentor", f"/v1/offers/{offer['id']}/accept")
    due = (await scene.get("clinician", f"/v1/consultations/{asked}"))["answer_due_at"]
    return {"id": asked, "offer": offer["id"], "start": offer["starts"][0], "due": due}


@cells("sought", besides=[CLOSED])
async def test_ft_03_in_a_case_without_a_time_each_step_is_taken_as_its_table_says(
    scene: flow.Scene, step: str, phase: int, may: May
) -> None:
    await flow.alone(scene)
    about = await a_case(scene, is_promised=step in OF_ADVICE)
    await scene.rows("UPDATE mentor_profile SET verified_until = '2030-01-01' RETURNING 1")
    due = flow.read_instant(about["due"])
    if phase:
        scene.clock.set(due)
    elif step != "hold":  # of a time that begins before the answer is due
        scene.clock.set(due - A_SECOND)
    if may is May.NO:
        assert await refused(scene, SOUGHT[step], about) == "too-late"
        return
    answer = await SOUGHT[step](scene, about)
    assert answer.is_success, answer.text


@pytest.mark.parametrize("end", ["completed", "cancelled", "expired"])
async def test_ft_03_once_a_case_is_closed_no_step_is_taken(scene: flow.Scene, end: str) -> None:
    about = await a_case(scene, is_promised=end == "completed")
    if end == "completed":
        assert (await SOUGHT["advice"](scene, about)).is_success
    elif end == "cancelled":
        assert (
            await post("coordinator", "/v1/consultations/{id}/cancel", {"reason": "other"})(scene, about)
        ).is_success
    else:
        scene.clock.set(flow.read_instant(about["due"]) + timedelta(days=1))
        await scene.sweep()
    assert (await scene.get("coordinator", f"/v1/consultations/{about['id']}"))["state"] == end
    kinds = {step: await refused(scene, call, about) for step, call in SOUGHT.items()}
    assert {row[CLOSED] for row in lifecycle.SOUGHT.values()} == {May.NO}
    theirs = (kinds.pop("advice"), kinds.pop("hand_back_advice"))
    assert set(kinds.values()) == {"illegal-transition"}
    of_the_mentor = ("already-logged", "illegal-transition") if end == "completed" else ("forbidden", "offer-closed")
    assert theirs == of_the_mentor


@pytest.mark.parametrize(("table", "tried"), [("held", HELD), ("offered", OFFERED), ("sought", SOUGHT)])
def test_every_step_of_these_tables_is_tried_over_http(table: str, tried: Mapping[str, object]) -> None:
    assert tried.keys() == lifecycle.STEP_TABLES[table].keys()
