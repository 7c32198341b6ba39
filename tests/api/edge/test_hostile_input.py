"""Invariant I2: none of these may be a 5xx, on any route that takes input."""

import hashlib
import itertools
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import build
import targets
import world as simulated
from api.edge import incoming, openapi, plain_json
from flow import Scene
from integrations.runtime.world import World
from service.kernel import actor

IS_DRILL = os.environ.get("DRILLS") == "1"
JSON = {"Content-Type": "application/json"}
NESTED = [b"[" * depth + b"]" * depth for depth in (33, 300, 900, 100_000)]
BODIES: dict[str, tuple[bytes, int]] = {
    "NaN": (b'{"name": NaN}', 400),
    "Infinity": (b'{"count": Infinity}', 400),
    "minus Infinity": (b'{"count": -Infinity}', 400),
    "1e999": (b'{"count": 1e999}', 400),
    "an integer of 4,000 digits": (b'{"count": ' + b"9" * 4000 + b"}", 400),
    "an integer of 5,000 digits": (b'{"count": ' + b"9" * 5000 + b"}", 400),
    "a lone surrogate": (b'{"name": "\\ud800"}', 400),
    "a lone surrogate as a name": (b'{"\\udc00": 1}', 400),
    "nested 33 deep": (NESTED[0], 400),
    "nested 300 deep": (NESTED[1], 400),
    "nested 900 deep": (NESTED[2], 400),
    "nested 100,000 deep": (NESTED[3], 400),
    "nested 900 deep in a field": (b'{"name": ' + NESTED[2] + b"}", 400),
    "UTF-16 with a mark": ('{"name": "x"}'.encode("utf-16"), 400),
    "UTF-16 without a mark": ('{"name": "x"}'.encode("utf-16-le"), 400),
    "UTF-32": ('{"name": "x"}'.encode("utf-32"), 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "half a character": (b'{"name": "\xf0\x9f"}', 400),
    "duplicate names": (b'{"name": "a", "name": "b"}', 400),
    "a million names": (b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}", 413),
    "20,000 names": (b"{" + b",".join(b'"%d":1' % number for number in range(20_000)) + b"}", 400),
    "a string of 20 MB": (b'{"name": "' + b"x" * 20_000_000 + b'"}', 413),
    "nothing at all": (b"", 422),
    "a number": (b"1", 422),
    "a list": (b"[]", 422),
    "a bare word": (b"hello", 400),
    "no end": (b'{"name": "x"', 400),
    "two values": (b"{} {}", 400),
    "NUL in a text": (b'{"name": "a\\u0000b"}', 422),
    "NUL in a name": (b'{"a\\u0000": "b"}', 422),
    "a raw NUL": (b'{"name": "a\x00b"}', 400),
    "an unknown field": (b'{"name": "x", "is_admin": true}', 422),
    "a text that is none": (b'{"name": 5}', 422),
}
ZONES: tuple[str, ...] = (
    "right/Europe/Kyiv",
    "posix/Europe/Kyiv",
    "localtime",
    "Factory",
    "Europe",
    "a\0b",
    "x" * 5000,
    "",
    ".",
)
ZONES += ("../../etc/passwd", "/etc/localtime", "EST5EDT4", "posixrules", "tzdata.zi")
FIELDS: dict[str, Any] = {
    "2^31": {"count": 2**31},
    "2^63": {"count": 2**63},
    "minus 2^63 - 1": {"count": -(2**63) - 1},
    "a fraction": {"count": 1.5},
    "a truth as a number": {"count": True},
    "a number as a text": {"count": "5"},
    "year 1": {"at": "0001-01-01T00:00:00Z"},
    "year 1 east": {"at": "0001-01-01T00:00:00+14:00"},
    "year 9999": {"at": "9999-12-31T23:59:59Z"},
    "year 9999 west": {"at": "9999-12-31T23:59:59-14:00"},
    "year 0": {"at": "0000-01-01T00:00:00Z"},
    "a leap second": {"at": "2026-12-31T23:59:60Z"},
    "no offset": {"at": "2026-11-21T15:00:00"},
    "a date as an instant": {"at": "2026-11-21"},
    "a number as an instant": {"at": 0},
    "an instant in other digits": {"at": "２０２６-11-21T15:00:00Z"},  # noqa: RUF001 - that is the case
    "an offset of 25 hours": {"at": "2026-11-21T15:00:00+25:00"},
    "30 February": {"on": "2026-02-30"},
    "year 9999 as a day": {"on": "9999-12-31"},
    "only spaces": {"name": "   "},
    "two lines": {"name": "a\nb"},
    "a C1 control": {"name": "a\x85b"},
    "too long a name": {"name": "x" * 201},
    "an id that is none": {"ids": ["1"]},
    "an id in braces": {"ids": ["{0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11}"]},
    **{f"zone {zone[:20]!r}": {"zone": zone} for zone in ZONES},
}
VALUES = ("%00", "%ed%a0%80", "%ff", "NaN", "1e999", str(2**31), str(2**63), "9" * 4000, "-1", "0", "x" * 5000, "[[[[")
VALUES_AS_TIMES = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-12-31T23:59:60Z", "2026-11-21T15:00:00")


@pytest.mark.parametrize("name", BODIES)
async def test_a_hostile_body_is_refused(probing: httpx.AsyncClient, name: str) -> None:
    body, status = BODIES[name]
    answer = await probing.post("/v1/probes", content=body, headers=JSON)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    json.loads(answer.content.decode("utf-8"))


@pytest.mark.parametrize("name", FIELDS)
async def test_a_hostile_field_is_refused_and_pointed_at(probing: httpx.AsyncClient, name: str) -> None:
    answer = await probing.post("/v1/probes", json={"name": "probe"} | FIELDS[name])

    if "2^63" in name:
        assert answer.status_code == 400
    elif name == "2^31":
        assert answer.status_code == 201
    else:
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].split("/")[1] == next(iter(FIELDS[name]))


async def test_a_body_without_an_end_is_read_no_further_than_its_bound(probing: httpx.AsyncClient) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 100_000
            yield b" " * 100_000

    answer = await probing.post("/v1/probes", content=endless(), headers=JSON)

    assert answer.status_code == 413
    assert read <= incoming.MOST_BYTES["application/json"] + 200_000


@pytest.mark.parametrize("length", ["-1", "x", "9" * 5000])
async def test_a_length_that_is_none_is_refused(probing: httpx.AsyncClient, length: str) -> None:
    answer = await probing.post("/v1/probes", content=b"{}", headers=[*JSON.items(), ("Content-Length", length)])

    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("deep", [32])
def test_a_body_nested_32_deep_passes(deep: int) -> None:
    plain_json.check(b"[" * deep + b'"]}[["' + b"]" * deep)


async def test_text_is_stored_in_nfc(probing: httpx.AsyncClient) -> None:
    answer = await probing.post("/v1/probes", json={"name": "Ки\u0457в и\u0306"})

    assert answer.json()["name"] == "Ки\u0457в \u0439"


async def test_old_names_of_kyiv_are_read(probing: httpx.AsyncClient) -> None:
    answer = await probing.post("/v1/probes", json={"name": "x", "zone": "Europe/Kiev"})

    assert answer.status_code == 201


# --- every route that exists ------------------------------------------------------------------------------------


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def filled(path: str, value: str) -> str:
    return re.sub(r"\{[^}]*\}", value, path)


WHO = {
    "/v1/offers": "mentor",
    "/v1/mentors": "mentor",
    "/v1/consultations": "coordinator",
    "/v1/appointments": "mentor",
}
WHO |= dict.fromkeys(("/v1/memoranda", "/v1/programmes", "/v1/institutions", "/v1/specialties", "/v1/people"), "admin")
ROLES = ["clinician", "coordinator", "mentor", "admin"] if IS_DRILL else [None]


@pytest.mark.slow
@pytest.mark.load(20)
@pytest.mark.parametrize("role", ROLES)
async def test_ft_26_no_route_answers_hostile_input_with_5xx_nor_ukrainian_wishes_in_english(
    application: FastAPI, world: World, client: httpx.AsyncClient, test_clock: simulated.TestClock, role: str | None
) -> None:
    """As whoever may use the route, each with every third attack; with all of them as everybody in the drills."""
    scene = Scene(world, test_clock, client)
    known = await targets.ids(scene)
    bearers = {name: await build.bearer(world, person) for name, person in scene.people.items()}
    bad: list[str] = []
    async with simulated.calling(application, world, address="192.0.2.1") as afar:
        for number, (method, path, operation) in enumerate(operations(openapi.describe(application))):
            every = attacks(path, targets.at(known, path), operation)
            for address, body in every if IS_DRILL else itertools.islice(every, number % 3, None, 3):
                who = role or WHO.get("/".join(path.split("/")[:3]), "clinician")
                headers = {"If-Match": "*", "Accept-Language": "uk"} | bearers[who] | (JSON if body is not None else {})
                answer = await afar.request(method, address, content=body, headers=headers)
                if answer.status_code >= 500:
                    bad.append(f"{method} {address[:120]} {(body or b'')[:80]!r} -> {answer.status_code}")
                bad += [f"{method} {address[:120]} {(body or b'')[:80]!r} -> {text}" for text in not_ukrainian(answer)]

    assert not bad, "\n".join(bad)


def not_ukrainian(answer: httpx.Response) -> list[str]:
    """The texts of a problem that hold no Ukrainian letter, and the places that name a part of a library."""
    if answer.headers.get("content-type") != "application/problem+json":
        return []
    problem = answer.json()
    faults = problem.get("errors", [])
    texts = [problem["title"], problem["detail"], *(fault["detail"] for fault in faults)]
    own = {f"/query/{name}" for name in answer.request.url.params}  # a parameter that the caller made up is named
    places = {fault["pointer"] for fault in faults} - own
    return [text for text in texts if not re.search("[\u0430-\u044f\u0456\u0457\u0454]", text)] + [
        place for place in places if re.search(r"function|union|str|\bint\b|\[", place)
    ]


def attacks(path: str, plain: str, operation: dict[str, Any]) -> Iterator[tuple[str, bytes | None]]:
    """Hostile values in the path, in every query parameter, in the whole body, and in every field of its example."""
    body = operation.get("requestBody")
    if "{" in path:
        yield from ((filled(path, value), b"{}" if body else None) for value in (*VALUES, "%2e%2e", "a/b"))
    for parameter in operation["parameters"]:
        if parameter["in"] == "query":
            name = parameter["name"]
            yield from ((f"{plain}?{name}={value}", b"{}" if body else None) for value in VALUES + VALUES_AS_TIMES)
            yield f"{plain}?{name}=1&{name}=2&{name}[]=3", b"{}" if body else None
    if not body:
        return
    yield from ((plain, hostile) for hostile, status in BODIES.values() if status == 422)  # others: refused before
    for example in examples(body):
        for field in example:
            for value in FIELD_VALUES:
                yield plain, json.dumps(example | {field: value}).encode()


FIELD_VALUES: tuple[Any, ...] = (
    "\0",
    "x" * 5000,
    2**31,
    2**63 - 1,
    -1,
    1.5,
    None,
    [],
    {},
    [[["x"]]],
    "=1+1",
    *VALUES_AS_TIMES[:2],
)
FIELD_VALUES += ("2199-12-31T23:59:59Z", "2000-01-01T00:00:00Z", "2199-12-31", "2000-01-01", "2199-12-31T23:59")


def examples(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = body["content"].get("application/json", {})
    found = [content["example"]] if "example" in content else []
    found += [entry["value"] for entry in content.get("examples", {}).values()]
    yield from (example for example in found if isinstance(example, dict))


async def test_a_path_too_long_for_an_index_is_no_fault_of_ours_with_a_key_too(
    client: httpx.AsyncClient, world: World
) -> None:
    part = "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(60))  # nothing that could be compressed
    async with world.database.work(actor.TIMER) as w:
        coordinator = await build.coordinator(w, await build.institution(w))
    headers = await build.bearer(world, coordinator) | {"Idempotency-Key": "once"}
    answer = await client.post(f"/v1/webhook-endpoints/{part}/test", headers=headers)
    assert answer.status_code in {404, 422}
