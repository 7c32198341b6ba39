"""Consultations, offers, appointments and the seats that keep two bookings apart."""

from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlalchemy.dialects.postgresql import TSTZRANGE, ExcludeConstraint, Range
from sqlmodel import Field, SQLModel

from service import vocabulary
from service.tables.columns import (
    Versioned,
    check,
    ids,
    index,
    instants,
    json_object,
    one_of,
    sealed,
    texts,
    wall_time,
)

_IS_WAITING = "state IN ('pending', 'countered')"


class Consultation(Versioned, table=True):
    """A question put to mentors; `question` is case text. Once forgotten, the case has no text, and gets none.

    `clinician_left_at` is when it was found, and its coordinators told, that its clinician no longer works there.
    `eligible_mentors` had it at its filing; with `promised_chance`, where one could be told, it was to be answered by
    `promised_by`. While nobody is left and only a change can help, `waits_mark` is the mark of the hospital's ground
    and of the mentors of `waits_on`, the institutions that a memorandum links with it. `number` is what people call
    it by: whoever files, the database draws one if none is given. `question_language` is that of the text, if known.
    """

    id: UUID = Field(primary_key=True)
    programme_id: UUID = Field(foreign_key="programme.id")
    institution_id: UUID = Field(foreign_key="institution.id")
    clinician_id: UUID = Field(foreign_key="person.id", index=True)
    department: str | None = None
    follows_id: UUID | None = Field(default=None, foreign_key="consultation.id")
    specialty_code: str = Field(foreign_key="specialty.code")
    activity: str = "teleconsultation"
    priority: str
    mode: str
    state: str
    question: bytes | None = sealed()
    languages: list[str] = texts()
    age_band: str
    duration_minutes: int
    tags: list[str] = texts()
    is_translated: bool = False
    excluded_mentors: list[UUID] = ids()
    consent_scope: str | None = None
    consent_countries: list[str] = texts()
    consent_given_on: date | None = None
    opened_at: datetime | None = None
    answer_due_at: datetime | None = None
    next_wave_at: datetime | None = None
    waves: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    alert_at: datetime | None = None
    advice_due_at: datetime | None = None
    is_advice_overdue_told: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    cancel_reason: str | None = None
    note: bytes | None = sealed()
    noted_by: UUID | None = Field(default=None, foreign_key="person.id")
    closed_at: datetime | None = None
    is_forgotten: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_by: UUID | None = Field(default=None, foreign_key="person.id")
    clinician_left_at: datetime | None = None
    eligible_mentors: int | None = None
    promised_chance: float | None = None
    promised_by: datetime | None = None
    waits_on: list[UUID] = ids()
    waits_mark: int | None = Field(default=None, sa_type=BigInteger)
    number: str = Field(default=None, nullable=True)
    question_language: str | None = None

    __table_args__ = (
        one_of("priority", *vocabulary.PRIORITIES),
        one_of("mode", *vocabulary.MODES),
        one_of("state", *vocabulary.CONSULTATION_STATES),
        one_of("age_band", *vocabulary.AGE_BANDS),
        one_of("consent_scope", *vocabulary.CONSENT_SCOPES),
        one_of("cancel_reason", *vocabulary.CANCEL_REASONS),
        check("duration_bounded", "duration_minutes BETWEEN 15 AND 240"),
        check(
            "due_once_open",
            "state = 'draft' OR answer_due_at IS NOT NULL OR closed_at IS NOT NULL",
        ),
        index("ix_consultation_programme_id_opened_at", "programme_id", "opened_at"),
        index("ix_consultation_institution_id_id", "institution_id", "id"),
        index("ix_consultation_clinician_id_id", "clinician_id", "id"),
        index("ix_consultation_clinician", "institution_id", "clinician_id", "id"),
        index("ix_consultation_programme_id_id", "programme_id", "id"),
        index(
            "ix_consultation_department",
            "institution_id",
            "department",
            "id",
            where="department IS NOT NULL",
        ),
        # For filters: nearly all of the past is completed, so finding those needs no index of its own.
        index("ix_consultation_programme_id_state", "programme_id", "state", "id", where="state <> 'completed'"),
        index("ix_consultation_institution_id_state", "institution_id", "state", "id", where="state <> 'completed'"),
        index("ix_consultation_programme_id_specialty", "programme_id", "specialty_code", "id"),
        index("ix_consultation_institution_id_specialty", "institution_id", "specialty_code", "id"),
        # What is not closed comes first on a home.
        index("ix_consultation_programme_id_unclosed", "programme_id", "id", where="closed_at IS NULL"),
        index("ix_consultation_institution_id_unclosed", "institution_id", "id", where="closed_at IS NULL"),
        index(
            "ix_consultation_next_wave_at",
            "next_wave_at",
            where="next_wave_at IS NOT NULL",
        ),
        index("uq_consultation_number", "number", unique=True),
        index("ix_consultation_waits", "id", where="waits_mark IS NOT NULL AND state = 'unmatched'"),
        index("ix_consultation_alert_at", "alert_at", where="alert_at IS NOT NULL"),
        index(
            "ix_consultation_answer_due_at",
            "answer_due_at",
            where="state IN ('open', 'offered', 'unmatched')",
        ),
        index(
            "ix_consultation_advice_due_at",
            "advice_due_at",
            where="state = 'scheduled'",
        ),
        index(
            "ix_consultation_live",
            "clinician_id",
            where="state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')",
        ),
        index(
            "ix_consultation_left",
            "clinician_left_at",
            where="clinician_left_at IS NOT NULL AND state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')",
        ),
        index(
            "ix_consultation_text",
            "coalesce(closed_at, CASE WHEN state = 'draft' THEN created_at END)",
            where="NOT is_forgotten",
        ),
    )


class ConsultationWindow(SQLModel, table=True):
    """A time in which the clinician can attend, half-open."""

    __tablename__ = "consultation_window"
    consultation_id: UUID = Field(primary_key=True, foreign_key="consultation.id")
    from_at: datetime = Field(primary_key=True)
    until_at: datetime

    __table_args__ = (check("in_order", "from_at < until_at"),)


class OfCase(SQLModel):
    """Whose case a row belongs to, as its consultation says: copied by triggers (`ddl`), so that lists use an index."""

    case_programme_id: UUID | None = None
    case_institution_id: UUID | None = None
    case_clinician_id: UUID | None = None
    case_department: str | None = None


class Offer(Versioned, OfCase, table=True):
    """One mentor asked to take one consultation; `note` is case text."""

    id: UUID = Field(primary_key=True)
    consultation_id: UUID = Field(foreign_key="consultation.id", index=True)
    mentor_id: UUID = Field(foreign_key="person.id")
    institution_id: UUID = Field(foreign_key="institution.id")
    memorandum_id: UUID = Field(foreign_key="memorandum.id")
    route: str
    kind: str  # live, written, or either: what the mentor may accept
    state: str
    wave: int
    starts: list[datetime] = instants()
    counter_starts: list[datetime] = instants()
    sent_at: datetime
    answer_by: datetime
    timed_from: datetime | None = None  # the mentor's time runs since then, if not since `sent_at`: the mail was late
    is_undelivered: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})  # to the end
    answered_at: datetime | None = None
    decline_reason: str | None = None
    note: bytes | None = sealed()
    noted_by: UUID | None = Field(default=None, foreign_key="person.id")
    terms: dict[str, Any] = json_object()
    override_rule: str | None = None
    override_reason: bytes | None = sealed()
    ended_at: datetime | None = None  # an accepted offer whose mentor was replaced or cancelled: reads no case text
    unlinked_at: datetime | None = None  # promised advice whose memorandum no longer reaches: coordinators were told
    late_at: datetime | None = None  # its time passed with no answer; so it stays, whatever becomes of it
    is_late: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})  # and an answer is taken
    shown_again_at: datetime | None = None  # the case text, which a late offer hides, to a mentor who wished it

    @property
    def shown_state(self) -> vocabulary.OfferState:
        """The state that everybody is told; of a late offer an older program reads `expired`, and does as ever."""
        return "late" if self.is_late else cast("vocabulary.OfferState", self.state)

    __table_args__ = (
        one_of("route", *vocabulary.ROUTES),
        one_of("kind", *vocabulary.OFFER_KINDS),
        one_of("state", *vocabulary.STORED_OFFER_STATES),
        one_of("decline_reason", *vocabulary.DECLINE_REASONS),
        index(
            "uq_offer_open",
            "consultation_id",
            "mentor_id",
            unique=True,
            where="state IN ('pending', 'countered') OR (state = 'accepted' AND ended_at IS NULL)",
        ),
        index("ix_offer_sent_at", "sent_at"),
        index("ix_offer_mentor_id_sent_at", "mentor_id", "sent_at"),
        index("ix_offer_memorandum_id_sent_at", "memorandum_id", "sent_at"),
        index("ix_offer_answer_by", "answer_by", where="state = 'pending'"),
        index("ix_offer_countered", "consultation_id", where="state = 'countered'"),
        index("ix_offer_late", "mentor_id", "id", where="is_late"),
        index("ix_offer_mentor_id_id", "mentor_id", "id"),
        index("ix_offer_asked", "mentor_id", "institution_id", "consultation_id"),
        index("ix_offer_institution_id_id", "institution_id", "id"),
        index("ix_offer_case_programme_id_id", "case_programme_id", "id"),
        index("ix_offer_case_institution_id_id", "case_institution_id", "id"),
        index("ix_offer_case_clinician", "case_institution_id", "case_clinician_id", "id"),
        index(
            "ix_offer_case_department",
            "case_institution_id",
            "case_department",
            "id",
            where="case_department IS NOT NULL",
        ),
        index("ix_offer_waiting_mentor", "mentor_id", "id", where=_IS_WAITING),
        index("ix_offer_waiting_institution", "institution_id", "id", where=_IS_WAITING),
        index("ix_offer_waiting_case_programme", "case_programme_id", "id", where=_IS_WAITING),
        index("ix_offer_waiting_case_institution", "case_institution_id", "id", where=_IS_WAITING),
    )


class Appointment(Versioned, OfCase, table=True):
    """One agreed or held time; its id never changes, and is the stem of the calendar UID. `note` is case text.

    `told_end_id` is the step that ended its memorandum, once the coordinators were told of it: they are told anew of
    another step or another memorandum.
    """

    id: UUID = Field(primary_key=True)
    consultation_id: UUID = Field(foreign_key="consultation.id", index=True)
    memorandum_id: UUID = Field(foreign_key="memorandum.id", index=True)
    route: str
    status: str
    starts_at: datetime
    ends_at: datetime
    tzdata_version: str
    held_until: datetime | None = None
    proposed_starts: list[datetime] = instants()
    proposed_by: UUID | None = Field(default=None, foreign_key="person.id")
    cancel_reason: str | None = None
    absent: str | None = None  # who did not come, as one side reported it
    absence_told_by: str | None = None  # that side
    disputed_at: datetime | None = None  # when both sides' coordinators were told that the sides disagree
    note: bytes | None = sealed()
    noted_by: UUID | None = Field(default=None, foreign_key="person.id")
    sequence: int = 0
    dtstamp: datetime
    remind_at: datetime | None = None
    begins_told_for: datetime | None = None  # the start of which was told that the call begins
    told_end_id: UUID | None = Field(default=None, foreign_key="memorandum_transition.id")
    unlinked_at: datetime | None = None  # coordinators were told that a membership it was booked through has ended

    __table_args__ = (
        one_of("route", *vocabulary.ROUTES),
        one_of("status", *vocabulary.APPOINTMENT_STATUSES),
        one_of("cancel_reason", *vocabulary.APPOINTMENT_CANCEL_REASONS, *vocabulary.RELEASE_REASONS),
        one_of("absent", *vocabulary.ABSENT_PARTIES),
        one_of("absence_told_by", *vocabulary.SIDES),
        check("in_order", "starts_at < ends_at"),
        check("held_while_pending", "(status = 'pending') = (held_until IS NOT NULL)"),
        index(
            "uq_appointment_live",
            "consultation_id",
            unique=True,
            where="status IN ('pending', 'booked')",
        ),
        index("ix_appointment_held_until", "held_until", where="status = 'pending'"),
        index("ix_appointment_remind_at", "remind_at", where="remind_at IS NOT NULL"),
        index(
            "ix_appointment_memorandum_live",
            "memorandum_id",
            where="status IN ('pending', 'booked')",
        ),
        index("ix_appointment_starts_at", "starts_at", "id"),
        index("ix_appointment_case_programme_id", "case_programme_id", "starts_at"),
        index("ix_appointment_case_institution_id", "case_institution_id", "starts_at"),
        index("ix_appointment_case_clinician", "case_institution_id", "case_clinician_id", "starts_at", "id"),
        index(
            "ix_appointment_case_department",
            "case_institution_id",
            "case_department",
            "starts_at",
            "id",
            where="case_department IS NOT NULL",
        ),
    )


class Participant(SQLModel, table=True):
    """Who takes part: by which offer, their answer, their wall time.

    `starts_at` is the appointment's, copied by triggers (`ddl`), so that lists of somebody's appointments use an index.
    """

    appointment_id: UUID = Field(primary_key=True, foreign_key="appointment.id")
    person_id: UUID = Field(primary_key=True, foreign_key="person.id")
    institution_id: UUID = Field(foreign_key="institution.id", index=True)
    role: str
    status: str
    offer_id: UUID | None = Field(default=None, foreign_key="offer.id")
    zone: str
    wall: datetime = wall_time()
    starts_at: datetime | None = None
    # The number of the person's address that the calendars have (`Person.address_number`).
    address_number: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})

    __table_args__ = (
        one_of("role", *vocabulary.PARTICIPANT_ROLES),
        one_of("status", *vocabulary.PARTICIPANT_STATUSES),
        index("ix_participant_person_id_wall", "person_id", "wall"),
        index("ix_participant_person_id_starts_at", "person_id", "starts_at"),
    )


class Seat(SQLModel, table=True):
    """A time in which a person is occupied: [start, end + that person's own buffer). Releasing it deletes the row.

    The exclusion constraint is the proof that nobody is booked twice, whatever the code does (invariant B1).
    """

    model_config = {"arbitrary_types_allowed": True}
    appointment_id: UUID = Field(primary_key=True, foreign_key="appointment.id")
    person_id: UUID = Field(primary_key=True, foreign_key="person.id")
    during: Range[datetime] = Field(sa_type=TSTZRANGE)
    held_until: datetime | None = None

    __table_args__ = (
        check(
            "bounds_half_open",
            "NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)",
        ),
        check("bounds_there", "NOT lower_inf(during) AND NOT upper_inf(during)"),
        check("bounds_finite", "isfinite(lower(during)) AND isfinite(upper(during))"),
        check(
            "length_sane",
            "upper(during) - lower(during) BETWEEN interval '5 min' AND interval '8 h'",
        ),
        ExcludeConstraint(
            (text("person_id"), "="),
            (text("during"), "&&"),
            using="gist",
            name="ex_seat_occupied_once",
        ),
        index("ix_seat_held_until", "held_until", where="held_until IS NOT NULL"),
    )


class Advice(SQLModel, table=True):
    """The written answer; `text` is case text."""

    id: UUID = Field(primary_key=True)
    consultation_id: UUID = Field(foreign_key="consultation.id", unique=True)
    offer_id: UUID = Field(foreign_key="offer.id")
    mentor_id: UUID = Field(foreign_key="person.id")
    text: bytes | None = sealed()
    minutes: int
    given_at: datetime

    __table_args__ = (check("minutes_bounded", "minutes BETWEEN 1 AND 1440"),)
