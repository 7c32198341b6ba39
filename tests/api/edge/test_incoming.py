"""What of a request is read, and when: the head first, then whose it is, then a bounded body."""

import json
import unicodedata
from collections.abc import Iterable, Iterator, MutableMapping
from datetime import timedelta
from typing import Any, Literal

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

import build
import targets
import world as simulated
from api.edge import incoming, openapi, plain_json, raw, shapes
from api.pages import fields, words
from flow import Scene
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from service.people import logins

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PIECE = b" " * 50_000


class Exchange:
    """One request to the application as a server hands it over, with how much was asked for before the answer."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.status, self.headers, self.body = 0, dict[str, str](), b""
        self.read_before_the_answer, self.read = 0, 0

    async def send(
        self, method: str, path: str, pieces: Iterable[bytes] = (), headers: dict[str, str] | None = None
    ) -> "Exchange":
        """Send a body in pieces; one that ends before its announced end is a client that went away."""
        left = iter(pieces)
        path, _, query = path.partition("?")
        await self._app(
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": method,
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "query_string": query.encode(),
                "root_path": "",
                "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
                "client": ("127.0.0.1", 50_000),
                "server": ("testserver", 80),
                "state": {},
            },
            lambda: self._receive(left),
            self._send,
        )
        return self

    async def _receive(self, left: Iterator[bytes]) -> dict[str, Any]:
        piece = next(left, None)
        if piece is None:
            return {"type": "http.disconnect"}
        self.read += len(piece)
        if not self.status:
            self.read_before_the_answer = self.read
        return {"type": "http.request", "body": piece, "more_body": True}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")


@pytest.fixture
def exchange(application: FastAPI, client: httpx.AsyncClient) -> Exchange:
    assert client is not None  # the application has its world
    return Exchange(application)


def endless() -> Iterator[bytes]:
    while True:
        yield PIECE


def posts(application: FastAPI) -> list[tuple[str, str]]:
    described = openapi.describe(application)["paths"]
    return [
        (method.upper(), path)
        for path, operations in described.items()
        for method in operations
        if method in ("post", "put", "patch", "delete")
    ]


# --- nobody's body ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [{"Content-Length": "26214400"}, {"Transfer-Encoding": "chunked"}])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/inbound/mail", 404),
        ("POST", "/nowhere", 404),
        ("PUT", "/v1/consultations", 405),
        ("POST", "/v1/consultations", 401),
        ("POST", "/v1/people", 401),
        ("POST", "/consultations/new", 401),
    ],
)
async def test_sec_05_a_body_that_nobody_takes_is_not_read_before_the_answer(
    exchange: Exchange, length: dict[str, str], method: str, path: str, status: int
) -> None:
    await exchange.send(method, path, endless(), JSON | length)

    assert (exchange.status, exchange.read_before_the_answer) == (status, 0)
    assert exchange.headers["connection"] == "close"


async def test_sec_05_no_route_reads_the_body_of_a_caller_whom_it_does_not_know(
    application: FastAPI, client: httpx.AsyncClient
) -> None:
    assert client is not None
    read = {}
    for method, path in posts(application):
        tried = await Exchange(application).send(
            method, targets.at({}, path), endless(), JSON | {"Content-Length": "900000", "Authorization": "Bearer no"}
        )
        if tried.read_before_the_answer:
            read[path] = tried.status

    assert set(read) == {
        "/v1/auth/sign-in-links", "/v1/auth/tokens", "/v1/auth/tokens/refresh", "/v1/auth/tokens/revoke",
    }  # fmt: skip


async def test_sec_05_a_body_that_is_announced_too_large_is_refused_unread(exchange: Exchange, world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        bearer = await build.bearer(world, await build.coordinator(w, await build.institution(w)))
    await exchange.send("POST", "/v1/consultations", endless(), JSON | bearer | {"Content-Length": "1000001"})

    assert (exchange.status, exchange.read_before_the_answer) == (413, 0)


async def test_sec_05_a_client_that_waits_for_leave_to_send_is_answered_and_not_waited_for(exchange: Exchange) -> None:
    headers = JSON | {"Content-Length": "900000", "Expect": "100-continue"}
    await exchange.send("POST", "/v1/consultations", endless(), headers)

    assert (exchange.status, exchange.read) == (401, 0)


async def test_sec_05_another_media_type_is_refused_unread(exchange: Exchange, world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        bearer = await build.bearer(world, await build.coordinator(w, await build.institution(w)))
    headers = bearer | {"Content-Type": "text/plain", "Content-Length": "500"}
    await exchange.send("POST", "/v1/consultations", endless(), headers)

    assert (exchange.status, exchange.read_before_the_answer) == (415, 0)


async def test_sec_05_what_ends_before_its_end_is_not_taken_for_whole(exchange: Exchange) -> None:
    await exchange.send("POST", "/sign-in", [b"email=clinician%40chernihiv.example"], FORM | {"Content-Length": "100"})

    assert exchange.status == 0


# --- bounds -----------------------------------------------------------------------------------------------------


async def test_sec_01_a_form_is_read_no_further_than_64_kb(exchange: Exchange) -> None:
    await exchange.send("POST", "/sign-in", endless(), FORM | {"Transfer-Encoding": "chunked"})

    assert exchange.status == 413
    assert exchange.read_before_the_answer <= 64 * 1024 + len(PIECE)
    assert b"Nothing was changed" in exchange.body


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (f"/v1/consultations?state={'x' * 9_000}", {}, 414),
        (f"/{'x' * 9_000}", {}, 414),
        ("/health/live", {"Cookie": "a=" + '"\\' * 20_000}, 431),
        ("/health/live", {f"X-{number}": "y" * 400 for number in range(100)}, 431),
        ("/health/live", {"Cookie": "a=" + '"\\' * 1_000}, 200),
    ],
)
async def test_sec_01_a_head_is_bounded_before_anything_reads_it(
    exchange: Exchange, path: str, headers: dict[str, str], status: int
) -> None:
    await exchange.send("GET", path, [], headers)

    assert exchange.status == status


PILES = {
    "accents": "a" + "\u0301\u0316" * 5,
    "marks that take two to write": "a" + "\u0f73" * 9,
    "enclosing signs": "a" + "\u20dd" * 9,
    "vowel points that a script spaces": "\u0915" + "\u093e" * 9,
}


@pytest.mark.parametrize("pile", PILES)
async def test_sec_01_marks_in_a_row_are_bounded_and_refused_in_words(probing: httpx.AsyncClient, pile: str) -> None:
    answer = await probing.post("/v1/probes", json={"name": "probe", "note": PILES[pile]})

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "/note", "detail": "must not pile more than 8 marks on one letter"}]


@pytest.mark.parametrize("word", ["Việt", "שָׁלוֹם", "नमस्ते", "й" + "\u0301" * 2, "བསྒྲུབས", "e" + "\u0301" * 8])
async def test_sec_01_marks_that_people_write_are_taken(probing: httpx.AsyncClient, word: str) -> None:
    answer = await probing.post("/v1/probes", json={"name": word})

    assert answer.json()["name"] == unicodedata.normalize("NFC", word)


@pytest.mark.parametrize("kind", ["line", "note", "text"])
def test_sec_01_a_form_says_in_words_that_marks_pile_up(kind: str) -> None:
    form = fields.Fields([("field", PILES["accents"])])

    assert form.words("field", kind) is None
    assert "eight marks" in words.of("en").fault(str(form.faults["field"]))


async def test_sec_01_no_more_is_normalised_than_a_field_takes(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalised: list[str] = []
    normalize = unicodedata.normalize

    def counted(form: Literal["NFC"], text: str) -> str:
        normalised.append(text)
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", counted)
    for text in ("\u0301" * 10_000, "я" * 10_500, "a\u0301" * 4_000, ("a" + "\u0301" * 9) * 900):
        await client.post("/sign-in", data={"email": text})
        await client.post("/sign-in", data={text[:3_000]: "x"})

    assert max(map(len, normalised), default=0) <= shapes.LONGEST_TEXT
    assert not any(shapes.piles_marks(text) for text in normalised)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 10_000 + b"[]]",
        b"[" + b"0," * 10_000 + b"0]",
        b"[" + b'"",' * 10_000 + b'""]',
        b"{" + b",".join(b'"%d":0' % number for number in range(10_001)) + b"}",
    ],
)
async def test_sec_01_values_are_counted_before_a_parser_makes_them(probing: httpx.AsyncClient, body: bytes) -> None:
    answer = await probing.post("/v1/probes", content=body, headers=JSON)

    assert (answer.status_code, answer.json()["detail"]) == (400, "There are more than 5000 values.")


def test_sec_01_commas_and_brackets_in_texts_are_no_values() -> None:
    plain_json.check(b'["' + b",[" * 10_000 + b'", "' + b",{" * 10_000 + b'"]')
    plain_json.check(b"[" + b"0," * 4_998 + b"0]")


def test_every_address_of_ours_is_shorter_than_what_is_taken(application: FastAPI) -> None:
    assert max(len(path) for path in openapi.describe(application)["paths"]) * 10 < raw.LONGEST_ADDRESS


async def test_sec_01_the_longest_question_in_ukrainian_passes_by_form(
    world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient
) -> None:
    scene = Scene(world, test_clock, client)
    assert len(str(httpx.QueryParams({"question": "ї" * 9_998})).encode()) < incoming.MOST_BYTES[FORM["Content-Type"]]
    await scene.set_up()
    answer = await scene.call("clinician", "POST", "/v1/consultations", scene.wish(question="слово " * 1_666))
    assert answer.status_code == 201


async def test_sec_05_a_role_that_ends_while_a_body_is_coming_acts_no_more(
    exchange: Exchange, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.database.work(actor.TIMER) as w:
        hospital = await build.institution(w)
        keeper = await build.coordinator(w, hospital)
    body = json.dumps({"email": "new@hospital.example", "display_name": "New", "locale": "uk", "zone": "Europe/Kyiv",
                       "roles": [{"role": "clinician", "institution_id": str(hospital.id)}]}).encode()  # fmt: skip
    receive = exchange._receive

    async def dismissed(left: Iterator[bytes]) -> dict[str, Any]:
        if exchange.read:  # between the first piece and the second
            async with world.database.work(actor.TIMER) as w:
                await w.sql(sa.text("DELETE FROM role_grant WHERE person_id = :id"), {"id": keeper.id})
        message = await receive(left)
        return message | {"more_body": exchange.read < len(body)}

    monkeypatch.setattr(exchange, "_receive", dismissed)
    bearer = await build.bearer(world, keeper)
    await exchange.send(
        "POST", "/v1/people", [body[:40], body[40:]], JSON | bearer | {"Content-Length": str(len(body))}
    )

    assert exchange.status == 403


def _between_two_pieces(exchange: Exchange, world: World, statement: str, **values: object) -> None:
    """Have the statement happen once the first piece of the form was read, and the second one be the last."""
    receive = exchange._receive

    async def happens(left: Iterator[bytes]) -> dict[str, Any]:
        is_last = exchange.read > 0
        if is_last:
            async with world.database.work(actor.TIMER) as w:
                await w.sql(sa.text(statement), values)
        return await receive(left) | {"more_body": not is_last}

    exchange._receive = happens  # type: ignore[method-assign]


async def _coordinator_with_a_colleague(
    world: World, client: httpx.AsyncClient
) -> tuple[tables.Person, tables.Person, str]:
    """Give a coordinator, a clinician of the same hospital, and the cookie with which the first is signed in."""
    async with world.database.work(actor.TIMER) as w:
        hospital = await build.institution(w)
        keeper, other = await build.coordinator(w, hospital), await build.clinician(w, hospital)
        token = await logins.link_token(w, keeper.email, timedelta(minutes=15))
    cookie = (await client.post(f"/sign-in/{token}")).headers["set-cookie"].split(";")[0]
    client.cookies.clear()
    return keeper, other, cookie


@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("DELETE FROM role_grant WHERE person_id = :id", 404),
        ("UPDATE person SET state = 'disabled' WHERE id = :id", 401),
    ],
)
async def test_sec_05_whoever_may_no_more_when_their_form_has_arrived_changes_nothing(
    exchange: Exchange, world: World, client: httpx.AsyncClient, statement: str, status: int
) -> None:
    keeper, other, cookie = await _coordinator_with_a_colleague(world, client)
    body = b"email=somebody.else%40hospital.example"
    _between_two_pieces(exchange, world, statement, id=keeper.id)
    headers = FORM | {"Cookie": cookie, "Content-Length": str(len(body))}
    await exchange.send("POST", f"/people/{other.id}/address", [body[:10], body[10:]], headers)

    assert exchange.status == status
    async with world.database.work(actor.TIMER) as w:
        assert (await w.sql(sa.text("SELECT 1 FROM address_change"))).first() is None


async def test_sec_05_a_link_whose_holder_may_no_more_when_its_form_has_arrived_does_nothing(
    exchange: Exchange, world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient
) -> None:
    scene = Scene(world, test_clock, client)
    await scene.set_up(mentors=["mentor"])
    await scene.request()
    (link, *_) = await scene.rows("SELECT id FROM link WHERE purpose = 'offer.decline'")
    path = f"/a/{world.keys.link_token(link.id, 'offer.decline')}"
    body = b"reason=busy&note="
    _between_two_pieces(
        exchange, world, "UPDATE person SET state = 'disabled' WHERE id = :id", id=scene.people["mentor"].id
    )
    await exchange.send("POST", path, [body[:5], body[5:]], FORM | {"Content-Length": str(len(body))})

    assert exchange.status >= 400
    assert [row.state for row in await scene.rows("SELECT state FROM offer")] == ["pending"]


async def test_sec_05_a_form_that_is_long_in_coming_and_then_whole_is_asked_about_again_too(
    exchange: Exchange, world: World, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "LATE_SECONDS", 0)
    keeper, other, cookie = await _coordinator_with_a_colleague(world, client)
    body, receive = b"email=somebody.else%40hospital.example", exchange._receive

    async def disabled_meanwhile(left: Iterator[bytes]) -> dict[str, Any]:
        async with world.database.work(actor.TIMER) as w:
            await w.sql(sa.text("UPDATE person SET state = 'disabled' WHERE id = :id"), {"id": keeper.id})
        return await receive(left) | {"more_body": False}

    exchange._receive = disabled_meanwhile  # type: ignore[method-assign]
    headers = FORM | {"Cookie": cookie, "Content-Length": str(len(body))}
    await exchange.send("POST", f"/people/{other.id}/address", [body], headers)

    assert exchange.status == 401
    async with world.database.work(actor.TIMER) as w:
        assert (await w.sql(sa.text("SELECT 1 FROM address_change"))).first() is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[" * 100_000, "nested more than 32 deep"),
        (b'{"a":' * 50_000, "nested more than 32 deep"),
        (b"[" * 100_000 + b"]" * 100_000, "nested more than 32 deep"),
        (b'["' + b"[" * 90_000 + b'",' + b"1," * 6_000 + b"1]", "more than 5000 values"),
        (b"[" + b"[]," * 6_000 + b"1]", "more than 5000 values"),
        (b"]" * 900_000, "not JSON"),
    ],
)
async def test_sec_01_what_is_nested_too_deep_is_not_called_too_many_values(
    probing: httpx.AsyncClient, body: bytes, said: str
) -> None:
    answer = await probing.post("/v1/probes", content=body, headers=JSON)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
