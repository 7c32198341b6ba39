"""By which numbers mentors are chosen, and since when."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Field, SQLModel

from service.tables.columns import index, json_object


class PolicyVersion(SQLModel, table=True):
    """A programme's own numbers from an instant on: a saved policy is a new row, and rows never change.

    `rehearsal_id` names the rehearsal that was the reason, `by` who saved it: nobody, if a migration did.
    """

    __tablename__ = "policy_version"
    id: UUID = Field(primary_key=True)
    programme_id: UUID = Field(foreign_key="programme.id")
    valid_from: datetime
    body: dict[str, Any] = json_object()
    by: UUID | None = Field(default=None, foreign_key="person.id", index=True)
    rehearsal_id: UUID | None = None

    __table_args__ = (index("ix_policy_version_programme_id_valid_from", "programme_id", "valid_from"),)
