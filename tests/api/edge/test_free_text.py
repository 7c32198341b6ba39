"""Every field of the API in which people write what they like is checked for what may name a patient (SEC-04).

What a check does with a field is tried in `test_confirmed_spans.py` and beside each resource; here no new field is
forgotten: it is told by the description of the API, which follows from the shapes.
"""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from api.edge import openapi

Schema = dict[str, Any]
STORES_NOTHING = {"POST /v1/consultations/preview"}
"""Who asks what would become of a request: its texts are not read, and nothing of it is kept."""
NAMED_ON_PURPOSE = {
    "phone": "one's own number, shown to whom one meets if one says so",
    "client_name": "a partner system",
    "name": "a programme or an institution",
    "name_en": "the same, or a specialty",
    "name_uk": "a specialty",
    "display_name": "a clinician or mentor, who agreed to it",
    "city": "where an institution is",
    "zone": "one of the zone data's, else refused",
    "scope": "of those known, else refused",
    "client_assertion": "read as a signed token",
    "client_secret": "compared, never stored",
    "roles/*/department": "a ward of the staff; a request's is checked",
    "confirmed_spans/*/field": "compared, never stored",
    "file": "a table of people and places; its notes and other texts are checked by the worker, row by row",
    "map": "names of columns and codes; sealed, never shown",
}
"""Fields without a list, a format or a pattern that are no free text, and what they hold."""


CHECKED = {
    "question", "department", "text", "conclusion", "note", "reason", "override/reason", "source", "sources/*",
    "aliases/*",
}  # fmt: skip
"""Free texts. Whoever adds one: its verb calls `deidentification.check`, and a test beside the others shows it."""


def resolved(schema: Schema, document: Schema) -> Schema:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def strings(schema: Schema, document: Schema, place: str = "") -> Iterator[str]:
    """The places of strings that no list, format or pattern restrains; `*` stands for each item."""
    schema = resolved(schema, document)
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from strings(each, document, place)
    for name, each in schema.get("properties", {}).items():
        yield from strings(each, document, f"{place}/{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from strings(schema[name], document, f"{place}/*")
    if schema.get("type") == "string" and not {"enum", "const", "format", "pattern"} & schema.keys():
        yield place.removeprefix("/")


def bodies(document: Schema) -> Iterator[tuple[str, Schema, Schema]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield f"{method.upper()} {path}", operation, content["schema"]


def test_sec_04_every_free_text_can_be_refused_and_confirmed(application: FastAPI) -> None:
    document = openapi.describe(application)
    free, unchecked = set(), set()
    for name, operation, schema in bodies(document):
        is_checked = "confirmed_spans" in resolved(schema, document).get("properties", {}) and (
            "/problems/personal-data-found" in json.dumps(operation["responses"])
        )
        for place in set(strings(schema, document)) - NAMED_ON_PURPOSE.keys():
            free.add(place)
            unchecked |= set() if is_checked or name in STORES_NOTHING else {f"{name}: {place}"}
    assert unchecked == set()
    assert free >= {
        "question",
        "department",
        "conclusion",
        "note",
        "text",
        "reason",
        "override/reason",
        "source",
        "aliases/*",
    }


def test_sec_04_no_field_is_excused_that_is_no_more(application: FastAPI) -> None:
    document = openapi.describe(application)
    known = {place for _, _, schema in bodies(document) for place in strings(schema, document)}
    assert NAMED_ON_PURPOSE.keys() - known == set()
