"""Files that wait to be taken in."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import AutoString, Field, SQLModel

from service import vocabulary
from service.tables.columns import index, one_of, sealed


class ImportFile(SQLModel, table=True):
    """A file sent over the API: what it holds and what was found in it are sealed, and kept for a day."""

    __tablename__ = "import_file"
    id: UUID = Field(primary_key=True)
    kind: vocabulary.RecordKind = Field(sa_type=AutoString)
    state: vocabulary.ImportState = Field(sa_type=AutoString)
    is_dry: bool
    person_id: UUID = Field(foreign_key="person.id", index=True)
    lang: str
    content: bytes | None = sealed()
    result: bytes | None = sealed()
    is_confirmed: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    may_change_most: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    may_be_damaged: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    rows_done: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    rows_total: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    lease_until: datetime | None = None  # by the database's clock
    created_at: datetime

    __table_args__ = (
        one_of("state", *vocabulary.IMPORT_STATES),
        index("ix_import_file_waiting", "id", where="state IN ('checking', 'loading')"),
    )
