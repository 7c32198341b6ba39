"""What a device keeps: the manifest, the worker with its page for a lost line, drafts of texts; and how much comes."""

import gzip
import json
import re
from uuid import UUID

import httpx
import pytest

from api.pages import assets
from pages.scene import Scene
from service import vocabulary


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
async def test_the_manifest_names_files_that_are_there(client: httpx.AsyncClient, locale: str) -> None:
    answer = await client.get("/manifest.webmanifest", headers={"Accept-Language": locale})
    described = answer.json()
    assert answer.headers["content-type"] == "application/manifest+json"
    assert (described["lang"], described["display"], described["start_url"]) == (locale, "standalone", "/")
    for icon in described["icons"]:
        assert (await client.get(icon["src"])).headers["content-type"] == icon["type"]


async def test_the_worker_keeps_the_page_without_a_line_and_files_and_nothing_else(client: httpx.AsyncClient) -> None:
    answer = await client.get("/sw.js")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert answer.headers["cache-control"] == "no-cache"
    listed = re.search(r"\.\.\.(\[[^\]]*\])\]", answer.text)
    assert listed
    for path in json.loads(listed[1]):
        assert (await client.get(f"/{path}")).status_code == 200
    assert {f"/{path}" for path in json.loads(listed[1])} == {
        path for path in assets.PATHS.values() if not path.endswith(".png")
    }
    assert 'request.method !== "GET"' in answer.text
    assert ".put(" not in answer.text


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
async def test_the_page_without_a_line_names_nobody(scene: Scene, locale: str) -> None:
    async with scene.browser(scene.clinician) as browser:
        answer = await browser.get(f"/offline?{locale}")
    assert answer.status_code == 200
    assert f'<html lang="{locale}"' in answer.text
    assert scene.clinician.display_name not in answer.text
    assert "<nav" not in answer.text


async def test_drafts_are_for_a_device_of_ones_own_and_under_ones_id(scene: Scene) -> None:
    for form, is_kept in (({}, False), ({"own_device": "yes"}, True)):
        async with scene.browser() as browser:
            await browser.post(await scene.sign_in_path(scene.clinician), data=form)
            page = (await browser.get("/consultations/new")).text
        assert (f'data-person="{scene.clinician.id}"' in page) is is_kept
        assert 'data-draft="request"' in page


async def test_the_page_after_a_form_names_the_draft_it_took_once(scene: Scene) -> None:
    async with scene.browser() as browser:
        await browser.post(await scene.sign_in_path(scene.clinician), data={"own_device": "yes"})
        asked = await scene.ask()
        path = f"/consultations/{asked.id}"
        key = f"advice:{UUID(int=1)}"
        failed = await browser.post(f"{path}/cancel", data={"reason": "", "draft": key})
        assert (failed.status_code, "data-sent" in failed.text) == (422, False)
        done = await browser.post(f"{path}/cancel", data={"reason": "resolved_locally", "draft": key})
        assert done.status_code == 303
        first, second = (await browser.get(path)).text, (await browser.get(path)).text
    assert f'data-sent="{key}"' in first
    assert "data-sent" not in second


@pytest.mark.parametrize("key", ["<b>", "a" * 5000, "x y", "advice:1", "\u0456"])
async def test_what_is_no_name_of_a_draft_is_not_told(scene: Scene, key: str) -> None:
    async with scene.browser() as browser:
        await browser.post(await scene.sign_in_path(scene.clinician), data={"own_device": "yes"})
        asked = await scene.ask()
        form = {"reason": "resolved_locally", "draft": key}
        await browser.post(f"/consultations/{asked.id}/cancel", data=form)
        assert "data-sent" not in (await browser.get("/")).text


async def test_pages_and_their_files_are_light(scene: Scene, client: httpx.AsyncClient) -> None:
    asked = await scene.ask()
    (offer,) = await scene.rows("SELECT id FROM offer")
    seen = {}
    for who, paths in (
        (scene.clinician, ("/", "/consultations/new", f"/consultations/{asked.id}")),
        (scene.mentor, ("/", f"/offers/{offer.id}")),
        (scene.coordinator, ("/", "/people")),
    ):
        async with scene.browser(who) as browser:
            for path in paths:
                seen[who.id, path] = len(gzip.compress((await browser.get(path)).content))
    # An icon of pixels is fetched by a device that installs the pages, and by no page.
    loaded = {name: each for name, each in assets.ASSETS.items() if not name.endswith(".png")}
    files = {name: len(gzip.compress(each.content)) for name, each in loaded.items()}
    scripts = sum(size for name, size in files.items() if name.endswith(".js"))
    assert {path: size for path, size in seen.items() if size > 10_000} == {}
    assert scripts + len(gzip.compress((await client.get("/sw.js")).content)) <= 6_500
    assert max(seen.values()) + sum(files.values()) <= 30_000
