"""A request as a doctor files it in a real browser: how many presses it takes, and that "back" loses nothing.

On a phone and a desk, in both languages, with and without scripts.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import build
from integrations.runtime.world import World
from pages.scene import Scene
from pages.test_browser import CHROMIUM, served
from service.kernel import actor

if TYPE_CHECKING:
    from playwright.async_api import Page

MOST_PRESSES = 9
"""New, specialty, question, age, on, urgency, on, consent, send: nothing clinical is preset (pages.md)."""
WORDS = {
    "uk": ("Подати запит", "Далі", "Надіслати запит", "Комбустіологія", "опі"),
    "en": ("Ask for a consultation", "Continue", "Send the request", "Burns care", "bur"),
}
ALL = [(width, locale, has_script) for width in (390, 1280) for locale in ("uk", "en") for has_script in (False, True)]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.races,
    pytest.mark.slow,
    pytest.mark.load(10),
    pytest.mark.skipif(CHROMIUM is None, reason="LEFT OUT: no Chromium is installed (make setup-browser)"),
]


class Hand:
    """What presses, and counts; typing is no press."""

    def __init__(self, page: "Page") -> None:
        self.page, self.presses = page, 0

    async def press(self, what: str) -> None:
        await self.page.locator(what).click()
        self.presses += 1


TRIED = ALL if os.environ.get("DRILLS") == "1" else [ALL[0], ALL[-1]]
QUESTION = "Child with burns of 20 per cent: which dose?"


@asynccontextmanager
async def signed_in(
    scene: Scene, world: World, width: int, locale: str, *, has_script: bool
) -> AsyncIterator[tuple["Page", str]]:
    """The clinician's browser, and our address; nothing complains."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - slow to import, and not needed elsewhere

    async with world.database.work(actor.TIMER) as w:
        await build.specialty(w, "sur.burns", name_en="Burns care", name_uk="Комбустіологія")
    await scene.rows("UPDATE person SET locale = :locale RETURNING 1", locale=locale)
    await scene.rows(
        "INSERT INTO person_language (person_id, code, level) VALUES (:p, 'en', 'B2') RETURNING 1",
        p=scene.clinician.id,
    )
    complaints: list[str] = []
    async with served(world) as address, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(
            viewport={"width": width, "height": 844}, java_script_enabled=has_script, service_workers="block"
        )
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        await context.request.post(address + await scene.sign_in_path(scene.clinician))
        yield page, address
        await browser.close()
    assert complaints == []


@pytest.mark.parametrize(("width", "locale", "has_script"), TRIED)
async def test_a_request_takes_nine_presses(
    scene: Scene, world: World, width: int, locale: str, *, has_script: bool
) -> None:
    """Of a specialty that was asked about before, and of one that is found by typing."""
    await scene.ask(consent=None)
    ask, go_on, send, name, typed = WORDS[locale]
    async with signed_in(scene, world, width, locale, has_script=has_script) as (page, address):
        for is_found in (False, True):
            hand = Hand(page)
            await page.goto(address)
            await hand.press(f"a:has-text('{ask}')")
            if is_found:
                await hand.press("#specialty")
                await page.locator("#specialty").press_sequentially(typed)
                if has_script:
                    await hand.press(f"label:has-text('{name}')")
            else:
                await hand.press("label:has(input[value=paediatrics])")
            await hand.press("#question")
            await page.keyboard.type(QUESTION)
            await hand.press("label:has(input[name=age_band][value=child])")
            await hand.press(f"button:has-text('{go_on}')")
            await hand.press("label:has(input[name=priority][value=urgent])")
            await hand.press(f"button:has-text('{go_on}')")
            await hand.press("label:has(input[name=consent][value=general])")
            await hand.press(f"button:has-text('{send}')")
            await page.wait_for_url("**/sent")
            assert hand.presses <= MOST_PRESSES + (is_found and has_script)
            assert (await page.locator(".notice b.num").inner_text()).startswith("R-")
    rows = await scene.rows("SELECT specialty_code, state FROM consultation ORDER BY id")
    assert [row.specialty_code for row in rows] == ["paediatrics", "paediatrics", "sur.burns"]


@pytest.mark.parametrize(("width", "locale", "has_script"), TRIED)
async def test_back_and_reload_lose_nothing(
    scene: Scene, world: World, width: int, locale: str, *, has_script: bool
) -> None:
    """From the check back to the question and forward again; the check is mended from there; it is filed once."""
    _, go_on, send, _, typed = WORDS[locale]
    async with signed_in(scene, world, width, locale, has_script=has_script) as (page, address):
        await page.goto(f"{address}/consultations/new")
        await page.fill("#specialty", typed)
        await page.fill("#question", QUESTION)
        await page.locator(f"button:has-text('{go_on}')").click()  # without an age: led back to it
        assert await page.locator("#faults a").get_attribute("href") == "#age_band"
        await page.check("input[name=age_band][value=child]")
        await page.locator(f"button:has-text('{go_on}')").click()
        await page.check("input[name=priority][value=urgent]")
        await page.locator(f"button:has-text('{go_on}')").click()
        await page.check("input[name=consent][value=general]")
        for _ in range(10):
            if await page.locator("#question").count():
                break
            await page.go_back()
        assert await page.locator("#question").input_value() == QUESTION
        assert await page.locator("input[name=age_band][value=child]").is_checked()
        await page.reload()
        assert await page.locator("#question").input_value() == QUESTION
        await page.fill("#question", f"{QUESTION} Changed.")
        await page.locator(f"button:has-text('{go_on}')").click()
        assert await page.locator("input[name=priority][value=urgent]").is_checked()
        await page.locator(f"button:has-text('{go_on}')").click()
        await page.check("input[name=consent][value=general]")
        await page.locator(f"button:has-text('{send}')").dblclick()
        await page.wait_for_url("**/sent")
        await page.go_back()
        assert await page.locator("#question").input_value() == ""
    (row,) = await scene.rows("SELECT specialty_code, question FROM consultation")
    assert row.specialty_code == "sur.burns"
