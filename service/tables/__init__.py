"""The whole schema, by area.

TEXT with a CHECK instead of enum types (they migrate without a rewrite), instants as timestamptz, no relationships:
joins are written. `version` rises with every change of a row that the outside can name; it is the ETag and the
`data.version` of its events.
"""

from sqlmodel import SQLModel

from service.tables.care import (
    Advice,
    Appointment,
    Consultation,
    ConsultationWindow,
    Offer,
    Participant,
    Seat,
)
from service.tables.delivery import (
    Audit,
    Delivery,
    DeliveryAttempt,
    Event,
    IdempotencyKey,
    RateLimit,
    WebhookEndpoint,
    WebhookSecret,
)
from service.tables.log import (
    Activity,
    ActivityInstitution,
    ActivitySpecialty,
    Feedback,
    LogEntry,
    LogHead,
    Milestone,
    ReportMark,
    ReportPiece,
    Session,
    Statistic,
)
from service.tables.people import (
    AvailabilityException,
    Client,
    ClientSecret,
    Link,
    MentorProfile,
    MentorSpecialty,
    Person,
    PersonLanguage,
    RefreshToken,
    RevokedToken,
    RoleGrant,
    SigningKey,
    UsedAssertion,
    WeeklyHours,
)
from service.tables.registry import (
    Institution,
    Membership,
    Memorandum,
    MemorandumArea,
    MemorandumParty,
    MemorandumTransition,
    Programme,
    Specialty,
    SpecialtyParent,
)

metadata = SQLModel.metadata

__all__ = [
    "Activity",
    "ActivityInstitution",
    "ActivitySpecialty",
    "Advice",
    "Appointment",
    "Audit",
    "AvailabilityException",
    "Client",
    "ClientSecret",
    "Consultation",
    "ConsultationWindow",
    "Delivery",
    "DeliveryAttempt",
    "Event",
    "Feedback",
    "IdempotencyKey",
    "Institution",
    "Link",
    "LogEntry",
    "LogHead",
    "Membership",
    "Memorandum",
    "MemorandumArea",
    "MemorandumParty",
    "MemorandumTransition",
    "MentorProfile",
    "MentorSpecialty",
    "Milestone",
    "Offer",
    "Participant",
    "Person",
    "PersonLanguage",
    "Programme",
    "RateLimit",
    "RefreshToken",
    "ReportMark",
    "ReportPiece",
    "RevokedToken",
    "RoleGrant",
    "Seat",
    "Session",
    "SigningKey",
    "Specialty",
    "SpecialtyParent",
    "Statistic",
    "UsedAssertion",
    "WebhookEndpoint",
    "WebhookSecret",
    "WeeklyHours",
    "metadata",
]
