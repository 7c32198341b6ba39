"""Every code of the product, once: CHECK constraints, shapes, forms, mails, files, imports and SQL take them from here.

A list is a `Literal` for the type checker and, where somebody counts, offers or compares, the same as a tuple below it.
The one enum is `GateRefusal`, because the gate works with its members. What stays written out elsewhere (a table keyed
by codes, a catalogue's words, a list in an SQL text) is compared with these lists by `tests/test_vocabulary.py`, which
also finds a list that is written a second time. The order is that in which people are shown a list.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, get_args

# People and systems

InstitutionRole = Literal["clinician", "mentor", "coordinator", "partner_system"]
INSTITUTION_ROLES: tuple[InstitutionRole, ...] = get_args(InstitutionRole)
"""Held at an institution; `programme_admin` is held for a programme."""

PersonRole = Literal["clinician", "mentor", "coordinator", "programme_admin"]
"""What a person can be given; `partner_system` is what a registered system holds."""

Role = Literal[PersonRole, "partner_system"]
ROLES: tuple[Role, ...] = get_args(Role)

OVERSEEING_PEOPLE: tuple[Role, ...] = ("coordinator", "programme_admin")
OVERSEEING_ROLES: tuple[Role, ...] = (*OVERSEEING_PEOPLE, "partner_system")
"""Who neither asks nor answers, but registers those who do, and reads what names people of every party."""

PersonKind = Literal["person", "system"]
PERSON_KINDS: tuple[PersonKind, ...] = get_args(PersonKind)

ActorKind = Literal[PersonKind, "timer", "stranger"]
ACTOR_KINDS: tuple[ActorKind, ...] = get_args(ActorKind)

PersonState = Literal["active", "disabled"]
PERSON_STATES: tuple[PersonState, ...] = get_args(PersonState)

Locale = Literal["uk", "en"]
"""The languages of mails, pages and documents; each has its catalogue in `integrations/catalogues`."""
LOCALES: tuple[Locale, ...] = get_args(Locale)

LanguageLevel = Literal["A1", "A2", "B1", "B2", "C1", "C2", "native"]
LANGUAGE_LEVELS: tuple[LanguageLevel, ...] = get_args(LanguageLevel)
"""The levels of the Common European Framework of Reference, and who grew up with the language."""

AuthMethod = Literal["client_secret_basic", "private_key_jwt"]
AUTH_METHODS: tuple[AuthMethod, ...] = get_args(AuthMethod)
"""How a partner system proves itself at the token endpoint (RFC 7591)."""

ProofFault = Literal[
    "malformed", "unknown_key", "algorithm", "signature", "client", "audience", "expired", "lives_too_long",
    "not_yet_valid", "used_before", "secret", "other_method",
]  # fmt: skip
"""Why a proof of a partner system was refused; for who runs it, never in the refusal itself."""

SCOPES: Mapping[str, str] = MappingProxyType({
    "consultations:read": "read the institution's consultations, without case text",
    "consultations:write": "kept for filing requests over FHIR; opens nothing yet",
    "appointments:read": "read offers, appointments and sessions of the institution's side",
    "appointments:write": "answer offers for the institution's mentors, move and call off, log sessions",
    "availability:write": "register mentors, and keep their profiles and hours",
    "memoranda:read": "read the institution's memoranda and their logs",
    "events:read": "read the institution's events",
    "webhooks:write": "keep the institution's webhook endpoints",
    "reports:read": "read reports of the institution and its memoranda",
})  # fmt: skip
"""What a partner system's token may be good for (invariant A3)."""

ActPurpose = Literal[
    "offer.accept", "offer.accept_written", "offer.decline", "offer.counter", "counter.accept", "counter.decline",
    "move.accept", "move.decline", "feedback",
]  # fmt: skip
"""What a button of a mail does."""

ActState = Literal["ready", "taken", "done", "gone"]
ACT_STATES: tuple[ActState, ...] = get_args(ActState)
"""What such a button stands for now; gone when somebody was quicker, or it was answered otherwise."""

AddressPurpose = Literal["address.stop", "address.confirm"]
ADDRESS_PURPOSES: tuple[AddressPurpose, ...] = get_args(AddressPurpose)
"""What somebody at a person's former address may say about the new one."""

AWAY: Literal["away"] = "away"
"""What the link at the end of a mail to a mentor does: they are away from now on, for a while."""
STOP_DIGEST: Literal["digest.stop"] = "digest.stop"
"""What the link at the end of a digest does."""

OWN_ADDRESS: Literal["own_address"] = "own_address"
"""What the link in a mail to an address does that a person wants for theirs."""

LinkPurpose = Literal["sign_in", "join", "away", "digest.stop", "own_address", AddressPurpose, ActPurpose]
LINK_PURPOSES: tuple[LinkPurpose, ...] = get_args(LinkPurpose)

AddressOutcome = Literal["confirmed", "stopped", "superseded", "undone"]
ADDRESS_OUTCOMES: tuple[AddressOutcome, ...] = get_args(AddressOutcome)
"""How a change of a person's address ended; superseded by another one, or undone by giving the former one back."""

# What waits for whom

WorkKind = Literal[
    "offer", "counter", "move", "join", "advice", "log", "feedback", "unmatched", "unattended", "draft", "late_offer",
    "address",
]  # fmt: skip
WORK_KINDS: tuple[WorkKind, ...] = get_args(WorkKind)
"""What can wait for a person: see `service.worklists.waiting`."""

WorkSubject = Literal["offer", "appointment", "consultation", "session", "person"]
"""Of what kind the row is that waits."""

HappenedStep = Literal[
    "drafted", "filed", "asked", "offer_declined", "offer_countered", "offer_accepted", "offer_late", "offer_ended",
    "held", "booked", "call_cancelled", "call_missed", "met", "advice_given", "answered", "request_completed",
    "request_cancelled", "request_expired",
]  # fmt: skip
PresentStep = Literal[
    "consent_missing", "clinician_missing", "nobody_found", "counter_waits", "answer_awaited", "seeking", "move_waits",
    "held_waits", "mentor_missing", "call_on", "call_ahead", "log_waits", "advice_awaited", "follow_up",
]  # fmt: skip
ComingStep = Literal["next_wave", "alert", "answer_due", "call", "advice_due"]
TimelineStep = Literal[HappenedStep, PresentStep, ComingStep]
TIMELINE_STEPS: tuple[TimelineStep, ...] = get_args(TimelineStep)
"""What the page of a case tells in its order: what happened, what it waits for now, what comes by itself."""

Notice = Literal["digest.mail", "offer.push", "call.push", "offer.sms", "call.sms"]
NOTICES: tuple[Notice, ...] = get_args(Notice)
"""What a person may switch on: a kind and the channel by which it comes. What must be told always comes by mail."""

News = Literal["offer", "call"]
"""What is told at once beside its mail: an offer of high priority; a call that begins."""
Channel = Literal["push", "sms"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
"""By which news comes; their texts name no case, no person and no place."""

# Hours

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
"""A weekday's place is its number in rows: 0 is Monday."""

ExceptionKind = Literal["away", "extra"]
EXCEPTION_KINDS: tuple[ExceptionKind, ...] = get_args(ExceptionKind)

# The registry

INSTITUTION_KINDS = (
    "hospital",
    "university_hospital",
    "hospital_network",
    "perinatal_centre",
    "cancer_institute",
    "institute",
    "ministry",
    "development_agency",
    "ngo",
)
"""The kinds of institution that have words in files; any other code may stand there too."""

MemorandumKind = Literal["bilateral", "multilateral", "umbrella"]
MEMORANDUM_KINDS: tuple[MemorandumKind, ...] = get_args(MemorandumKind)

MemorandumStatus = Literal["draft", "signed", "active", "suspended", "expired", "terminated"]
MEMORANDUM_STATUSES: tuple[MemorandumStatus, ...] = get_args(MemorandumStatus)
ENDED_MEMORANDUM: tuple[MemorandumStatus, ...] = ("expired", "terminated")

DatePrecision = Literal["on", "by", "unknown"]
DATE_PRECISIONS: tuple[DatePrecision, ...] = get_args(DatePrecision)

BudgetPeriod = Literal["month", "quarter", "year", "total"]
BUDGET_PERIODS: tuple[BudgetPeriod, ...] = get_args(BudgetPeriod)

Side = Literal["requesting", "partner"]
SIDES: tuple[Side, ...] = get_args(Side)

Route = Literal["direct", "network", "umbrella"]
ROUTES: tuple[Route, ...] = get_args(Route)
"""How a memorandum links two institutions: as its parties, through a network, through an umbrella."""

ActivityKind = Literal[
    "traineeship", "joint_operation", "visit", "conference", "education", "research", "grant", "publication",
    "donation", "other",
]  # fmt: skip
ACTIVITY_KINDS: tuple[ActivityKind, ...] = get_args(ActivityKind)

Direction = Literal["from", "to"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
"""On which end of an activity an institution was: people came from it, or went to it."""

CountSign = Literal["=", ">", ">=", "<", "<=", "~"]
COUNT_SIGNS: tuple[CountSign, ...] = get_args(CountSign)
"""How a published number is meant."""

IdleReason = Literal[
    "not_in_force", "budget_spent", "no_mentors", "no_verified_mentors", "no_availability",
    "no_clinicians", "no_requests", "offers_unanswered", "offers_declined", "asked_elsewhere",
]  # fmt: skip
"""Why nothing happens under a memorandum, in the order in which it is to be dealt with."""

LogEntryKind = Literal["session", "advice", "activity"]
LOG_ENTRY_KINDS: tuple[LogEntryKind, ...] = get_args(LogEntryKind)

# Consultations

Priority = Literal["routine", "urgent", "asap", "stat"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""FHIR's order, lowest first: asap is above urgent."""
TOLD_AT_ONCE: tuple[Priority, ...] = ("asap", "stat")
"""Of which a mentor may have offers told by `CHANNELS`."""

SessionMode = Literal["live", "written"]
SESSION_MODES: tuple[SessionMode, ...] = get_args(SessionMode)
"""How it took place."""

OfferKind = Literal[SessionMode, "either"]
OFFER_KINDS: tuple[OfferKind, ...] = get_args(OfferKind)
"""What a mentor may accept."""

Mode = Literal[OfferKind, "board"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""What is asked for."""

ChildAgeBand = Literal["neonate", "infant", "child", "adolescent"]
CHILD_AGE_BANDS: tuple[ChildAgeBand, ...] = get_args(ChildAgeBand)

AgeBand = Literal[ChildAgeBand, "adult", "older"]
AGE_BANDS: tuple[AgeBand, ...] = get_args(AgeBand)

ConsentScope = Literal["general", "countries"]
CONSENT_SCOPES: tuple[ConsentScope, ...] = get_args(ConsentScope)

PersonalData = Literal[
    "email", "tax_number", "passport", "birth_date", "record_number", "phone", "account", "address", "name",
    "long_number",
]  # fmt: skip
PERSONAL_DATA: tuple[PersonalData, ...] = get_args(PersonalData)
"""What a case text must not hold; of two that claim the same characters the first is named."""

ConsultationState = Literal[
    "draft", "open", "offered", "scheduled", "completed", "unmatched", "cancelled", "expired"
]  # fmt: skip
CONSULTATION_STATES: tuple[ConsultationState, ...] = get_args(ConsultationState)
SEEKING: tuple[ConsultationState, ...] = ("open", "offered", "unmatched")
"""Nothing is agreed yet: mentors may be asked, it may expire."""
CLOSED: tuple[ConsultationState, ...] = ("completed", "cancelled", "expired")
NOT_CLOSED: tuple[ConsultationState, ...] = ("draft", "open", "offered", "scheduled", "unmatched")

CancelReason = Literal[
    "no_longer_needed", "resolved_locally", "transferred", "patient_withdrew", "filed_by_mistake", "other"
]
CANCEL_REASONS: tuple[CancelReason, ...] = get_args(CancelReason)

ChangeKind = Literal["language", "translation", "either", "time", "hours", "consent", "country"]
CHANGE_KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)
"""What may be changed of a request so that more mentors can answer, smallest first (`rules.matching.remedies`)."""

PromiseKind = Literal["counted", "nobody_eligible"]
"""What is told at filing of how soon such requests were answered: by counts, or that the rules leave nobody."""

# Offers

OfferMail = Literal["sent", "waiting", "failed"]
OFFER_MAILS: tuple[OfferMail, ...] = get_args(OfferMail)
"""What became of the mail that brings an offer to its mentor; one that is under way counts as sent."""

StoredOfferState = Literal["pending", "accepted", "declined", "countered", "expired", "withdrawn"]
STORED_OFFER_STATES: tuple[StoredOfferState, ...] = get_args(StoredOfferState)
OfferState = Literal[StoredOfferState, "late"]
OFFER_STATES: tuple[OfferState, ...] = get_args(OfferState)
"""Late: its time is over, others are asked, and an answer is still taken. It is stored as expired (decision 0096)."""
WAITING_OFFER: tuple[OfferState, ...] = ("pending", "countered")
"""For the mentor's answer, or for the requesting side's to a counter."""
OPEN_OFFER: tuple[OfferState, ...] = (*WAITING_OFFER, "late")
"""That can lead to an agreement yet."""
ANSWERED_OFFER: tuple[OfferState, ...] = ("accepted", "declined", "countered")
"""By the mentor."""
READING_OFFER: tuple[OfferState, ...] = (*WAITING_OFFER, "accepted")
"""With which a mentor reads the case text; with a late one at their wish."""

DeclineReason = Literal["wrong_specialty", "busy", "insufficient_info", "language", "conflict"]
DECLINE_REASONS: tuple[DeclineReason, ...] = get_args(DeclineReason)


DecisionKind = Literal["first", "wave", "hand", "nobody"]
DECISION_KINDS: tuple[DecisionKind, ...] = get_args(DecisionKind)
"""How mentors were chosen: by the first wave, a later one, a coordinator; or nobody could be asked."""

ReplayDifference = Literal["facts", "record", "order", "scores", "terms", "asked"]
"""In what a choice that is made again differs from what was recorded; the first two say that the record was changed."""

RehearsalState = Literal["waiting", "running", "done", "failed"]
REHEARSAL_STATES: tuple[RehearsalState, ...] = get_args(RehearsalState)
REHEARSAL_GOING: tuple[RehearsalState, ...] = ("waiting", "running")

RehearsalProblem = Literal["our_failure", "worker_lost", "other_rules", "not_estimated"]
REHEARSAL_PROBLEMS: tuple[RehearsalProblem, ...] = get_args(RehearsalProblem)
"""Why a rehearsal failed; the last one is that of one that is done all the same, without its estimate."""


class GateRefusal(StrEnum):
    """Why somebody may not be consulted: the gate's rules, in the order in which they are told."""

    NO_MEMORANDUM = "no_memorandum"
    AREA_NOT_COVERED = "area_not_covered"
    ACTIVITY_NOT_COVERED = "activity_not_covered"
    SPECIALTY_TOO_FAR = "specialty_too_far"
    MENTOR_UNVERIFIED = "mentor_unverified"
    MENTOR_PAUSED = "mentor_paused"
    NO_COMMON_LANGUAGE = "no_common_language"
    NO_TRANSFER_BASIS = "no_transfer_basis"
    BUDGET_SPENT = "budget_spent"
    MENTOR_FULL = "mentor_full"
    OUTSIDE_HOURS = "outside_hours"
    DEADLINE_UNREACHABLE = "deadline_unreachable"
    EXCLUDED = "excluded"
    NO_PAEDIATRICS = "no_paediatrics"


OverridableRule = Literal["budget_spent", "specialty_too_far"]
"""Of the gate, by a coordinator with a reason."""

ScoreTerm = Literal[
    "specialty", "speed", "reliability", "load", "continuity", "civil_hours", "language", "memorandum",
    "power_and_link", "tags", "diversity",
]  # fmt: skip
SCORE_TERMS: tuple[ScoreTerm, ...] = get_args(ScoreTerm)

Continuity = Literal["case", "clinician", "hospital"]
"""What a mentor has had before: this case, this clinician, this hospital."""

Power = Literal["firm_outage", "possible", "unknown", "autonomous", "no_feed"]
"""What is known of the power at a mentor's place."""

# Appointments

AppointmentStatus = Literal["pending", "booked", "fulfilled", "cancelled", "noshow"]
APPOINTMENT_STATUSES: tuple[AppointmentStatus, ...] = get_args(AppointmentStatus)
LIVE_APPOINTMENT: tuple[AppointmentStatus, ...] = ("pending", "booked")
"""Held or booked: somebody is to meet."""
STANDING_APPOINTMENT: tuple[AppointmentStatus, ...] = (*LIVE_APPOINTMENT, "fulfilled")
AGREED_APPOINTMENT: tuple[AppointmentStatus, ...] = ("booked", "fulfilled")

AppointmentCancelReason = Literal["emergency", "busy", "power", "alert", "illness", "no_longer_needed", "other"]
APPOINTMENT_CANCEL_REASONS: tuple[AppointmentCancelReason, ...] = get_args(AppointmentCancelReason)
"""What either side may say."""

ReleaseReason = Literal[
    "hold_expired", "hold_released", "memorandum_ended", "mentor_left", "clinician_left", "request_cancelled"
]  # fmt: skip
RELEASE_REASONS: tuple[ReleaseReason, ...] = get_args(ReleaseReason)
"""Why the system takes a time back."""

AbsentParty = Literal["mentor", "clinician"]
ABSENT_PARTIES: tuple[AbsentParty, ...] = get_args(AbsentParty)
"""Who can be reported not to have come."""

WarningCode = Literal["night_hours"]
"""What a time may be, and be agreed on all the same."""

ParticipantRole = Literal["clinician", "mentor", "interpreter", "observer"]
PARTICIPANT_ROLES: tuple[ParticipantRole, ...] = get_args(ParticipantRole)

ParticipantStatus = Literal["needs-action", "accepted", "declined", "tentative"]
PARTICIPANT_STATUSES: tuple[ParticipantStatus, ...] = get_args(ParticipantStatus)
"""RFC 5545's PARTSTAT, in small letters as FHIR has it."""

# Sessions

NotHeld = Literal["no_show_mentor", "no_show_clinician", "cancelled_late"]
NOT_HELD: tuple[NotHeld, ...] = get_args(NotHeld)

Interruption = Literal["interrupted_alert", "interrupted_power", "interrupted_link"]
INTERRUPTIONS: tuple[Interruption, ...] = get_args(Interruption)

PlainOutcome = Literal["advice_given", "plan_changed", "referred"]
PLAIN_OUTCOMES: tuple[PlainOutcome, ...] = get_args(PlainOutcome)
"""How a call mostly ends: nothing went wrong with it."""

SessionOutcome = Literal[
    PlainOutcome, "no_show_mentor", "no_show_clinician", Interruption, "cancelled_late",
]  # fmt: skip
SESSION_OUTCOMES: tuple[SessionOutcome, ...] = get_args(SessionOutcome)

PatientOutcome = Literal["better", "same", "worse", "died", "unknown"]
PATIENT_OUTCOMES: tuple[PatientOutcome, ...] = get_args(PatientOutcome)

CertificateRole = Literal["mentor", "clinician", "observer"]
"""As whom somebody took part: whoever is neither asked nor asking observed."""

# What leaves the building

EventType = Literal[
    "consultation.opened", "consultation.offered", "consultation.scheduled", "consultation.unmatched",
    "consultation.completed", "consultation.cancelled", "consultation.expired", "consultation.clinician_left",
    "offer.sent", "offer.accepted", "offer.declined", "offer.countered", "offer.counter_declined", "offer.late",
    "offer.expired", "offer.withdrawn", "appointment.held", "appointment.hold_expired", "appointment.booked",
    "appointment.rescheduled", "appointment.mentor_replaced", "appointment.mentor_left", "appointment.clinician_left",
    "appointment.cancelled", "appointment.fulfilled", "appointment.noshow", "advice.given", "session.logged",
    "session.corrected", "activity.logged", "memorandum.activated", "memorandum.suspended", "memorandum.expired",
    "memorandum.budget_low", "mentor.availability_changed", "policy.changed", "webhook_endpoint.disabled",
    "installation.restored",
]  # fmt: skip
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)

MENTOR_EVENT_STATES = ("verified", "unverified")
"""The `state` of a mentor in an event: whether offers can reach them."""

ProcessKind = Literal["api", "api_with_worker", "worker"]
PROCESS_KINDS: tuple[ProcessKind, ...] = get_args(ProcessKind)
WORKING_KINDS: tuple[ProcessKind, ...] = ("api_with_worker", "worker")
"""Those that deliver and keep the timers."""

DeliveryKind = Literal["mail", "webhook", Channel]
DELIVERY_KINDS: tuple[DeliveryKind, ...] = get_args(DeliveryKind)

DeliveryState = Literal["pending", "delivered", "refused", "dead", "dropped"]
DELIVERY_STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)
UNDELIVERED: tuple[DeliveryState, ...] = ("refused", "dead", "dropped")
"""Given up, one way or another."""

SmtpPhase = Literal["connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data"]
SMTP_PHASES: tuple[SmtpPhase, ...] = get_args(SmtpPhase)
"""How far a conversation with a mail server has come: connection and greeting, the commands; data is the text, too."""

BEFORE_ANY_MAIL: tuple[SmtpPhase, ...] = ("connect", "ehlo", "starttls", "auth")
"""What fails here would fail every mail."""

AttemptOutcome = Literal["delivered", "retry", "full", "ours", "cut", "away", "refused", "unsendable", "gone"]
ATTEMPT_OUTCOMES: tuple[AttemptOutcome, ...] = get_args(AttemptOutcome)
"""What an attempt to deliver ends with; each is a class of `service.kernel.outcomes`."""

MailFault = Literal["address", "mailbox", "ours", "server"]
MAIL_FAULTS: tuple[MailFault, ...] = get_args(MailFault)
"""Whose fault it is that a mail was not taken: the address's for good, the mailbox's for now, ours, the server's."""

EndpointState = Literal["active", "paused", "disabled"]
ENDPOINT_STATES: tuple[EndpointState, ...] = get_args(EndpointState)

ENDPOINT_EVENT_STATES: tuple[EndpointState, ...] = ("active", "disabled")
"""Of which an event tells: pausing is the keeper's own doing."""

HeldReason = Literal["other_system", "other_database", "other_timeline", "events_missing"]
HELD_REASONS: tuple[HeldReason, ...] = get_args(HeldReason)
"""Why a database is taken for a restored one, from which nothing leaves until an operator says so."""

WishedEndpointState = Literal["active", "paused"]
"""What whoever keeps an endpoint may set it to; disabled is what became of it."""

WhyNotActive = Literal["by_hand", "gone", "failing"]
WHY_NOT_ACTIVE: tuple[WhyNotActive, ...] = get_args(WhyNotActive)
"""Why a webhook endpoint is paused or disabled."""

SignatureScheme = Literal["v1", "v1a"]
SIGNATURE_SCHEMES: tuple[SignatureScheme, ...] = get_args(SignatureScheme)
"""Standard Webhooks: a shared secret, or Ed25519."""

# Reports and files

ReportKind = Literal["memorandum", "programme", "institution"]
REPORT_KINDS: tuple[ReportKind, ...] = get_args(ReportKind)

ReplicaFallback = Literal["late", "changed", "refused", "ended", "unreachable", "other_database"]
REPLICA_FALLBACKS: tuple[ReplicaFallback, ...] = get_args(ReplicaFallback)
"""Why the primary was read in the replica's place."""

ReportRows = Literal["consultations", "offers", "sessions", "answers", "memoranda", "activities", "mentors"]
"""Of what kind the rows behind a figure are."""

RecordKind = Literal[
    "programmes", "specialties", "institutions", "memberships", "memoranda", "people", "mentors", "sessions",
    "activities",
]  # fmt: skip
RECORD_KINDS: tuple[RecordKind, ...] = get_args(RecordKind)
"""The tables that can be taken in as files, in an order in which each finds what it refers to."""

ImportState = Literal["checking", "checked", "refused", "loading", "loaded", "failed"]
IMPORT_STATES: tuple[ImportState, ...] = get_args(ImportState)
"""How far a file is that was sent over the API."""
IMPORT_RUNNING: tuple[ImportState, ...] = ("checking", "loading")

FileForm = Literal["csv", "xlsx", "pdf"]
FILE_FORMS: tuple[FileForm, ...] = get_args(FileForm)
"""In which a report is written as a file."""

ResponseForm = Literal["json", FileForm]

# The audit

AuditAction = Literal[
    "created", "changed", "deleted", "verified", "joined", "left", "imported", "exported", "erased", "signed_in",
    "signed_out", "token_issued", "made", "rotated", "revoked", "read_case_text", "confirmed_false_alarm",
    "override_rule", "proposed", "declined", "moved", "cancelled", "missed", "disputed", "absence_withdrawn", "paused",
    "disabled", "recovered", "resent", "mail_bounced", "held", "released", "address_changed", "address_confirmed",
    "address_stopped",
]  # fmt: skip
AUDIT_ACTIONS: tuple[AuditAction, ...] = get_args(AuditAction)
ACCOUNT_CHANGES: tuple[AuditAction, ...] = ("created", "changed", "address_changed")
"""What makes a person's account, gives it roles or sends its mail elsewhere."""
