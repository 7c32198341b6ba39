"""The page of a case: in its order, with what each side may do on it; how the call takes place; the calendar."""

from datetime import timedelta
from typing import Any

import pytest

from integrations import local_times
from pages.scene import Scene
from pages.test_cases import agreed, appointment_of, written
from service import tables
from service.care import answers, manual_offers, sessions
from service.kernel.work import Work
from service.people import preferences

PHONE = "+380441234567"


async def page_of(scene: Scene, who: tables.Person, case: tables.Consultation) -> str:
    async with scene.browser(who) as browser:
        answer = await browser.get(f"/consultations/{case.id}")
    assert answer.status_code == 200
    return answer.text


async def shows(scene: Scene, who: tables.Person, **changes: Any) -> None:  # noqa: ANN401 - choices
    async def chosen(w: Work) -> None:
        await preferences.change(w, await preferences.own(w, lock=True), changes)

    await scene.act(who, chosen)


async def test_a_telephone_is_shown_to_whoever_is_met_and_only_if_its_owner_chose_so(scene: Scene) -> None:
    case = await agreed(scene)
    assert PHONE not in await page_of(scene, scene.clinician, case)
    await shows(scene, scene.mentor, phone=PHONE)
    assert PHONE not in await page_of(scene, scene.clinician, case)
    await shows(scene, scene.mentor, shows_phone=True)
    assert f'href="tel:{PHONE}"' in await page_of(scene, scene.clinician, case)
    for other in (scene.coordinator, await scene.another_mentor()):
        async with scene.browser(other) as browser:
            assert PHONE not in (await browser.get(f"/consultations/{case.id}")).text
    await shows(scene, scene.mentor, shows_phone=False)
    assert PHONE not in await page_of(scene, scene.clinician, case)


async def test_a_telephone_is_gone_from_the_page_with_the_call(scene: Scene) -> None:
    case = await agreed(scene)
    await shows(scene, scene.mentor, phone=PHONE, shows_phone=True)
    call = await appointment_of(scene)
    scene.clock.set(call.ends_at)
    entry = sessions.SessionEntry(started_at=call.starts_at, ended_at=call.ends_at, outcome="advice_given")
    await scene.act(scene.mentor, sessions.log, call.id, entry)
    assert PHONE not in await page_of(scene, scene.clinician, case)


@pytest.mark.parametrize(("room", "link"), [(None, False), ("https://room.example/{appointment_id}", True)])
async def test_the_page_says_how_the_call_takes_place_where_it_is_booked(
    scene: Scene, room: str | None, link: bool
) -> None:
    scene.world.settings = scene.world.settings.model_copy(update={"room_url": room})
    case = await agreed(scene)
    call = await appointment_of(scene)
    text = await page_of(scene, scene.clinician, case)
    assert (f"/appointments/{call.id}/join" in text) is link
    assert f"/appointments/{call.id}/invite.ics" in text
    assert f'datetime="{local_times.with_offset(call.starts_at, scene.clinician.zone)}"' in text
    assert "data-until=" in text


async def test_the_invitation_is_had_by_the_browsers_own_visit_and_by_nobody_else(scene: Scene) -> None:
    await agreed(scene)
    path = f"/appointments/{(await appointment_of(scene)).id}/invite.ics"
    stranger = await scene.another_mentor()
    found = {}
    for name, who in (("clinician", scene.clinician), ("mentor", scene.mentor), ("stranger", stranger), ("", None)):
        async with scene.browser(who) as browser:
            answer = await browser.get(path)
        found[name] = answer.status_code
        if answer.status_code == 200:
            assert answer.headers["content-type"].startswith("text/calendar")
            assert "BEGIN:VEVENT" in answer.text
    assert found == {"clinician": 200, "mentor": 200, "stranger": 404, "": 401}


async def test_each_side_says_once_what_became_of_it_on_the_page(scene: Scene) -> None:
    case = await agreed(scene)
    call = await appointment_of(scene)
    scene.clock.set(call.ends_at)
    entry = sessions.SessionEntry(started_at=call.starts_at, ended_at=call.ends_at, outcome="advice_given")
    session = await scene.act(scene.mentor, sessions.log, call.id, entry)
    path = f"/sessions/{session.id}/feedback"
    async with scene.browser(scene.clinician) as clinician, scene.browser(scene.mentor) as mentor:
        assert path in (await clinician.get(f"/consultations/{case.id}")).text
        nothing = await clinician.post(path, data={"outcome": "better"})
        assert nothing.status_code == 422
        said = await clinician.post(path, data={"useful": "yes", "outcome": "better"})
        assert (said.status_code, said.headers["location"]) == (303, f"/consultations/{case.id}")
        again = await clinician.post(path, data={"useful": "no"})
        assert again.status_code == 409
        assert path not in (await clinician.get(f"/consultations/{case.id}")).text
        assert path in (await mentor.get(f"/consultations/{case.id}")).text
        assert (await mentor.post(path, data={"useful": "no"})).status_code == 303
    async with scene.browser(await scene.another_mentor()) as stranger:
        assert (await stranger.post(path, data={"useful": "no"})).status_code == 404
    rows = await scene.rows("SELECT side, is_useful, patient_outcome FROM feedback ORDER BY side")
    assert [tuple(row) for row in rows] == [("partner", False, None), ("requesting", True, "better")]


async def test_a_held_time_is_told_and_let_go_on_the_page(scene: Scene) -> None:
    case = await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer")
    held = await scene.act(scene.coordinator, manual_offers.hold, case.id, scene.mentor.id, offer.starts[0])
    path = f"/appointments/{held.id}/release"
    assert path in await page_of(scene, scene.clinician, case)
    assert path not in await page_of(scene, scene.mentor, case)
    async with scene.browser(scene.mentor) as browser:
        assert (await browser.post(path)).status_code == 403
    async with scene.browser(scene.clinician) as browser:
        assert (await browser.post(path)).status_code == 303
    assert (await scene.rows("SELECT status FROM appointment"))[0].status == "cancelled"
    assert path not in await page_of(scene, scene.clinician, case)


async def test_a_counter_is_chosen_on_the_page_with_both_clocks(scene: Scene) -> None:
    case = await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer")
    wished = offer.starts[0] + timedelta(days=1)
    await scene.act(scene.mentor, answers.counter, offer.id, [wished])
    text = await page_of(scene, scene.clinician, case)
    assert f'value="{written(wished)}"' in text
    assert "Париж" in text
    assert text.index(f"/offers/{offer.id}/counter/accept") < text.index('id="timeline"')
    async with scene.browser(scene.clinician) as browser:
        answer = await browser.post(f"/offers/{offer.id}/counter/accept", data={"starts_at": written(wished)})
    assert answer.status_code == 303
    assert (await appointment_of(scene)).starts_at == wished


async def test_the_order_of_a_case_has_no_word_missing_in_any_language(scene: Scene) -> None:
    case = await agreed(scene)
    for locale in ("uk", "en"):
        await scene.rows("UPDATE person SET locale = :locale RETURNING 1", locale=locale)
        text = await page_of(scene, scene.clinician, case)
        assert 'aria-current="step"' in text
        assert "{name}" not in text
        assert "{length}" not in text.replace("data-", "")
