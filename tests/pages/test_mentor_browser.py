"""A mentor's work in a real browser, with and without scripts, on a phone and a desk: how many presses it takes."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from integrations.runtime import mail_delivery
from integrations.runtime.world import World
from pages.scene import Scene
from pages.test_browser import CHROMIUM, served
from service.kernel import actor
from service.outbox import deliveries

if TYPE_CHECKING:
    from playwright.async_api import Page

PHONE, DESK = (390, 844), (1280, 900)
FOLD = 844
MAIL_BUTTON_Y, PAGE_BUTTON_Y = 250, 560
"""By where the first button of the mail, and of the offer's page, is to begin on a phone."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.races,
    pytest.mark.slow,
    pytest.mark.drill,
    pytest.mark.skipif(CHROMIUM is None, reason="LEFT OUT: no Chromium is installed (make setup-browser)"),
]
WAYS = [(size, scripts) for size in (PHONE, DESK) for scripts in (True, False)]
IDS = [f"{'phone' if size == PHONE else 'desk'}-{'scripts' if scripts else 'plain'}" for size, scripts in WAYS]


class Presses:
    """Counts what a person presses."""

    def __init__(self, page: "Page") -> None:
        self.page, self.count = page, 0

    async def press(self, role: str, name: str, place: int = 0) -> None:
        self.count += 1
        await self.page.get_by_role(role, name=re.compile(name)).nth(place).click()  # type: ignore[arg-type]


@asynccontextmanager
async def opened(
    scene: Scene, address: str, said: list[str], size: tuple[int, int], *, scripts: bool, locale: str = "en"
) -> AsyncIterator["Page"]:
    """A browser in which the mentor is signed in."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - slow to import, and not needed elsewhere

    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            java_script_enabled=scripts,
            service_workers="block",
            has_touch=size == PHONE,
        )
        context.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        await context.request.post(address + await scene.sign_in_path(scene.mentor))
        await context.request.post(f"{address}/language", form={"locale": locale, "back": "/offline"})
        yield await context.new_page()
        await chromium.close()


def complaints(said: list[str]) -> list[str]:
    return [text for text in said if "the server responded with a status of" not in text]


@pytest.mark.parametrize(("size", "scripts"), WAYS, ids=IDS)
async def test_an_absence_takes_two_presses_from_home(
    scene: Scene, world: World, size: tuple[int, int], *, scripts: bool
) -> None:
    said: list[str] = []
    async with served(world) as address, opened(scene, address, said, size, scripts=scripts) as page:
        await page.goto(address)
        presses = Presses(page)
        await presses.press("link", "^My hours$")
        await presses.press("button", "^For a week$")
        await page.wait_for_url("**/hours?saved=1**")
        assert await page.get_by_text("Mon 16 Nov").count()
    assert presses.count == 2
    assert len(await scene.rows("SELECT 1 FROM availability_exception")) == 1
    assert complaints(said) == []


@pytest.mark.parametrize(("size", "scripts"), WAYS, ids=IDS)
async def test_a_counter_takes_a_press_for_each_time_and_two(
    scene: Scene, world: World, size: tuple[int, int], *, scripts: bool
) -> None:
    said: list[str] = []
    await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer")
    async with served(world) as address, opened(scene, address, said, size, scripts=scripts) as page:
        await page.goto(f"{address}/offers/{offer.id}")
        presses = Presses(page)
        await presses.press("link", "^Propose other times$")
        for place in range(2):
            presses.count += 1
            await page.locator("label.slot2").nth(place).click()
        await presses.press("button", "^Propose")
        await page.wait_for_url(f"**/offers/{offer.id}")
    assert presses.count == 4
    (changed,) = await scene.rows("SELECT state, counter_starts FROM offer")
    assert (changed.state, len(changed.counter_starts)) == ("countered", 2)
    assert complaints(said) == []


@pytest.mark.parametrize(("size", "scripts"), WAYS, ids=IDS)
async def test_an_offer_is_taken_by_one_press_on_the_first_screen(
    scene: Scene, world: World, size: tuple[int, int], *, scripts: bool
) -> None:
    said: list[str] = []
    await scene.ask(question="One line of a question that is long enough to be shortened. " * 20)
    (offer,) = await scene.rows("SELECT id FROM offer")
    async with served(world) as address, opened(scene, address, said, size, scripts=scripts) as page:
        await page.goto(f"{address}/offers/{offer.id}")
        button = page.locator("button[name=starts_at]").first
        box = await button.bounding_box()
        assert box
        assert box["y"] + box["height"] <= PAGE_BUTTON_Y + box["height"]
        await button.click()
        await page.wait_for_url(f"**/offers/{offer.id}")
    assert [row[0] for row in await scene.rows("SELECT status FROM appointment")] == ["booked"]
    assert complaints(said) == []


@pytest.mark.parametrize("letter", ["offer", "offer_written"])
@pytest.mark.parametrize("locale", ["en", "uk"])
async def test_the_mail_of_an_offer_has_its_first_button_on_the_first_screen(
    scene: Scene, world: World, letter: str, locale: str
) -> None:
    from email import message_from_bytes, policy  # noqa: PLC0415 - of this test only

    await scene.rows("UPDATE person SET locale = :locale WHERE id = :id RETURNING 1", locale=locale, id=scene.mentor.id)
    await scene.ask(mode="written" if letter == "offer_written" else "live")
    (row,) = await scene.rows("SELECT id FROM delivery WHERE payload->>'template' = :template", template=letter)
    async with world.database.work(actor.TIMER) as w:
        claim = await deliveries.claim(w, row.id)
    assert claim
    part = message_from_bytes(mail_delivery.compose(world, claim), policy=policy.default).get_body(("html",))
    assert part
    async with served(world) as address, opened(scene, address, [], PHONE, scripts=False) as page:
        await page.set_content(part.get_content())
        box = await page.locator("a.button").first.bounding_box()
        text = await page.locator("body").inner_text()
    assert box
    assert box["y"] <= MAIL_BUTTON_Y
    place = "Paris" if locale == "en" else "Париж"
    other = "Kyiv" if locale == "en" else "Київ"
    assert place in text
    assert other not in text or text.index(place) < text.index(other), "one's own clock first"


async def test_the_week_is_walked_and_painted_by_keyboard_and_written_into_the_rows(scene: Scene, world: World) -> None:
    said: list[str] = []
    async with served(world) as address, opened(scene, address, said, DESK, scripts=True) as page:
        await page.goto(f"{address}/hours")
        cell = page.locator("#grid td button")
        assert await cell.count() == 7 * 14
        assert [await page.locator("#grid [tabindex='0']").count()] == [1], "one stop for Tab"
        await cell.first.focus()
        await page.keyboard.press("ArrowDown")  # Monday at 8
        await page.keyboard.press("Space")
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Enter")  # Tuesday at 8
        await page.keyboard.press("Shift+ArrowUp")  # Tuesday at 7
        rows = await page.locator("#ranges .row").evaluate_all(
            "rows => rows.map(r => [...r.querySelectorAll('select,input')].map(e => e.value).join(' '))"
        )
        await page.locator("#preview").get_by_text("167 starts").wait_for()
        await page.get_by_role("button", name="Save my hours").last.click()
        await page.wait_for_url("**/hours?saved=1**")
    assert rows[:2] == ["mon 08:00 17:00", "tue 07:00 17:00"]
    stored = await scene.rows("SELECT weekday, from_minute, until_minute FROM weekly_hours ORDER BY 1 LIMIT 2")
    assert [tuple(row) for row in stored] == [(0, 480, 1020), (1, 420, 1020)]
    assert complaints(said) == []


async def test_painting_one_hour_leaves_the_quarters_of_the_others_as_they_were_typed(
    scene: Scene, world: World
) -> None:
    said: list[str] = []
    async with served(world) as address, opened(scene, address, said, PHONE, scripts=True) as page:
        await page.goto(f"{address}/hours")
        await page.locator("[name=from_1]").fill("9.15")
        await page.locator("[name=until_1]").fill("1645")
        assert await page.locator("#grid td.half").count() == 2
        await page.locator("#grid td button[aria-label='Friday, 9:00']").tap()
        await page.get_by_role("button", name="Save my hours").last.click()
        await page.wait_for_url("**/hours?saved=1**")
    stored = await scene.rows("SELECT weekday, from_minute, until_minute FROM weekly_hours ORDER BY 1")
    assert (stored[0].from_minute, stored[0].until_minute) == (555, 1005)
    assert (stored[4].from_minute, stored[4].until_minute) == (600, 1020)
    assert complaints(said) == []


async def test_the_link_of_a_mail_takes_one_press_and_no_sign_in(scene: Scene, world: World) -> None:
    await scene.ask()
    (row,) = await scene.rows("SELECT id FROM delivery WHERE payload->>'template' = 'offer'")
    async with served(world) as address, opened(scene, address, [], PHONE, scripts=False) as page:
        await page.context.clear_cookies()
        await page.goto(f"{address}/a/away/{world.keys.link_token(row.id, 'away')}")
        await page.get_by_role("button", name="Until tomorrow").click()
        await page.get_by_role("heading", name="You are away").wait_for()
    assert len(await scene.rows("SELECT 1 FROM availability_exception")) == 1
