"""The pages in a real browser, on a phone's screen and without any script: what a person sees and presses."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

import flow
from api import app
from integrations.runtime.world import World
from pages.scene import QUESTION, Scene
from service import timers
from service.kernel import actor

if TYPE_CHECKING:
    from playwright.async_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTH, HEIGHT = 390, 844

pytestmark = [
    pytest.mark.browser,
    pytest.mark.races,
    pytest.mark.slow,
    pytest.mark.load(10),
    pytest.mark.skipif(CHROMIUM is None, reason="LEFT OUT: no Chromium is installed (make setup-browser)"),
]


@asynccontextmanager
async def served(world: World) -> AsyncIterator[str]:
    """The application on a port of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    world.settings = world.settings.model_copy(update={"base_url": address})
    server = uvicorn.Server(uvicorn.Config(app.create(world), log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield address
    finally:
        server.should_exit = True
        await task
        listening.close()


@asynccontextmanager
async def phone(complaints: list[str], locale: str) -> AsyncIterator["Page"]:
    """A page of a browser without scripts; what the browser complains of is kept."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - slow to import, and not needed elsewhere

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(
            viewport={"width": WIDTH, "height": HEIGHT}, java_script_enabled=False, locale=locale
        )
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        yield page
        await browser.close()


async def picture(page: "Page", folder: Path, name: str) -> None:
    """Keep a picture, in the folder of TESTS_PICTURES if it is set; nothing may be wider than the phone."""
    folder = Path(os.environ.get("TESTS_PICTURES", folder))
    await page.screenshot(path=folder / f"{name}.png", full_page=True)
    for box in [await element.bounding_box() for element in await page.locator("section, input, button").all()]:
        assert box is None or box["x"] + box["width"] <= WIDTH, name


async def test_a_clinician_asks_and_a_mentor_accepts_on_phones_without_scripts(
    scene: Scene, world: World, tmp_path: Path
) -> None:
    complaints: list[str] = []
    async with served(world) as address:
        async with phone(complaints, "uk-UA") as page:
            await page.goto(address)
            await picture(page, tmp_path, "1-welcome")
            await page.goto(address + await scene.sign_in_path(scene.clinician))
            await page.get_by_role("button", name="Увійти").click()
            await page.get_by_role("link", name="Подати запит").click()
            await picture(page, tmp_path, "2-new")
            await page.fill("#specialty", "педіатрі")
            await page.fill("textarea[name=question]", "Дитина з опіком. Тел. +380 44 123 45 67")
            await page.check("input[name=age_band][value=child]")
            await page.get_by_role("button", name="Далі").click()
            await picture(page, tmp_path, "3-personal-data")
            await page.fill("textarea[name=question]", "Дитина 5 років з опіком 20 %: яка доза?")
            await page.get_by_role("button", name="Далі").click()
            await page.get_by_text("Терміново: протягом 24 годин").click()
            await page.check("input[name=mode][value=live]")
            await page.check("input[name=languages][value=en]")
            await picture(page, tmp_path, "3-second-step")
            await page.get_by_role("button", name="Далі").click()
            await page.check("input[name=consent][value=general]")
            await picture(page, tmp_path, "3-third-step")
            await page.get_by_role("button", name="Надіслати запит").click()
            await page.wait_for_url("**/consultations/*-*/sent")
            await picture(page, tmp_path, "4-sent")
            await page.get_by_role("link", name="Стежити за запитом").click()
            await picture(page, tmp_path, "4-consultation")
        async with phone(complaints, "en-GB") as page:
            path, _ = await scene.link("offer.accept")
            await page.goto(address + path)
            await picture(page, tmp_path, "5-accept")
            await page.get_by_role("button", name="Yes, I take it").click()
            await picture(page, tmp_path, "6-accepted")
            await page.goto(address + await scene.sign_in_path(scene.mentor))
            await page.get_by_role("button", name="Sign in").click()
            await picture(page, tmp_path, "7-home")
            await page.get_by_role("link", name="Paediatrics").first.click()
            await picture(page, tmp_path, "8-mentor-consultation")
        assert [row.status for row in await scene.rows("SELECT status FROM appointment")] == ["booked"]
    assert [text for text in complaints if "Content Security Policy" in text] == []


async def test_a_mentor_who_is_late_reads_the_question_again_and_accepts(
    scene: Scene, world: World, tmp_path: Path
) -> None:
    complaints: list[str] = []
    await scene.ask()
    (offer,) = await scene.rows("SELECT id, answer_by FROM offer")
    async with world.database.work(actor.TIMER) as w:
        await w.sql(flow.OFFERS_LEFT)
    scene.clock.set(offer.answer_by)
    await timers.once(world.database)
    async with served(world) as address, phone(complaints, "en-GB") as page:
        await page.goto(address + await scene.sign_in_path(scene.mentor))
        await page.get_by_role("button", name="Sign in").click()
        await picture(page, tmp_path, "20-late-home")
        await page.goto(f"{address}/offers/{offer.id}")
        await picture(page, tmp_path, "21-late-offer")
        assert not await page.get_by_text(QUESTION).count()
        await page.get_by_role("button", name="Show the question again").click()
        await picture(page, tmp_path, "22-late-shown")
        assert await page.get_by_text(QUESTION).count()
        await page.locator("button[name=starts_at]").last.click()
        await picture(page, tmp_path, "23-late-accepted")
    assert [row.status for row in await scene.rows("SELECT status FROM appointment")] == ["booked"]
    assert [text for text in complaints if "Content Security Policy" in text] == []
