"""Other times on one week: picked, changed, and what of the other side it shows."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

import build
from pages.scene import Scene
from service.care import answers
from service.kernel import actor, clock
from service.worklists import counter_week


async def offer_of(scene: Scene) -> Any:  # noqa: ANN401 - a row
    return (await scene.rows("SELECT id, starts, counter_starts, state, version FROM offer ORDER BY id DESC"))[0]


def listed(text: str) -> list[str]:
    return re.findall(r'name="starts" value="([^"]+)"', text)


def windows(scene: Scene) -> tuple[tuple[datetime, datetime], ...]:
    """Tomorrow from 10 to 12 in Paris, and the day after."""
    noon = (scene.clock.now() + timedelta(days=1)).replace(hour=9, minute=0)
    return ((noon, noon + timedelta(hours=2)), (noon + timedelta(days=1), noon + timedelta(days=1, hours=2)))


async def test_only_times_that_suit_both_are_listed_and_of_the_other_side_only_that_it_is_not_free(
    scene: Scene,
) -> None:
    await scene.ask(windows=windows(scene), priority="routine")
    offer = await offer_of(scene)
    other = await scene.another_mentor()
    async with scene.world.database.work(actor.TIMER) as w:  # the clinician meets somebody else in the first window
        case = await build.consultation(w, scene.clinician, scene.asking, state="scheduled")
        start = windows(scene)[0][0]
        await build.appointment(w, case, other, scene.memorandum, starts_at=start + timedelta(minutes=30))
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get(f"/offers/{offer.id}/counter")

    first, second = windows(scene)
    starts = [datetime.fromisoformat(value) for value in listed(page.text)]
    assert page.status_code == 200
    assert starts
    assert all(
        any(start <= at and at + timedelta(minutes=30) <= end for start, end in (first, second)) for at in starts
    )
    assert not [at for at in starts if at.date() == first[0].date() and at < first[0] + timedelta(minutes=70)]
    assert "clinician: not free" in page.text
    for word in ("CANARY", scene.clinician.display_name, other.display_name, str(case.id)):
        assert word not in page.text


async def test_where_no_windows_were_given_nothing_of_the_clinicians_days_is_shown(scene: Scene) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get(f"/offers/{offer.id}/counter")
    assert "clinician: not free" not in page.text
    assert "you: not free" in page.text
    assert len(listed(page.text)) > 20


async def test_three_times_are_picked_and_changed_while_nobody_has_chosen(scene: Scene) -> None:
    asked = await scene.ask()
    offer = await offer_of(scene)
    path = f"/offers/{offer.id}/counter"
    async with scene.browser(scene.mentor) as browser:
        picked = listed((await browser.get(path)).text)[:3]
        first = await browser.post(path, data={"starts": picked})
        page = await browser.get(path)
        own = await browser.get(f"/offers/{offer.id}")
        same = await browser.post(path, data={"starts": picked})
        mails = len(await scene.rows("SELECT 1 FROM delivery WHERE payload->>'template' = 'countered'"))
        second = await browser.post(path, data={"starts": picked[1:2]})
    changed = await offer_of(scene)
    async with scene.browser(scene.clinician) as browser:
        case = await browser.get(f"/consultations/{asked.id}")
        gone = await browser.post(f"{path}/accept", data={"starts_at": picked[0]})
        taken = await browser.post(f"{path}/accept", data={"starts_at": picked[1]})

    assert [first.status_code, same.status_code, second.status_code] == [303, 303, 303]
    assert "You have proposed" in page.text
    assert page.text.count(" checked") == 3
    assert f'href="{path}"' in own.text
    assert mails == 1, "the same times twice are one proposal"
    assert [at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in changed.counter_starts] == picked[1:2]
    assert changed.state == "countered"
    assert (picked[1] in case.text, picked[0] in case.text) == (True, False)
    assert [gone.status_code, taken.status_code] == [422, 303]


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ({}, "Please fill this in."),
        (
            {
                "starts": [
                    "2026-11-17T10:00:00Z",
                    "2026-11-17T11:00:00Z",
                    "2026-11-17T12:00:00Z",
                    "2026-11-17T13:00:00Z",
                ]
            },
            "Three",
        ),
        ({"starts": "tomorrow"}, "Please choose one of these."),
        ({"starts": "2026-11-15T10:00:00Z"}, "This time lies behind us."),
        ({"time_1": "2027-03-28T02:30"}, "Your clock never shows this time"),
        ({"time_1": "soon"}, "A date and time, please."),
    ],
)
async def test_what_cannot_be_proposed_is_said_on_the_week(scene: Scene, sent: dict[str, Any], fault: str) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post(f"/offers/{offer.id}/counter", data=sent)
    assert answer.status_code == 422
    assert fault in answer.text
    assert (await offer_of(scene)).state == "pending"


async def test_a_time_that_is_not_shown_can_be_typed_and_at_night_it_is_confirmed(scene: Scene) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    path = f"/offers/{offer.id}/counter"
    async with scene.browser(scene.mentor) as browser:
        asked = await browser.post(path, data={"time_1": "2026-11-17T03:00"})
        sure = await browser.post(path, data={"time_1": "2026-11-17T03:00", "sure": "yes"})
    assert (asked.status_code, sure.status_code) == (422, 303)
    assert 'name="sure"' in asked.text
    assert [at.isoformat() for at in (await offer_of(scene)).counter_starts] == ["2026-11-17T02:00:00+00:00"]


async def test_weeks_are_turned_within_bounds_and_an_odd_date_is_this_week(scene: Scene) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    path = f"/offers/{offer.id}/counter"
    async with scene.browser(scene.mentor) as browser:
        later = await browser.get(f"{path}?from=2026-11-23")
        far = await browser.get(f"{path}?from=2199-01-01")
        odd = await browser.get(f"{path}?from=yesterday")
        past = await browser.get(f"{path}?from=2020-01-01")
    assert "Mon 23 Nov" in later.text
    assert listed(far.text)
    assert all(
        datetime.fromisoformat(at) < scene.clock.now() + timedelta(weeks=counter_week.MOST_WEEKS)
        for at in listed(far.text)
    )
    for page in (odd, past):
        assert "Mon 16 Nov" in page.text


async def test_whoever_does_not_answer_the_offer_cannot_propose(scene: Scene) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    path = f"/offers/{offer.id}/counter"
    rival = await scene.another_mentor()
    async with scene.world.database.work(actor.TIMER) as w:
        partner, admin = await build.coordinator(w, scene.lille), await build.admin(w)
    found = {}
    for name, who in {
        "clinician": scene.clinician,
        "coordinator": scene.coordinator,
        "rival": rival,
        "partner": partner,
        "admin": admin,
    }.items():
        async with scene.browser(who) as browser:
            posted = await browser.post(path, data={"time_1": "2026-11-18T15:00"}) if name != "partner" else None
            found[name] = ((await browser.get(path)).status_code, posted.status_code if posted else None)
    assert found == {
        "clinician": (403, 403),
        "coordinator": (403, 403),
        "rival": (404, 404),
        "partner": (200, None),
        "admin": (403, 403),
    }
    async with scene.browser(scene.mentor) as browser:
        assert (await browser.get(f"/offers/{clock.new_id()}/counter")).status_code == 404
    async with scene.browser() as browser:
        assert (await browser.get(path)).status_code == 401


async def test_an_offer_that_is_over_has_no_week(scene: Scene) -> None:
    await scene.ask()
    offer = await offer_of(scene)
    await scene.act(scene.mentor, answers.decline, offer.id, "busy")
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get(f"/offers/{offer.id}/counter")
        posted = await browser.post(f"/offers/{offer.id}/counter", data={"time_1": "2026-11-18T15:00"})
    assert (page.status_code, posted.status_code) == (409, 409)
