"""Two processes of `serve` on one database, and browsers of both: what one changes, pages of the other follow."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import BrowserContext, Page, async_playwright

import postoffice
from drills import site
from integrations.runtime.world import World
from pages.scene import Scene
from pages.test_browser import CHROMIUM
from service import tables
from service.care import answers
from service.kernel import clock
from world import TestClock

pytestmark = [pytest.mark.drill, pytest.mark.races]
TABS = 9
WRITES = "пише пораду"


@contextlib.asynccontextmanager
async def serving(world: World, **settings: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process that serves, and its address."""
    port = site.free_port()
    address = f"http://127.0.0.1:{port}"
    environment = postoffice.environment(world, BASE_URL=address, **settings)
    command = site.command("serve", "--no-worker", "--port", str(port))
    process = await asyncio.create_subprocess_exec(*command, cwd=postoffice.ROOT, env=environment)
    try:
        await postoffice.until(lambda: _is_live(address))
        yield process, address
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _is_live(address: str) -> bool:
    async with httpx.AsyncClient() as client:
        with contextlib.suppress(httpx.HTTPError):
            return (await client.get(f"{address}/health/ready")).is_success
    return False


@pytest.fixture
async def scene(world: World, test_clock: TestClock) -> Scene:
    test_clock.set(clock.wall())  # the processes' own
    made = Scene(world, test_clock)
    await made.set_up()
    return made


@contextlib.asynccontextmanager
async def signed_in(scene: Scene, address: str, who: tables.Person) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, timeout=postoffice.PATIENCE_SECONDS) as client:
        assert (await client.post(await scene.sign_in_path(who))).status_code == 303
        yield client


async def ask(scene: Scene) -> tables.Consultation:
    return await scene.ask(mode="written")


@pytest.mark.parametrize("way", ["listen", "poll"])
async def test_drill_what_one_process_changes_is_heard_at_the_other_and_sigterm_ends_the_stream(
    scene: Scene, world: World, way: str
) -> None:
    async with (
        asyncio.timeout(postoffice.PATIENCE_SECONDS),
        serving(world, LIVE=way) as (process, here),
        serving(world, LIVE=way) as (_, there),
        signed_in(scene, here, scene.clinician) as follower,
        signed_in(scene, there, scene.mentor) as actor,
        follower.stream("GET", "/live") as stream,
    ):
        lines = stream.aiter_lines()
        asked = await ask(scene)
        await _until(lines, f"data: {asked.id}")
        (offer,) = await scene.rows("SELECT id FROM offer")
        answer = await actor.post(f"/offers/{offer.id}/decline", data={"reason": "busy"})
        assert answer.status_code == 303, answer.text
        await _until(lines, f"data: {asked.id}")
        process.send_signal(signal.SIGTERM)
        assert [line async for line in lines if line.startswith("data")] == []  # it ends whole, and is not cut
        await process.wait()


async def _until(lines: AsyncIterator[str], wanted: str) -> None:
    async for line in lines:
        if line == wanted:
            return
    pytest.fail(f"the stream ended before {wanted}")


@pytest.mark.skipif(CHROMIUM is None, reason="LEFT OUT: no Chromium is installed (make setup-browser)")
async def test_drill_nine_tabs_follow_by_one_stream_and_go_on_when_the_leader_is_closed(
    scene: Scene, world: World
) -> None:
    asked = await ask(scene)
    complaints: list[str] = []
    async with serving(world) as (_, address), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(locale="uk-UA")
        first = await context.new_page()
        first.on("console", lambda message: complaints.append(message.text))
        await first.goto(address + await scene.sign_in_path(scene.clinician))
        await first.locator("main form button").click()
        tabs = [first, *[await context.new_page() for _ in range(TABS - 1)]]
        for tab in tabs:
            await tab.goto(f"{address}/consultations/{asked.id}")
        (offer,) = await scene.rows("SELECT id FROM offer")
        await scene.act(scene.mentor, answers.accept, offer.id, None)
        for tab in tabs:
            await tab.locator("#timeline .now", has_text=WRITES).wait_for()
        await tabs[0].close()
        await _withdrawn(scene, context, address, asked, tabs[1:])
        await browser.close()
    assert complaints == []


async def _withdrawn(
    scene: Scene, context: BrowserContext, address: str, asked: tables.Consultation, tabs: list[Page]
) -> None:
    """Have the mentor hand the advice back: every tab that is left tells it."""
    (offer,) = await scene.rows("SELECT id FROM offer WHERE consultation_id = :id", id=asked.id)
    await scene.act(scene.mentor, answers.decline, offer.id, "busy")
    for tab in tabs:
        await tab.locator("#timeline .now", has_text=WRITES).wait_for(state="detached")
    assert len(context.pages) == len(tabs)
    assert all(tab.url.startswith(address) for tab in tabs)
