"""A mentor's own hours on their page: as the API has them, and nothing overwritten or promised unseen."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from pages.scene import Scene
from service import tables
from service.care import answers
from service.kernel import actor
from service.people import mentors
from service.rules.time.availability import DatedHours, Hours, Weekly

FORM = {
    "max_sessions": "3",
    "max_offers": "5",
    "notice": "12:00",
    "buffer": "10",
    "quiet_from": "22:00",
    "quiet_until": "07:00",
}


async def version_of(browser: httpx.AsyncClient) -> str:
    found = re.search(r'name="version" value="(\d+)"', (await browser.get("/hours")).text)
    assert found
    return found[1]


async def week(scene: Scene) -> list[tuple[Any, ...]]:
    rows = await scene.rows(
        "SELECT weekday, from_minute, until_minute FROM weekly_hours WHERE person_id = :id ORDER BY 1, 2",
        id=scene.mentor.id,
    )
    return [tuple(row) for row in rows]


async def exceptions(scene: Scene) -> list[tuple[Any, ...]]:
    rows = await scene.rows(
        "SELECT kind, from_wall, until_wall FROM availability_exception WHERE person_id = :id ORDER BY 2",
        id=scene.mentor.id,
    )
    return [
        (row.kind, row.from_wall.isoformat("T", "minutes"), row.until_wall.isoformat("T", "minutes")) for row in rows
    ]


def rows(*stretches: tuple[str, str, str]) -> dict[str, str]:
    """The form's rows, as a browser sends them."""
    return {
        f"{name}_{number}": value
        for number, stretch in enumerate(stretches, 1)
        for name, value in zip(("day", "from", "until"), stretch, strict=True)
    }


async def test_a_week_is_typed_in_few_keys_and_read_back_as_it_was_meant(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        week_typed = rows(
            ("mon", "9", "12.30"), ("", "", ""), ("fri", "1630", "24"), ("sun", "22", "2"), ("wed", "", "")
        )
        sent = FORM | week_typed | {"version": await version_of(browser), "opt": "stat", "notice": "24"}
        answer = await browser.post("/hours", data=sent)
        page = await browser.get("/hours")

    assert (answer.status_code, answer.headers["location"]) == (303, "/hours?saved=1")
    assert await week(scene) == [(0, 0, 120), (0, 540, 750), (4, 990, 1440), (6, 1320, 1440)]
    (profile,) = await scene.rows("SELECT notice_minutes, opt_ins, sessions_per_week FROM mentor_profile")
    assert tuple(profile) == (1440, ["stat"], 3)
    for shown in ('value="09:00"', 'value="12:30"', 'value="22:00"', 'value="02:00"'):  # one row over midnight
        assert shown in page.text
    assert page.text.count('value="02:00"') == 1


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        (rows(("mon", "25:10", "26")), "A time such as 9, 930 or 9:30"),
        (rows(("mon", "9", "")), "Please fill this in."),
        (rows(("", "9", "12")), "Please choose one of these."),
        (rows(("mon", "9", "9")), "It ends when it begins."),
        (rows(("mon", "9", "12"), ("mon", "11", "14")), "Overlaps other hours of the day"),
        (rows(("sun", "22", "8"), ("mon", "7", "9")), "Overlaps other hours of the day"),
        ({"max_sessions": "101"}, "A whole number within the bounds"),
        ({"max_offers": "-1"}, "A whole number within the bounds"),
        ({"notice": "337"}, "Hours such as 24 or 1:30"),
        ({"notice": "1.5"}, "Hours such as 24 or 1:30"),
        ({"buffer": "121"}, "A whole number within the bounds"),
        ({"quiet_from": "7 in the morning"}, "A time such as 9, 930 or 9:30"),
        ({"opt": "never"}, "Please choose one of these."),
    ],
)
async def test_what_cannot_be_read_is_said_beside_its_field_and_nothing_is_stored(
    scene: Scene, changed: dict[str, str], fault: str
) -> None:
    before = await week(scene)
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post("/hours", data=FORM | {"version": await version_of(browser)} | changed)

    assert answer.status_code == 422
    assert fault in answer.text
    assert 'aria-invalid="true"' in answer.text or "opt" in changed
    for name, value in changed.items():
        assert name == "opt" or not value or f'value="{value}"' in answer.text, "what was typed stays"
    assert await week(scene) == before


async def test_of_two_windows_the_second_is_told_and_overwrites_nothing(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        version = await version_of(browser)
        first = await browser.post("/hours", data=FORM | rows(("mon", "8", "10")) | {"version": version})
        second = await browser.post("/hours", data=FORM | rows(("tue", "14", "16")) | {"version": version})
        after_second = await week(scene)
        newer = re.search(r'name="version" value="(\d+)"', second.text)
        assert newer
        again = await browser.post("/hours", data=FORM | rows(("tue", "14", "16")) | {"version": newer[1]})

    assert [first.status_code, second.status_code, again.status_code] == [303, 412, 303]
    assert after_second == [(0, 480, 600)]
    assert "Your hours were changed meanwhile" in second.text
    assert "Monday 08:00\N{EN DASH}10:00" in second.text, "what is stored is shown"
    assert 'value="14"' in second.text, "what was typed stays"
    assert await week(scene) == [(1, 840, 960)]


async def test_the_same_form_twice_is_told_and_changes_nothing_more(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        sent = FORM | rows(("mon", "8", "10")) | {"version": await version_of(browser)}
        statuses = [(await browser.post("/hours", data=sent)).status_code for _ in range(2)]
    assert statuses == [303, 412]
    assert len(await scene.rows("SELECT 1 FROM event WHERE type = 'mentor.availability_changed'")) == 1


async def test_who_only_changes_limits_records_no_change_of_hours(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get("/hours")
        inputs = dict(re.findall(r'name="((?:from|until)_\d+)"[^>]* value="([^"]*)"', page.text))
        days = dict(re.findall(r'name="(day_\d+)".*?value="([a-z]{3})" selected', page.text))
        sent = FORM | inputs | days | {"version": await version_of(browser), "max_offers": "2"}
        answer = await browser.post("/hours", data=sent)
    assert answer.status_code == 303
    assert len(await week(scene)) == 5
    assert await scene.rows("SELECT 1 FROM event WHERE type = 'mentor.availability_changed'") == []
    assert [row[0] for row in await scene.rows("SELECT offers_per_week FROM mentor_profile")] == [2]


async def test_another_row_is_offered_and_what_is_not_finished_is_not_scolded(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        sent = FORM | rows(("mon", "9", "")) | {"version": await version_of(browser), "add": "1"}
        answer = await browser.post("/hours", data=sent)
    assert answer.status_code == 200
    assert 'name="from_3"' in answer.text
    assert "Please fill this in." not in answer.text
    assert len(await week(scene)) == 5


async def test_the_preview_stores_nothing_and_says_so(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        sent = FORM | rows(("mon", "9", "10"), ("sun", "3", "4")) | {"version": await version_of(browser)}
        before = await scene.state()
        answer = await browser.post("/hours/preview", data=sent)
        unreadable = await browser.post("/hours/preview", data=sent | {"from_1": "soon"})

    assert (answer.status_code, unreadable.status_code) == (200, 200)
    assert "A time such as 9, 930 or 9:30" in unreadable.text
    assert "3 starts of 30 minutes" in answer.text  # 9:00, 9:15, 9:30; Sunday at 3 is in the quiet hours
    assert "Not saved yet." in answer.text
    assert "Mon 23 Nov" in answer.text
    assert "09:00\N{EN DASH}09:30" in answer.text
    assert "10:00\N{EN DASH}10:30" in answer.text  # in Kyiv
    assert await scene.state() == before


async def test_hours_that_the_clocks_skip_are_no_starts(scene: Scene) -> None:
    """On the last Sunday of March, Paris has no 02:00 to 03:00, and an hour less before 04:00."""
    scene.clock.set(datetime(2027, 3, 17, 9, tzinfo=UTC))  # a Wednesday: the next week ends with that Sunday
    async with scene.browser(scene.mentor) as browser:
        quiet = {"quiet_from": "22", "quiet_until": "23"}
        sent = FORM | quiet | rows(("sun", "2", "3")) | {"version": await version_of(browser), "notice": "0"}
        gone = await browser.post("/hours/preview", data=sent)
        rest = await browser.post("/hours/preview", data=sent | rows(("sun", "2", "4")))
    assert "0 starts of 30 minutes" in gone.text
    assert "3 starts of 30 minutes" in rest.text
    assert "03:00\N{EN DASH}03:30" in rest.text


async def test_hours_by_another_clock_are_said_and_can_follow_ones_own(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE mentor_profile SET availability_zone = 'America/Toronto'"))
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get("/hours")
        sent = FORM | rows(("mon", "9", "10")) | {"version": await version_of(browser)}
        kept = await browser.post("/hours", data=sent)
        zones = [row[0] for row in await scene.rows("SELECT availability_zone FROM mentor_profile")]
        moved = await browser.post("/hours", data=sent | {"version": await version_of(browser), "own_zone": "yes"})

    assert "Toronto" in page.text
    assert 'name="own_zone"' in page.text
    assert [kept.status_code, moved.status_code] == [303, 303]
    assert zones == ["America/Toronto"]
    assert [row[0] for row in await scene.rows("SELECT availability_zone FROM mentor_profile")] == ["Europe/Paris"]


@pytest.mark.parametrize(("days", "until"), [(1, "2026-11-17T00:00"), (7, "2026-11-23T00:00")])
async def test_an_absence_from_now_takes_one_press_and_twice_is_once(scene: Scene, days: int, until: str) -> None:
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get("/hours")
        back = datetime.fromisoformat(until).date().isoformat()
        answers_ = [await browser.post("/hours/absences", data={"until": back}) for _ in range(2)]
        after = await browser.get("/hours")

    assert f'name="until" value="{back}"' in page.text
    assert [answer.status_code for answer in answers_] == [303, 303], days
    assert await exceptions(scene) == [("away", "2026-11-16T09:00", until)]  # 08:00Z is 09:00 in Paris
    assert "Mon 16 Nov" in after.text


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ({"away_from": "2026-12-24", "away_back": "2026-12-24"}, "The first day back comes after"),
        ({"away_from": "2026-12-24", "away_back": "2026-12-20"}, "The first day back comes after"),
        ({"away_from": "2026-10-01", "away_back": "2026-11-16"}, "The first day back comes after"),
        ({"away_from": "2026-12-24", "away_back": "2062-01-03"}, "Two years at most"),
        ({"away_from": "2026-12-24", "away_back": ""}, "Please fill this in."),
        ({"away_from": "24.12.2026", "away_back": "2027-01-03"}, "A date, please."),
        ({"until": "2026-11-16"}, "The first day back comes after"),
        ({"until": "tomorrow"}, "A date, please."),
        ({}, "Please fill this in."),
    ],
)
async def test_an_absence_that_cannot_be_meant_is_refused_with_words(
    scene: Scene, sent: dict[str, str], fault: str
) -> None:
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post("/hours/absences", data=sent)
    assert answer.status_code == 422
    assert fault in answer.text
    assert await exceptions(scene) == []


async def test_absences_that_touch_are_one_and_an_absence_is_taken_back(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        for first, back in (("2026-12-24", "2026-12-27"), ("2026-12-27", "2027-01-03")):
            await browser.post("/hours/absences", data={"away_from": first, "away_back": back})
        merged = await exceptions(scene)
        page = await browser.get("/hours")
        removal = {"kind": "away", "from": "2026-12-24T00:00:00", "until": "2027-01-03T00:00:00"}
        statuses = [(await browser.post("/hours/removal", data=removal)).status_code for _ in range(2)]

    assert merged == [("away", "2026-12-24T00:00", "2027-01-03T00:00")]
    assert "Thu 24 Dec" in page.text
    assert "Sat 2 Jan 2027" in page.text, "the last day away, and the year where it is another"
    assert statuses == [303, 303]
    assert await exceptions(scene) == []


async def test_an_absence_begins_with_the_first_moment_of_a_day_that_has_no_midnight(scene: Scene) -> None:
    """In Cairo the clocks go from 24:00 to 01:00 on the last Friday of April."""
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE mentor_profile SET availability_zone = 'Africa/Cairo'"))
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post("/hours/absences", data={"away_from": "2027-04-30", "away_back": "2027-05-03"})
    assert answer.status_code == 303
    assert await exceptions(scene) == [("away", "2027-04-30T01:00", "2027-05-03T00:00")]


async def booked(scene: Scene) -> Any:  # noqa: ANN401 - a row of the offer that waits
    """A call tomorrow, and another offer that waits."""
    await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer")
    await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    await scene.ask()
    (waiting,) = await scene.rows("SELECT id, starts, state FROM offer WHERE state = 'pending'")
    return waiting


async def test_what_an_absence_lies_over_is_said_before_it_is_saved_and_stays(scene: Scene) -> None:
    waiting = await booked(scene)
    sent = {"away_from": "2026-11-16", "away_back": "2026-11-23"}
    async with scene.browser(scene.mentor) as browser:
        asked = await browser.post("/hours/absences", data=sent)
        unsaved = await exceptions(scene)
        mails = len(await scene.rows("SELECT 1 FROM delivery"))
        saved = await browser.post("/hours/absences", data=sent | {"sure": "yes"})

    assert (asked.status_code, saved.status_code) == (422, 303)
    assert unsaved == []
    assert "These calls stay booked" in asked.text
    assert "These offers wait for you" in asked.text
    assert f"/offers/{waiting.id}" in asked.text
    assert "CANARY" not in asked.text
    assert 'name="sure"' in asked.text
    assert [row[0] for row in await scene.rows("SELECT status FROM appointment")] == ["booked"]
    assert [row[0] for row in await scene.rows("SELECT state FROM offer WHERE id = :id", id=waiting.id)] == ["pending"]
    assert len(await scene.rows("SELECT 1 FROM delivery")) == mails, "nobody is told of an absence"


async def test_the_offers_in_an_absence_are_declined_with_it_if_wished(scene: Scene) -> None:
    waiting = await booked(scene)
    sent = {"until": "2026-11-23", "sure": "yes", "decline": "yes"}
    async with scene.browser(scene.mentor) as browser:
        statuses = [(await browser.post("/hours/absences", data=sent)).status_code for _ in range(2)]
    assert statuses == [303, 303]
    (offer,) = await scene.rows("SELECT state, decline_reason FROM offer WHERE id = :id", id=waiting.id)
    assert tuple(offer) == ("declined", "busy")
    assert [row[0] for row in await scene.rows("SELECT status FROM appointment")] == ["booked"]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ({"extra_day": "2026-12-05", "extra_from": "9", "extra_until": "12"}, ("2026-12-05T09:00", "2026-12-05T12:00")),
        ({"extra_day": "2026-12-05", "extra_from": "22", "extra_until": "2"}, ("2026-12-05T22:00", "2026-12-06T02:00")),
        (
            {"extra_day": "2026-12-05", "extra_from": "22", "extra_until": "24"},
            ("2026-12-05T22:00", "2026-12-06T00:00"),
        ),
    ],
)
async def test_extra_hours_are_added_also_over_midnight(
    scene: Scene, sent: dict[str, str], stored: tuple[str, str]
) -> None:
    async with scene.browser(scene.mentor) as browser:
        statuses = [(await browser.post("/hours/extra", data=sent)).status_code for _ in range(2)]
    assert statuses == [303, 303]
    assert await exceptions(scene) == [("extra", *stored)]


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        ({"extra_day": "2027-03-28", "extra_from": "2:30", "extra_until": "5"}, "Your clock never shows this time"),
        ({"extra_day": "2027-03-28", "extra_from": "1", "extra_until": "2:30"}, "Your clock never shows this time"),
        ({"extra_day": "2026-11-15", "extra_from": "9", "extra_until": "12"}, "This time lies behind us."),
        ({"extra_day": "2026-12-05", "extra_from": "9", "extra_until": "9"}, "It ends when it begins."),
        ({"extra_day": "2026-12-05", "extra_from": "25:10", "extra_until": "26"}, "A time such as 9, 930 or 9:30"),
        ({}, "Please fill this in."),
    ],
)
async def test_extra_hours_that_no_clock_shows_are_refused(scene: Scene, sent: dict[str, str], fault: str) -> None:
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post("/hours/extra", data=sent)
    assert answer.status_code == 422
    assert fault in answer.text
    assert await exceptions(scene) == []


@pytest.mark.parametrize("removal", [{}, {"kind": "away"}, {"kind": "never", "from": "2026-12-24T00:00", "until": "x"}])
async def test_a_removal_that_no_button_of_ours_sends_is_missing(scene: Scene, removal: dict[str, str]) -> None:
    async with scene.browser(scene.mentor) as browser:
        assert (await browser.post("/hours/removal", data=removal)).status_code == 404


async def test_the_page_is_for_mentors_and_says_so_to_everybody_else(scene: Scene) -> None:
    posts = ("/hours", "/hours/preview", "/hours/absences", "/hours/extra")
    before = await week(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        others = [scene.clinician, scene.coordinator, await build.admin(w), await build.coordinator(w, scene.lille)]
    for who in others:
        async with scene.browser(who) as browser:
            assert (await browser.get("/hours")).status_code == 403
            for path in posts:
                assert (await browser.post(path, data=FORM)).status_code == 403, path
            removal = {"kind": "away", "from": "2026-12-24T00:00", "until": "2027-01-03T00:00"}
            assert (await browser.post("/hours/removal", data=removal)).status_code == 404
    async with scene.browser() as browser:
        assert (await browser.get("/hours")).status_code == 401
        for path in (*posts, "/hours/removal"):
            assert (await browser.post(path, data=FORM)).status_code == 401, path
    assert await week(scene) == before


async def test_a_mentor_whom_nobody_has_verified_sees_what_the_week_would_offer_and_that_it_does_not_yet(
    scene: Scene,
) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE mentor_profile SET verified_until = NULL"))
    async with scene.browser(scene.mentor) as browser:
        page = await browser.get("/hours")
    assert "You are not verified at present" in page.text
    assert "155 starts of 30 minutes" in page.text  # five days from 9 to 17, every quarter of an hour until 16:30


async def test_quiet_hours_of_a_whole_day_leave_nothing_to_book_as_the_gate_has_it(scene: Scene) -> None:
    """The list of bookable times took them for none at all, and offered what the gate refuses."""

    async def bookable(w: Any) -> int:  # noqa: ANN401 - a unit of work
        row = await w.read(tables.MentorProfile, scene.mentor.id)
        return len(await mentors.slots(w, row, (w.now, w.now + timedelta(days=7)), 30))

    assert await scene.act(scene.mentor, bookable) > 0
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE mentor_profile SET quiet_from_minute = 420, quiet_until_minute = 420"))
    assert await scene.act(scene.mentor, bookable) == 0


async def test_more_exceptions_than_are_kept_are_refused_by_the_verb_too(scene: Scene) -> None:
    first = datetime(2027, 1, 1)  # noqa: DTZ001 - wall times
    many = [
        DatedHours("away", first + timedelta(days=2 * number), first + timedelta(days=2 * number + 1))
        for number in range(mentors.MOST_EXCEPTIONS)
    ]
    async with scene.world.database.work(actor.TIMER) as w:
        row = await w.read(tables.MentorProfile, scene.mentor.id)
        await mentors.put_hours(w, row, Hours("Europe/Paris", (Weekly(0, 540, 600),), tuple(many)))
    async with scene.browser(scene.mentor) as browser:
        answer = await browser.post("/hours/absences", data={"until": "2026-11-23"})
        page = await browser.get("/hours")
    assert answer.status_code == 422
    assert page.status_code == 200
    assert len(await exceptions(scene)) == mentors.MOST_EXCEPTIONS
