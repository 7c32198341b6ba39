"""Every page in its states, in a real browser: nothing wider than the screen, nothing that axe finds, no complaint.

`make screenshots` has the same walk keep a picture of each, light and dark.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import sqlalchemy as sa

from integrations.runtime.world import World
from pages import screens
from pages.scene import Scene
from pages.test_browser import CHROMIUM, served
from service import vocabulary
from service.kernel import actor

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

AXE = Path(__file__).with_name("axe") / "node_modules" / "axe-core" / "axe.min.js"
FOLDER = os.environ.get("SCREENSHOTS")
PHONE, DESK = (390, 844), (1280, 900)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
HOSTILE = {
    "markup": "<script>document.title='taken'</script><b onclick=x>&amp;</b>",
    "bidi": "\N{RIGHT-TO-LEFT OVERRIDE}evil\N{POP DIRECTIONAL FORMATTING} \N{LEFT-TO-RIGHT ISOLATE}x",
    "unbroken": "W" * 200,
    "emoji": "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}\N{REGIONAL INDICATOR SYMBOL LETTER U}" * 20,
    "right to left": "ד״ר אברהם כהן المستشفى الجامعي",
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.races,
    pytest.mark.slow,
    pytest.mark.drill,
    pytest.mark.skipif(CHROMIUM is None, reason="LEFT OUT: no Chromium is installed (make setup-browser)"),
]


@asynccontextmanager
async def browser(
    size: tuple[int, int], scheme: Literal["light", "dark"], said: list[str], *, bypass_csp: bool = False
) -> AsyncIterator["BrowserContext"]:
    """A browser of this size; what it complains of, and what it asks of other hosts, is kept."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - slow to import, and not needed elsewhere

    width, height = size
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            service_workers="block",
            bypass_csp=bypass_csp,
        )
        context.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        context.on("request", lambda request: said.append(request.url) if "127.0.0.1" not in request.url else None)
        yield context
        await chromium.close()


async def shown(page: "Page", address: str, screen: screens.Screen) -> None:
    """Bring the page into the state."""
    if screen.form is None:
        await page.goto(address + screen.path)
        return
    answer = await page.context.request.post(address + screen.path, form={**screen.form}, max_redirects=0)
    await page.goto(f"{address}/offline")
    await page.set_content(await answer.text())


async def sign_in(context: "BrowserContext", scene: Scene, address: str, who: str | None, locale: str) -> None:
    await context.clear_cookies()
    if who is not None:
        await context.request.post(address + await scene.sign_in_path(getattr(scene, who)))
    await context.request.post(f"{address}/language", form={"locale": locale, "back": "/offline"})


async def too_wide(page: "Page") -> list[str]:
    """Name what stands out of the screen to the right, but for what scrolls by itself."""
    found: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll("body *")]
        .filter(e => !e.closest(".scroll, .vh, .skip, svg") && e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => e.outerHTML.slice(0, 120))"""
    )
    return found


def expected(text: str) -> bool:
    """Tell whether the browser only says that a page has the status that it should have."""
    return "Failed to load resource: the server responded with a status of" in text


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
async def test_no_page_is_too_wide_or_complains(
    scene: Scene, world: World, size: tuple[int, int], tmp_path: Path
) -> None:
    listed, said, wide = await screens.staged(scene), list[str](), {}
    folder = Path(FOLDER) if FOLDER else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    async with served(world) as address:
        for scheme in SCHEMES if FOLDER else SCHEMES[:1]:
            async with browser(size, scheme, said) as context:
                page = await context.new_page()
                for locale in vocabulary.LOCALES:
                    for screen in listed:
                        await sign_in(context, scene, address, screen.who, locale)
                        await shown(page, address, screen)
                        name = f"{screen.name}.{locale}-{'phone' if size == PHONE else 'desk'}-{scheme}"
                        if FOLDER:
                            await page.screenshot(path=folder / f"{name}.png", full_page=True)
                        if found := await too_wide(page):
                            wide[name] = found
    assert wide == {}
    assert [text for text in said if not expected(text)] == []


@pytest.mark.skipif(not AXE.exists(), reason="LEFT OUT: no axe-core (make setup-node)")
async def test_axe_finds_nothing_on_any_page(scene: Scene, world: World) -> None:
    listed, found = await screens.staged(scene), {}
    async with served(world) as address:
        for size, scheme in zip((PHONE, DESK), SCHEMES, strict=True):
            async with browser(size, scheme, [], bypass_csp=True) as context:
                page = await context.new_page()
                for screen in listed:
                    await sign_in(context, scene, address, screen.who, "uk")
                    await shown(page, address, screen)
                    await page.add_script_tag(path=AXE)
                    result = await page.evaluate("() => axe.run()")
                    for fault in result["violations"]:
                        key = (screen.name, size[0], fault["id"])
                        found[key] = [node["html"][:200] for node in fault["nodes"]][:3]
    assert found == {}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_names_and_questions_are_inert_and_fit_the_phone(scene: Scene, world: World, kind: str) -> None:
    said: list[str] = []
    listed, wide = await screens.staged(scene), {}
    text = HOSTILE[kind]
    await scene.rows("UPDATE person SET display_name = :text RETURNING 1", text=text)
    await scene.rows("UPDATE institution SET name = :text, name_en = :text RETURNING 1", text=text)
    async with world.database.work(actor.TIMER) as w:
        for row in await w.sql(sa.text("SELECT id FROM consultation")):
            values = {"id": row.id, "question": w.seal(text, row.id), "text": text}
            await w.sql(
                sa.text("UPDATE consultation SET question = :question, department = :text WHERE id = :id"), values
            )
    async with served(world) as address, browser(PHONE, "light", said) as context:
        page = await context.new_page()
        for screen in listed:
            await sign_in(context, scene, address, screen.who, "en")
            await shown(page, address, screen)
            assert await page.title() != "taken", screen.name
            assert await page.locator("main b[onclick]").count() == 0
            if found := await too_wide(page):
                wide[screen.name] = found
    assert wide == {}
    assert [text for text in said if not expected(text)] == []
