"""What the bodies of requests have in common: examples, fields that a change may leave out, addresses."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from integrations import outbound_http
from integrations.runtime.world import World
from service.kernel import errors

_NULL = "\0null"


def like(example: Mapping[str, Any]) -> ConfigDict:
    """Show an example of the whole body in the description."""
    return ConfigDict(json_schema_extra={"examples": [_without_null(dict(example))]})


def with_null(value: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Give the part of the description with the nulls that its examples had.

    FastAPI leaves every null out of what it describes, out of examples too; so they wait as a text that no example has.
    """
    if isinstance(value, dict):
        return {name: with_null(member) for name, member in value.items()}
    if isinstance(value, list):
        return [with_null(member) for member in value]
    return None if value == _NULL else value


def _without_null(value: Any) -> Any:  # noqa: ANN401 - a JSON value
    if isinstance(value, dict):
        return {name: _without_null(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_without_null(member) for member in value]
    return _NULL if value is None else value


def absent() -> Any:  # noqa: ANN401 - pydantic's Field is Any
    """Let a field be left out, but not be null."""
    return Field(default=None, json_schema_extra=_without_default)


def given(body: BaseModel) -> dict[str, Any]:
    """Give the fields that the body names, and only these."""
    return {name: getattr(body, name) for name in body.model_fields_set}


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def must_be_outside(world: World, pointer: str, url: str) -> None:
    """Pass an address that we may call; raises Invalid."""
    try:
        outbound_http.check(world.settings, url)
    except outbound_http.Refused:
        raise errors.Invalid(pointer, "must be an https address on port 443 that is reached from everywhere") from None
