"""Who did not come, when that can be said, and what becomes of it when the other side says otherwise (FT-07)."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

import flow
from integrations.runtime.world import World
from world import TestClock

A_SECOND, GRACE = timedelta(seconds=1), timedelta(minutes=10)
COORDINATORS = [("disputed", "coordinator"), ("disputed", "partner")]
Booked = dict[str, Any]


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def report(scene: flow.Scene, who: str, booked: Booked, absent: str) -> httpx.Response:
    return await scene.call(who, "POST", f"/v1/appointments/{booked['id']}/no-show", {"who": absent})


async def log(scene: flow.Scene, who: str, booked: Booked, outcome: str) -> httpx.Response:
    return await scene.call(who, "POST", f"/v1/appointments/{booked['id']}/session", session(scene, booked, outcome))


def session(scene: flow.Scene, booked: Booked, outcome: str = "advice_given") -> dict[str, str]:
    """A session from the agreed start until now."""
    return {"started_at": booked["starts_at"], "ended_at": flow.instant(scene.clock.now()), "outcome": outcome}


async def log_absence(scene: flow.Scene, who: str, booked: Booked, absent: str) -> httpx.Response:
    return await log(scene, who, booked, f"no_show_{absent}")


Saying = Callable[[flow.Scene, str, Booked, str], Awaitable[httpx.Response]]


async def booked_and_over(scene: flow.Scene) -> Booked:
    booked: Booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    return booked


@pytest.mark.parametrize("say", [report, log_absence])
@pytest.mark.parametrize("absent", flow.BOTH)
async def test_ft_07_nobody_is_absent_before_they_were_waited_for(scene: flow.Scene, say: Saying, absent: str) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["starts_at"]) + GRACE - A_SECOND)
    await scene.look()
    refused = await say(scene, "coordinator", booked, absent)
    until = flow.instant(flow.read_instant(booked["starts_at"]) + GRACE)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/too-early")
    assert refused.json()["opens_at"] == until
    change = await scene.change()
    assert (change.events, change.mails) == ([], [])
    scene.clock.forward(seconds=1)
    assert (await say(scene, "coordinator", booked, absent)).is_success


async def test_ft_07_a_programme_has_its_own_grace(scene: flow.Scene) -> None:
    await scene.rows("UPDATE programme SET policy = '{\"no_show_grace_minutes\": 25}'")
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["starts_at"]) + timedelta(minutes=25) - A_SECOND)
    assert (await report(scene, "mentor", booked, "clinician")).status_code == 409
    scene.clock.forward(seconds=1)
    assert (await report(scene, "mentor", booked, "clinician")).status_code == 200


async def test_ft_07_the_same_report_twice_is_one_and_the_answer_names_who_was_absent(scene: flow.Scene) -> None:
    booked = await booked_and_over(scene)
    first = (await report(scene, "clinician", booked, "mentor")).json()
    assert (first["status"], first["absent"]) == ("noshow", "mentor")
    await scene.look()
    for who in ("clinician", "partner"):  # the other side admits it
        assert (await report(scene, who, booked, "mentor")).json()["version"] == first["version"]
    assert (await scene.change()).mails == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("clinician", "mentor", report), ("mentor", "clinician", report)),
        (("mentor", "clinician", report), ("clinician", "mentor", report)),
        (("clinician", "mentor", log_absence), ("mentor", "clinician", report)),
        (("mentor", "clinician", report), ("clinician", "mentor", log_absence)),
    ],
)
async def test_ft_07_each_side_reports_the_other_and_both_coordinators_hear_of_it_once(
    scene: flow.Scene, first: tuple[str, str, Saying], second: tuple[str, str, Saying]
) -> None:
    booked = await booked_and_over(scene)
    assert (await first[2](scene, first[0], booked, first[1])).is_success
    before = await scene.state()
    await scene.look()
    for attempt in range(2):
        refused = await second[2](scene, second[0], booked, second[1])
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/disputed")
        change = await scene.change()
        assert change.events == []
        assert change.mails == ([] if attempt else COORDINATORS)
    assert await scene.state() == before


@pytest.mark.parametrize("who", ["mentor", "partner"])
async def test_ft_07_who_is_called_absent_cannot_log_a_session_but_both_coordinators_hear_of_it(
    scene: flow.Scene, who: str
) -> None:
    booked = await booked_and_over(scene)
    await report(scene, "clinician", booked, "mentor")
    await scene.look()
    refused = await log(scene, who, booked, "advice_given")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/disputed")
    change = await scene.change()
    assert (change.events, change.mails) == ([], COORDINATORS)


@pytest.mark.parametrize("say", [report, log_absence])
async def test_ft_07_a_session_is_logged_and_then_the_other_side_reports_an_absence(
    scene: flow.Scene, say: Saying
) -> None:
    booked = await booked_and_over(scene)
    assert (await log(scene, "mentor", booked, "advice_given")).status_code == 201
    await scene.look()
    refused = await say(scene, "clinician", booked, "mentor")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/disputed")
    assert (await scene.change()).mails == COORDINATORS
    assert (await say(scene, "mentor", booked, "clinician")).json()["type"] != "/problems/disputed"


async def test_ft_07_a_disputed_call_frees_its_key_and_what_was_told_stays_told(scene: flow.Scene) -> None:
    booked = await booked_and_over(scene)
    await report(scene, "clinician", booked, "mentor")
    for _ in range(2):
        refused = await scene.call(
            "mentor",
            "POST",
            f"/v1/appointments/{booked['id']}/no-show",
            {"who": "clinician"},
            headers={"Idempotency-Key": "k"},
        )
        assert (refused.status_code, refused.headers.get("Idempotency-Replayed")) == (409, None)
    assert len(await scene.rows("SELECT 1 FROM delivery WHERE payload ->> 'template' = 'disputed'")) == 2


@pytest.mark.parametrize("say", [report, log_absence])
@pytest.mark.parametrize(
    ("who", "absent"), [("clinician", "mentor"), ("mentor", "clinician"), ("partner", "clinician")]
)
async def test_ft_07_they_met_after_all_and_whoever_reported_logs_it(
    scene: flow.Scene, say: Saying, who: str, absent: str
) -> None:
    booked = await booked_and_over(scene)
    assert (await say(scene, who, booked, absent)).is_success
    scene.clock.forward(minutes=20)
    await scene.look()
    logged = await log(scene, who, booked, "advice_given")
    assert logged.status_code == 201, logged.text
    change = await scene.change()
    entry = "session.corrected" if say is log_absence else "session.logged"
    assert change.events == [
        ("appointment.fulfilled", "appointment"),
        ("consultation.completed", "consultation"),
        (entry, "session"),
    ]
    told = [("noshow_withdrawn", name) for name in flow.BOTH]
    assert [mail for mail in change.mails if mail[0] == "noshow_withdrawn"] == told
    shown = await scene.get("mentor", f"/v1/appointments/{booked['id']}")
    assert (shown["status"], shown["absent"]) == ("fulfilled", None)
    audited = await scene.rows("SELECT details FROM audit WHERE action = 'absence_withdrawn'")
    assert [row.details["who"] for row in audited] == [absent]
    case = await scene.get("mentor", f"/v1/consultations/{booked['consultation_id']}")
    assert (case["state"], case["question"]) == ("completed", flow.QUESTION)  # the mentor reads the case again
    valid = [row for row in await scene.rows("SELECT outcome, is_corrected FROM session") if not row.is_corrected]
    assert [row.outcome for row in valid] == ["advice_given"]
    verified = await scene.get("coordinator", f"/v1/memoranda/{scene.memorandum.id}/log/verification")
    assert verified["ok"]


async def test_ft_07_a_corrected_entry_takes_the_absence_back_too_and_only_by_the_side_that_reported_it(
    scene: flow.Scene,
) -> None:
    booked = await booked_and_over(scene)
    entry = (await log_absence(scene, "clinician", booked, "mentor")).json()
    path = f"/v1/sessions/{entry['id']}/corrections"
    refused = await scene.call("partner", "POST", path, session(scene, booked), status=409)
    assert refused.json()["type"] == "/problems/disputed"
    await scene.call("coordinator", "POST", path, session(scene, booked), status=201)
    assert (await scene.get("mentor", f"/v1/appointments/{booked['id']}"))["status"] == "fulfilled"


@pytest.mark.parametrize("who", ["clinician", "mentor"])
async def test_ft_07_an_air_raid_alert_is_never_an_absence_whoever_logs_it(scene: flow.Scene, who: str) -> None:
    booked = await booked_and_over(scene)
    await report(scene, "mentor", booked, "clinician")
    assert (await log(scene, who, booked, "interrupted_alert")).status_code == 201
    assert (await scene.get("mentor", f"/v1/appointments/{booked['id']}"))["status"] == "fulfilled"


async def test_ft_07_an_alert_can_be_logged_at_once(scene: flow.Scene) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["starts_at"]))
    assert (await log(scene, "clinician", booked, "interrupted_alert")).status_code == 201


async def test_ft_07_a_case_that_has_another_time_by_then_goes_on_with_it(scene: flow.Scene) -> None:
    booked = await booked_and_over(scene)
    await report(scene, "clinician", booked, "mentor")
    await scene.rows("DELETE FROM offer WHERE state IN ('withdrawn', 'pending') RETURNING 1")
    await scene.sweep()
    other = await scene.offer("rival")
    again = await scene.post("rival", f"/v1/offers/{other['id']}/accept", {"starts_at": other["starts"][0]})
    assert (await log(scene, "clinician", booked, "advice_given")).status_code == 201
    case = await scene.get("clinician", f"/v1/consultations/{booked['consultation_id']}")
    assert (case["state"], case["appointment_id"]) == ("scheduled", again["id"])


async def test_ft_07_what_is_held_for_another_mentor_by_then_is_free_again(scene: flow.Scene) -> None:
    booked = await booked_and_over(scene)
    await report(scene, "clinician", booked, "mentor")
    await scene.rows("DELETE FROM offer WHERE state IN ('withdrawn', 'pending') RETURNING 1")
    await scene.sweep()
    other = await scene.offer("rival")
    body = {"mentor_id": other["mentor_id"], "starts_at": other["starts"][0]}
    await scene.post("coordinator", f"/v1/consultations/{booked['consultation_id']}/holds", body, 201)
    assert (await log(scene, "clinician", booked, "advice_given")).status_code == 201
    assert await scene.rows("SELECT 1 FROM seat WHERE held_until IS NOT NULL") == []
    case = await scene.get("clinician", f"/v1/consultations/{booked['consultation_id']}")
    assert case["state"] == "completed"


CANCEL = {"reason": "other"}
AFTER_THE_END = {
    "cancel": ("clinician", "/v1/appointments/{appointment}/cancel", {"reason": "busy"}),
    "withdraw": ("clinician", "/v1/consultations/{case}/cancel", {"reason": "no_longer_needed"}),
    "assign": ("coordinator", "/v1/consultations/{case}/assign", {"clinician_id": "{colleague}"}),
    "ask another": ("coordinator", "/v1/consultations/{case}/offers", {"mentor_id": "{rival}"}),
}


@pytest.mark.parametrize("step", AFTER_THE_END)
async def test_ft_03_an_agreed_time_that_is_over_is_logged_and_not_called_off(scene: flow.Scene, step: str) -> None:
    booked = await scene.booked()
    who, path, body = AFTER_THE_END[step]
    names = {
        "appointment": booked["id"],
        "case": booked["consultation_id"],
        "colleague": scene.people["colleague"].id,
        "rival": scene.people["rival"].id,
    }
    path, body = path.format(**names), {key: value.format(**names) for key, value in body.items()}
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    before = await scene.state()
    refused = await scene.call(who, "POST", path, body, status=409)
    assert (refused.json()["type"], refused.json()["instead"]) == ("/problems/too-late", "log_session")
    assert await scene.state() == before
    scene.clock.set(flow.read_instant(booked["ends_at"]) - A_SECOND)
    assert (await scene.call(who, "POST", path, body)).is_success


@pytest.mark.parametrize(
    ("since_start", "since_end", "status", "moved"),
    [
        (-A_SECOND, None, 200, True),  # bookable, and so moved at once
        (timedelta(0), None, 200, False),  # the other side may be waiting: it is proposed
        (None, timedelta(hours=24) - A_SECOND, 200, False),
        (None, timedelta(hours=24), 409, False),
    ],
)
async def test_ft_03_from_the_start_on_another_time_is_proposed_only_and_for_a_day_after_the_end(
    scene: flow.Scene, since_start: timedelta | None, since_end: timedelta | None, status: int, moved: bool
) -> None:
    booked = await scene.booked_by_the_mentor()
    edge = "starts_at" if since_start is not None else "ends_at"
    scene.clock.set(
        flow.read_instant(booked[edge]) + (since_start if since_start is not None else since_end or A_SECOND)
    )
    later = (scene.clock.now() + timedelta(days=1)).replace(hour=12, minute=0, second=0)
    path = f"/v1/appointments/{booked['id']}/reschedule"
    answer = await scene.call("clinician", "POST", path, {"starts_at": flow.instant(later)}, status=status)
    if status == 409:
        assert (answer.json()["type"], answer.json()["instead"]) == ("/problems/too-late", "log_session")
    else:
        proposed = [] if moved else [flow.instant(later)]
        assert answer.json()["starts_at"] == (flow.instant(later) if moved else booked["starts_at"])
        assert answer.json()["proposed_starts"] == proposed
