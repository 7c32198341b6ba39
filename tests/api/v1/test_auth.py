"""Signing in by a link, coming back with refresh tokens, and being locked out at once."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from integrations.identity import access_tokens
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from service.kernel.work import Work
from service.people import logins
from world import TestClock

JSON = dict[str, Any]


async def somebody(world: World, **fields: Any) -> tables.Person:  # noqa: ANN401 - a column's
    async with world.database.work(actor.TIMER) as w:
        return await build.clinician(w, await build.institution(w), **fields)


async def link_for(world: World, who: tables.Person) -> str:
    async with world.database.work(actor.STRANGER) as w:
        return await logins.link_token(w, who.email, logins.LINK_LIFE)


async def signed_in(world: World, client: httpx.AsyncClient, who: tables.Person) -> JSON:
    answer = await client.post("/v1/auth/tokens", json={"link_token": await link_for(world, who)})
    assert answer.status_code == 200, answer.text
    found: JSON = answer.json()
    return found


async def me(client: httpx.AsyncClient, access_token: str) -> httpx.Response:
    return await client.get("/v1/me", headers={"Authorization": f"Bearer {access_token}"})


async def count(world: World, table: str) -> int:
    async with world.database.work(actor.TIMER) as w:
        return int((await w.sql(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def test_a_link_is_exchanged_for_tokens_that_say_who_i_am(world: World, client: httpx.AsyncClient) -> None:
    who = await somebody(world, display_name="Clinician, Chernihiv")
    tokens = await signed_in(world, client, who)
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    answer = (await me(client, tokens["access_token"])).json()
    assert answer["person_id"] == str(who.id)
    assert answer["display_name"] == "Clinician, Chernihiv"
    assert answer["roles"][0]["role"] == "clinician"
    assert answer["institution_id"] == answer["roles"][0]["institution_id"]


async def test_a_link_works_once(world: World, client: httpx.AsyncClient) -> None:
    token = await link_for(world, await somebody(world))
    assert (await client.post("/v1/auth/tokens", json={"link_token": token})).status_code == 200
    again = await client.post("/v1/auth/tokens", json={"link_token": token})
    assert (again.status_code, again.json()["type"]) == (401, "/problems/link-invalid")


async def test_a_link_ends_after_fifteen_minutes(
    world: World, client: httpx.AsyncClient, test_clock: TestClock
) -> None:
    token = await link_for(world, await somebody(world))
    test_clock.forward(minutes=15)
    assert (await client.post("/v1/auth/tokens", json={"link_token": token})).status_code == 401


async def test_a_link_for_another_purpose_signs_nobody_in(world: World, client: httpx.AsyncClient) -> None:
    who = await somebody(world)
    async with world.database.work(actor.TIMER) as w:
        link = await build.add(
            w,
            tables.Link(
                id=who.id,
                person_id=who.id,
                purpose="offer.accept",
                expires_at=w.now + timedelta(days=1),
                created_at=w.now,
            ),
        )
    for purpose in ("offer.accept", "sign_in"):
        token = world.keys.link_token(link.id, purpose)
        assert (await client.post("/v1/auth/tokens", json={"link_token": token})).status_code == 401


async def test_a_disabled_person_is_not_let_in_by_a_link_from_before(world: World, client: httpx.AsyncClient) -> None:
    who = await somebody(world)
    token = await link_for(world, who)
    await _disable(world, who)
    assert (await client.post("/v1/auth/tokens", json={"link_token": token})).status_code == 401


async def test_asking_for_a_link_mails_it_to_who_is_known(world: World, client: httpx.AsyncClient) -> None:
    who = await somebody(world, email="Clinician@Chernihiv.example")
    answer = await client.post("/v1/auth/sign-in-links", json={"email": "clinician@chernihiv.example"})
    assert (answer.status_code, answer.content) == (202, b"")
    async with world.database.work(actor.TIMER) as w:
        row = (await w.sql(sa.select(tables.Delivery))).scalar_one()
        link = (await w.sql(sa.select(tables.Link))).scalar_one()
    assert (row.person_id, link.person_id) == (who.id, who.id)
    assert row.payload["template"] == "sign_in"
    assert row.payload["links"]["sign_in"]["id"] == str(link.id)
    token = world.keys.link_token(link.id, "sign_in")
    assert (await client.post("/v1/auth/tokens", json={"link_token": token})).status_code == 200


async def test_asking_for_a_strangers_link_answers_the_same_and_leaves_nothing(
    world: World, client: httpx.AsyncClient
) -> None:
    await somebody(world)
    answer = await client.post("/v1/auth/sign-in-links", json={"email": "nobody@nowhere.example"})
    assert (answer.status_code, answer.content) == (202, b"")
    assert await count(world, "delivery") == await count(world, "link") == 0
    assert await count(world, "queue.pgqueuer") == 0


async def test_a_stranger_costs_the_same_statements_as_somebody_known(
    world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def heard_too(w: Work, statement: sa.TextClause, values: dict[str, object]) -> Sequence[Any]:
        return (await w.sql(statement, values)).all()

    monkeypatch.setattr(Work, "fetch", heard_too)
    who = await somebody(world)
    counts = []
    for email in (who.email, "nobody@nowhere.example"):
        statements: list[str] = []

        def heard(_c: object, _k: object, statement: str, *_: object, kept: list[str] = statements) -> None:
            kept.append(statement.split("(", maxsplit=1)[0])

        sa.event.listen(world.engine.sync_engine, "before_cursor_execute", heard)
        await client.post("/v1/auth/sign-in-links", json={"email": email})
        sa.event.remove(world.engine.sync_engine, "before_cursor_execute", heard)
        counts.append([s for s in statements if "SAVEPOINT" not in s])
    assert counts[0] == counts[1]
    assert counts[0][-1] == "WITH new_link AS "  # also a stranger's is written, and rolled back


async def test_nobodys_mailbox_is_filled_by_asking(world: World, client: httpx.AsyncClient) -> None:
    who = await somebody(world)
    for _ in range(logins.OPEN_LINKS + 2):
        assert (await client.post("/v1/auth/sign-in-links", json={"email": who.email})).status_code == 202
    assert await count(world, "delivery") == logins.OPEN_LINKS


async def test_an_access_token_ends_after_fifteen_minutes(
    world: World, client: httpx.AsyncClient, test_clock: TestClock
) -> None:
    tokens = await signed_in(world, client, await somebody(world))
    test_clock.forward(minutes=14, seconds=59)
    assert (await me(client, tokens["access_token"])).status_code == 200
    test_clock.forward(seconds=1)
    assert (await me(client, tokens["access_token"])).status_code == 401


async def test_a_refresh_token_gives_new_tokens(world: World, client: httpx.AsyncClient, test_clock: TestClock) -> None:
    tokens = await signed_in(world, client, await somebody(world))
    test_clock.forward(hours=20)
    answer = await client.post("/v1/auth/tokens/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 200
    assert answer.json()["refresh_token"] != tokens["refresh_token"]
    assert (await me(client, answer.json()["access_token"])).status_code == 200


async def test_using_a_refresh_token_twice_ends_the_whole_sign_in(world: World, client: httpx.AsyncClient) -> None:
    first = await signed_in(world, client, await somebody(world))
    second = (await client.post("/v1/auth/tokens/refresh", json={"refresh_token": first["refresh_token"]})).json()
    again = await client.post("/v1/auth/tokens/refresh", json={"refresh_token": first["refresh_token"]})
    assert (again.status_code, again.json()["type"]) == (401, "/problems/unauthenticated")
    assert (await me(client, second["access_token"])).status_code == 401
    newest = await client.post("/v1/auth/tokens/refresh", json={"refresh_token": second["refresh_token"]})
    assert newest.status_code == 401


async def test_a_refresh_token_ends_after_thirty_days(
    world: World, client: httpx.AsyncClient, test_clock: TestClock
) -> None:
    tokens = await signed_in(world, client, await somebody(world))
    test_clock.forward(days=30)
    answer = await client.post("/v1/auth/tokens/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 401


async def test_revoking_the_refresh_token_ends_its_access_token_too(world: World, client: httpx.AsyncClient) -> None:
    tokens = await signed_in(world, client, await somebody(world))
    answer = await client.post("/v1/auth/tokens/revoke", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 204
    assert (await me(client, tokens["access_token"])).status_code == 401


async def test_revoking_an_access_token_ends_it_alone(world: World, client: httpx.AsyncClient) -> None:
    tokens = await signed_in(world, client, await somebody(world))
    body = {"access_token": tokens["access_token"]}
    assert (await client.post("/v1/auth/tokens/revoke", json=body)).status_code == 204
    assert (await me(client, tokens["access_token"])).status_code == 401
    fresh = await client.post("/v1/auth/tokens/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert fresh.status_code == 200


@pytest.mark.parametrize("body", [{"refresh_token": "bm90LW91cnM="}, {"access_token": "a.b.c"}])
async def test_revoking_what_proves_nothing_is_answered_the_same(client: httpx.AsyncClient, body: JSON) -> None:
    assert (await client.post("/v1/auth/tokens/revoke", json=body)).status_code == 204


async def test_a_disabled_person_is_out_at_once(world: World, client: httpx.AsyncClient) -> None:
    who = await somebody(world)
    tokens = await signed_in(world, client, who)
    await _disable(world, who)
    assert (await me(client, tokens["access_token"])).status_code == 401
    answer = await client.post("/v1/auth/tokens/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 401


async def test_a_new_role_counts_at_the_next_request(world: World, client: httpx.AsyncClient) -> None:
    who = await somebody(world)
    tokens = await signed_in(world, client, who)
    async with world.database.work(actor.TIMER) as w:
        await build.grant(w, who, "coordinator", await build.institution(w))
    roles = (await me(client, tokens["access_token"])).json()["roles"]
    assert {role["role"] for role in roles} == {"clinician", "coordinator"}


@pytest.mark.parametrize(
    "bearer",
    ["", "x", "a.b.c", "Bearer", "é", "..", "eyJhbGciOiJub25lIn0.e30.", "A" * 9000],
    ids=lambda text: text[:12],
)
async def test_a_token_that_is_none_is_answered_401(client: httpx.AsyncClient, bearer: str) -> None:
    answer = await client.get("/v1/me", headers={b"Authorization": b"Bearer " + bearer.encode()})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.headers["www-authenticate"].startswith('Bearer realm="pobratym", error="invalid_token", error_d')


async def test_no_row_holds_a_token(world: World, client: httpx.AsyncClient) -> None:
    tokens = await signed_in(world, client, await somebody(world))
    async with world.database.work(actor.TIMER) as w:
        rows = [str(dict(row)) for name in ("link", "refresh_token") for row in await _all(w, name)]
    assert rows
    assert not any(tokens["refresh_token"][:20] in row for row in rows)


async def test_the_published_keys_prove_our_tokens(world: World, client: httpx.AsyncClient) -> None:
    from joserfc import jwk, jwt  # noqa: PLC0415 - the oracle

    tokens = await signed_in(world, client, await somebody(world))
    keys = jwk.KeySet.import_key_set((await client.get("/oauth2/jwks.json")).json())
    assert jwt.decode(tokens["access_token"], keys, algorithms=["ES256"]).claims["aud"] == "pobratym"
    assert "d" not in (await client.get("/oauth2/jwks.json")).text.split('"')


async def test_tokens_of_a_rotated_key_live_on_and_new_ones_have_the_new_key(
    world: World, client: httpx.AsyncClient, test_clock: TestClock
) -> None:
    who = await somebody(world)
    old = await signed_in(world, client, who)
    test_clock.forward(minutes=1)
    async with world.database.work(actor.TIMER) as w:
        await logins.make_signing_key(w, rotate=True)
    assert (await me(client, old["access_token"])).status_code == 200
    assert len((await client.get("/oauth2/jwks.json")).json()["keys"]) == 2
    test_clock.forward(minutes=15)
    assert len((await client.get("/oauth2/jwks.json")).json()["keys"]) == 1


async def test_an_access_token_that_was_let_in_before_ends_all_the_same(
    world: World, client: httpx.AsyncClient, test_clock: TestClock
) -> None:
    token = (await signed_in(world, client, await somebody(world)))["access_token"]
    answers = []
    for minutes in (0, 14, 1):
        test_clock.forward(minutes=minutes)
        answers.append((await me(client, token)).status_code)
    assert answers == [200, 200, 401]


async def test_a_token_that_was_let_in_before_is_refused_once_its_key_is_gone(
    world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await signed_in(world, client, await somebody(world)))["access_token"]
    assert (await me(client, token)).status_code == 200
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.delete(tables.SigningKey))
        await logins.make_signing_key(w)
    monkeypatch.setattr(access_tokens, "_KEPT_SECONDS", 0.0)  # as after a minute
    monkeypatch.setattr(access_tokens, "_NOT_SOONER_SECONDS", 0.0)
    assert (await me(client, token)).status_code == 401


async def test_the_private_key_lies_sealed(world: World, client: httpx.AsyncClient) -> None:
    await signed_in(world, client, await somebody(world))
    async with world.database.work(actor.TIMER) as w:
        key = (await w.sql(sa.select(tables.SigningKey))).scalar_one()
    assert b"PRIVATE KEY" not in key.private_pem


async def test_the_operator_gets_a_token_for_an_address(world: World, client: httpx.AsyncClient) -> None:
    who = await somebody(world)
    async with world.database.work(actor.TIMER) as w:
        token = await world.tokens.for_email(w, who.email.upper())
    assert (await me(client, token)).json()["email"] == who.email


async def _disable(world: World, who: tables.Person) -> None:
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.update(tables.Person).where(tables.Person.id == who.id).values(state="disabled"))  # type: ignore[arg-type]


async def _all(w: Work, name: str) -> list[dict[str, object]]:
    return [dict(row) for row in (await w.sql(sa.text(f"SELECT * FROM {name}"))).mappings()]


@pytest.mark.races
async def test_a_link_used_by_many_at_once_lets_one_in(world: World, client: httpx.AsyncClient) -> None:
    token = await link_for(world, await somebody(world))
    answers = await asyncio.gather(*(client.post("/v1/auth/tokens", json={"link_token": token}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


@pytest.mark.races
async def test_a_refresh_token_used_by_many_at_once_ends_the_sign_in(world: World, client: httpx.AsyncClient) -> None:
    tokens = await signed_in(world, client, await somebody(world))
    body = {"refresh_token": tokens["refresh_token"]}
    answers = await asyncio.gather(*(client.post("/v1/auth/tokens/refresh", json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    winner = next(answer.json() for answer in answers if answer.status_code == 200)
    assert (await me(client, winner["access_token"])).status_code == 401


@pytest.mark.races
async def test_the_first_signing_key_is_made_once_however_many_ask(world: World) -> None:
    who = await somebody(world)

    async def token() -> str:
        async with world.database.work(actor.STRANGER) as w:
            return await world.tokens.for_email(w, who.email)

    await asyncio.gather(*(token() for _ in range(6)))
    assert await count(world, "signing_key") == 1


@pytest.mark.parametrize("body", [{}, {"refresh_token": None}, {"token": "x"}, {"refresh_token": "a b"}])
async def test_a_revocation_of_nothing_is_refused(client: httpx.AsyncClient, body: JSON) -> None:
    assert (await client.post("/v1/auth/tokens/revoke", json=body)).status_code == 422


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@b", "a@b.example\r\nBcc: c@d.example", "a,b@c.example", "\ud800@c.example"]
)
async def test_an_address_that_is_none_is_refused(client: httpx.AsyncClient, email: str) -> None:
    body = json.dumps({"email": email}).encode()
    answer = await client.post("/v1/auth/sign-in-links", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
