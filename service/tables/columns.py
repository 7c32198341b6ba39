"""Kinds of column and constraint that every area uses."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.types import Text
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = NAMING
SQLModel.model_config["defer_build"] = True  # rows are never checked by pydantic


def one_of(column: str, *values: str) -> CheckConstraint:
    """A CHECK that allows these values only (and NULL where the column allows it)."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=f"{column}_known")


def check(name: str, rule: str) -> CheckConstraint:
    """A CHECK constraint with this name."""
    return CheckConstraint(rule, name=name)


def index(
    name: str,
    *columns: str,
    where: str | None = None,
    unique: bool = False,
    using: str = "btree",
) -> Index:
    """An index of columns or expressions; if `where` is given, of its rows only."""
    condition = text(where) if where else None
    return Index(
        name,
        *[text(c) for c in columns],
        unique=unique,
        postgresql_where=condition,
        postgresql_using=using,
    )


# Not `list` and `dict` themselves: pydantic reads a factory's signature for each row, and that of a built-in is text to
# be parsed, which took longer than the rest of the row.
def _nothing() -> list[Any]:
    return []


def _no_names() -> dict[str, Any]:
    return {}


def texts() -> Any:  # noqa: ANN401 - SQLModel's Field is Any
    """Hold a list of texts."""
    return Field(
        default_factory=_nothing,
        sa_type=ARRAY(Text),
        sa_column_kwargs={"server_default": text("'{}'")},
    )


def ids() -> Any:  # noqa: ANN401
    """Hold a list of ids."""
    return Field(
        default_factory=_nothing,
        sa_type=ARRAY(PG_UUID(as_uuid=True)),
        sa_column_kwargs={"server_default": text("'{}'")},
    )


def instants() -> Any:  # noqa: ANN401
    """Hold a list of instants."""
    return Field(
        default_factory=_nothing,
        sa_type=ARRAY(TIMESTAMP(timezone=True)),
        sa_column_kwargs={"server_default": text("'{}'")},
    )


def json_object() -> Any:  # noqa: ANN401
    """Hold a JSON object, empty unless set."""
    return Field(
        default_factory=_no_names,
        sa_type=JSONB,
        sa_column_kwargs={"server_default": text("'{}'")},
    )


def sealed() -> Any:  # noqa: ANN401
    """Hold case text, encrypted by `service.kernel.crypto` under the row's id; NULL once its retention is over."""
    return Field(default=None, sa_type=BYTEA, nullable=True)


def wall_time(*, nullable: bool = False) -> Any:  # noqa: ANN401
    """Hold a wall-clock reading: a date and time without zone, never an instant."""
    return Field(default=None, sa_type=TIMESTAMP(timezone=False), nullable=nullable)


class Versioned(SQLModel):
    """A row that the API or an event can name: its version, and when it was made."""

    version: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})
    created_at: datetime
