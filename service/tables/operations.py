"""What runs, as it says of itself, and how the installation itself fares."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import AutoString, Field, SQLModel

from service import vocabulary
from service.tables.columns import json_object, one_of


class Process(SQLModel, table=True):
    """A process that serves or works. All its instants are the database's, whatever its own clock says."""

    id: UUID = Field(primary_key=True)
    kind: vocabulary.ProcessKind = Field(sa_type=AutoString)
    host: str
    version: str  # of the program
    schema_version: str = Field(sa_column_kwargs={"name": "schema"})  # that the program was made for
    tzdata: str  # the zone data by which it expands zones
    started_at: datetime
    beat_at: datetime
    loops: dict[str, Any] = json_object()  # by name: for how long it has not moved, how often it failed in a row
    clock_offset_ms: int | None = None  # its clock less the database's

    __table_args__ = (one_of("kind", *vocabulary.PROCESS_KINDS),)


class Housekeeping(SQLModel, table=True):
    """When a task of the housekeeper was last done, by the database's clock; `error` is of a try since then."""

    name: str = Field(primary_key=True)
    ran_at: datetime | None = None
    rows: int | None = Field(default=None, sa_type=BigInteger)
    ms: int | None = None
    failed_at: datetime | None = None
    error: str | None = None
