"""What people read about a fault is ours, whole, and in the language they asked for (FT-24)."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api.app import ROUTERS
from api.edge import fault_words, problems
from api.exchange import record_tables
from integrations import catalogues
from postoffice import ROOT
from service import vocabulary
from service.kernel import errors

RAISED: Mapping[str, Sequence[str]] = {
    "str": ("string_type", "string_unicode"),
    "int": ("int_type", "int_parsing", "int_parsing_size", "int_from_float"),
    "float": ("float_type", "float_parsing", "finite_number"),
    "bool": ("bool_type", "bool_parsing"),
    "list": ("list_type",),
    "dict": ("dict_type",),
    "model": ("model_type",),
    "model-fields": ("model_attributes_type", "missing", "extra_forbidden"),
    "literal": ("literal_error",),
    "date": ("date_type",),
    "datetime": ("datetime_type",),
    "uuid": ("uuid_type",),
    "default": ("missing",),
    **dict.fromkeys(("function-before", "function-after", "function-plain"), ("value_error",)),
    **dict.fromkeys(("any", "nullable", "model-field", "no-info", "with-info"), ()),
    **dict.fromkeys(("union", "tagged-union"), ()),  # what their members raise, which are looked at as well
}
"""What each kind of schema can raise; a kind that is not here fails the test, and is looked up then."""
LIMITED: Mapping[str, Mapping[str, str]] = {
    "str": {"min_length": "string_too_short", "max_length": "string_too_long", "pattern": "string_pattern_mismatch"},
    "int": {"ge": "greater_than_equal", "le": "less_than_equal", "multiple_of": "multiple_of"},
    "list": {"min_length": "too_short", "max_length": "too_long"},
}
Schema = Mapping[str, object]


def nodes(schema: object) -> Iterator[Schema]:
    """Every schema inside a core schema."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("type"), str):
            yield schema
        for name, part in schema.items():
            if name not in ("metadata", "serialization", "config", "default"):
                yield from nodes(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from nodes(part)


def kinds(schema: Schema) -> Iterator[str]:
    kind = str(schema["type"])
    yield from RAISED.get(kind, (f"what does {kind} raise?",))
    yield from (raised for limit, raised in LIMITED.get(kind, {}).items() if schema.get(limit) is not None)


def taken_in() -> Iterator[tuple[str, Schema]]:
    """The schema of everything that a route takes, by route and field."""
    for route in (route for router in ROUTERS for route in router.routes):
        if not isinstance(route, APIRoute):
            continue
        waiting = [route.dependant]
        fields = [route.body_field] if route.body_field else []
        while waiting:
            found = waiting.pop()
            waiting += found.dependencies
            fields += [*found.query_params, *found.header_params, *found.path_params, *found.cookie_params]
        for field in fields:
            for node in nodes(field._type_adapter.core_schema):
                yield f"{route.path} {field.name}", node
    for kind, shape in record_tables.SHAPES.items():
        for node in nodes(shape.__pydantic_core_schema__):
            yield kind, node


def test_ft_24_every_kind_of_fault_that_a_route_or_a_file_can_raise_is_worded() -> None:
    unworded = {
        (kind, place) for place, node in taken_in() for kind in kinds(node) if kind not in fault_words.SENTENCES
    }
    assert unworded == set()


def test_ft_24_every_pattern_of_a_route_has_words_instead_of_itself() -> None:
    patterns = {(node.get("pattern"), place) for place, node in taken_in() if node.get("pattern")}
    routes = {(pattern, place) for pattern, place in patterns if place not in record_tables.SHAPES}
    assert {(pattern, place) for pattern, place in routes if pattern not in fault_words.FORMS} == set()


def raised_texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts that the raised errors of a module are made of; a text put together by hand is `f"…"`."""
    tree = ast.parse(path.read_text())
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module):
            continue
        for call in ast.walk(function):
            name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
            if name in CODES:
                continue
            is_error = re.fullmatch(r"errors\.[A-Z]\w+|problems\.BadBody|BadKeySet|ValueError|Sentence", name)
            if is_error or (name == "super().__init__" and path.name == "errors.py"):
                assert isinstance(call, ast.Call)
                for argument in call.args:
                    yield from texts(argument, function, call.lineno)


def texts(argument: ast.expr, function: ast.AST, line: int) -> Iterator[tuple[int, str]]:
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and not argument.value.startswith("/"):
        yield line, argument.value
    elif isinstance(argument, ast.JoinedStr) and not ast.unparse(argument).startswith(("f'/", 'f"/')):
        yield line, ast.unparse(argument)
    elif isinstance(argument, ast.IfExp):
        yield from texts(argument.body, function, line)
        yield from texts(argument.orelse, function, line)
    elif isinstance(argument, ast.Name) and not isinstance(function, ast.Module):
        for assigned in ast.walk(function):
            if isinstance(assigned, ast.Assign) and ast.unparse(assigned.targets[0]) == argument.id:
                yield from texts(assigned.value, function, line)


CODES = ("errors.IllegalTransition", "errors.GateRefused")
"""Errors that are made of codes; their sentences are their own."""
LEFT_OUT = (
    *("api/cli", "integrations/runtime", "integrations/mail", "integrations/calendar", "integrations/catalogues"),
    *("service/kernel/crypto.py", "service/kernel/email_addresses.py"),
)
"""What operators read, and what nobody does: in English."""


def sources() -> Iterator[Path]:
    for package in ("api", "service", "integrations"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if not str(path.relative_to(ROOT)).startswith(LEFT_OUT):
                yield path


def test_ft_24_every_sentence_that_is_raised_stands_in_the_catalogues() -> None:
    words = catalogues.of("uk")["faults"]
    unworded = {
        (f"{path.relative_to(ROOT)}:{line}", text)
        for path in sources()
        for line, text in raised_texts(path)
        if text and text not in words
    }
    assert sorted(unworded) == []


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
def test_every_problem_has_a_title_and_a_next_step_in_every_language(locale: str) -> None:
    words = catalogues.of(locale)
    for name, (_, title) in problems.catalogue().items():
        assert words.said(title), title
        assert words.said(problems.advice(name)), problems.advice(name)


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
def test_sec_04_every_kind_of_personal_data_is_named_in_every_language(locale: str) -> None:
    for kind in vocabulary.PERSONAL_DATA:
        faults: Any = errors.PersonalDataFound([("note", 0, 1, kind)]).members["errors"]
        assert catalogues.of(locale).said(faults[0]["detail"]), faults
        assert kind in catalogues.of(locale)["page.personal_data"]


def test_what_the_gate_refuses_is_named_by_its_words() -> None:
    said = catalogues.of("uk").said(errors.GateRefused(["no_memorandum"]).detail or "")
    assert said is not None
    assert "no_memorandum" not in said
