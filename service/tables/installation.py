"""Which database this is, and what restores it has been through."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlmodel import AutoString, Field, SQLModel

from service import vocabulary
from service.tables.columns import check, one_of


class Installation(SQLModel, table=True):
    """The database as a worker last saw it: one row (decision 0060); None is what the server refuses to tell.

    `epoch` and `floor` are those of the newest `EventEpoch`. While it is held, nothing leaves.
    """

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    system_identifier: int | None = Field(sa_type=BigInteger)
    database_oid: int = Field(sa_type=BigInteger)
    timeline: str | None
    epoch: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})
    floor: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    held_since: datetime | None = None
    held_reason: vocabulary.HeldReason | None = Field(default=None, sa_type=AutoString)

    __table_args__ = (
        check("only_one", "id = 1"),
        one_of("held_reason", *vocabulary.HELD_REASONS),
        check("held_for_a_reason", "(held_since IS NULL) = (held_reason IS NULL)"),
    )


class EventEpoch(SQLModel, table=True):
    """An epoch of the events' positions after the first, which needs no row; see `service.rules.restores`."""

    __tablename__ = "event_epoch"
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    id: UUID
    floor: int = Field(sa_type=BigInteger, unique=True)
    lost_after: int = Field(sa_type=BigInteger)
    branch: int = Field(sa_type=BigInteger)
    began_at: datetime

    __table_args__ = (check("above_what_was", "number > 1 AND floor > lost_after"),)


class LogAnchor(SQLModel, table=True):
    """Where the log of a memorandum ended when this epoch began: what had stood behind it was lost by the restore."""

    __tablename__ = "log_anchor"
    memorandum_id: UUID = Field(primary_key=True, foreign_key="memorandum.id")
    epoch: int = Field(primary_key=True, foreign_key="event_epoch.number", sa_column_kwargs={"autoincrement": False})
    position: int
    hash: str
    made_at: datetime
