"""What every resource has in common, shown on one that exists for it."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

import build
import world as simulated
from api.edge import metrics, problems
from integrations.runtime import health
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock, errors


async def count_of(world: World, table: type) -> int:
    async with world.database.work(actor.TIMER) as w:
        return int((await w.sql(sa.select(sa.func.count()).select_from(table))).scalar_one())


# --- problems ---------------------------------------------------------------------------------------------------


async def test_every_problem_type_has_a_page(client: httpx.AsyncClient) -> None:
    answers = {name: await client.get(f"/problems/{name}") for name in problems.catalogue()}

    assert {answer.status_code for answer in answers.values()} == {200}
    assert all(name in answer.text for name, answer in answers.items())
    assert (await client.get("/problems/unheard-of")).status_code == 404


def test_every_error_of_the_domain_has_a_status() -> None:
    assert all(problems.status_of(kind) < 500 or issubclass(kind, errors.Unavailable) for kind in problems.kinds())


async def test_a_stranger_is_refused_before_the_body_is_judged(probing: httpx.AsyncClient) -> None:
    answer = await probing.post("/v1/probes", json={"nonsense": 1}, headers={"Authorization": ""})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="pobratym"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/unauthenticated"


async def test_an_invalid_field_is_pointed_at_and_not_repeated(probing: httpx.AsyncClient) -> None:
    answer = await probing.post("/v1/probes", json={"name": "x", "ids": ["canary-of-the-input"], "more": 1})

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/ids/0", "/more"]
    assert "canary" not in answer.text


async def test_an_error_nobody_foresaw_tells_nothing(probing: httpx.AsyncClient) -> None:
    answer = await probing.delete(f"/v1/probes/{clock.new_id()}")

    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
    assert "secret detail" not in answer.text


async def test_an_address_that_no_id_can_have_is_not_there(probing: httpx.AsyncClient) -> None:
    answers = [await probing.get(f"/v1/probes/{id_}") for id_ in (clock.new_id(), "1", "%00", "x" * 5000)]

    assert [answer.json()["type"] for answer in answers] == ["/problems/not-found"] * 4


async def test_a_wrong_method_names_the_right_ones(probing: httpx.AsyncClient) -> None:
    answer = await probing.put("/v1/probes")

    assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method-not-allowed")
    assert "allow" in answer.headers


async def test_a_body_of_another_form_is_refused(probing: httpx.AsyncClient) -> None:
    answer = await probing.post("/v1/probes", content=b"name=x", headers={"Content-Type": "text/plain"})

    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


async def test_every_answer_has_a_request_id_and_the_headers_that_protect(client: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/nowhere", "/docs"):
        answer = await client.get(path)
        assert len(answer.headers["x-request-id"]) == 36
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_request_id_of_the_caller_is_kept_unless_it_is_strange(client: httpx.AsyncClient) -> None:
    kept = await client.get("/health/live", headers={"X-Request-Id": "gateway-0001"})
    strange = await client.get("/health/live", headers={"X-Request-Id": 'a"b{}'})

    assert kept.headers["x-request-id"] == "gateway-0001"
    assert strange.headers["x-request-id"] != 'a"b{}'


async def test_requests_are_counted_by_the_template_of_their_route(probing: httpx.AsyncClient, world: World) -> None:
    path = f"/v1/probes/{clock.new_id()}"
    await probing.get(path)

    figures = metrics.shown(await health.backlog(world))[0].decode()
    assert 'route="/v1/probes/{id}"' in figures
    assert path not in figures


# --- transactions -----------------------------------------------------------------------------------------------


async def test_an_error_undoes_the_change(probing: httpx.AsyncClient, world: World) -> None:
    before = await count_of(world, tables.Institution)

    assert (await probing.post("/v1/probes", json={"name": "taken"})).status_code == 409
    assert await count_of(world, tables.Institution) == before


@pytest.mark.races
async def test_a_commit_that_fails_is_not_answered_with_success(probing: httpx.AsyncClient, world: World) -> None:
    async with world.engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE late (id uuid REFERENCES person DEFERRABLE INITIALLY DEFERRED)"))
    answer = await probing.post("/v1/probes", json={"name": "late"}, headers={"Idempotency-Key": "k"})

    assert answer.status_code >= 400
    assert await count_of(world, tables.IdempotencyKey) == 0


# --- versions ---------------------------------------------------------------------------------------------------


async def test_a_change_needs_the_version_it_builds_on(probing: httpx.AsyncClient) -> None:
    made = (await probing.post("/v1/probes", json={"name": "a"})).headers["location"]
    tag = (await probing.get(made)).headers["etag"]

    without = await probing.patch(made, json={"name": "b"})
    first = await probing.patch(made, json={"name": "b"}, headers={"If-Match": tag})
    second = await probing.patch(made, json={"name": "c"}, headers={"If-Match": tag})

    assert [without.status_code, first.status_code, second.status_code] == [428, 200, 412]
    assert first.headers["etag"] != tag
    assert (await probing.get(made)).json()["name"] == "b"


# --- idempotency ------------------------------------------------------------------------------------------------

KEY = {"Idempotency-Key": "0193f3c4"}


async def test_wh_16_the_same_key_repeats_the_answer_without_its_secret(
    probing: httpx.AsyncClient, world: World
) -> None:
    first = await probing.post("/v1/probes", json={"name": "a"}, headers=KEY)
    before = await count_of(world, tables.Institution)
    again = await probing.post("/v1/probes", json={"name": "a"}, headers=KEY)

    assert again.status_code == first.status_code == 201
    assert again.json() == first.json() | {"secret": None}
    assert first.json()["secret"] == "shown once"
    assert again.headers["location"] == first.headers["location"]
    assert await count_of(world, tables.Institution) == before


async def test_wh_16_another_body_under_the_key_is_refused(probing: httpx.AsyncClient) -> None:
    await probing.post("/v1/probes", json={"name": "a"}, headers=KEY)
    answer = await probing.post("/v1/probes", json={"name": "b"}, headers=KEY)

    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/idempotency-key-reused")


async def test_wh_16_an_error_frees_the_key(probing: httpx.AsyncClient) -> None:
    refused = await probing.post("/v1/probes", json={"name": "taken"}, headers=KEY)
    answer = await probing.post("/v1/probes", json={"name": "free"}, headers=KEY)

    assert [refused.status_code, answer.status_code] == [409, 201]


@pytest.mark.parametrize(("later", "is_same"), [({"hours": 23, "minutes": 59}, True), ({"hours": 24}, False)])
async def test_wh_16_the_answer_is_kept_for_24_hours(
    probing: httpx.AsyncClient, world: World, test_clock: simulated.TestClock, later: dict[str, int], is_same: bool
) -> None:
    async with world.database.work(actor.TIMER) as w:
        who = await build.coordinator(w, await build.institution(w))
    first = await probing.post("/v1/probes", json={"name": "a"}, headers=KEY | await build.bearer(world, who))
    test_clock.forward(**later)
    again = await probing.post("/v1/probes", json={"name": "a"}, headers=KEY | await build.bearer(world, who))

    assert (again.json()["id"] == first.json()["id"]) is is_same


async def test_wh_16_a_key_belongs_to_its_caller(probing: httpx.AsyncClient, world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        who = await build.coordinator(w, await build.institution(w))
    first = await probing.post("/v1/probes", json={"name": "a"}, headers=KEY)
    other = await probing.post("/v1/probes", json={"name": "a"}, headers=KEY | await build.bearer(world, who))

    assert other.json()["id"] != first.json()["id"]


async def test_a_stranger_is_never_answered_with_what_another_stranger_got(probing: httpx.AsyncClient) -> None:
    as_stranger = KEY | {"Authorization": ""}
    answers = [await probing.post("/v1/probes/open", json={"name": "a"}, headers=as_stranger) for _ in range(2)]

    assert answers[0].json()["id"] != answers[1].json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "тест".encode().decode("latin-1")])
async def test_a_strange_key_is_refused(probing: httpx.AsyncClient, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = await probing.post("/v1/probes", json={"name": "a"}, headers=headers)  # type: ignore[arg-type]

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"


async def test_the_stored_answer_is_sealed(probing: httpx.AsyncClient, world: World) -> None:
    await probing.post("/v1/probes", json={"name": "canary of the body"}, headers=KEY)

    async with world.database.work(actor.TIMER) as w:
        row = (await w.sql(sa.select(tables.IdempotencyKey))).scalar_one()
    assert b"canary" not in row.body


@pytest.mark.races
async def test_wh_16_fifty_twins_at_once_make_one_row(probing: httpx.AsyncClient, world: World) -> None:
    before = await count_of(world, tables.Institution)
    twins = [probing.post("/v1/probes", json={"name": "a"}, headers=KEY) for _ in range(50)]
    answers = await asyncio.gather(*twins)

    assert Counter(answer.status_code for answer in answers) == {201: 50}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await count_of(world, tables.Institution) == before + 1


# --- paging -----------------------------------------------------------------------------------------------------


async def test_pages_follow_one_another_without_gap_or_twin_while_rows_are_added(probing: httpx.AsyncClient) -> None:
    names = [f"probe {number}" for number in range(7)]
    for name in names[:5]:
        await probing.post("/v1/probes", json={"name": name})
    found: list[str] = []
    query: dict[str, str] | None = {"limit": "2"}
    while query is not None:
        page = (await probing.get("/v1/probes", params=query)).json()
        found += [item["name"] for item in page["items"]]
        if names[5:]:
            await probing.post("/v1/probes", json={"name": names.pop()})
        query = {"limit": "2", "after": page["next"]} if page["next"] else None

    assert len(found) == len(set(found))
    assert [name for name in found if name in names] == names
    assert {"probe 5", "probe 6"} <= set(found)


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=201", f"limit={2**64}", "limit=", "limit=1.5"])
async def test_a_limit_outside_1_to_200_is_refused(probing: httpx.AsyncClient, query: str) -> None:
    answer = await probing.get(f"/v1/probes?{query}")

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/limit")


@pytest.mark.parametrize(
    "cursor", ["x", "%00", "W10", "WzFd", "e30", "WyJhIl0", "W1tdXQ", "bnVsbA", "WyJcdTAwMDAiXQ", "A" * 5000, "%F0%9F"]
)
async def test_a_bad_cursor_is_refused(probing: httpx.AsyncClient, cursor: str) -> None:
    answer = await probing.get(f"/v1/probes?after={cursor}")

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/after")


# --- limits -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stopped_wall")
async def test_as_many_calls_as_the_settings_say_are_let_in(probing: httpx.AsyncClient, world: World) -> None:
    world.settings = world.settings.model_copy(update={"requests_per_minute": 3})
    answers = [await probing.get("/v1/probes") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
    assert answers[-1].json()["type"] == "/problems/too-many-requests"


@pytest.mark.usefixtures("stopped_wall")
async def test_a_call_that_fails_counts_as_well(probing: httpx.AsyncClient, world: World) -> None:
    world.settings = world.settings.model_copy(update={"requests_per_minute": 1})
    answers = [await probing.get(f"/v1/probes/{clock.new_id()}") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [404, 429]


# --- operation --------------------------------------------------------------------------------------------------


async def test_live_and_ready_say_so(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "ok"}
    assert (await client.get("/health/ready")).json() == {"status": "ready", "reasons": [], "notices": []}


async def test_an_unreachable_database_makes_it_unready_and_leaves_it_alive(
    probing_application: FastAPI, world: World, caller: dict[str, str]
) -> None:
    away = simulated.engine(world.settings, sa.make_url("postgresql+asyncpg://nobody@/nothing?host=/nowhere"))
    without = simulated.made(world.settings, away, simulated.TestClock())
    async with simulated.calling(probing_application, without) as client:
        ready, live = await client.get("/health/ready"), await client.get("/health/live")
        working = await client.get("/v1/probes", headers=caller)

    assert (ready.status_code, ready.json()["reasons"]) == (503, ["database_unreachable"])
    assert live.status_code == 200
    assert (working.status_code, working.headers["retry-after"]) == (503, "1")


async def test_metrics_are_for_the_machine_itself_or_a_token(application: FastAPI, world: World) -> None:
    async with simulated.calling(application, world, address="192.0.2.1") as afar:
        stranger = await afar.get("/metrics")
        world.settings = world.settings.model_validate(
            {**world.settings.model_dump(exclude_none=True), "metrics_token": "a-token-of-sixteen"}
        )
        known = await afar.get("/metrics", headers={"Authorization": "Bearer a-token-of-sixteen"})
        wrong = await afar.get("/metrics", headers={"Authorization": "Bearer a-token-of-seventeen"})

    assert [stranger.status_code, known.status_code, wrong.status_code] == [403, 200, 403]
    assert "pobratym_oldest_due_seconds" in known.text


async def test_the_machine_itself_reads_metrics_where_no_token_is_set(client: httpx.AsyncClient, world: World) -> None:
    without = await client.get("/metrics")
    world.settings = world.settings.model_validate(
        {**world.settings.model_dump(exclude_none=True), "metrics_token": "a-token-of-sixteen"}
    )
    with_one = await client.get("/metrics")  # behind a proxy it may be anybody

    assert [without.status_code, with_one.status_code] == [200, 403]


# --- the demo's clock -------------------------------------------------------------------------------------------


async def test_there_is_no_demo_clock_on_a_system_that_is_none(client: httpx.AsyncClient) -> None:
    assert (await client.put("/demo/clock", json={"now": None})).status_code == 404


async def test_the_demo_clock_is_set_and_returned_from_the_machine_itself(
    application: FastAPI, world: World, tmp_path: Path
) -> None:
    world.clock = clock.ManualClock(tmp_path / "clock-offset")
    near = simulated.calling(application, world)
    afar = simulated.calling(application, world, address="192.0.2.1")
    refused = await afar.put("/demo/clock", json={"now": "2026-11-10T08:00:00Z"})
    await near.put("/demo/clock", json={"now": "2026-11-10T08:00:00Z"})
    moved = world.clock.now()
    await near.put("/demo/clock", json={"now": None})

    assert refused.status_code == 403
    assert moved.isoformat().startswith("2026-11-10T08:0")
    assert abs((world.clock.now() - clock.wall()).total_seconds()) < 5
