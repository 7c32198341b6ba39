"""How the installation itself fares."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel


class Housekeeping(SQLModel, table=True):
    """When a task of the housekeeper was last done, by the database's clock; `error` is of a try since then."""

    name: str = Field(primary_key=True)
    ran_at: datetime | None = None
    rows: int | None = Field(default=None, sa_type=BigInteger)
    ms: int | None = None
    failed_at: datetime | None = None
    error: str | None = None
