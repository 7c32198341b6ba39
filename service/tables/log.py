"""What happened, per memorandum: the chained log, and what else a memorandum brings."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import AutoString, Field, SQLModel

from service import vocabulary
from service.tables.columns import check, ids, index, one_of, sealed


class LogHead(SQLModel, table=True):
    """The end of a memorandum's chain, locked last by whoever appends."""

    __tablename__ = "log_head"
    memorandum_id: UUID = Field(primary_key=True, foreign_key="memorandum.id")
    position: int
    hash: str


class LogEntry(SQLModel, table=True):
    """A link of a memorandum's chain; the facts it seals are the row of `session` or `activity` of the same id."""

    __tablename__ = "log_entry"
    id: UUID = Field(primary_key=True)
    memorandum_id: UUID = Field(foreign_key="memorandum.id")
    position: int
    kind: vocabulary.LogEntryKind = Field(sa_type=AutoString)
    corrects: UUID | None = Field(default=None, foreign_key="log_entry.id", unique=True)
    logged_at: datetime
    logged_by: UUID | None = None
    previous_hash: str
    hash: str

    __table_args__ = (
        one_of("kind", *vocabulary.LOG_ENTRY_KINDS),
        index("uq_log_entry_position", "memorandum_id", "position", unique=True),
    )


class Session(SQLModel, table=True):
    """What took place under a memorandum, live or written; append-only. `conclusion` is case text and erasable."""

    id: UUID = Field(primary_key=True)
    appointment_id: UUID | None = Field(default=None, foreign_key="appointment.id", index=True)
    consultation_id: UUID = Field(foreign_key="consultation.id", index=True)
    memorandum_id: UUID = Field(foreign_key="memorandum.id")
    programme_id: UUID = Field(foreign_key="programme.id")
    route: str
    is_memorandum_chosen_anew: bool = False
    mode: str
    specialty_code: str = Field(foreign_key="specialty.code")
    priority: str
    requesting_institution_id: UUID = Field(foreign_key="institution.id")
    partner_institution_id: UUID = Field(foreign_key="institution.id")
    clinician_id: UUID = Field(foreign_key="person.id")
    mentor_id: UUID = Field(foreign_key="person.id")
    participants: list[UUID] = ids()
    started_at: datetime
    ended_at: datetime
    minutes: int
    outcome: str
    is_civil_for_requester: bool
    is_civil_for_mentor: bool
    is_corrected: bool = False
    conclusion: bytes | None = sealed()

    __table_args__ = (
        one_of("route", *vocabulary.ROUTES),
        one_of("mode", *vocabulary.SESSION_MODES),
        one_of("outcome", *vocabulary.SESSION_OUTCOMES),
        check("in_order", "started_at <= ended_at"),
        check("minutes_bounded", "minutes BETWEEN 0 AND 1440"),
        index(
            "ix_session_memorandum_id_started_at",
            "memorandum_id",
            "started_at",
            where="NOT is_corrected",
        ),
        index(
            "ix_session_programme_id_started_at",
            "programme_id",
            "started_at",
        ),
        index("ix_session_requesting_institution_id_mentor_id", "requesting_institution_id", "mentor_id"),
        index(
            "ix_session_partner_institution_id_started_at",
            "partner_institution_id",
            "started_at",
            where="NOT is_corrected",
        ),
    )


class Feedback(SQLModel, table=True):
    """One side's answer after a session; `note` is case text."""

    id: UUID = Field(primary_key=True)
    session_id: UUID = Field(foreign_key="session.id")
    person_id: UUID = Field(foreign_key="person.id")
    side: str
    is_useful: bool
    patient_outcome: str | None = None
    note: bytes | None = sealed()
    given_at: datetime

    __table_args__ = (
        one_of("side", *vocabulary.SIDES),
        one_of("patient_outcome", *vocabulary.PATIENT_OUTCOMES),
        index("uq_feedback_side", "session_id", "side", unique=True),
    )


class Activity(SQLModel, table=True):
    """Everything else a memorandum brings; the memorandum may be unknown. Append-only; `note` is sealed and erasable.

    What is not known is NULL. `until_on` is the first day after it.
    """

    id: UUID = Field(primary_key=True)
    code: str | None = Field(default=None, unique=True)
    programme_id: UUID = Field(foreign_key="programme.id", index=True)
    memorandum_id: UUID | None = Field(default=None, foreign_key="memorandum.id", index=True)
    kind: vocabulary.ActivityKind = Field(sa_type=AutoString)
    published_kind: str | None = None
    on_date: date | None = None
    period: str | None = None
    from_on: date | None = None
    until_on: date | None = None
    days: int | None = None
    people_count: int | None = None
    people_op: str | None = None
    note: bytes | None = sealed()
    source: str | None = None
    is_corrected: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    corrects: UUID | None = Field(default=None, foreign_key="activity.id", unique=True)
    logged_by: UUID | None = None
    created_at: datetime

    __table_args__ = (
        one_of("kind", *vocabulary.ACTIVITY_KINDS),
        one_of("people_op", *vocabulary.COUNT_SIGNS),
        check("people_whole", "(people_count IS NULL) = (people_op IS NULL)"),
        check("dates_in_order", "until_on > from_on"),
        index("ix_activity_memorandum_id_id", "memorandum_id", "id"),
        index("ix_activity_without_memorandum", "programme_id", "id", where="memorandum_id IS NULL"),
        check("period_known", "period ~ '^[0-9]{4}(-(0[1-9]|1[0-2])|-Q[1-4])?$'"),
    )


class ActivityInstitution(SQLModel, table=True):
    """An institution that took part in an activity."""

    __tablename__ = "activity_institution"
    activity_id: UUID = Field(primary_key=True, foreign_key="activity.id")
    institution_id: UUID = Field(primary_key=True, foreign_key="institution.id", index=True)
    direction: vocabulary.Direction = Field(sa_type=AutoString)

    __table_args__ = (one_of("direction", *vocabulary.DIRECTIONS),)


class ActivitySpecialty(SQLModel, table=True):
    """A specialty that an activity was about."""

    __tablename__ = "activity_specialty"
    activity_id: UUID = Field(primary_key=True, foreign_key="activity.id")
    specialty_code: str = Field(primary_key=True, foreign_key="specialty.code")


class Statistic(SQLModel, table=True):
    """A published count of what a programme has brought, with its operator as it was published (`>700`, `~150`)."""

    id: UUID = Field(primary_key=True)
    programme_id: UUID = Field(foreign_key="programme.id")
    key: str
    op: str
    value: int
    as_of: str | None = None
    source: str
    citation: str

    __table_args__ = (
        one_of("op", *vocabulary.COUNT_SIGNS),
        index("uq_statistic", "programme_id", "key", "coalesce(as_of, '')", unique=True),
    )


class Milestone(SQLModel, table=True):
    """A published count of a programme's memoranda."""

    id: UUID = Field(primary_key=True)
    programme_id: UUID = Field(foreign_key="programme.id")
    on_text: str = Field()
    precision: str
    total_memoranda: int | None = None
    added: int | None = None
    event: str
    sources: str
    citation: str

    __table_args__ = (index("uq_milestone", "programme_id", "on_text", unique=True),)


class ReportRollup(SQLModel, table=True):
    """The counts of a stretch of a programme's past, by programs of this digest. See `rollups`."""

    __tablename__ = "report_rollup"
    programme_id: UUID = Field(primary_key=True, foreign_key="programme.id")
    digest: str = Field(primary_key=True)
    from_at: datetime = Field(primary_key=True)
    until_at: datetime = Field(primary_key=True)
    made_at: datetime
    counted: str
    hours: bytes
    asked_mentors: bytes
    mentors: bytes
    minutes: bytes
    id: UUID | None = None  # an older program writes none


class PromiseRecord(SQLModel, table=True):
    """What a programme's latest year says of requests, and how its promises fared. See `promises`."""

    __tablename__ = "promise_record"
    programme_id: UUID = Field(primary_key=True, foreign_key="programme.id")
    counted_at: datetime
    is_off: bool
    outcomes: list[Any] = Field(sa_type=JSONB)  # [priority, eligible, mode, requests, in time, hours until half]
    bins: list[Any] = Field(sa_type=JSONB)  # [tenth, promises, mean of the chances, answered in time]


class ReportPiece(SQLModel, table=True):
    """Release 0.1's rollups, for while it runs beside this one; this release only deletes them, by a trigger.

    To be dropped by the version after 0.2 (decision 0025).
    """

    __tablename__ = "report_piece"
    programme_id: UUID = Field(primary_key=True, foreign_key="programme.id")
    from_at: datetime = Field(primary_key=True)
    until_at: datetime = Field(primary_key=True)
    made_at: datetime
    counted: str
    hours: bytes
    asked_mentors: bytes
    mentors: bytes
    minutes: bytes


class ReportMark(SQLModel, table=True):
    """A change of something that reports count at this instant in a programme; written by triggers."""

    __tablename__ = "report_mark"
    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger)
    programme_id: UUID
    at: datetime

    __table_args__ = (index("ix_report_mark_programme_id_at", "programme_id", "at"),)
