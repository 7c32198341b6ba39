"""A late answer at once with whatever else can happen to the case: one outcome, and everybody is told of it."""

import os
from collections import Counter
from datetime import timedelta

import pytest

import crowd
import flow
from races.test_pairs import LEADS, accept, asked, both, late, now_is, said
from service import timers

pytestmark = [pytest.mark.races, pytest.mark.slow, pytest.mark.load(6)]

ROUNDS = int(os.environ.get("LATE_RACES", "1000" if os.environ.get("DRILLS") == "1" else "7"))


async def one_late(scene: flow.Scene, *mentors: str, mode: str = "live") -> tuple[str, list[str], str]:
    """Have one consultation with an offer to each mentor, of which the first is late."""
    case, offers, start = await asked(scene, *mentors, mode=mode)
    await scene.rows(
        "UPDATE offer SET state = 'expired', is_late = true, late_at = sent_at, answer_by = sent_at + interval '1 s'"
        " WHERE id = :id RETURNING 1",
        id=offers[0],
    )
    await scene.rows("DELETE FROM delivery RETURNING 1")
    scene.clock.forward(seconds=2)
    return case, offers, start


async def told(scene: flow.Scene) -> Counter[tuple[str, str]]:
    """Give who was mailed what since the round began."""
    rows = await scene.rows("SELECT person_id, payload->>'template' AS template FROM delivery WHERE kind = 'mail'")
    names = {person.id: name for name, person in scene.people.items()}
    return Counter((row.template, names.get(row.person_id, "clinician")) for row in rows)  # the case's own


async def test_a_late_acceptance_and_a_new_one_at_once_have_one_winner_and_everybody_is_told(scene: flow.Scene) -> None:
    winners: Counter[str] = Counter()
    for number in range(ROUNDS):
        case, (mine, theirs), start = await one_late(scene, "mentor", "rival")
        lead = LEADS[number % len(LEADS)] / (1 if ROUNDS < 100 else 10)
        answers = await both(lead, accept(scene, "mentor", mine, start), accept(scene, "rival", theirs, start))
        assert sorted(said(answer) for answer in answers) == ["200", "409 offer-closed"]
        assert await now_is(scene, case) == ("scheduled", "booked")
        winner, loser = ("mentor", "rival") if answers[0].is_success else ("rival", "mentor")
        winners[winner] += 1
        assert await told(scene) == {("booked", "clinician"): 1, ("booked", winner): 1, ("offer_closed", loser): 1}
        states = await scene.rows(
            "SELECT state, is_late FROM offer WHERE consultation_id = :id ORDER BY state", id=case
        )
        assert [tuple(row) for row in states] == [("accepted", False), ("withdrawn", False)]
    assert set(winners) == {"mentor", "rival"}
    assert await crowd.faults(scene) == []


async def test_a_late_acceptance_and_a_withdrawal_at_once_leave_the_request_withdrawn(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, (mine,), start = await one_late(scene, "mentor")
        path = f"/v1/consultations/{case}/cancel"
        accepted, cancelled = await both(
            lead,
            accept(scene, "mentor", mine, start),
            scene.call("coordinator", "POST", path, {"reason": "transferred"}),
        )
        assert said(cancelled) == "200"
        assert (said(accepted), await now_is(scene, case)) in [
            ("200", ("cancelled", "cancelled")),
            ("409 offer-closed", ("cancelled", None)),
        ]
        mails = await told(scene)
        assert sum(count for (_, who), count in mails.items() if who == "mentor") >= 1
    assert await crowd.faults(scene) == []


async def test_a_late_acceptance_and_the_next_wave_at_once_leave_nobody_asked_in_vain(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, (mine,), start = await one_late(scene, "mentor")
        await scene.rows(
            "UPDATE consultation SET next_wave_at = :now WHERE id = :id RETURNING 1", now=scene.clock.now(), id=case
        )
        accepted, _ = await both(lead, accept(scene, "mentor", mine, start), timers.once(scene.world.database))
        assert said(accepted) == "200"
        assert await now_is(scene, case) == ("scheduled", "booked")
        states = await scene.rows("SELECT state FROM offer WHERE consultation_id = :id ORDER BY state", id=case)
        assert [row.state for row in states] in [["accepted"], ["accepted", "withdrawn"]]
    assert await crowd.faults(scene) == []


async def test_the_same_late_acceptance_twice_at_once_is_one(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, (mine,), start = await one_late(scene, "mentor")
        answers = await both(lead, accept(scene, "mentor", mine, start), accept(scene, "mentor", mine, start))
        assert [said(answer) for answer in answers] == ["200", "200"]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert await now_is(scene, case) == ("scheduled", "booked")
        assert await told(scene) == {("booked", "clinician"): 1, ("booked", "mentor"): 1}
    assert await crowd.faults(scene) == []


async def test_a_late_acceptance_at_the_instant_when_the_answer_is_due_is_taken_or_over_never_both(
    scene: flow.Scene,
) -> None:
    for lead in LEADS:
        case, (mine,), _ = await one_late(scene, "mentor", mode="written")
        due = scene.clock.now() + timedelta(seconds=5)
        await scene.rows("UPDATE consultation SET answer_due_at = :due WHERE id = :id RETURNING 1", due=due, id=case)
        in_writing = scene.call("mentor", "POST", f"/v1/offers/{mine}/accept", {})
        ahead = late(scene, timedelta(seconds=5))
        accepted, _ = await both(lead, in_writing, timers.once(ahead.database))
        (offer,) = await scene.rows("SELECT state, is_late FROM offer WHERE id = :id", id=mine)
        assert (said(accepted), *offer) in [("200", "accepted", False), ("409 offer-closed", "expired", False)]
        assert (await now_is(scene, case))[0] == ("scheduled" if accepted.is_success else "offered")
    assert await crowd.faults(scene) == []


async def test_a_memorandum_that_ends_during_a_late_acceptance_books_or_refuses(scene: flow.Scene) -> None:
    for lead in LEADS:
        _, (mine,), start = await one_late(scene, "mentor")
        await scene.rows("UPDATE memorandum SET status = 'active' RETURNING 1")
        body = {"to": "suspended", "on": scene.clock.now().date().isoformat(), "reason": "talks"}
        accepted, suspended = await both(
            lead,
            accept(scene, "mentor", mine, start),
            scene.call("admin", "POST", f"/v1/memoranda/{scene.memorandum.id}/transitions", body),
        )
        assert said(suspended) == "200"
        assert said(accepted) in {"200", "403 gate-refused"}
        await scene.sweep()
        (offer,) = await scene.rows("SELECT state FROM offer WHERE id = :id", id=mine)
        assert offer.state == ("accepted" if accepted.is_success else "withdrawn")
        expected = "memorandum_ended" if accepted.is_success else "offer_closed"
        assert expected in {template for template, _ in await told(scene)}
    assert await crowd.faults(scene) == []
