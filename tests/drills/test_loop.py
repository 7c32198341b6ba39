"""The costliest input of every route: no step of the event loop may take 100 ms of its own processor time (SEC-01)."""

# ruff: noqa: ANN401, PLR0911 - bodies are JSON; one case a line

import json
import re
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI

import build
import targets
import world as simulated
from api.edge import incoming, openapi
from drills.looping import COSTLY, Loop
from flow import Scene
from integrations.runtime.world import World

pytestmark = [pytest.mark.drill, pytest.mark.races]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
STRUCTURES = {
    "lists": b"[" + b"[]," * 2_490 + b"[]]",
    "values": b'{"a":[' + b"0," * 4_990 + b"0]}",
    "texts": b'{"a":[' + b'"' + b"x" * 90 + b'",' * 1 + b'"x",' * 4_980 + b'"x"]}',
    "names": b"{" + b",".join(b'"%d":0' % number for number in range(4_990)) + b"}",
    "one text": b'{"a":"' + b"\\u0301" * 166_000 + b'"}',
    "brackets in a text": b'{"a":"' + b"[{," * 333_000 + b'"}',
    "an unclosed text": b'["' + b"[" * 40 + b'\\"' * 499_000,
}


def filled(schema: dict[str, Any], parts: dict[str, Any], text: str, depth: int = 0) -> Any:
    """Give a value of the schema with the text wherever a text may stand, as long as it may be, and lists full."""
    if "$ref" in schema:
        return filled(parts[schema["$ref"].rsplit("/", 1)[1]], parts, text, depth)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return filled(schema[name][0], parts, text, depth)
    kind = schema.get("type")
    if kind == "object":
        members = schema.get("properties", {})
        return {name: filled(member, parts, text, depth + 1) for name, member in members.items()}
    if kind == "array":
        count = min(schema.get("maxItems", 200), 200) if depth < 3 else 1
        return [filled(schema.get("items", {}), parts, text, depth + 1)] * count
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 1), 1)
    if kind == "boolean":
        return True
    return _example(schema) or text[: schema.get("maxLength", 10_000)]


def _example(schema: dict[str, Any]) -> Any:
    known = {"uuid": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11", "date": "2026-11-21", "date-time": "2026-11-21T10:00:00Z"}
    return known.get(schema.get("format", ""))


async def test_sec_01_no_input_holds_the_loop(
    world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient, application: FastAPI, loop: Loop
) -> None:
    scene = Scene(world, test_clock, client)
    known = await targets.ids(scene)
    bearers = {who: await build.bearer(world, scene.people[who]) for who in ("admin", "coordinator", "mentor")}
    described = openapi.describe(application)
    for path in ("/docs", "/health/ready", "/openapi.json", "/sign-in"):
        await client.get(path)  # what is loaded once, is loaded
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            await _try(client, loop, bearers, method.upper(), targets.at(known, path), path, operation, described)
    await _try_pages(client, loop)
    assert loop.too_long() == []


async def _try(  # noqa: PLR0917 - one call, from one loop
    client: httpx.AsyncClient,
    loop: Loop,
    bearers: dict[str, dict[str, str]],
    method: str,
    path: str,
    route: str,
    operation: dict[str, Any],
    described: dict[str, Any],
) -> None:
    if method == "GET":
        for who, bearer in bearers.items():
            await loop.begin(f"{who} {method} {route}")
            await client.get(path, headers=bearer)
        return
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    headers = {"Content-Type": "application/json", "If-Match": "*"}
    for who, bearer in bearers.items():
        for name, body in STRUCTURES.items() if who == "admin" else ():
            await loop.begin(f"{method} {route}: {name}")
            await client.request(method, path, content=body, headers=bearer | headers)
        for name, text in COSTLY.items():
            text_body = json.dumps(
                filled(content["schema"], described["components"]["schemas"], text), ensure_ascii=False
            )
            if len(text_body.encode()) > incoming.MOST_BYTES["application/json"]:
                text_body = re.sub(r"(.{200})[^\"]*(\")", r"\1\2", text_body)[:900_000]
            content_bytes = text_body.encode()
            await loop.begin(f"{who} {method} {route}: {name}")
            await client.request(method, path, content=content_bytes, headers=bearer | headers)


async def _try_pages(client: httpx.AsyncClient, loop: Loop) -> None:
    for name, text in COSTLY.items():
        for field_name in ("email", text[:1_000]):
            piece = text[: incoming.MOST_BYTES["application/x-www-form-urlencoded"] // 12]
            form = urlencode({field_name: piece}).encode()
            await loop.begin(f"POST /sign-in: {name}")
            await client.post("/sign-in", content=form, headers=FORM)
    for header in ("Accept", "Accept-Language", "Cookie", "If-Match", "Authorization", "X-Request-Id", "Origin"):
        for value in ("a=" + '"\\' * 15_000, "a/b;q=0.1," * 3_000, "," * 30_000, "a-b;q=" * 5_000, " " * 30_000):
            await loop.begin(f"GET / {header}: {value[:12]}")
            await client.get("/", headers={header: value})
            await client.get("/v1/me", headers={header: value})
