"""Programmes, institutions, specialties and the memoranda between institutions."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import SmallInteger, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import AutoString, Field, SQLModel

from service import vocabulary
from service.tables.columns import Versioned, check, index, json_object, one_of, texts


class Programme(Versioned, table=True):
    """A national partnership programme; `policy` holds what differs from the default Policy."""

    id: UUID = Field(primary_key=True)
    code: str = Field(unique=True)
    name: str
    name_en: str
    country: str
    zone: str  # in which the memoranda's dates are read
    policy: dict[str, Any] = json_object()

    __table_args__ = (
        check("country_iso", "country ~ '^[A-Z]{2}$'"),
        index("uq_programme_code_any_case", "lower(code)", unique=True),
    )


class Specialty(SQLModel, table=True):
    """One node of the specialty tree."""

    code: str = Field(primary_key=True)
    parent_code: str | None = Field(default=None, foreign_key="specialty.code")
    name_en: str
    name_uk: str
    snomed_ct: str | None = None
    is_bookable: bool


class SpecialtyParent(SQLModel, table=True):
    """A second parent of a specialty."""

    __tablename__ = "specialty_parent"
    code: str = Field(primary_key=True, foreign_key="specialty.code")
    also_parent_code: str = Field(primary_key=True, foreign_key="specialty.code")


class Institution(Versioned, table=True):
    """A hospital, network, ministry, agency or NGO; what no source states is NULL.

    `has_coordinator` is what the last sweep found: when the last one has left, the admins are told.
    """

    id: UUID = Field(primary_key=True)
    code: str | None = Field(default=None, unique=True)
    name: str | None = None
    name_en: str | None = None
    kind: str
    country: str | None = None
    region: str | None = None
    city: str | None = None
    zone: str | None = None
    working_weekdays: list[int] = Field(
        default_factory=lambda: [0, 1, 2, 3, 4],
        sa_type=ARRAY(SmallInteger),
        sa_column_kwargs={"server_default": text("'{0,1,2,3,4}'")},
    )
    languages: list[str] = texts()
    aliases: list[str] = texts()
    shows_its_name: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    has_coordinator: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    sources: list[str] = texts()
    note: str | None = None

    __table_args__ = (
        check("country_iso", "country ~ '^[A-Z]{2}$'"),
        index("uq_institution_code_any_case", "lower(code)", unique=True),
    )


class Membership(SQLModel, table=True):
    """An institution belongs to a network or umbrella, from a date until (not including) a date."""

    id: UUID = Field(primary_key=True)
    institution_id: UUID = Field(foreign_key="institution.id", index=True)
    network_id: UUID = Field(foreign_key="institution.id", index=True)
    from_on: date
    until_on: date | None = None

    __table_args__ = (
        check("not_itself", "institution_id <> network_id"),
        check("dates_in_order", "until_on > from_on"),
    )


class Memorandum(Versioned, table=True):
    """An agreement between institutions in one programme; `valid_until` is the first day it no longer holds."""

    id: UUID = Field(primary_key=True)
    code: str | None = Field(default=None, unique=True)
    programme_id: UUID = Field(foreign_key="programme.id", index=True)
    kind: vocabulary.MemorandumKind = Field(sa_type=AutoString)
    status: vocabulary.MemorandumStatus = Field(sa_type=AutoString)
    signed_on: date | None = None
    signed_precision: vocabulary.DatePrecision = Field(sa_type=AutoString)
    valid_from: date | None = None
    valid_until: date | None = None
    activities: list[str] = texts()
    budget_minutes: int | None = None
    budget_per: vocabulary.BudgetPeriod | None = Field(default=None, sa_type=AutoString)
    renewed_by: UUID | None = Field(default=None, foreign_key="memorandum.id")
    end_told_days: int | None = None  # which of the policy's reminders was the last
    budget_seen_at: datetime | None = None
    budget_told_at: datetime | None = None
    source: str | None = None
    note: str | None = None

    __table_args__ = (
        one_of("kind", *vocabulary.MEMORANDUM_KINDS),
        one_of("status", *vocabulary.MEMORANDUM_STATUSES),
        one_of("signed_precision", *vocabulary.DATE_PRECISIONS),
        one_of("budget_per", *vocabulary.BUDGET_PERIODS),
        check(
            "budget_whole",
            "(budget_minutes IS NULL) = (budget_per IS NULL) AND budget_minutes >= 0",
        ),
        check("dates_in_order", "valid_until > valid_from"),
        index("uq_memorandum_code_any_case", "lower(code)", unique=True),
        index("ix_memorandum_programme_id_id", "programme_id", "id"),
        index("ix_memorandum_ending", "valid_until", where="status = 'active'"),
    )


class MemorandumParty(SQLModel, table=True):
    """An institution that signed, and on which side."""

    __tablename__ = "memorandum_party"
    memorandum_id: UUID = Field(primary_key=True, foreign_key="memorandum.id")
    institution_id: UUID = Field(primary_key=True, foreign_key="institution.id", index=True)
    side: vocabulary.Side = Field(sa_type=AutoString)

    __table_args__ = (one_of("side", *vocabulary.SIDES),)


class MemorandumArea(SQLModel, table=True):
    """A specialty that the memorandum covers; none listed means all."""

    __tablename__ = "memorandum_area"
    memorandum_id: UUID = Field(primary_key=True, foreign_key="memorandum.id")
    specialty_code: str = Field(primary_key=True, foreign_key="specialty.code")


class MemorandumTransition(SQLModel, table=True):
    """One step of a memorandum's life, with who took it and why."""

    __tablename__ = "memorandum_transition"
    id: UUID = Field(primary_key=True)
    memorandum_id: UUID = Field(foreign_key="memorandum.id", index=True)
    from_status: str
    to_status: str
    on_date: date
    reason: str | None = None
    is_demo: bool = False
    actor_id: UUID | None = None
    created_at: datetime
