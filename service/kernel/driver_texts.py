"""Statements as the driver takes them: a text with numbered placeholders, and the values in their order."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import asyncpg as dialect


def of(statement: object, values: Mapping[str, object], ids: Mapping[UUID, UUID]) -> tuple[str, Sequence[object]]:
    """Give the statement's text and arguments; raises KeyError for a value that is missing.

    Of the values that the statement itself has, ids stand for others: those of `ids`.
    """
    text, names, own = _compiled(statement)
    return text, [values[name] if name in values else _standing_for(own[name], ids) for name in names]


@lru_cache(maxsize=2000)
def _compiled(statement: Any) -> tuple[str, Sequence[str], Mapping[str, object]]:  # noqa: ANN401 - SQLAlchemy's
    """Give the statement's text, the names of its values in their order, and those that it has itself."""
    compiled: Any = statement.compile(
        dialect=dialect.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"render_postcompile": True},
    )
    is_missing = {name for name, parameter in compiled.binds.items() if parameter.required}
    own = {name: value for name, value in compiled.params.items() if name not in is_missing}
    return str(compiled), compiled.positiontup or (), own


def _standing_for(value: object, ids: Mapping[UUID, UUID]) -> object:
    if isinstance(value, list):
        return [_standing_for(each, ids) for each in value]
    return ids[value] if isinstance(value, UUID) else value
