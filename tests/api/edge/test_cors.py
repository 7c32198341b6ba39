"""Pages of other sites read the API in a browser if the operator named their origin, and only then."""

import httpx
import pytest

from integrations.runtime import settings
from integrations.runtime.world import World

ORIGIN = "https://dashboard.example"
ASKED = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization, if-match"}


@pytest.fixture
def _named(world: World) -> None:
    world.settings = world.settings.model_copy(update={"cors_origins": (ORIGIN,)})


def allowed(answer: httpx.Response) -> str | None:
    assert "access-control-allow-credentials" not in answer.headers
    origin: str | None = answer.headers.get("access-control-allow-origin")
    return origin


async def test_no_origin_is_let_in_unless_it_is_named(client: httpx.AsyncClient) -> None:
    for answer in (
        await client.get("/v1/me", headers={"Origin": ORIGIN}),
        await client.options("/v1/me", headers={"Origin": ORIGIN} | ASKED),
    ):
        assert allowed(answer) is None
        assert "Origin" not in answer.headers.get("vary", "")


@pytest.mark.usefixtures("_named")
async def test_a_named_origin_reads_answers_and_errors_and_asks_before(client: httpx.AsyncClient) -> None:
    for path in ("/v1/me", "/v1/nowhere", "/openapi.json", "/v1/" + "x" * 9_000):
        answer = await client.get(path, headers={"Origin": ORIGIN})
        assert (allowed(answer), answer.headers["vary"]) == (ORIGIN, "Origin"), path
        assert "ETag" in answer.headers["access-control-expose-headers"]

    asked = await client.options("/v1/offers", headers={"Origin": ORIGIN} | ASKED)
    assert (asked.status_code, allowed(asked), asked.content) == (204, ORIGIN, b"")
    assert "PUT" in asked.headers["access-control-allow-methods"]
    assert {"Authorization", "If-Match"} <= set(asked.headers["access-control-allow-headers"].split(", "))


@pytest.mark.usefixtures("_named")
@pytest.mark.parametrize(
    "origin",
    ["https://dashboard.example.evil.example", "http://dashboard.example", "null", "", "https://DASHBOARD.example"],
)
async def test_another_origin_is_let_in_nowhere(client: httpx.AsyncClient, origin: str) -> None:
    assert allowed(await client.get("/v1/me", headers={"Origin": origin})) is None
    assert allowed(await client.options("/v1/me", headers={"Origin": origin} | ASKED)) is None


@pytest.mark.usefixtures("_named")
async def test_pages_for_people_are_nobody_elses(client: httpx.AsyncClient) -> None:
    for path in ("/", "/sign-in/x", "/a/x"):
        assert allowed(await client.get(path, headers={"Origin": ORIGIN})) is None


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "null",
        "https://*.example",
        "dashboard.example",
        "https://d.example/",
        "https://d.example/x",
        "http://d.example",
        "https://D.example",
        "https://d.example:443",
        "https://u@d.example",
        f"{ORIGIN} https://e.example",
    ],
)
def test_what_no_browser_sends_as_an_origin_is_no_setting(origins: str) -> None:
    with pytest.raises(settings.BadSettings) as bad:
        settings.load({"POBRATYM_CORS_ORIGINS": origins})
    assert "POBRATYM_CORS_ORIGINS" in bad.value.faults[0]


def test_origins_are_separated_by_commas() -> None:
    read = settings.load({"POBRATYM_CORS_ORIGINS": f"{ORIGIN}, http://localhost:3000"})
    assert read.cors_origins == (ORIGIN, "http://localhost:3000")
