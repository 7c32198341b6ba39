"""Behind real proxies that compress, with the path of `BASE_URL` passed on or stripped (OPS-11, OPS-14)."""

# ruff: noqa: T201 - printed for `make drills`

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

import build
import flow
from drills import proxies, site
from integrations.identity import access_tokens
from service.kernel import actor
from service.people import logins

pytestmark = [pytest.mark.drill]
IN_PAGE = re.compile(r'(?:href|action)="([^"]*)"')


@asynccontextmanager
async def behind(name: str, folder: Path) -> AsyncIterator[tuple[site.Site, proxies.Proxy]]:
    """A server that is found under a path, and the proxy before it."""
    base = f"http://127.0.0.1:{site.free_port()}{proxies.PATH}"
    async with site.opened(folder, BASE_URL=base) as here:
        here.world.tokens = access_tokens.AccessTokens(base)
        with proxies.running(name, folder, here.port) as proxy:
            await proxies.until_it_answers(proxy.stripping)
            yield here, proxy


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_ops_14_and_ops_11_drill_behind_a_proxy(name: str, folder: Path) -> None:
    if proxies.program(name) is None:
        pytest.skip(f"no {name} (make setup-proxies)")
    async with behind(name, folder) as (here, proxy):
        for address in (proxy.passing, proxy.stripping):
            await changes_what_was_compressed(here, address)
            await walks(here, address)


async def changes_what_was_compressed(here: site.Site, address: str) -> None:
    """OPS-11: the tag of a compressed answer changes what was read, and tells what is known already."""
    bearer = await build.bearer(here.world, here.scene.people["mentor0"])
    profile = f"{address}/v1/mentors/{here.scene.people['mentor0'].id}/profile"
    async with httpx.AsyncClient(headers=bearer) as client:
        read = await client.get(profile, headers={"Accept-Encoding": "gzip"})
        tag = read.headers["etag"]
        print(f"{address}: {read.headers['content-encoding']}, {tag}, Vary: {read.headers['vary']}")
        assert read.headers["content-encoding"] == "gzip"
        known = await client.get(profile, headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
        assert (known.status_code, known.content) == (304, b"")
        body = {member: value for member, value in read.json().items() if member in WRITTEN}
        changed = await client.put(profile, json=body, headers={"If-Match": tag})
        assert changed.status_code == 200, changed.text
        assert (await client.put(profile, json=body, headers={"If-Match": tag})).status_code == 412
        assert (await client.get(profile, headers={"If-None-Match": tag})).status_code == 200
        told = await client.head(profile, headers={"Accept-Encoding": "identity"})
        assert (told.status_code, told.content) == (200, b"")
        assert (await client.options(profile)).headers["allow"] == "GET, PUT, HEAD, OPTIONS"


WRITTEN = {"specialties", "languages", "caps", "notice_minutes", "buffer_minutes", "treats_children", "opt_ins"}


async def walks(here: site.Site, address: str) -> None:
    """OPS-14: what was made is found where its answer says, and each page leads on."""
    clinician = here.scene.people["clinician0"]
    async with httpx.AsyncClient(base_url=address, headers=await build.bearer(here.world, clinician)) as client:
        wish = here.scene.wish() | {"consent": flow.given_today(here.scene)}
        made = await client.post("/v1/consultations", json=wish)
        assert made.headers["location"].startswith(f"{proxies.PATH}/v1/consultations/"), made.text
        assert (await client.get(absolute(address, made.headers["location"]))).json()["id"] == made.json()["id"]
        unknown = await client.get("/v1/nowhere")
        assert (await client.get(absolute(address, unknown.json()["type"]))).status_code == 200
    async with here.world.database.work(actor.TIMER) as w:
        token = await logins.link_token(w, clinician.email, timedelta(minutes=15))
    async with httpx.AsyncClient(base_url=address) as browser:
        entered = await browser.post(f"/sign-in/{token}")
        assert (entered.status_code, entered.headers["location"]) == (303, f"{proxies.PATH}/")
        waiting, looked_at = {f"{proxies.PATH}/"}, set[str]()
        while waiting:
            page = waiting.pop()
            looked_at.add(page)
            answer = await browser.get(absolute(address, page))
            assert answer.status_code in {200, 303, 404, 405}, (page, answer.status_code)
            assert answer.status_code in {200, 303} or page.rsplit("/", 1)[-1] in {"cancel", "consent"}, page
            if answer.is_redirect:  # who only looks at what is done by a button is led back
                waiting |= {answer.headers["location"]} - looked_at
            waiting |= {found for found in IN_PAGE.findall(answer.text) if found.startswith("/")} - looked_at
        print(f"{address}: {len(looked_at)} pages")
        assert f"{proxies.PATH}/consultations/{made.json()['id']}" in looked_at
        assert all(page.startswith(f"{proxies.PATH}/") for page in looked_at)


def absolute(address: str, path: str) -> str:
    """Give where a browser goes by this path."""
    return str(httpx.URL(address).join(path))
