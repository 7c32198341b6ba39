"""A person walks through the pages in a real browser: presses are counted, and each page on the way is looked at."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from integrations.runtime.world import World
from pages.scene import Scene
from pages.test_browser import CHROMIUM, served
from service import vocabulary

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Locator, Page

AXE = Path(__file__).with_name("axe") / "node_modules" / "axe-core" / "axe.min.js"
PHONE, DESK = (390, 844), (1280, 900)
ROOM = "rooms.example"
"""Where calls take place: the one other host that a person is sent to."""
_TOO_WIDE = """() => [...document.querySelectorAll("body *")]
.filter(e => !e.closest(".scroll, .vh, .skip, svg") && e.getBoundingClientRect().right > innerWidth + 1)
.map(e => e.outerHTML.slice(0, 120))"""
_LOW = """() => [...document.querySelectorAll("button, .button, select, input")]
.filter(e => !["hidden", "checkbox", "radio"].includes(e.type))
.filter(e => e.offsetParent && !e.closest(".vh, .week") && e.getBoundingClientRect().height < 43.5)
.map(e => "low: " + e.outerHTML.slice(0, 120))"""


@dataclass(frozen=True, slots=True)
class Way:
    """How somebody comes: on which screen, in which language, with scripts or without any."""

    size: tuple[int, int]
    locale: str
    scripts: bool

    @property
    def id(self) -> str:
        """Name it in the name of a test."""
        screen = "phone" if self.size == PHONE else "desk"
        return f"{screen}-{self.locale}-{'scripts' if self.scripts else 'plain'}"


WAYS = [
    Way(size, locale, scripts) for size in (PHONE, DESK) for locale in vocabulary.LOCALES for scripts in (True, False)
]


async def too_wide(page: "Page") -> list[str]:
    """Name what stands out of the screen to the right, but for what scrolls by itself."""
    found: list[str] = await page.evaluate(_TOO_WIDE)
    return found


async def axe(page: "Page") -> list[str]:
    """Name what axe finds: rule, and where. It is no script of the page, so that the page's own policy holds."""
    await page.evaluate(AXE.read_text("utf-8"))
    result = await page.evaluate("() => axe.run()")
    return [f"{fault['id']}: {node['html'][:160]}" for fault in result["violations"] for node in fault["nodes"][:3]]


@dataclass
class Walk:
    """One person on one way. `faults` is whatever any page had wrong, with the task on which it was found."""

    page: "Page"
    address: str
    way: Way
    scene: Scene
    who: str
    task: str = ""
    presses: int = 0
    faults: list[str] = field(default_factory=list)
    taken: dict[str, int] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    _seen: set[tuple[str, int]] = field(default_factory=set)

    async def to(self, task: str, most: int, *steps: "Step") -> None:
        """Do a task, beginning at the first page: in so many presses at most."""
        self.task, self.presses = task, 0
        await self.page.goto(f"{self.address}/")
        await self.look()
        for step in steps:
            await step(self)
        self.taken[task] = self.presses
        if self.presses > most:
            self.faults.append(f"{task}: {self.presses} presses, {most} at most")

    async def sign_in(self) -> None:
        """Begin a visit by a link of a mail, without pressing anything."""
        who = getattr(self.scene, self.who)
        await self.page.context.request.post(self.address + await self.scene.sign_in_path(who))

    async def later(self, instant: datetime) -> None:
        """Let time pass; whoever comes again after twelve hours signs in again."""
        self.scene.clock.set(instant)
        await self.sign_in()

    async def open(self, path: str) -> None:
        """Come by an address, which is no press."""
        await self.page.goto(f"{self.address}{path}")
        await self.look()

    async def press(self, what: str, place: int = 0) -> None:
        """Press what leads to a page."""
        self.presses += 1
        async with self.page.expect_navigation():
            await self.shown(what, place).click()
        await self.look()

    def shown(self, what: str, place: int = 0) -> "Locator":
        """Give what is seen of it."""
        return self.page.locator(what).locator("visible=true").nth(place)

    async def look(self) -> None:
        """Look at the page: does it fit, does axe find anything, is it in the language, can fingers press it?"""
        await self.page.wait_for_load_state()
        where = self.page.url.removeprefix(self.address)
        found = [f"too wide: {each}" for each in await too_wide(self.page)]
        if self.way.size == PHONE:
            found += await self.page.evaluate(_LOW)
        html = self.page.locator("html")
        if await html.get_attribute("lang") != self.way.locale:
            found.append("another language")
        title = await self.page.title()
        self.titles.setdefault(where.partition("?")[0], title)
        key = (where, len(await self.page.content()))
        if self.way.scripts and AXE.exists() and key not in self._seen:
            self._seen.add(key)
            found += await axe(self.page)
        self.faults += [f"{self.task} at {where} ({title}): {each}" for each in found]


Step = Callable[[Walk], Awaitable[None]]
"""Something that a person does on the way."""


def press(what: str, place: int = 0) -> Step:
    """Press what leads to a page."""
    return lambda walker: walker.press(what, place)


def mark(what: str) -> Step:
    """Press what changes the page only: a box, a choice, what unfolds."""

    async def step(walker: Walk) -> None:
        walker.presses += 1
        await walker.shown(what).click()

    return step


def choose(what: str, value: str) -> Step:
    """Choose in a list."""

    async def step(walker: Walk) -> None:
        walker.presses += 1
        await walker.page.locator(what).select_option(value)

    return step


def write(what: str, text: str) -> Step:
    """Press a field, and type."""

    async def step(walker: Walk) -> None:
        walker.presses += 1
        await walker.shown(what).fill(text)

    return step


def from_mail(path: str) -> Step:
    """Press a link or button of a mail."""

    async def step(walker: Walk) -> None:
        walker.presses += 1
        await walker.open(path)

    return step


def leave(what: str, address: str) -> Step:
    """Press what leads to another host."""

    async def step(walker: Walk) -> None:
        walker.presses += 1
        await walker.shown(what).click()
        await walker.page.wait_for_url(address)

    return step


def see(what: str, count: int = 1, text: str = "") -> Step:
    """See so many of these on the page, and this text in the first."""

    async def step(walker: Walk) -> None:
        found = walker.page.locator(what)
        if await found.count() != count or text not in await found.first.inner_text():
            walker.faults.append(f"{walker.task}: {await found.count()} of {what}, {count} with {text!r} looked for")

    return step


@contextlib.asynccontextmanager
async def browser(
    way: Way, complaints: list[str], scheme: Literal["light", "dark"] = "light"
) -> AsyncIterator["BrowserContext"]:
    """A browser as it comes on this way; what it complains of, and what it asks of other hosts, is kept."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - slow to import, and not needed elsewhere

    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await chromium.new_context(
            viewport={"width": way.size[0], "height": way.size[1]},
            java_script_enabled=way.scripts,
            locale="uk-UA" if way.locale == "uk" else "en-GB",
            color_scheme=scheme,
            has_touch=way.size == PHONE,
            service_workers="block",
        )
        listen(context, complaints)
        yield context
        await chromium.close()


def listen(context: "BrowserContext", complaints: list[str]) -> None:
    """Keep what pages of the browser complain of, and what they ask of other hosts."""
    context.on("console", lambda said: complaints.append(said.text) if is_complaint(said.type, said.text) else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("request", lambda asked: complaints.append(asked.url) if is_foreign(asked.url) else None)


def is_complaint(kind: str, text: str) -> bool:
    """Tell whether it is one: that a page has the status which it should have is none."""
    ours = ("Failed to load resource: the server responded with a status of", "registration blocked by Playwright")
    return not any(each in text for each in ours) and (
        kind in {"error", "warning"} or "Content Security Policy" in text
    )


def is_foreign(url: str) -> bool:
    """Tell whether the address is of another host, and not of a room."""
    return not url.startswith(("http://127.0.0.1:", "data:", f"https://{ROOM}/"))


@contextlib.asynccontextmanager
async def walk(scene: Scene, world: World, way: Way, who: str, complaints: list[str]) -> AsyncIterator[Walk]:
    """Have the pages served, and the person (an attribute of the scene) signed in."""
    world.settings = world.settings.model_copy(update={"room_url": f"https://{ROOM}/{{appointment_id}}"})
    await scene.rows("UPDATE person SET locale = :locale RETURNING 1", locale=way.locale)
    async with served(world) as address, browser(way, complaints) as context:
        await context.route(f"https://{ROOM}/**", lambda route: route.fulfill(body="<title>room</title>"))
        page = await context.new_page()
        page.set_default_timeout(15_000)
        walker = Walk(page, address, way, scene, who)
        walker.task = "sign in"
        await walker.open(await scene.sign_in_path(getattr(scene, who)))
        await walker.press("main form button")
        yield walker
