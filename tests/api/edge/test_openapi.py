import re
from collections.abc import Iterator
from typing import Any

import httpx
from fastapi import FastAPI

from api.edge import openapi, problems

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
