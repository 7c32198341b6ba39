"""FT-26: one rule for names and short texts at every entry: the API, pages, files, settings."""

# ruff: noqa: RUF001 - letters that look alike are what this is about

from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.app import ROUTERS
from api.edge import shapes
from api.exchange import record_tables
from api.pages import words
from api.pages.fields import Fields
from flow import Scene
from integrations.runtime.world import World
from service.rules import sentences, suspicious_text
from world import TestClock

BAD = {
    "\u200b\u200b": suspicious_text.NOTHING_SEEN,
    "\u0301": suspicious_text.NOTHING_SEEN,
    "\ue000": suspicious_text.NOTHING_SEEN,
    "Ів\ue000ан": suspicious_text.HAS_NO_MEANING,
    "Ів\u0378ан": suspicious_text.HAS_NO_MEANING,
    "Ів\u200bан": suspicious_text.IS_INVISIBLE,
    "Ів\u202eан": suspicious_text.STEERS,
    "—": suspicious_text.NO_LETTER,
    "Ð†Ð²Ð°Ð½": suspicious_text.MISREAD,
    "\\u0406\\u0432\\u0430\\u043d": suspicious_text.MISREAD,
    "Kоvаl": suspicious_text.MIXED,
}


def shapes_within(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model, and every model that its fields hold."""
    yield model
    for field in model.model_fields.values():
        waiting = [field.annotation]
        while waiting:
            kind = waiting.pop()
            waiting += getattr(kind, "__args__", ())
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not model:
                yield from shapes_within(kind)


def bodies() -> Iterator[type[BaseModel]]:
    for route in (route for router in ROUTERS for route in router.routes):
        if isinstance(route, APIRoute) and route.body_field:
            kind = route.body_field.field_info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from shapes_within(kind)
    for shape in record_tables.SHAPES.values():
        yield from shapes_within(shape)


def names() -> set[tuple[type[BaseModel], str, bool]]:
    """Every field that is one short line of free words, by its schema; whether it is a list of them."""
    found = set()
    for model in bodies():
        for name, schema in model.model_json_schema()["properties"].items():
            variants = schema.get("anyOf", [schema])
            for variant in variants:
                item = variant.get("items", variant)
                if item.get("maxLength") == 200 and not {"pattern", "format", "enum"} & item.keys():
                    found.add((model, name, "items" in variant))
    return found


def said(model: type[BaseModel], name: str, value: object) -> set[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({name: value})
    errors = [error for error in caught.value.errors() if error["loc"][0] == name]
    return {sentences.key(error["ctx"]["error"].args[0]) for error in errors if "ctx" in error}


def test_ft_26_every_short_text_of_every_body_and_file_is_read_by_one_rule() -> None:
    fields = names()
    wrong = {
        (model.__name__, name, text)
        for model, name, is_list in fields
        for text, key in BAD.items()
        if said(model, name, [text] if is_list else text) != {key}
    }
    assert wrong == set()
    assert {name for _, name, _ in fields} >= {"display_name", "department", "name", "city", "aliases", "client_name"}


@pytest.mark.parametrize("kind", [shapes.Note, shapes.CaseText])
@pytest.mark.parametrize("text", ["\u200b\u200b", "\u0301", "\u3164", "\u2060 \u2060"])
def test_ft_26_a_long_text_that_shows_nothing_is_refused(kind: type[str], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(text)
    assert suspicious_text.NOTHING_SEEN in str(caught.value)


@pytest.mark.parametrize("text", ["\uf0b7 fever", "\u200fכאב", "Ð†Ð²Ð°Ð½", "—"])
def test_a_long_text_may_hold_what_people_paste(text: str) -> None:
    TypeAdapter(shapes.CaseText).validate_python(text)


def test_ft_26_what_cannot_be_seen_around_a_name_is_taken_away() -> None:
    assert TypeAdapter(shapes.Line).validate_python("\ufeff Іван\u200b ") == "Іван"


@pytest.mark.parametrize(("locale", "begins"), [("uk", "Містить невидимий"), ("en", "Holds an invisible")])
def test_ft_26_a_page_says_what_is_wrong_with_a_short_text(locale: str, begins: str) -> None:
    form = Fields([("department", "Ів\u200bан")])
    assert form.words("department", "line") is None
    assert words.of(locale).fault(form.faults["department"]).startswith(begins)


async def test_ft_26_a_name_is_refused_in_the_language_asked_for(
    world: World, test_clock: TestClock, client: httpx.AsyncClient
) -> None:
    scene = Scene(world, test_clock, client)
    await scene.set_up()
    path = f"/v1/people/{scene.people['colleague'].id}"
    headers = {"If-Match": "*", "Accept-Language": "uk"}
    for name, words_of_it in (("\u200b\u200b", "нічого видимого"), ("Ð†Ð²Ð°Ð½", "«Іван»"), ("Kоval", "іншої абетки")):
        answer = await scene.call("coordinator", "PATCH", path, {"display_name": name}, status=422, headers=headers)
        (fault,) = answer.json()["errors"]
        assert fault["pointer"] == "/display_name"
        assert words_of_it in fault["detail"]


def test_ft_26_a_file_asks_about_what_only_looks_wrong_and_refuses_what_is() -> None:
    head = "email,display_name,zone,roles"
    table = record_tables.read("people", f"{head}\na@x.example,Kоval,Europe/Kyiv,\n".encode())
    assert (table.faults, [warning.key for warning in table.warnings]) == ([], [suspicious_text.MIXED])
    assert table.is_doubtful
    assert table.rows[0].values["display_name"] == "Kоval"
    for role in ("clinician@ua/\u3164", "clinician@ua/Ів\u200bан"):
        table = record_tables.read("people", f"{head}\na@x.example,Іван,Europe/Kyiv,{role}\n".encode())
        assert [fault.column for fault in table.faults] == ["roles"]
