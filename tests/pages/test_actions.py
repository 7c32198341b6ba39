"""Links in mails: looking changes nothing, pressing does it once."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from integrations.runtime.world import World
from pages.scene import Scene
from service import tables
from service.care import answers, appointments, sessions
from service.kernel import errors

CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


async def test_an_offer_is_accepted_by_the_link_of_its_mail(scene: Scene, client: httpx.AsyncClient) -> None:
    asked = await scene.ask()
    path, link = await scene.link("offer.accept")
    shown = await client.get(path)
    pressed = await client.post(path)
    after = await client.get(pressed.headers["location"])

    assert shown.status_code == 200
    assert "Take this consultation?" in shown.text
    assert (pressed.status_code, pressed.headers["location"]) == (303, path)
    assert "You have taken this consultation" in after.text
    (row,) = await scene.rows("SELECT starts_at, status FROM appointment WHERE consultation_id = :id", id=asked.id)
    assert (row.starts_at, row.status) == (link.starts_at, "booked")


async def test_the_page_shows_the_time_by_both_clocks(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, link = await scene.link("offer.accept")
    shown = (await client.get(path)).text
    assert link.starts_at is not None

    assert f"{link.starts_at + timedelta(hours=1):%H:%M} (Paris, UTC+1)" in shown
    assert f"{link.starts_at + timedelta(hours=2):%H:%M} (Kyiv, UTC+2)" in shown


async def test_looking_at_links_changes_nothing(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    await scene.ask(mode="written")
    before = await scene.state()
    for purpose in ("offer.accept", "offer.accept_written", "offer.counter", "offer.decline"):
        path, _ = await scene.link(purpose)
        assert (await client.get(path)).status_code == 200, purpose
        assert (await client.head(path)).status_code in {200, 405}

    assert await scene.state() == before


async def test_no_page_of_a_link_shows_the_case(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    for purpose in ("offer.accept", "offer.counter", "offer.decline"):
        path, _ = await scene.link(purpose)
        assert "CANARY" not in (await client.get(path)).text
    path, _ = await scene.link("offer.accept")
    await client.post(path)

    assert "CANARY" not in (await client.get(path)).text


async def test_a_second_press_shows_the_same_result(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.accept")
    await client.post(path)
    before = await scene.state()
    again = await client.post(path)
    after = await client.get(again.headers["location"])

    assert (again.status_code, after.status_code) == (303, 200)
    assert "You have taken this consultation" in after.text
    assert await scene.state() == before


async def test_a_decline_needs_a_reason_of_the_list(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.decline")
    without = await client.post(path)
    strange = await client.post(path, data={"reason": "no idea"})
    good = await client.post(path, data={"reason": "busy"})

    assert [without.status_code, strange.status_code, good.status_code] == [422, 422, 303]
    assert "Please choose one of these." in without.text
    assert (await scene.rows("SELECT state, decline_reason FROM offer"))[0] == ("declined", "busy")
    assert "You have declined" in (await client.get(path)).text


async def test_other_times_are_read_by_the_mentors_own_clock(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.counter")
    await client.post(path, data={"time_1": "2026-11-17T18:00", "time_2": "", "time_3": "2026-11-17T19:30"})

    (row,) = await scene.rows("SELECT state, counter_starts FROM offer")
    assert row.state == "countered"
    assert row.counter_starts == [datetime(2026, 11, 17, 17, tzinfo=UTC), datetime(2026, 11, 17, 18, 30, tzinfo=UTC)]


async def test_a_time_that_no_clock_shows_is_refused_at_its_field(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.counter")
    answer = await client.post(path, data={"time_1": "2026-11-17T18:00", "time_2": "2027-03-28T02:30"})

    assert answer.status_code == 422
    assert 'id="fault-time_2"' in answer.text
    assert 'value="2027-03-28T02:30"' in answer.text
    assert 'id="fault-time_1"' not in answer.text


@pytest.mark.parametrize("value", ["", "2026-11-17", "tomorrow", "2026-11-17T18:00Z", "9999-12-31T23:59", "\0"])
async def test_times_that_are_none_are_refused(scene: Scene, client: httpx.AsyncClient, value: str) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.counter")

    assert (await client.post(path, data={"time_1": value})).status_code == 422


async def test_a_time_behind_us_is_refused_at_its_field(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.counter")
    answer = await client.post(path, data={"time_1": "2026-11-15T10:00"})

    assert answer.status_code == 422
    assert "This time lies behind us." in answer.text


async def test_the_clinician_takes_a_countered_time_by_link(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.counter")
    await client.post(path, data={"time_1": "2026-11-17T10:00"})
    path, link = await scene.link("counter.accept")
    shown = await client.get(path)
    await client.post(path)

    assert "Обрати цей час?" in shown.text
    assert (await scene.rows("SELECT starts_at FROM appointment"))[0].starts_at == link.starts_at
    assert "Час заплановано" in (await client.get(path)).text


async def test_the_clinician_takes_none_of_the_countered_times(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.counter")
    await client.post(path, data={"time_1": "2026-11-17T10:00"})
    path, _ = await scene.link("counter.decline")
    await client.post(path)

    assert (await scene.rows("SELECT state FROM offer"))[0].state == "pending"
    assert "Ви не обрали жодного варіанта" in (await client.get(path)).text


async def booked(scene: Scene) -> tables.Appointment:
    await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer")
    accepted = await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    made: tables.Appointment = accepted.appointment
    return made


@pytest.mark.parametrize(("purpose", "is_moved"), [("move.accept", True), ("move.decline", False)])
async def test_a_proposed_move_is_answered_by_link(
    scene: Scene, client: httpx.AsyncClient, purpose: str, is_moved: bool
) -> None:
    appointment = await booked(scene)
    late = appointment.starts_at.replace(hour=19, minute=0)
    await scene.act(scene.mentor, appointments.move, appointment.id, late)
    path, link = await scene.link(purpose)
    shown = await client.get(path)
    await client.post(path)
    (row,) = await scene.rows("SELECT starts_at, proposed_starts FROM appointment")

    assert link.person_id == scene.clinician.id
    assert shown.status_code == 200
    assert (row.starts_at == late) == is_moved
    assert row.proposed_starts == []
    assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("purpose", ["move.accept", "move.decline"])
async def test_a_link_of_an_earlier_proposal_does_nothing_to_a_later_one(
    scene: Scene, client: httpx.AsyncClient, purpose: str
) -> None:
    appointment = await booked(scene)
    times = [appointment.starts_at.replace(hour=hour, minute=0) for hour in (19, 20)]
    for time in times:
        await scene.act(scene.mentor, appointments.move, appointment.id, time)
    path, link = await scene.link(purpose)
    before = await scene.state()

    assert link.starts_at == times[0]
    assert [(await client.get(path)).status_code, (await client.post(path)).status_code] == [410, 410]
    assert await scene.state() == before


async def test_what_is_agreed_to_is_the_time_that_is_proposed_now_or_nothing(scene: Scene) -> None:
    """As when the proposal is replaced while the button of its mail is being pressed."""
    appointment = await booked(scene)
    times = [appointment.starts_at.replace(hour=hour, minute=0) for hour in (19, 20)]
    for time in times:
        await scene.act(scene.mentor, appointments.move, appointment.id, time)
    before = await scene.state()
    with pytest.raises(errors.Conflict):
        await scene.act(scene.clinician, appointments.agree, appointment.id, times[0])
    with pytest.raises(errors.Forbidden):
        await scene.act(scene.mentor, appointments.agree, appointment.id, times[1])
    assert await scene.state() == before


async def test_declining_a_proposed_time_twice_is_once(scene: Scene) -> None:
    appointment = await booked(scene)
    late = appointment.starts_at.replace(hour=19, minute=0)
    await scene.act(scene.mentor, appointments.move, appointment.id, late)
    await scene.act(scene.clinician, appointments.decline_move, appointment.id, late)
    before = await scene.state()
    await scene.act(scene.clinician, appointments.decline_move, appointment.id, late)
    assert await scene.state() == before


async def logged(scene: Scene) -> None:
    appointment = await booked(scene)
    scene.clock.set(appointment.ends_at + timedelta(hours=1))
    happened = sessions.SessionEntry(
        started_at=appointment.starts_at, ended_at=appointment.ends_at, outcome="advice_given"
    )
    await scene.act(scene.mentor, sessions.log, appointment.id, happened)


async def test_feedback_is_given_once_by_link(scene: Scene, client: httpx.AsyncClient) -> None:
    await logged(scene)
    path, _ = await scene.link("feedback", scene.clinician)
    refused = await client.post(path, data={"outcome": "better"})
    await client.post(path, data={"useful": "yes", "outcome": "better"})
    await client.post(path, data={"useful": "no"})

    assert refused.status_code == 422
    assert [tuple(row) for row in await scene.rows("SELECT side, is_useful, patient_outcome FROM feedback")] == [
        ("requesting", True, "better")
    ]
    assert "Дякуємо за відповідь" in (await client.get(path)).text


@pytest.mark.parametrize(("before_its_end", "status"), [(timedelta(seconds=1), 200), (timedelta(0), 410)])
async def test_both_sides_have_thirty_days_to_give_feedback_by_link(
    scene: Scene, client: httpx.AsyncClient, before_its_end: timedelta, status: int
) -> None:
    await logged(scene)
    paths = [(await scene.link("feedback", who))[0] for who in (scene.clinician, scene.mentor)]
    scene.clock.set(scene.clock.now() + timedelta(days=30) - before_its_end)
    shown = [(await client.get(path)).status_code for path in paths]
    for path in paths:
        await client.post(path, data={"useful": "yes"})

    assert shown == [status, status]
    assert len(await scene.rows("SELECT side FROM feedback")) == (2 if status == 200 else 0)


async def test_an_expired_link_is_gone_and_does_nothing(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, link = await scene.link("offer.accept")
    scene.clock.set(link.expires_at)
    before = await scene.state()

    assert [(await client.get(path)).status_code, (await client.post(path)).status_code] == [410, 410]
    assert await scene.state() == before


async def test_a_link_whose_offer_was_answered_otherwise_is_gone(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer")
    await scene.act(scene.mentor, answers.decline, offer.id, "busy")
    path, _ = await scene.link("offer.accept")
    done, _ = await scene.link("offer.decline")

    assert [(await client.get(path)).status_code, (await client.post(path)).status_code] == [410, 410]
    assert "You have declined" in (await client.get(done)).text


async def test_the_page_of_a_link_that_is_over_names_nobody(scene: Scene, client: httpx.AsyncClient) -> None:
    appointment = await booked(scene)
    over, _ = await scene.link("offer.decline")
    join, _ = await scene.link("join", scene.mentor)
    early = await client.get(join)
    scene.clock.set(appointment.ends_at + timedelta(hours=1))
    shown = [await client.get(over), await client.post(over), await client.get(join)]

    assert [early.status_code, *(answer.status_code for answer in shown)] == [409, 410, 410, 410]
    for answer in (early, *shown):
        assert scene.mentor.display_name not in answer.text
        assert "/sign-out" not in answer.text
    assert "count against" not in shown[0].text  # silence does: the page cannot know which it was


async def test_a_press_that_fails_says_so_and_leaves_the_link_usable(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    await scene.rows("UPDATE memorandum SET status = 'suspended' RETURNING id")
    path, _ = await scene.link("offer.accept")
    refused = await client.post(path)
    await scene.rows("UPDATE memorandum SET status = 'active' RETURNING id")

    assert refused.status_code == 403
    assert "no memorandum links the institutions" in refused.text
    assert (await client.post(path)).status_code == 303
    assert (await scene.rows("SELECT count(*) FROM appointment"))[0][0] == 1


async def test_a_link_of_one_purpose_is_none_of_another(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    sign_in = (await scene.sign_in_path(scene.mentor)).removeprefix("/sign-in/")
    accept = (await scene.link("offer.accept"))[0].removeprefix("/a/")

    assert (await client.get(f"/a/{sign_in}")).status_code == 404
    assert (await client.post(f"/sign-in/{accept}")).status_code == 404
    assert (await client.get(f"/j/{accept}")).status_code == 404


async def test_a_link_does_nothing_for_a_person_who_was_disabled(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    await scene.rows("UPDATE person SET state = 'disabled' WHERE id = :id RETURNING id", id=scene.mentor.id)
    path, _ = await scene.link("offer.accept")

    assert [(await client.get(path)).status_code, (await client.post(path)).status_code] == [410, 410]


@pytest.mark.parametrize(
    "token", ["x", "%00", "A" * 48, "%F0%9F%92%80", "..%2f..%2fetc", "a" * 4000, "%22%3E%3Cb%3E", "%FF"]
)
@pytest.mark.parametrize("folder", ["a", "j", "sign-in"])
async def test_strange_tokens_are_not_known(client: httpx.AsyncClient, folder: str, token: str) -> None:
    answers_ = [await client.get(f"/{folder}/{token}"), await client.post(f"/{folder}/{token}")]

    assert {answer.status_code for answer in answers_} <= {404, 405}
    assert all("<b>" not in answer.text for answer in answers_)


async def test_every_page_has_the_headers_that_protect_it(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    accept, _ = await scene.link("offer.accept")
    for path in (accept, "/", "/a/nothing", await scene.sign_in_path(scene.mentor), "/consultations/new"):
        answer = await client.get(path)
        assert answer.headers["content-security-policy"] == CSP, path
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert len(answer.content) < 15_000
        assert answer.text.count("<script") == answer.text.count('<script type="module" src="/pages/')
        assert "<script" not in answer.text or not path.startswith(("/a/", "/sign-in/"))
        assert " style=" not in answer.text


async def test_a_form_of_another_site_is_refused(scene: Scene, client: httpx.AsyncClient) -> None:
    await scene.ask()
    path, _ = await scene.link("offer.accept")
    foreign = [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}]
    answers_ = [await client.post(path, headers=headers) for headers in foreign]

    assert [answer.status_code for answer in answers_] == [403, 403, 403]
    assert (await client.post(path, headers={"Sec-Fetch-Site": "same-origin", "Origin": "null"})).status_code == 303


# --- the room -------------------------------------------------------------------------------------------------------


def with_room(world: World) -> None:
    world.settings = world.settings.model_copy(update={"room_url": "https://rooms.example/{appointment_id}"})


async def test_the_room_is_open_from_ten_minutes_before_until_an_hour_after(
    scene: Scene, client: httpx.AsyncClient, world: World
) -> None:
    with_room(world)
    appointment = await booked(scene)
    path, _ = await scene.link("join", scene.mentor)
    opens, closes = appointment.starts_at - timedelta(minutes=10), appointment.ends_at + timedelta(hours=1)
    seen = []
    for at in (opens - timedelta(seconds=1), opens, closes - timedelta(seconds=1), closes):
        scene.clock.set(at)
        seen.append(await client.get(path))

    assert [answer.status_code for answer in seen] == [409, 303, 303, 410]
    assert seen[1].headers["location"] == f"https://rooms.example/{appointment.id}"
    assert f"{opens + timedelta(hours=1):%H:%M} (Paris, UTC+1)" in seen[0].text


async def test_without_a_room_the_page_says_so(scene: Scene, client: httpx.AsyncClient) -> None:
    appointment = await booked(scene)
    scene.clock.set(appointment.starts_at)
    path, _ = await scene.link("join", scene.clinician)

    assert "не налаштовано" in (await client.get(path)).text


async def test_a_cancelled_call_has_no_room(scene: Scene, client: httpx.AsyncClient, world: World) -> None:
    with_room(world)
    appointment = await booked(scene)
    await scene.act(scene.mentor, appointments.cancel, appointment.id, "illness")
    scene.clock.set(appointment.starts_at)
    path, _ = await scene.link("join", scene.clinician)

    assert (await client.get(path)).status_code == 409
