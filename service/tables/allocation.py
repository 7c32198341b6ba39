"""By which numbers mentors are chosen, and since when; and each choice, with all that it was made of.

What stands for long is a row of its own, named by the digest of what it says, and written once; `seen_at` is when a
choice last used it, to a day. No foreign key leads to it: a restored database may have lost a fact that a running
process has seen there, and a choice must be possible all the same.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import AutoString, Field, SQLModel

from service import vocabulary
from service.tables.columns import index, json_object, one_of


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


class Rulebook(SQLModel, table=True):
    """By what a programme chose: its numbers, specialties, countries; the versions of program and zone data."""

    id: UUID = Field(primary_key=True)
    policy: dict[str, Any] = json_object()
    tree: list[Any] = Field(sa_type=JSONB)
    transfer: dict[str, Any] = json_object()
    transfer_version: str
    tzdata_version: str
    rules_version: str
    seen_at: datetime = Field(index=True)


class MentorFact(SQLModel, table=True):
    """What stood of one mentor. Once the person is erased, `person_id` is nobody's, `body` empty, and no choice exact.

    `body` is JSON as `rules.matching.records` packs it: of these rows there are most.
    """

    __tablename__ = "mentor_fact"
    id: UUID = Field(primary_key=True)
    person_id: UUID = Field(index=True)
    body: bytes
    is_erased: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    seen_at: datetime = Field(index=True)


class MemorandaFact(SQLModel, table=True):
    """Which memoranda linked one hospital with its partners, by partner."""

    __tablename__ = "memoranda_fact"
    id: UUID = Field(primary_key=True)
    body: dict[str, Any] = json_object()
    seen_at: datetime = Field(index=True)


class Decision(SQLModel, table=True):
    """Who was asked for a case, or that nobody could be; mentors by their places in the roster, which `refs` names.

    `body` is what it was made of and what was chosen, JSON as `rules.matching.records` packs it; `digest` is of all.
    These are kept for 400 days, then NULL: the three counts and the kind stay.
    """

    id: UUID = Field(primary_key=True)
    consultation_id: UUID = Field(foreign_key="consultation.id")
    programme_id: UUID = Field(foreign_key="programme.id")
    at: datetime
    kind: vocabulary.DecisionKind = Field(sa_type=AutoString)
    mentors: int
    eligible: int
    asked: int
    rulebook_id: UUID | None = None
    memoranda_id: UUID | None = None
    refs: bytes | None = None
    body: bytes | None = None
    digest: bytes | None = None

    __table_args__ = (
        one_of("kind", *vocabulary.DECISION_KINDS),
        index("ix_decision_programme_id_at", "programme_id", "at", "id"),
        index("ix_decision_whole", "at", where="body IS NOT NULL"),
    )


class Rehearsal(SQLModel, table=True):
    """What a programme's recorded choices come to under other numbers; a worker makes it, and is at it while leased.

    `compared_with` are the programme's own numbers when it was asked for. `result` has its levels once it is done, in
    counts: nobody is named. Kept for 400 days, and for ever if a saved policy names it as its reason.
    """

    id: UUID = Field(primary_key=True)
    programme_id: UUID = Field(foreign_key="programme.id")
    by: UUID | None = Field(default=None, foreign_key="person.id", index=True)
    policy: dict[str, Any] = json_object()
    compared_with: dict[str, Any] = json_object()
    from_at: datetime
    until_at: datetime
    state: vocabulary.RehearsalState = Field(sa_type=AutoString)
    problem: vocabulary.RehearsalProblem | None = Field(default=None, sa_type=AutoString)
    decisions: int  # so many when it was asked for
    decisions_done: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    lease_until: datetime | None = None  # by the database's clock
    result: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    created_at: datetime
    settled_at: datetime | None = None

    __table_args__ = (
        one_of("state", *vocabulary.REHEARSAL_STATES),
        one_of("problem", *vocabulary.REHEARSAL_PROBLEMS),
        index("ix_rehearsal_programme_id_id", "programme_id", "id"),
        index("uq_rehearsal_going", "programme_id", unique=True, where="state IN ('waiting', 'running')"),
    )
