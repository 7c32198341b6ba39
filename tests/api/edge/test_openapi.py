import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
from fastapi import FastAPI

import flow
from api.edge import openapi, problems
from integrations.runtime.world import World
from world import TestClock

OAUTH_ERRORS = {("POST /oauth2/token", status) for status in ("400", "401")}
"""In the form that RFC 6749 wants."""


def operations(app: FastAPI) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in openapi.describe(app)["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_the_description_is_openapi_3_1(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")

    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")


def test_every_body_has_an_example(application: FastAPI) -> None:
    missing = [
        name
        for name, operation in operations(application)
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if not {"example", "examples"} & content.keys()
    ]

    assert missing == []


def test_every_operation_says_what_it_does_and_by_whom(application: FastAPI) -> None:
    assert [name for name, operation in operations(application) if not operation.get("description")] == []


def test_every_error_in_the_description_is_a_problem_with_an_example(application: FastAPI) -> None:
    for name, operation in operations(application):
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and "/health/" not in name and (name, status) not in OAUTH_ERRORS:
                content = answer["content"]
                assert list(content) == [problems.MEDIA_TYPE], (name, status)
                for example in content[problems.MEDIA_TYPE]["examples"].values():
                    assert example["value"]["status"] == int(status), name


def test_problems_that_are_shared_are_described_without_being_repeated(application: FastAPI) -> None:
    found = dict(operations(application))
    patch = found["PATCH /v1/programmes/{programme_id}"]["responses"]

    assert {"400", "401", "404", "412", "413", "415", "422", "428", "429", "503"} <= patch.keys()


def test_every_post_of_the_signed_in_takes_an_idempotency_key(application: FastAPI) -> None:
    posts = {name: o for name, o in operations(application) if name.startswith("POST /v1") and o.get("security")}

    assert posts
    for name, operation in posts.items():
        assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}, name


async def test_the_page_for_people_names_every_operation_and_loads_nothing_from_elsewhere(
    client: httpx.AsyncClient, application: FastAPI
) -> None:
    page = (await client.get("/docs")).text

    assert all(name.split()[1] in page for name, _ in operations(application))
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert "<script" not in page
    assert "<style" not in page
    assert (await client.get("/docs/style.css")).headers["content-type"].startswith("text/css")


# --- OPS-13: what other people's programs make of it ------------------------------------------------------------


def test_ops_13_no_two_shapes_have_one_title(application: FastAPI) -> None:
    titles = [
        schema.get("title", name) for name, schema in openapi.describe(application)["components"]["schemas"].items()
    ]
    words = Counter(re.sub(r"\W|_", "", title).lower() for title in titles)

    assert [title for title, count in words.items() if count > 1] == []


def test_ops_13_every_operation_has_a_name_of_its_own_a_summary_known_tags_and_says_who_is_let_in(
    application: FastAPI,
) -> None:
    document = openapi.describe(application)
    known = {tag["name"] for tag in document["tags"]}
    names = Counter[str]()
    for name, operation in [*operations(application), *((n, o["post"]) for n, o in document["webhooks"].items())]:
        names[operation["operationId"]] += 1
        assert operation["summary"], name
        assert operation["tags"], name
        assert set(operation["tags"]) <= known, name
        assert "security" in operation, name

    assert max(names.values()) == 1


def test_ops_13_every_example_is_as_its_schema_says(application: FastAPI) -> None:
    document = openapi.served(application, "https://pobratym.example")
    wrong = []
    count = 0
    for place, schema, example in examples(document, "#"):
        checker = jsonschema_rs.validator_for({**schema, "components": document["components"]}, validate_formats=True)
        count += 1
        wrong += [f"{place}: {fault.message}" for fault in checker.iter_errors(example)]

    assert count > 200
    assert wrong == []


def examples(value: Any, place: str) -> Iterator[tuple[str, dict[str, Any], Any]]:  # noqa: ANN401 - JSON
    """Give every example with its schema: of shapes, of bodies, of parameters and headers."""
    if isinstance(value, list):
        for number, member in enumerate(value):
            yield from examples(member, f"{place}/{number}")
    if not isinstance(value, dict):
        return
    schema = value.get("schema", value)
    if "schema" in value and isinstance(value.get("examples"), dict):
        for name, example in value["examples"].items():
            yield f"{place}/examples/{name}", schema, example["value"]
    elif isinstance(schema, dict):
        shown = value.get("examples", []) if isinstance(value.get("examples", []), list) else []
        for example in [*shown, *([value["example"]] if "example" in value else [])]:
            yield place, schema, example
    for name, member in value.items():
        if name not in {"example", "examples", "default"}:
            yield from examples(member, f"{place}/{name}")


TOLD = {"etag": "ETag", "location": "Location", "retry-after": "Retry-After", "www-authenticate": "WWW-Authenticate"}


async def test_ops_13_every_header_that_an_answer_carries_is_described(
    application: FastAPI, world: World, test_clock: TestClock, client: httpx.AsyncClient
) -> None:
    described = {
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path): operation["responses"]
        for path, methods in openapi.describe(application)["paths"].items()
        for method, operation in methods.items()
    }
    wrong: set[str] = set()
    seen: set[str] = set()

    async def compare(answer: httpx.Response) -> None:
        await answer.aread()
        for (method, pattern, path), responses in described.items():
            if method == answer.request.method and pattern.fullmatch(answer.request.url.path):
                assert str(answer.status_code) in responses, (
                    method,
                    path,
                    answer.status_code,
                    answer.request.content,
                    answer.text,
                )
                headers = responses[str(answer.status_code)].get("headers", {}).keys()
                carried = {name for header, name in TOLD.items() if header in answer.headers}
                wrong.update(f"{method} {path} {answer.status_code} carries {name}" for name in carried - headers)
                promised = set() if answer.status_code == 403 else headers & set(TOLD.values())  # 403 for a scope only
                wrong.update(f"{method} {path} {answer.status_code} lacks {name}" for name in promised - carried)
                seen.update(f"{path} {name}" for name in carried)

    client.event_hooks["response"] = [compare]
    await call_much(flow.Scene(world, test_clock, client))

    assert wrong == set()
    assert len(seen) > 20


async def call_much(scene: flow.Scene) -> None:
    """Make and change one of each kind."""
    await scene.set_up()
    made = await scene.post("coordinator", "/v1/webhook-endpoints", {"url": "https://hospital.example/in"}, 201)
    endpoint = f"/v1/webhook-endpoints/{made['id']}"
    await change(scene, "coordinator", endpoint, {"state": "paused"})
    await scene.post("coordinator", f"{endpoint}/rotate-secret")
    register = {"client_name": "Register", "institution_id": str(scene.asking.id), "scope": "events:read"}
    system = await scene.post("coordinator", "/v1/clients", register, 201)
    await change(scene, "coordinator", f"/v1/clients/{system['client_id']}", {"client_name": "Register 2"})
    await scene.post("coordinator", f"/v1/clients/{system['client_id']}/rotate-secret")
    await change(scene, "admin", f"/v1/programmes/{scene.programme.id}", {"name": "Another"})
    await change(scene, "admin", f"/v1/institutions/{scene.asking.id}", {"city": "Another"})
    await change(scene, "admin", f"/v1/memoranda/{scene.memorandum.id}", {"note": "Another"})
    await change(scene, "clinician", f"/v1/people/{scene.people['clinician'].id}", {"locale": "en"})
    for part in ("profile", "availability"):
        await scene.call("mentor", "GET", f"/v1/mentors/{scene.people['mentor'].id}/{part}")
    await flow.logged(scene)
    for path in ("/v1/consultations", "/v1/offers", "/v1/appointments"):
        for row in (await scene.get("mentor" if path == "/v1/offers" else "clinician", path))["items"]:
            await scene.call("mentor" if path == "/v1/offers" else "clinician", "GET", f"{path}/{row['id']}")
    await scene.client.get("/v1/me")
    await scene.client.get("/v1/me", headers={"Authorization": "Bearer x"})
    withdrawn = await scene.request()
    await scene.post("clinician", f"/v1/consultations/{withdrawn}/cancel", {"reason": "resolved_locally"})


async def change(scene: flow.Scene, who: str, path: str, body: dict[str, Any]) -> None:
    tag = (await scene.call(who, "GET", path, status=200)).headers["etag"]
    await scene.call(who, "PATCH", path, body, headers={"If-Match": tag})
