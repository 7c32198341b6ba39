"""What each side of a case is shown, and which buttons: only what stands, and only what they may press."""

from typing import Any

import sqlalchemy as sa

import build
from pages.scene import Scene
from service import tables
from service.care import answers, appointments
from service.kernel import actor


async def offer_of(scene: Scene) -> sa.Row[Any]:
    return (await scene.rows("SELECT id, starts, state FROM offer ORDER BY id"))[0]


async def made(scene: Scene, place: tables.Institution, role: str) -> tables.Person:
    async with scene.world.database.work(actor.TIMER) as w:
        person: tables.Person = await getattr(build, role)(w, place, locale="en")
    return person


async def test_the_mentors_coordinator_answers_for_them_without_the_case(scene: Scene) -> None:
    asked = await scene.ask(department="WARD-7")
    offer = await offer_of(scene)
    time = offer.starts[0].strftime("%Y-%m-%dT%H:%M:%SZ")
    async with scene.browser(await made(scene, scene.lille, "coordinator")) as browser:
        home = await browser.get("/")
        page = await browser.get(f"/offers/{offer.id}")
        unclear = await browser.post(f"/offers/{offer.id}/accept", data={})
        taken = await browser.post(f"/offers/{offer.id}/accept", data={"starts_at": time})
        after = await browser.get(taken.headers["location"])
        case = await browser.get(f"/consultations/{asked.id}")

    assert [page.status_code, unclear.status_code, taken.status_code, after.status_code] == [200, 422, 303, 200]
    assert f"/offers/{offer.id}" in home.text
    assert f'value="{time}"' in page.text
    for shown in (home, page, unclear, after):
        assert scene.mentor.display_name in shown.text
        assert "CANARY" not in shown.text
        assert "WARD-7" not in shown.text
        assert f"/consultations/{asked.id}" not in shown.text
        assert "You have taken" not in shown.text
    assert case.status_code == 404
    assert (await offer_of(scene)).state == "accepted"
    assert await scene.rows("SELECT 1 FROM audit WHERE action = 'read_case_text'") == []


async def test_only_who_may_file_is_asked_to(scene: Scene) -> None:
    elsewhere = await made(scene, scene.lille, "coordinator")
    lost = await made(scene, (await outside(scene)), "clinician")
    seen = []
    for who in (scene.clinician, scene.coordinator, elsewhere, lost):
        async with scene.browser(who) as browser:
            seen.append("/consultations/new" in (await browser.get("/")).text)

    assert seen == [True, True, False, False]


async def test_who_has_nobody_to_file_for_is_told_so_instead_of_a_form(scene: Scene) -> None:
    elsewhere = await made(scene, scene.lille, "coordinator")
    lost = await made(scene, (await outside(scene)), "clinician")
    found = []
    for who in (elsewhere, lost):
        async with scene.browser(who) as browser:
            page = await browser.get("/consultations/new")
            found.append(
                (
                    page.status_code,
                    "<form" in page.text.partition("<main")[2].partition("</main>")[0],
                    "There is nobody" in page.text,
                )
            )

    assert found == [(403, False, True)] * 2


async def test_each_side_reads_which_one_proposes_another_time(scene: Scene) -> None:
    asked = await scene.ask()
    offer = await offer_of(scene)
    accepted = await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    late = accepted.appointment.starts_at.replace(hour=19, minute=0)
    await scene.act(scene.coordinator, appointments.move, accepted.appointment.id, late)
    colleague = await made(scene, scene.asking, "coordinator")
    found = []
    await scene.rows("UPDATE person SET locale = 'en' RETURNING 1")
    for who in (scene.clinician, scene.coordinator, colleague, scene.mentor):
        async with scene.browser(who) as browser:
            page = (await browser.get(f"/consultations/{asked.id}")).text
        found.append(("Your side proposes another time" in page, "The other side proposes another time" in page))

    assert found == [(True, False)] * 3 + [(False, True)]


async def outside(scene: Scene) -> tables.Institution:
    """A hospital that no memorandum names."""
    async with scene.world.database.work(actor.TIMER) as w:
        return await build.institution(w)


async def test_an_offer_that_came_to_nothing_is_not_shown_as_a_live_one(scene: Scene) -> None:
    asked = await scene.ask()
    offer = await offer_of(scene)
    path, _ = await scene.link("offer.accept")
    async with scene.browser(scene.mentor) as browser:
        await browser.post(path)
        (found,) = await scene.rows("SELECT id FROM appointment")
        await browser.post(f"/appointments/{found.id}/cancel", data={"reason": "illness"})
        linked = await browser.get(path)
        page = await browser.get(f"/offers/{offer.id}")
        own = await browser.get(f"/consultations/{asked.id}")
    async with scene.browser(scene.coordinator) as browser:
        case = await browser.get(f"/consultations/{asked.id}")

    assert (linked.status_code, "It is booked" in linked.text) == (410, False)
    assert "You have taken this consultation" not in page.text
    assert "You took this consultation; that is over." in page.text
    assert ">accepted</span>" not in page.text + own.text
    assert ">прийнято</span>" not in case.text


async def test_a_promise_handed_back_is_not_shown_as_one(scene: Scene) -> None:
    await scene.ask(mode="written")
    offer = await offer_of(scene)
    await scene.act(scene.mentor, answers.accept, offer.id, None)
    accept, _ = await scene.link("offer.accept_written")
    decline, _ = await scene.link("offer.decline")
    async with scene.browser(scene.mentor) as browser:
        before = await browser.get(accept)
        await browser.post(f"/offers/{offer.id}/decline", data={"reason": "busy"})
        after = await browser.get(accept)
        page = await browser.get(f"/offers/{offer.id}")
        declined = await browser.get(decline)

    assert [before.status_code, after.status_code, declined.status_code] == [200, 410, 410]
    assert "You took this consultation; that is over." in page.text


async def test_an_admin_is_shown_no_form_that_would_be_refused(scene: Scene) -> None:
    asked = await scene.ask()
    offer = await offer_of(scene)
    await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    (found,) = await scene.rows("SELECT starts_at FROM appointment")
    async with scene.world.database.work(actor.TIMER) as w:
        admin = await build.admin(w, locale="en")
    for at in (scene.clock.now(), found.starts_at):
        scene.clock.set(at)
        async with scene.browser(admin) as browser:
            page = await browser.get(f"/consultations/{asked.id}")
        assert (page.status_code, page.text.count("<form")) == (200, 2)  # language, sign out
        assert "/join" not in page.text
    async with scene.browser(scene.coordinator) as browser:
        page = await browser.get(f"/consultations/{asked.id}")
        assert page.text.count("<form") == 6  # language, sign out, log, move, call off, withdraw
        assert "/join" not in page.text
