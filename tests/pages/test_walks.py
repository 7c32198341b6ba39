"""Clinician and mentor walk through every row of the table of pages: in how many presses, and over which pages.

Each row says how many presses it may take, from the first page on. One way of each role is walked by `make test`, all
eight (phone and desk, both languages, with scripts and without) by `make drills`.
"""

# ruff: noqa: T201 - printed for `make drills`

from datetime import timedelta
from uuid import UUID

import pytest

from integrations.runtime.world import World
from pages.scene import QUESTION, Scene
from pages.test_browser import CHROMIUM
from pages.walking import PHONE, ROOM, WAYS, Walk, Way, choose, from_mail, leave, mark, press, see, walk, write
from service import timers
from service.care import answers, appointments

pytestmark = [
    pytest.mark.browser,
    pytest.mark.races,
    pytest.mark.slow,
    pytest.mark.load(20),
    pytest.mark.skipif(CHROMIUM is None, reason="LEFT OUT: no Chromium is installed (make setup-browser)"),
]
SHORT = Way(PHONE, "uk", scripts=True)
EACH_WAY = [pytest.param(way, id=way.id, marks=() if way == SHORT else pytest.mark.drill) for way in WAYS]


def entry(path: str) -> str:
    """Where the first page leads to what waits there."""
    return f"#waiting .task:has(a[href*='{path}']) a.go"


async def offer_of(scene: Scene, case_id: UUID) -> UUID:
    rows = await scene.rows("SELECT id FROM offer WHERE consultation_id = :id", id=case_id)
    offer_id: UUID = rows[0].id
    return offer_id


async def answered(walker: Walk, complaints: list[str]) -> None:
    """Say what the walk took, and fail for whatever was wrong on it."""
    print(f"{walker.way.id}: {walker.taken}")
    titles = {path.split("/")[1]: title for path, title in walker.titles.items()}
    assert len(set(titles.values())) == len(titles), titles
    assert walker.faults == []
    assert complaints == []


async def everybodys_rows(walker: Walk) -> None:
    """Switch the language, and back on the profile; sign out everywhere."""
    own = walker.way
    other = Way(own.size, "en" if own.locale == "uk" else "uk", scripts=own.scripts)

    async def reads_another(walker: Walk) -> None:
        walker.way = other if walker.way == own else own

    to_profile = press("header a[href$='/profile']")
    chosen = mark(f"#person label:has(input[name=locale][value={own.locale}])")
    await walker.to("switch the language", 3, reads_another, press(f".tools button[value={other.locale}]"))
    await walker.to("language on the profile", 3, to_profile, chosen, reads_another, press("#person form > button"))
    await walker.to("sign out everywhere", 3, to_profile, press("#devices form[action$='/profile/devices'] button"))


@pytest.mark.parametrize("way", EACH_WAY)
async def test_a_clinician_walks_through_every_row(scene: Scene, world: World, way: Way) -> None:
    said: list[str] = []
    speaks = "INSERT INTO person_language (person_id, code, level) VALUES (:person, 'en', 'B2') RETURNING 1"
    await scene.rows(speaks, person=scene.clinician.id)
    async with walk(scene, world, way, "clinician", said) as walker:
        case_id = await to_a_call(scene, walker)
        await through_a_call(scene, walker, case_id)
        unmatched = await scene.ask(languages=("lt",))
        await walker.to("see why nobody was found", 2, press(entry(f"/consultations/{unmatched.id}")))
        await everybodys_rows(walker)
    await answered(walker, said)


FILING = (
    press(".head a[href$='/consultations/new']"),
    write("#specialty", "paediatrics"),
    write("#question", QUESTION),
    mark("label:has(input[name=age_band][value=child])"),
    press("button[name=to][value='2']"),
    mark("label:has(input[name=priority][value=urgent])"),
    press("button[name=to][value='3']"),
    mark("label:has(input[name=consent][value=general])"),
    press("button[name=to][value=send]"),
)


async def to_a_call(scene: Scene, walker: Walk) -> UUID:
    """File a request, see who is asked, take a counter and a move."""
    await walker.to("file a request", 9, *FILING)
    (case,) = await scene.rows("SELECT id, number FROM consultation")
    assert case.number in await walker.page.inner_text("main")
    is_asked = see("#asked", text=scene.mentor.display_name)
    await walker.to("see who is asked and until when", 2, press("#own a.rowlink"), is_asked, see("#asked time"))
    offer_id = await offer_of(scene, case.id)
    noon = (scene.clock.now() + timedelta(days=1)).replace(hour=11)
    await scene.act(scene.mentor, answers.counter, offer_id, [noon, noon + timedelta(hours=1)])
    to_case = press(entry(f"/consultations/{case.id}"))
    both_clocks = see(".times .other", 2)
    await walker.to("take a counter", 2, to_case, both_clocks, press("form[action$='/counter/accept'] button"))
    (call,) = await scene.rows("SELECT id, starts_at, ends_at FROM appointment")
    assert call.starts_at == noon
    await scene.act(scene.mentor, appointments.move, call.id, noon + timedelta(hours=2))
    await walker.to("take a move", 2, to_case, press("form[action$='/move']:has(input[name=starts_at]) button"))
    case_id: UUID = case.id
    return case_id


async def through_a_call(scene: Scene, walker: Walk, case_id: UUID) -> None:
    """Join, log, answer the follow-up."""
    (call,) = await scene.rows("SELECT id, starts_at, ends_at FROM appointment WHERE status = 'booked'")
    to_case = press(entry(f"/consultations/{case_id}"))
    await walker.later(call.starts_at - timedelta(minutes=5))
    await walker.to("join", 2, to_case, see("a[href$='/invite.ics']"), leave("a[href$='/join']", f"https://{ROOM}/**"))
    await walker.later(call.ends_at + timedelta(minutes=1))
    await walker.to("log", 2, to_case, press("button[name=held][value=advice_given]"))
    assert [row.outcome for row in await scene.rows("SELECT outcome FROM session")] == ["advice_given"]
    await walker.later(scene.clock.now() + timedelta(days=4))
    await timers.once(scene.world.database)
    await walker.to("answer the follow-up", 2, to_case, press("button[name=useful][value=yes]"))
    assert [row.side for row in await scene.rows("SELECT side FROM feedback")] == ["requesting"]


@pytest.mark.drill
@pytest.mark.parametrize("way", WAYS, ids=[way.id for way in WAYS])
async def test_a_mentor_walks_through_every_row(scene: Scene, world: World, way: Way) -> None:
    said: list[str] = []
    async with walk(scene, world, way, "mentor", said) as walker:
        await answering(scene, walker)
        await in_writing(scene, walker)
        await own_pages(scene, walker)
        await everybodys_rows(walker)
    await answered(walker, said)


async def answering(scene: Scene, walker: Walk) -> None:
    """Answer from the mail; propose another time, and change it."""
    await scene.ask()
    path, _ = await scene.link("offer.accept", scene.mentor)
    await walker.to("answer from the mail", 2, from_mail(path), press("main form button.big"))
    offer_id = await offer_of(scene, (await scene.ask(question=f"{QUESTION} 2")).id)
    proposes = (
        press(entry(f"/offers/{offer_id}")), press("a[href$='/counter']"), mark("label.slot2"),
        press("#counter .bottom button"),
    )  # fmt: skip
    changes = (
        press(f"#beside a[href$='/offers/{offer_id}']"), press("a[href$='/counter']"),
        mark("label.slot2:not(:has(:checked))"), press("#counter .bottom button"),
    )  # fmt: skip
    await walker.to("propose another time", 4, *proposes)
    await walker.to("see and change what was proposed", 4, *changes)
    (countered,) = await scene.rows("SELECT counter_starts FROM offer WHERE state = 'countered'")
    assert len(countered.counter_starts) == 2


async def in_writing(scene: Scene, walker: Walk) -> None:
    """Promise written advice and give it; decline."""
    asked = await scene.ask(question=f"{QUESTION} 3", mode="written")
    offer_id = await offer_of(scene, asked.id)
    promises = (press(entry(f"/offers/{offer_id}")), press("form[action$='/accept'] button"))
    writes = (
        press(entry(f"/consultations/{asked.id}")), write("textarea[name=text]", "Почніть з 20 мг/кг. " * 10),
        press("form[action$='/advice'] > button"),
    )  # fmt: skip
    await walker.to("promise written advice", 2, *promises)
    await walker.to("write the advice", 3, *writes)
    other_id = await offer_of(scene, (await scene.ask(question=f"{QUESTION} 4")).id)
    busy = mark("#decline label:has(input[value=busy])")
    await walker.to("decline", 3, press(entry(f"/offers/{other_id}")), busy, press("#decline button.danger"))


async def own_pages(scene: Scene, walker: Walk) -> None:
    """Log; what became of each; be away; change the week."""
    (call,) = await scene.rows("SELECT consultation_id, ends_at FROM appointment")
    await walker.later(call.ends_at + timedelta(minutes=1))
    to_case = press(entry(f"/consultations/{call.consultation_id}"))
    await walker.to("log", 2, to_case, press("button[name=held][value=advice_given]"))
    await walker.to("my consultations", 1, press("nav a[href$='/mine']"), see("a[href$='/certificate']", 2))
    to_hours = press("nav a[href$='/hours']")
    mails = await scene.rows("SELECT id FROM delivery WHERE person_id = :id LIMIT 1", id=scene.mentor.id)
    away = f"/a/away/{scene.world.keys.link_token(mails[0].id, 'away')}"
    await walker.to("be away", 4, to_hours, press("#away button[name=until]", 1), press("#away button[name=sure]"))
    assert len(await scene.rows("DELETE FROM availability_exception RETURNING 1")) == 1
    await walker.to("be away by a link of a mail", 4, from_mail(away), press("main form button"))
    assert len(await scene.rows("DELETE FROM availability_exception RETURNING 1")) == 1
    saturday = (
        choose("select[name=day_6]", "sat"),
        write("input[name=from_6]", "9"),
        write("input[name=until_6]", "930"),
    )
    looks, saves = press("#hours .bottom button.second"), press("#hours .bottom button:not(.second)")
    await walker.to("change the week", 6, to_hours, *saturday, looks, saves)
    assert len(await scene.rows("SELECT 1 FROM weekly_hours WHERE weekday = 5")) == 1
