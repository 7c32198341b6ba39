"""Methods, tags and request ids as HTTP has them, on every address (OPS-11, OPS-12)."""

import re

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

import build
from api.edge import conditional, openapi
from integrations.runtime.world import World
from service.kernel import actor, clock

OF_THIS_ANSWER = {"x-request-id", "date"}
PAGES = ("/", "/docs", "/docs/style.css", "/openapi.json", "/problems/not-found", "/schemas/events/offer.sent.json")
REWRITTEN = (
    '"{}"',
    'W/"{}"',
    '"{}-gzip"',
    'W/"{}-gzip"',
    '"{}--gzip"',
    '"{};gzip"',
    '"{}-br"',
    '"{}-zstd"',
    '"x", W/"{}"',
)
"""A tag of ours as it is, and as nginx, Caddy, Apache, Jetty and a list have it."""


def addresses(application: FastAPI, method: str) -> list[str]:
    """List an address of every route that answers to the method; its ids are nobody's."""
    paths = openapi.describe(application)["paths"]
    return [re.sub(r"\{\w+\}", str(clock.new_id()), path) for path, methods in paths.items() if method in methods]


async def test_ops_12_head_on_every_get_answers_as_get_does_without_a_body(
    application: FastAPI, client: httpx.AsyncClient, world: World
) -> None:
    async with world.database.work(actor.TIMER) as w:
        bearer = await build.bearer(world, await build.admin(w, await build.programme(w)))
    compared = 0
    for address in [*PAGES, *addresses(application, "get"), "/nowhere"]:
        read = await client.get(address, headers=bearer)
        told = await client.head(address, headers=bearer)

        assert told.content == b"", address
        assert told.status_code == read.status_code, address
        if not address.startswith(("/metrics", "/health")):  # whose length changes with each look
            assert headers(told) == headers(read), address
        compared += read.status_code == 200
    assert compared > 10


def headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_THIS_ANSWER}


async def test_ops_12_every_address_names_its_methods(application: FastAPI, client: httpx.AsyncClient) -> None:
    for path, methods in openapi.describe(application)["paths"].items():
        address = re.sub(r"\{\w+\}", str(clock.new_id()), path)
        expected = {method.upper() for method in methods} | {"OPTIONS"} | ({"HEAD"} if "get" in methods else set())
        options = await client.options(address)
        refused = await client.request("TRACE", address)

        assert (options.status_code, options.content) == (204, b""), address
        assert set(options.headers["allow"].split(", ")) >= expected, address
        assert refused.status_code == 405
        assert refused.headers["allow"] == options.headers["allow"]
    assert (await client.options("/nowhere")).status_code == 404
    assert set((await client.head("/v1/auth/tokens")).headers["allow"].split(", ")) == {"POST", "OPTIONS"}


@pytest.mark.parametrize("form", REWRITTEN)
async def test_ops_11_a_change_is_taken_with_our_tag_as_a_proxy_that_compresses_rewrote_it(
    probing: httpx.AsyncClient, form: str
) -> None:
    made = (await probing.post("/v1/probes", json={"name": "a"})).headers["location"]
    version = (await probing.get(made)).headers["etag"].strip('"')

    stale = await probing.patch(made, json={"name": "b"}, headers={"If-Match": form.format(int(version) + 1)})
    changed = await probing.patch(made, json={"name": "b"}, headers={"If-Match": form.format(version)})

    assert [stale.status_code, changed.status_code] == [412, 200]


@pytest.mark.parametrize("form", [*REWRITTEN, "*"])
async def test_ops_11_who_has_this_version_is_told_so_without_a_body(probing: httpx.AsyncClient, form: str) -> None:
    made = (await probing.post("/v1/probes", json={"name": "a"})).headers["location"]
    tag = (await probing.get(made)).headers["etag"]
    version = tag.strip('"')

    for method in ("GET", "HEAD"):
        same = await probing.request(method, made, headers={"If-None-Match": form.format(version)})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert not {"content-type", "content-length"} & same.headers.keys()
    if form != "*":
        other = await probing.get(made, headers={"If-None-Match": form.format(f"{version}0")})
        assert (other.status_code, other.json()["name"]) == (200, "a")


async def test_a_list_is_sent_again_only_when_it_says_something_else(probing: httpx.AsyncClient) -> None:
    first = await probing.get("/v1/probes")
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await probing.get("/v1/probes", headers=tag)).status_code == 304
    await probing.post("/v1/probes", json={"name": "a"})
    assert (await probing.get("/v1/probes", headers=tag)).json() != first.json()


@pytest.mark.parametrize(
    "header", ["", "3", '"3', '3"', '"3" "4"', 'w/"3"', '"3-gzi"', '"gzip"', ', "3"x', '"3-gzip-gzip"']
)
def test_ops_11_what_is_no_tag_of_ours_names_none(header: str) -> None:
    assert not conditional.names(header, '"3"')


@given(st.text(max_size=60))
def test_ops_11_any_header_is_read(header: str) -> None:
    assert conditional.names(header, '"3"') in {True, False}


@pytest.mark.parametrize(
    ("sent", "is_kept"), [("a", True), ("x" * 64, True), ("x" * 65, False), ("ü", False), ("", False)]
)
async def test_a_request_id_of_at_most_64_safe_characters_is_kept(
    client: httpx.AsyncClient, sent: str, *, is_kept: bool
) -> None:
    for path in ("/health/live", "/nowhere", "/" + "x" * 9000):
        answer = await client.get(path, headers={b"X-Request-Id": sent.encode()})
        assert (answer.headers["x-request-id"] == sent) is is_kept
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("condition", "status"),
    [("*", 200), (" * ", 200), ('*, "999"', 200), ('"*"', 412), ("", 412), ("**", 412), (None, 428)],
)
async def test_a_star_takes_whatever_version_there_is_and_nothing_else_does(
    probing: httpx.AsyncClient, condition: str | None, status: int
) -> None:
    made = (await probing.post("/v1/probes", json={"name": "a"})).headers["location"]
    headers = {} if condition is None else {"If-Match": condition}
    assert (await probing.patch(made, json={"name": "b"}, headers=headers)).status_code == status
