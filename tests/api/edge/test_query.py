"""What stands behind the `?` of an address: a name that is not known is refused on every route."""

import re

import httpx
import pytest
from fastapi import FastAPI

import build
from api.edge import openapi
from integrations.runtime.world import World
from service.kernel import actor, clock

READS = ("/v1/", "/oauth2/jwks", "/health/ready", "/.well-known/")


def reads(application: FastAPI) -> list[str]:
    paths = openapi.describe(application)["paths"]
    addresses = [path for path, methods in paths.items() if "get" in methods and path.startswith(READS)]
    return [re.sub(r"\{\w+\}", str(clock.new_id()), path) for path in addresses]


async def test_every_route_refuses_a_parameter_that_it_does_not_know(
    application: FastAPI, client: httpx.AsyncClient, world: World
) -> None:
    async with world.database.work(actor.TIMER) as w:
        bearer = await build.bearer(world, await build.admin(w, await build.programme(w)))
    for address in [*reads(application), "/openapi.json", "/schemas/events/offer.sent.json"]:
        answer = await client.get(address, params={"limt": "5", "x/y~": ""}, headers=bearer)
        assert answer.status_code == 422, (address, answer.text)
        assert answer.json()["errors"][:2] == [
            {"pointer": "/query/limt", "detail": "there is no such parameter"},
            {"pointer": "/query/x~1y~0", "detail": "there is no such parameter"},
        ]
    changed = await client.post("/v1/auth/tokens?dry_run=1", json={"link_token": "x"})
    assert (changed.status_code, changed.json()["errors"][0]["pointer"]) == (422, "/query/dry_run")


async def test_a_parameter_stands_once(client: httpx.AsyncClient, caller: dict[str, str]) -> None:
    answer = await client.get("/v1/offers?limit=5&limit=500&state=pending", headers=caller | {"Accept-Language": "uk"})

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "/query/limit", "detail": "може стояти лише один раз"}]
    assert (await client.get("/v1/offers?limit=5&state=pending", headers=caller)).status_code == 200


@pytest.mark.parametrize("page", ["/", "/a/nobodys", "/sign-in/nobodys", "/certificates/nobodys"])
async def test_what_others_append_to_a_link_keeps_nobody_out_of_a_page(client: httpx.AsyncClient, page: str) -> None:
    plain, followed = await client.get(page), await client.get(f"{page}?utm_source=mail&fbclid=1&fbclid=2")

    assert followed.status_code == plain.status_code


async def test_a_stranger_is_refused_before_the_address_is_judged(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/me?x=1")).status_code == 401
