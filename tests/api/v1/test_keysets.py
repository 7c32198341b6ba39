"""Key sets of partner systems: which are taken, and how those at an address are fetched."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

import build
import keyring
import world as simulated
from integrations import outbound_http
from integrations.identity import key_sets
from integrations.runtime.world import World
from service.kernel import actor, clock

Json = dict[str, Any]
OLD, NEW = keyring.Key("old"), keyring.Key("new", "ES256")
GOOD = OLD.jwk
RSA = keyring.Key("rsa", "RS256").jwk


@pytest.mark.parametrize("key", [OLD, NEW, keyring.Key("a", "RS256"), keyring.Key("b", "RS384")])
def test_a_key_is_for_one_algorithm(key: keyring.Key) -> None:
    assert key_sets.checked(keyring.keyset(key)) == {"keys": [key.jwk]}


def test_an_rsa_key_that_names_no_algorithm_is_for_rs384() -> None:
    unnamed = {name: value for name, value in RSA.items() if name != "alg"}
    assert key_sets.checked({"keys": [unnamed]})["keys"][0]["alg"] == "RS384"


BAD: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "/keys"),
    "an empty list": ({"keys": []}, "/keys"),
    "no list": ({"keys": GOOD}, "/keys"),
    "too many": ({"keys": [GOOD] * 11}, "/keys"),
    "no key": ({"keys": [7]}, "/keys/0"),
    "no name": ({"keys": [GOOD | {"kid": ""}]}, "/keys/0"),
    "a name twice": ({"keys": [GOOD, GOOD]}, "/keys/1/kid"),
    "a private key": ({"keys": [GOOD | {"d": "AAAA"}]}, "/keys/0"),
    "for encryption": ({"keys": [GOOD | {"use": "enc"}]}, "/keys/0"),
    "a secret": ({"keys": [{"kty": "oct", "kid": "k", "k": "AAAA"}]}, "/keys/0"),
    "another curve": ({"keys": [GOOD | {"crv": "P-521"}]}, "/keys/0"),
    "another algorithm": ({"keys": [GOOD | {"alg": "ES256"}]}, "/keys/0"),
    "no point": ({"keys": [GOOD | {"x": GOOD["y"]}]}, "/keys/0"),
    "a short x": ({"keys": [GOOD | {"x": "AAAA"}]}, "/keys/0"),
    "an x that is none": ({"keys": [GOOD | {"x": "####"}]}, "/keys/0"),
    "a small modulus": ({"keys": [RSA | {"n": "AQAB"}]}, "/keys/0"),
    "a huge modulus": ({"keys": [RSA | {"n": "_" * 4096}]}, "/keys/0"),
    "exponent one": ({"keys": [RSA | {"e": "AQ"}]}, "/keys/0"),
    "an hmac": ({"keys": [RSA | {"alg": "HS256"}]}, "/keys/0"),
}


@pytest.mark.parametrize(("jwks", "pointer"), BAD.values(), ids=BAD.keys())
def test_a_set_that_we_would_not_use_is_refused(jwks: Json, pointer: str) -> None:
    with pytest.raises(key_sets.BadKeySet) as error:
        key_sets.checked(jwks)
    assert error.value.pointer == pointer


def test_of_a_fetched_set_the_usable_keys_are_taken() -> None:
    assert key_sets.usable({"keys": [7, GOOD | {"use": "enc"}, NEW.jwk, GOOD]}) == {"keys": [NEW.jwk, GOOD]}


class Partner:
    """A partner's server that publishes a key set, on a real socket, and counts how often it is asked."""

    def __init__(self) -> None:
        self.body: bytes = json.dumps(keyring.keyset(OLD)).encode()
        self.status, self.asked, self.wait = "200 OK", 0, 0.0

    def publish(self, *keys: keyring.Key) -> None:
        self.body = json.dumps(keyring.keyset(*keys)).encode()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        await asyncio.sleep(self.wait)
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + self.body)
        await writer.drain()
        writer.close()


@dataclasses.dataclass(slots=True)
class Site:
    """A world that may reach loopback, the partner's server, and the client that is registered with its address."""

    world: World
    client: httpx.AsyncClient
    partner: Partner
    url: str
    id: str = ""

    async def ask(self, key: keyring.Key) -> int:
        proof = {
            "grant_type": "client_credentials",
            "client_assertion_type": keyring.ASSERTION_TYPE,
            "client_assertion": keyring.assertion(key, self.id),
        }
        return (await self.client.post("/oauth2/token", data=proof)).status_code

    async def register(self, url: str) -> str:
        async with self.world.database.work(actor.TIMER) as w:
            place = await build.partner(w)
            method = "private_key_jwt"
            return str((await build.system(w, place, token_endpoint_auth_method=method, jwks_uri=url)).id)

    async def age(self, column: str, by: timedelta) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            await w.sql(sa.text(f"UPDATE client SET {column} = :at"), {"at": clock.wall() - by})


@pytest.fixture
async def site(application: FastAPI, world: World) -> AsyncIterator[Site]:
    partner = Partner()
    told = world.settings.model_copy(update={"outbound_allow": ("127.0.0.1",)})
    async with (
        await asyncio.start_server(partner.answer, "127.0.0.1", 0) as server,
        outbound_http.client(told) as outbound,
    ):
        own = dataclasses.replace(world, outbound=outbound)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
        async with simulated.calling(application, own) as client:
            found = Site(own, client, partner, url)
            found.id = await found.register(url)
            yield found


async def test_keys_at_an_address_are_fetched_once_and_remembered(site: Site) -> None:
    assert [await site.ask(OLD) for _ in range(3)] == [200, 200, 200]
    assert site.partner.asked == 1


async def test_a_key_that_a_partner_adds_is_found_when_it_is_used(site: Site) -> None:
    assert await site.ask(OLD) == 200
    site.partner.publish(OLD, NEW)
    await site.age("jwks_asked_at", timedelta(minutes=1))
    assert [await site.ask(NEW), await site.ask(OLD)] == [200, 200]
    assert site.partner.asked == 2


@pytest.mark.usefixtures("stopped_wall")
async def test_an_unknown_key_causes_one_fetch_a_minute(site: Site) -> None:
    assert [await site.ask(NEW) for _ in range(5)] == [401] * 5
    assert site.partner.asked == 1
    await site.age("jwks_asked_at", timedelta(seconds=59))
    assert (await site.ask(NEW), site.partner.asked) == (401, 1)
    await site.age("jwks_asked_at", timedelta(seconds=60))
    assert (await site.ask(NEW), site.partner.asked) == (401, 2)


async def test_a_key_that_a_partner_takes_away_is_forgotten_within_the_hour(site: Site) -> None:
    assert await site.ask(OLD) == 200
    site.partner.publish(NEW)
    assert await site.ask(OLD) == 200
    for column in ("jwks_asked_at", "jwks_fetched_at"):
        await site.age(column, timedelta(hours=1))
    assert [await site.ask(OLD), await site.ask(NEW)] == [401, 200]


async def test_a_set_that_a_partner_empties_proves_nobody_within_the_hour(site: Site) -> None:
    assert await site.ask(OLD) == 200
    site.partner.publish()
    for column in ("jwks_asked_at", "jwks_fetched_at"):
        await site.age(column, timedelta(hours=1))
    assert (await site.ask(OLD), site.partner.asked) == (401, 2)


async def test_keys_stay_in_force_while_their_address_is_silent_for_a_day_at_most(site: Site) -> None:
    assert await site.ask(OLD) == 200
    site.partner.status = "503 Service Unavailable"
    for hours, status in ((23, 200), (24, 401)):
        for column in ("jwks_asked_at", "jwks_fetched_at"):
            await site.age(column, timedelta(hours=hours))
        assert await site.ask(OLD) == status


SPOILT: dict[str, Callable[[Partner], None]] = {
    "not found": lambda partner: setattr(partner, "status", "404 Not Found"),
    "elsewhere": lambda partner: setattr(partner, "status", "302 Found\r\nLocation: /elsewhere"),
    "no JSON": lambda partner: setattr(partner, "body", b"<html>"),
    "no object": lambda partner: setattr(partner, "body", b"[]"),
    "no keys": lambda partner: setattr(partner, "body", b'{"keys": []}'),
    "deep": lambda partner: setattr(partner, "body", b"[" * 60_000),
    "too large": lambda partner: setattr(partner, "body", b" " * 70_000 + partner.body),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
async def test_an_address_that_gives_no_set_proves_nobody(site: Site, spoil: Callable[[Partner], None]) -> None:
    spoil(site.partner)
    assert (await site.ask(OLD), site.partner.asked) == (401, 1)


async def test_an_address_inside_is_not_asked(site: Site) -> None:
    port = site.url.rsplit(":", 1)[1]
    site.id = await site.register(f"http://localhost:{port}")
    assert (await site.ask(OLD), site.partner.asked) == (401, 0)


@pytest.mark.races
@pytest.mark.slow
async def test_many_at_once_with_a_new_key_wait_for_one_fetch(site: Site) -> None:
    site.partner.wait = 0.2
    assert await asyncio.gather(*(site.ask(OLD) for _ in range(8))) == [200] * 8
    assert site.partner.asked == 1
