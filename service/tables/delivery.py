"""What leaves the building, and what is remembered of every act."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlmodel import Field, SQLModel

from service.tables.columns import check, ids, index, json_object, one_of


class Event(SQLModel, table=True):
    """One change of one subject; `position` is given after the commit, in an order without gaps."""

    id: UUID = Field(primary_key=True)
    position: int | None = Field(default=None, sa_type=BigInteger, unique=True)
    type: str
    subject_id: UUID = Field(index=True)
    subject_version: int
    programme_id: UUID | None = None
    memorandum_id: UUID | None = Field(default=None, index=True)
    institution_ids: list[UUID] = ids()
    person_ids: list[UUID] = ids()
    occurred_at: datetime
    data: dict[str, Any] = json_object()

    __table_args__ = (
        index("ix_event_unplaced", "id", where="position IS NULL"),
        index(
            "ix_event_subject_version",
            "subject_id",
            "subject_version",
            "type",
            unique=True,
        ),
    )


class Delivery(SQLModel, table=True):
    """One mail or webhook to one receiver: the truth of its sending. `payload` is plain values, never case text."""

    id: UUID = Field(primary_key=True)
    kind: str
    event_id: UUID | None = Field(default=None, foreign_key="event.id")
    person_id: UUID | None = Field(default=None, foreign_key="person.id", index=True)
    appointment_id: UUID | None = Field(default=None, foreign_key="appointment.id", index=True)
    sequence: int | None = None  # the appointment's when it was recorded: an overtaken invite is dropped
    payload: dict[str, Any] = json_object()
    state: str = "pending"
    attempt: int = 0
    next_attempt_at: datetime | None = None
    useless_after: datetime | None = None
    created_at: datetime
    settled_at: datetime | None = None
    error: str | None = None

    __table_args__ = (
        one_of("kind", "mail", "webhook"),
        one_of("state", "pending", "delivered", "refused", "dead", "dropped"),
        check("due_while_pending", "(state = 'pending') = (next_attempt_at IS NOT NULL)"),
        index("ix_delivery_next_attempt_at", "next_attempt_at", where="state = 'pending'"),
    )


class DeliveryAttempt(SQLModel, table=True):
    """One try at a delivery."""

    __tablename__ = "delivery_attempt"
    delivery_id: UUID = Field(primary_key=True, foreign_key="delivery.id")
    attempt: int = Field(primary_key=True)
    at: datetime
    duration_ms: int
    outcome: str
    error: str | None = None


class Audit(SQLModel, table=True):
    """Who read or did what, when; INSERT only (a trigger refuses the rest)."""

    id: UUID = Field(primary_key=True)
    at: datetime
    actor_kind: str
    person_id: UUID | None = None
    action: str
    subject: str
    subject_id: UUID | None = None
    request_id: str | None = None
    details: dict[str, Any] = json_object()

    __table_args__ = (
        index("ix_audit_subject_id", "subject_id"),
        index("ix_audit_person_id_at", "person_id", "at"),
    )


class IdempotencyKey(SQLModel, table=True):
    """The stored answer to a POST; the body is sealed."""

    __tablename__ = "idempotency_key"
    id: UUID = Field(primary_key=True)
    caller: str
    path: str
    key: str
    request_hash: bytes = Field(sa_type=BYTEA)
    status: int | None = None
    headers: dict[str, str] = Field(default_factory=dict, sa_type=JSONB)
    body: bytes | None = Field(default=None, sa_type=BYTEA)
    created_at: datetime

    __table_args__ = (
        index("uq_idempotency_key", "caller", "path", "key", unique=True),
        index("ix_idempotency_key_created_at", "created_at"),
    )


class RateLimit(SQLModel, table=True):
    """The theoretical arrival time of a caller's next request (GCRA); losing it in a crash costs nothing."""

    __tablename__ = "rate_limit"
    bucket: str = Field(primary_key=True)
    arrives_at: datetime

    __table_args__ = ({"prefixes": ["UNLOGGED"]},)


APPEND_ONLY = ("audit", "log_entry")
"""Tables whose rows a trigger keeps from UPDATE and DELETE."""
