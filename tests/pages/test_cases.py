"""A consultation and an offer on their pages: who sees what, and what each side does there."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from integrations import local_times
from pages.scene import Scene
from service import tables, timers
from service.care import answers, sessions
from service.kernel import actor, clock

CANARY = "CANARY-OF-THE-CASE"


def written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


async def offer_of(scene: Scene) -> sa.Row[Any]:
    columns = "id, starts, state, decline_reason, counter_starts, answer_by"
    return (await scene.rows(f"SELECT {columns} FROM offer ORDER BY id"))[0]


async def agreed(scene: Scene, **fields: object) -> tables.Consultation:
    """A consultation that the mentor took."""
    asked = await scene.ask(**fields)
    offer = await offer_of(scene)
    await scene.act(
        scene.mentor, answers.accept, offer.id, None if fields.get("mode") == "written" else offer.starts[0]
    )
    return asked


async def appointment_of(scene: Scene) -> sa.Row[Any]:
    return (await scene.rows("SELECT id, starts_at, ends_at, status, cancel_reason, proposed_starts FROM appointment"))[
        0
    ]


async def reads(scene: Scene) -> int:
    return int((await scene.rows("SELECT count(*) FROM audit WHERE action = 'read_case_text'"))[0][0])


# --- who sees what --------------------------------------------------------------------------------------------------


async def test_the_people_of_the_case_read_the_question_and_each_reading_is_remembered(scene: Scene) -> None:
    asked = await scene.ask()
    offer = await offer_of(scene)
    seen = []
    for who, path in (
        (scene.clinician, f"/consultations/{asked.id}"),
        (scene.coordinator, f"/consultations/{asked.id}"),
        (scene.mentor, f"/offers/{offer.id}"),
    ):
        async with scene.browser(who) as browser:
            seen.append(CANARY in (await browser.get(path)).text)
    assert seen == [True, True, True]
    assert await reads(scene) == 3


async def test_a_mentor_who_declined_no_longer_reads_the_question(scene: Scene) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    await scene.act(scene.mentor, answers.decline, offer.id, "busy")
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.get(f"/offers/{offer.id}")

    assert answer.status_code == 200
    assert CANARY not in answer.text
    assert await reads(scene) == 0


async def test_an_admin_sees_the_consultation_without_the_question(scene: Scene) -> None:
    asked = await scene.ask()
    async with scene.world.database.work(actor.TIMER) as w:
        admin = await build.admin(w, locale="en")
    async with scene.browser(admin) as browser:
        answer = await browser.get(f"/consultations/{asked.id}")

    assert answer.status_code == 200
    assert CANARY not in answer.text
    assert "/cancel" not in answer.text


async def test_what_is_not_yours_is_not_there(scene: Scene) -> None:
    asked = await scene.ask()
    offer = await offer_of(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        stranger = await build.clinician(w, await build.institution(w))
    before = await scene.counts()
    async with scene.browser(stranger) as browser:
        paths = [f"/consultations/{asked.id}", f"/offers/{offer.id}", f"/consultations/{clock.new_id()}", "/offers/1"]
        shown = [(await browser.get(path)).status_code for path in paths]
        deeds = [
            (f"/consultations/{asked.id}/cancel", {"reason": "other"}),
            (f"/offers/{offer.id}/accept", {"starts_at": written(offer.starts[0])}),
            (f"/offers/{offer.id}/decline", {"reason": "busy"}),
            (f"/offers/{offer.id}/counter", {"time_1": scene.wall(1, 10)}),
            (f"/offers/{offer.id}/counter/decline", {}),
            (f"/consultations/{asked.id}/advice", {"text": "x", "minutes": "5"}),
            (f"/appointments/{clock.new_id()}/cancel", {"reason": "other"}),
        ]
        done = [(await browser.post(path, data=data)).status_code for path, data in deeds]

    assert shown == [404] * 4
    assert done == [404] * 7
    assert (await offer_of(scene)).state == "pending"
    after = await scene.counts()
    assert {name: after[name] - before[name] for name in ("event", "delivery", "appointment")} == {
        "event": 0, "delivery": 0, "appointment": 0,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/consultations/new", "/consultations/{}", "/offers/{}", "/appointments/{}/join"])
async def test_strangers_are_asked_to_sign_in(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path.format(clock.new_id()))).status_code == 401


async def test_in_an_emergency_every_page_says_the_local_pathway_first(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        profile = await w.read(tables.MentorProfile, scene.mentor.id)
        profile.opt_ins = ["stat"]
        w.add(profile)
    scene.clock.forward(hours=1)
    asked = await scene.ask(priority="stat")
    offer = await offer_of(scene)
    path, _ = await scene.link("offer.decline")
    async with scene.browser(scene.mentor) as browser:
        for page in (path, f"/offers/{offer.id}", f"/consultations/{asked.id}"):
            main = (await browser.get(page)).text.split('<main id="main">')[1]
            assert main.strip().startswith('<p class="notice warn emergency"'), page


# --- the first page -------------------------------------------------------------------------------------------------


async def test_the_first_page_shows_what_waits_for_each_side(scene: Scene) -> None:
    asked = await scene.ask()
    offer = await offer_of(scene)
    async with scene.browser(scene.mentor) as mentor, scene.browser(scene.clinician) as clinician:
        to_answer = (await mentor.get("/")).text
        to_see = (await clinician.get("/")).text

    assert f"/offers/{offer.id}" in to_answer
    for at in (offer.answer_by, *offer.starts):
        assert f'datetime="{local_times.with_offset(at, scene.mentor.zone)}"' in to_answer
    assert f"/consultations/{asked.id}" in to_see
    assert "/consultations/new" in to_see
    assert "/consultations/new" not in to_answer
    assert CANARY not in to_answer + to_see


async def test_the_first_page_shows_calls_and_promised_advice(scene: Scene) -> None:
    asked = await agreed(scene)
    promised = await scene.ask(mode="written")
    (offer,) = await scene.rows("SELECT id FROM offer WHERE consultation_id = :id", id=promised.id)
    await scene.act(scene.mentor, answers.accept, offer.id, None)
    async with scene.browser(scene.mentor) as browser:
        page = (await browser.get("/")).text

    waits, beside = page.split('id="beside"')
    assert f"/consultations/{promised.id}" in waits.split("Write the advice that was promised")[0].rpartition("<li")[2]
    assert "Next call" in beside
    assert f"/consultations/{asked.id}" in beside


# --- the mentor -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_time", "half_hours", "said"),
    [
        (26, 3, "34 подібних запитів вчасно отримали відповідь: 26; половина отримала її до "),
        (9, None, "34 подібних запитів вчасно отримали відповідь: 9.<"),
    ],
)
async def test_the_clinician_is_told_what_to_expect_and_the_mentor_is_not(
    scene: Scene, in_time: int, half_hours: float | None, said: str
) -> None:
    outcomes = [["urgent", 1, "live", 34, in_time, half_hours]]
    async with scene.world.database.work(actor.TIMER) as w:
        programme = (await build.programme(w)).id
        record = tables.PromiseRecord(
            programme_id=programme, counted_at=w.now, is_off=False, outcomes=outcomes, bins=[]
        )
        await build.add(w, record)
    asked = await scene.ask()
    told = []
    for who in (scene.clinician, scene.mentor):
        async with scene.browser(who) as browser:
            told.append(said in (await browser.get(f"/consultations/{asked.id}")).text)
    assert told == [True, False]


async def test_a_mentor_accepts_on_the_page(scene: Scene) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post(f"/offers/{offer.id}/accept", data={"starts_at": written(offer.starts[0])})
        after = await browser.get(answer.headers["location"])
        again = await browser.post(f"/offers/{offer.id}/accept", data={"starts_at": written(offer.starts[0])})

    assert (answer.status_code, again.status_code) == (303, 303)
    assert "You have taken this consultation" in after.text
    assert (await appointment_of(scene)).starts_at == offer.starts[0]


async def test_a_mentor_may_rather_write(scene: Scene) -> None:
    asked = await scene.ask(mode="either")
    offer = await offer_of(scene)
    async with scene.browser(scene.mentor) as browser:
        await browser.post(f"/offers/{offer.id}/accept", data={"starts_at": "written"})
        page = await browser.get(f"/consultations/{asked.id}")

    assert f"/consultations/{asked.id}/advice" in page.text


async def test_an_answer_without_a_time_is_shown_again(scene: Scene) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post(f"/offers/{offer.id}/accept", data={})

    assert answer.status_code == 422
    assert 'id="fault-starts_at"' in answer.text


async def test_a_time_that_is_taken_is_told_and_the_offer_stays(scene: Scene) -> None:
    await agreed(scene)
    other = await scene.ask()
    taken = await appointment_of(scene)
    (offer,) = await scene.rows("SELECT id FROM offer WHERE consultation_id = :id", id=other.id)
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post(f"/offers/{offer.id}/accept", data={"starts_at": written(taken.starts_at)})

    assert answer.status_code == 409
    assert "This time has just been taken" in answer.text


async def test_a_mentor_declines_and_counters_on_the_page(scene: Scene) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    async with scene.browser(scene.mentor) as browser:
        unclear = await browser.post(f"/offers/{offer.id}/decline", data={})
        gap = await browser.post(f"/offers/{offer.id}/counter", data={"time_1": "2027-03-28T02:30"})
        await browser.post(f"/offers/{offer.id}/counter", data={"time_1": scene.wall(1, 18)})
        proposed = await offer_of(scene)
        await browser.post(f"/offers/{offer.id}/decline", data={"reason": "language"})

    assert (unclear.status_code, gap.status_code) == (422, 422)
    assert [start.hour for start in proposed.counter_starts] == [17]
    assert (await offer_of(scene)).decline_reason == "language"


async def test_a_mentor_gives_written_advice_once(scene: Scene) -> None:
    asked = await agreed(scene, mode="written")
    path = f"/consultations/{asked.id}/advice"
    async with scene.browser(scene.mentor) as browser:
        empty = await browser.post(path, data={"text": " ", "minutes": "0"})
        given = await browser.post(path, data={"text": "Give half\r\nthe dose.", "minutes": "12"})
        twice = await browser.post(path, data={"text": "Again.", "minutes": "12"})
    async with scene.browser(scene.clinician) as browser:
        page = await browser.get(f"/consultations/{asked.id}")

    assert [empty.status_code, given.status_code, twice.status_code] == [422, 303, 409]
    assert 'id="fault-text"' in empty.text
    assert 'id="fault-minutes"' in empty.text
    assert "Give half\nthe dose." in page.text


async def test_advice_that_seems_to_name_somebody_is_marked_and_may_be_confirmed(scene: Scene) -> None:
    asked = await agreed(scene, mode="written")
    path = f"/consultations/{asked.id}/advice"
    text = "Lot 1234567890123 of the drug"
    async with scene.browser(scene.mentor) as browser:
        shown = await browser.post(path, data={"text": text, "minutes": "12"})
        given = await browser.post(path, data={"text": text, "minutes": "12", "confirmed": "text:4:17"})

    assert shown.status_code == 422
    assert "<mark>1234567890123</mark>" in shown.text
    assert 'value="text:4:17"' in shown.text
    assert given.status_code == 303


async def test_a_session_is_logged_by_the_writers_own_clock(scene: Scene) -> None:
    asked = await agreed(scene)
    found = await appointment_of(scene)
    scene.clock.set(found.ends_at + timedelta(minutes=5))
    path = f"/appointments/{found.id}/session"
    local = found.starts_at + timedelta(hours=1)
    good = {"started_at": f"{local:%Y-%m-%dT%H:%M}", "ended_at": f"{local + timedelta(minutes=20):%Y-%m-%dT%H:%M}"}
    async with scene.browser(scene.mentor) as browser:
        page = (await browser.get(f"/consultations/{asked.id}")).text
        ahead = await browser.post(path, data=good | {"ended_at": scene.wall(2, 10), "outcome": "advice_given"})
        logged = await browser.post(path, data=good | {"outcome": "plan_changed", "conclusion": "Switch to B."})
        after = (await browser.get(f"/consultations/{asked.id}")).text

    assert f'name="started_at" value="{good["started_at"]}"' in page
    assert (ahead.status_code, logged.status_code) == (422, 303)
    assert 'id="fault-ended_at"' in ahead.text
    (row,) = await scene.rows("SELECT started_at, minutes, outcome FROM session")
    assert tuple(row) == (found.starts_at, 20, "plan_changed")
    assert "Switch to B." in after


async def test_the_other_side_sees_the_feedback(scene: Scene) -> None:
    asked = await agreed(scene)
    found = await appointment_of(scene)
    scene.clock.set(found.ends_at + timedelta(minutes=5))
    happened = sessions.SessionEntry(started_at=found.starts_at, ended_at=found.ends_at, outcome="advice_given")
    logged = await scene.act(scene.mentor, sessions.log, found.id, happened)
    await scene.act(
        scene.clinician, sessions.give_feedback, logged.id, is_useful=True, patient_outcome="better", note=None
    )
    async with scene.browser(scene.mentor) as browser:
        page = (await browser.get(f"/consultations/{asked.id}")).text

    assert "useful, better" in page


# --- the requesting side --------------------------------------------------------------------------------------------


async def test_the_requesting_side_takes_one_of_the_mentors_times(scene: Scene) -> None:
    asked = await scene.ask()
    offer = await offer_of(scene)
    start = (scene.clock.now() + timedelta(days=1)).replace(hour=9)
    await scene.act(scene.mentor, answers.counter, offer.id, [start])
    async with scene.browser(scene.clinician) as browser:
        page = (await browser.get(f"/consultations/{asked.id}")).text
        await browser.post(f"/offers/{offer.id}/counter/accept", data={"starts_at": written(start)})

    assert f'value="{written(start)}"' in page
    assert (await appointment_of(scene)).starts_at == start


async def test_the_requesting_side_withdraws_the_request(scene: Scene) -> None:
    asked = await scene.ask()
    path = f"/consultations/{asked.id}/cancel"
    async with scene.browser(scene.clinician) as browser:
        unclear = await browser.post(path, data={})
        done = await browser.post(path, data={"reason": "resolved_locally"})
        page = (await browser.get(f"/consultations/{asked.id}")).text

    assert (unclear.status_code, done.status_code) == (422, 303)
    assert "Запит відкликано." in page
    assert path not in page


async def test_a_draft_is_opened_by_the_consent(scene: Scene) -> None:
    asked = await scene.ask(consent=None)
    path = f"/consultations/{asked.id}/consent"
    async with scene.browser(scene.clinician) as browser:
        shown = (await browser.get(f"/consultations/{asked.id}")).text
        nowhere = await browser.post(path, data={"consent": "countries", "given_on": "2026-11-16"})
        future = await browser.post(path, data={"consent": "general", "given_on": "2026-12-16"})
        done = await browser.post(path, data={"consent": "general", "given_on": "2026-11-16"})

    assert path in shown
    assert [nowhere.status_code, future.status_code, done.status_code] == [422, 422, 303]
    assert 'id="fault-given_on"' in future.text
    assert (await offer_of(scene)).state == "pending"


# --- the call -------------------------------------------------------------------------------------------------------


async def test_a_call_is_moved_proposed_and_called_off_on_the_page(scene: Scene) -> None:
    asked = await agreed(scene)
    found = await appointment_of(scene)
    async with scene.browser(scene.mentor) as mentor, scene.browser(scene.clinician) as clinician:
        gap = await mentor.post(f"/appointments/{found.id}/move", data={"local": "2027-03-28T02:30"})
        await mentor.post(f"/appointments/{found.id}/move", data={"local": scene.wall(1, 18)})
        page = (await clinician.get(f"/consultations/{asked.id}")).text
        late = (await appointment_of(scene)).proposed_starts[0]
        await clinician.post(f"/appointments/{found.id}/move", data={"starts_at": written(late)})
        moved = await appointment_of(scene)
        await mentor.post(f"/appointments/{found.id}/cancel", data={"reason": "illness"})

    assert gap.status_code == 422
    assert "Інша сторона пропонує інший час" in page
    assert moved.starts_at == late
    assert (await appointment_of(scene)).cancel_reason == "illness"


async def test_a_proposed_time_may_be_left_alone(scene: Scene) -> None:
    await agreed(scene)
    found = await appointment_of(scene)
    async with scene.browser(scene.mentor) as mentor, scene.browser(scene.clinician) as clinician:
        await mentor.post(f"/appointments/{found.id}/move", data={"local": scene.wall(1, 18)})
        first = (await appointment_of(scene)).proposed_starts[0]
        await mentor.post(f"/appointments/{found.id}/move", data={"local": scene.wall(1, 19)})
        second = (await appointment_of(scene)).proposed_starts[0]
        decline = f"/appointments/{found.id}/move/decline"
        stale = await clinician.post(decline, data={"starts_at": written(first)})
        kept = (await appointment_of(scene)).proposed_starts
        pressed = [await clinician.post(decline, data={"starts_at": written(second)}) for _ in range(2)]

    assert (stale.status_code, kept) == (409, [second])
    assert [answer.status_code for answer in pressed] == [303, 303]
    assert (await appointment_of(scene)).proposed_starts == []
    assert (await appointment_of(scene)).starts_at == found.starts_at


async def test_no_other_time_is_taken_than_the_one_that_the_page_showed(scene: Scene) -> None:
    await agreed(scene)
    found = await appointment_of(scene)
    move = f"/appointments/{found.id}/move"
    async with scene.browser(scene.mentor) as mentor, scene.browser(scene.clinician) as clinician:
        await mentor.post(move, data={"local": scene.wall(1, 18)})
        shown = (await appointment_of(scene)).proposed_starts[0]
        await mentor.post(move, data={"local": scene.wall(1, 19)})
        newer = (await appointment_of(scene)).proposed_starts[0]
        stale = await clinician.post(move, data={"starts_at": written(shown)})
        kept = await appointment_of(scene)
        pressed = [await clinician.post(move, data={"starts_at": written(newer)}) for _ in range(2)]

    assert stale.status_code == 409
    assert "Тим часом дещо змінилося" in stale.text
    assert f'value="{written(newer)}"' in stale.text
    assert (kept.starts_at, kept.proposed_starts) == (found.starts_at, [newer])
    assert [answer.status_code for answer in pressed] == [303, 303]
    assert (await appointment_of(scene)).starts_at == newer


async def test_the_room_is_entered_from_the_page_by_who_takes_part(scene: Scene) -> None:
    await agreed(scene)
    found = await appointment_of(scene)
    scene.world.settings = scene.world.settings.model_copy(
        update={"room_url": "https://rooms.example/{appointment_id}"}
    )
    async with scene.browser(scene.mentor) as mentor, scene.browser(scene.coordinator) as coordinator:
        early = await mentor.get(f"/appointments/{found.id}/join")
        scene.clock.set(found.starts_at)
        entered = await mentor.get(f"/appointments/{found.id}/join")
        refused = await coordinator.get(f"/appointments/{found.id}/join")

    assert [early.status_code, entered.status_code, refused.status_code] == [409, 303, 403]
    assert entered.headers["location"] == f"https://rooms.example/{found.id}"


async def test_ft_02_a_case_without_a_clinician_waits_on_the_first_page_and_a_colleague_is_assigned_on_its_own(
    scene: Scene,
) -> None:
    asked = await scene.ask()
    async with scene.world.database.work(actor.TIMER) as w:
        colleague = await build.clinician(w, scene.asking)
    await scene.rows("UPDATE person SET state = 'disabled' WHERE id = :id RETURNING 1", id=scene.clinician.id)
    await timers.once(scene.world.database)
    path = f"/consultations/{asked.id}"
    async with scene.browser(scene.coordinator) as browser:
        first = (await browser.get("/")).text
        assert "Цьому запиту потрібен лікар" in first
        assert f"{path}/assign" in (await browser.get(path)).text
        stranger = await browser.post(f"{path}/assign", data={"clinician_id": str(scene.mentor.id)})
        assert stranger.status_code == 422
        answer = await browser.post(f"{path}/assign", data={"clinician_id": str(colleague.id)})
        assert answer.status_code == 303
        assert "Цьому запиту потрібен лікар" not in (await browser.get("/")).text
        assert f"{path}/assign" not in (await browser.get(path)).text
    (row,) = await scene.rows("SELECT clinician_id FROM consultation")
    assert row.clinician_id == colleague.id


@pytest.mark.parametrize(("away", "words"), [(True, "наш поштовий сервер недоступний"), (False, "Ще не надіслано. ")])
async def test_ft_23_the_requesting_side_reads_that_an_offer_has_not_left(
    scene: Scene,
    away: bool,
    words: str,
) -> None:
    asked = await scene.ask()
    scene.clock.forward(minutes=2)
    if away:
        sql = "INSERT INTO mail_server (id, away_since, probe_at) VALUES (1, :now, :now) RETURNING 1"
        await scene.rows(sql, now=scene.clock.now())
    for who in (scene.clinician, scene.coordinator):
        async with scene.browser(who) as browser:
            assert words in (await browser.get(f"/consultations/{asked.id}")).text
    await scene.rows("UPDATE delivery SET state = 'delivered', next_attempt_at = NULL RETURNING 1")
    async with scene.browser(scene.coordinator) as browser:
        assert "Ще не надіслано" not in (await browser.get(f"/consultations/{asked.id}")).text
