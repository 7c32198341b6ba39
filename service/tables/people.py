"""People, their roles, their hours, and what proves who they are."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlmodel import AutoString, Field, SQLModel

from service import vocabulary
from service.tables.columns import Versioned, check, index, one_of, texts, wall_time


class Person(Versioned, table=True):
    """Somebody who signs in; occupied for `buffer_minutes` after each of their appointments.

    A row of kind `system` stands for a client where a person is named. It is never mailed and never signs in by a link.
    A person whom a system registered is not vouched for, and cannot sign in, until a person verifies or grants them.
    """

    id: UUID = Field(primary_key=True)
    kind: str = Field(default="person", sa_column_kwargs={"server_default": text("'person'")})
    email: str
    display_name: str
    locale: str
    zone: str
    state: str = "active"
    is_vouched_for: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})
    buffer_minutes: int = Field(default=10, sa_column_kwargs={"server_default": text("10")})
    mail_refused_at: datetime | None = None  # since then this address takes no mail, and its coordinators know
    # How many addresses they have had before this one, and since when it waits for somebody to confirm it.
    address_number: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    address_unconfirmed_since: datetime | None = None
    notices: list[str] = texts()  # of `vocabulary.NOTICES`, those that they have switched on
    phone: str | None = None  # as ITU E.164 has it; only whoever they meet sees it, and only if they show it
    shows_phone: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})

    __table_args__ = (
        one_of("locale", *vocabulary.LOCALES),
        one_of("kind", *vocabulary.PERSON_KINDS),
        one_of("state", *vocabulary.PERSON_STATES),
        check("buffer_bounded", "buffer_minutes BETWEEN 0 AND 120"),
        check("notices_known", "notices <@ ARRAY[" + ", ".join(f"'{code}'" for code in vocabulary.NOTICES) + "]"),
        check("phone_written", "phone ~ '^[+][1-9][0-9]{6,14}$'"),
        check("phone_shown", "NOT shows_phone OR phone IS NOT NULL"),
        index("uq_person_email", "lower(email)", unique=True),
    )


class Digest(SQLModel, table=True):
    """When a person who has switched it on is mailed next what waits for them: at this hour of their own clock.

    Not on the person's own row, whose every change is one of what ranks mentors.
    """

    person_id: UUID = Field(primary_key=True, foreign_key="person.id")
    hour: int
    next_at: datetime = Field(index=True)

    __table_args__ = (check("hour_of_day", "hour BETWEEN 0 AND 23"),)


class AddressChange(SQLModel, table=True):
    """An address that somebody else gave a person: sealed, from which to which, and how it ended.

    `number` is that of the address that was left. `trusted` is the last one that was confirmed: whoever reads its mail
    may stop the change. At most one change of a person is open, and meanwhile they read no case text.
    """

    __tablename__ = "address_change"
    id: UUID = Field(primary_key=True)
    person_id: UUID = Field(foreign_key="person.id")
    number: int
    before: bytes = Field(sa_type=BYTEA)
    after: bytes = Field(sa_type=BYTEA)
    trusted: bytes = Field(sa_type=BYTEA)
    changed_by: UUID | None = Field(default=None, foreign_key="person.id", index=True)
    created_at: datetime
    outcome: str | None = None
    settled_at: datetime | None = None
    settled_by: UUID | None = Field(default=None, foreign_key="person.id", index=True)

    __table_args__ = (
        one_of("outcome", *vocabulary.ADDRESS_OUTCOMES),
        check("settled_with_outcome", "(outcome IS NULL) = (settled_at IS NULL)"),
        index("uq_address_change_number", "person_id", "number", unique=True),
        index("uq_address_change_open", "person_id", unique=True, where="outcome IS NULL"),
    )


class AddressWish(SQLModel, table=True):
    """An address that a person wants for theirs, sealed: it is, once whoever reads its mail has pressed the button.

    `number` is their `address_number` then: once they have another address, it is wished no more.
    """

    __tablename__ = "address_wish"
    id: UUID = Field(primary_key=True)
    person_id: UUID = Field(foreign_key="person.id", unique=True)
    address: bytes = Field(sa_type=BYTEA)
    number: int
    expires_at: datetime


class RoleGrant(SQLModel, table=True):
    """One role of one person, at an institution or for a programme."""

    __tablename__ = "role_grant"
    id: UUID = Field(primary_key=True)
    person_id: UUID = Field(foreign_key="person.id")
    role: vocabulary.Role = Field(sa_type=AutoString)
    institution_id: UUID | None = Field(default=None, foreign_key="institution.id")
    programme_id: UUID | None = Field(default=None, foreign_key="programme.id")
    department: str | None = None  # a request belongs to the department: its clinicians can take it over
    created_at: datetime

    __table_args__ = (
        one_of("role", *vocabulary.ROLES),
        check("one_place", "num_nonnulls(institution_id, programme_id) = 1"),
        check(
            "admin_of_programme",
            "(role = 'programme_admin') = (programme_id IS NOT NULL)",
        ),
        index(
            "uq_role_grant",
            "person_id",
            "role",
            "coalesce(institution_id, programme_id)",
            unique=True,
        ),
        index("ix_role_grant_institution_id_role", "institution_id", "role", "person_id"),
        index("ix_role_grant_role", "role", "person_id"),
    )


class PersonLanguage(SQLModel, table=True):
    """A language a person speaks, with its CEFR level."""

    __tablename__ = "person_language"
    person_id: UUID = Field(primary_key=True, foreign_key="person.id")
    code: str = Field(primary_key=True)
    level: vocabulary.LanguageLevel = Field(sa_type=AutoString)

    __table_args__ = (one_of("level", *vocabulary.LANGUAGE_LEVELS),)


class MentorProfile(Versioned, table=True):
    """What a mentor offers; no offer reaches them unless `verified_until` lies ahead."""

    __tablename__ = "mentor_profile"
    person_id: UUID = Field(primary_key=True, foreign_key="person.id")
    institution_id: UUID = Field(foreign_key="institution.id", index=True)
    verified_until: datetime | None = None
    verified_by: UUID | None = Field(default=None, foreign_key="person.id")
    sessions_per_week: int = Field(default=3, sa_column_kwargs={"server_default": text("3")})
    offers_per_week: int = Field(default=5, sa_column_kwargs={"server_default": text("5")})
    notice_minutes: int = Field(default=720, sa_column_kwargs={"server_default": text("720")})
    treats_children: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    opt_ins: list[str] = texts()
    tags: list[str] = texts()
    quiet_from_minute: int = Field(default=1320, sa_column_kwargs={"server_default": text("1320")})
    quiet_until_minute: int = Field(default=420, sa_column_kwargs={"server_default": text("420")})
    availability_zone: str

    __table_args__ = (
        check(
            "caps_bounded",
            "sessions_per_week BETWEEN 0 AND 100 AND offers_per_week BETWEEN 0 AND 100",
        ),
        check("notice_bounded", "notice_minutes BETWEEN 0 AND 20160"),
        check(
            "quiet_bounded",
            "quiet_from_minute BETWEEN 0 AND 1440 AND quiet_until_minute BETWEEN 0 AND 1440",
        ),
        index("ix_mentor_profile_institution_id_person_id", "institution_id", "person_id"),
    )


class MentorSpecialty(SQLModel, table=True):
    """A specialty a mentor takes consultations in."""

    __tablename__ = "mentor_specialty"
    person_id: UUID = Field(primary_key=True, foreign_key="mentor_profile.person_id")
    specialty_code: str = Field(primary_key=True, foreign_key="specialty.code")

    __table_args__ = (index("ix_mentor_specialty_specialty_code", "specialty_code", "person_id"),)


class WeeklyHours(SQLModel, table=True):
    """Hours of a weekday (0 is Monday) by the wall clock of the mentor's availability zone, half-open."""

    __tablename__ = "weekly_hours"
    id: UUID = Field(primary_key=True)
    person_id: UUID = Field(foreign_key="mentor_profile.person_id", index=True)
    weekday: int
    from_minute: int
    until_minute: int

    __table_args__ = (
        check("weekday_known", "weekday BETWEEN 0 AND 6"),
        check(
            "minutes_in_order",
            "0 <= from_minute AND from_minute < until_minute AND until_minute <= 1440",
        ),
    )


class AvailabilityException(SQLModel, table=True):
    """Away, or available beyond the weekly hours, by the wall clock of the mentor's availability zone."""

    __tablename__ = "availability_exception"
    id: UUID = Field(primary_key=True)
    person_id: UUID = Field(foreign_key="mentor_profile.person_id", index=True)
    from_wall: datetime = wall_time()
    until_wall: datetime = wall_time()
    kind: str

    __table_args__ = (
        one_of("kind", *vocabulary.EXCEPTION_KINDS),
        check("walls_in_order", "from_wall < until_wall"),
    )


class RankingMark(SQLModel, table=True):
    """A change of something that a ranking reads of a mentor, of their institution or of the registry (the nil UUID).

    Written by triggers, for people who are no mentors as well. The exclusive or of the values of a subject's marks says
    which of its changes a reader sees.
    """

    __tablename__ = "ranking_mark"
    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger)
    subject_id: UUID
    value: int | None = Field(
        default=None,
        nullable=False,
        sa_type=BigInteger,
        sa_column_kwargs={"server_default": text("uuid_hash_extended(gen_random_uuid(), 0)")},
    )

    __table_args__ = (index("ix_ranking_mark_subject_id_value", "subject_id", "value"),)


class SigningKey(SQLModel, table=True):
    """A key that signs access tokens (ES256); the private part is sealed under the secret keys."""

    __tablename__ = "signing_key"
    id: UUID = Field(primary_key=True)
    private_pem: bytes = Field(sa_type=BYTEA)
    public_jwk: dict[str, Any] = Field(sa_type=JSONB)
    created_at: datetime
    retired_at: datetime | None = None


class Link(SQLModel, table=True):
    """What a link in a mail allows one person to do once; its token is derived from the id, never stored."""

    id: UUID = Field(primary_key=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    purpose: vocabulary.LinkPurpose = Field(sa_type=AutoString)
    subject_id: UUID | None = None
    starts_at: datetime | None = None
    expires_at: datetime
    used_at: datetime | None = None
    created_at: datetime

    __table_args__ = (
        index("ix_link_expires_at", "expires_at"),
        index("ix_link_follow_up", "person_id", "expires_at", where="purpose = 'feedback' AND used_at IS NULL"),
    )


class RefreshToken(SQLModel, table=True):
    """One refresh token of a family; using a used one revokes them all. Or a browser's visit, if it has `seen_at`."""

    __tablename__ = "refresh_token"
    id: UUID = Field(primary_key=True)
    family_id: UUID = Field(index=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    seen_at: datetime | None = None  # when the visit was last made use of, to within minutes
    device: str | None = None  # which browser on which system, as it says of itself
    is_own_device: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class KeptPost(SQLModel, table=True):
    """A form that was sent after its visit had ended, sealed; whoever it is of goes on with it after the next sign-in.

    `form_key` is the idempotency key of the form, if it has one. After `until` the body is taken out. One of several
    steps that is not sent yet is `is_unfinished`: its key is its id, and each step takes the place of the one before.
    """

    __tablename__ = "kept_post"
    id: UUID = Field(primary_key=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    path: str
    body: bytes | None = Field(default=None, sa_type=BYTEA)
    form_key: UUID | None = None
    created_at: datetime
    until: datetime
    is_unfinished: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})

    __table_args__ = (index("ix_kept_post_until", "until"),)


class RevokedToken(SQLModel, table=True):
    """An access token that was revoked before it expired."""

    __tablename__ = "revoked_token"
    jti: UUID = Field(primary_key=True)
    expires_at: datetime


class Client(Versioned, table=True):
    """A partner system of one institution: an OAuth client. Its id is also that of its own person (kind `system`).

    `jwks_asked_at` and `jwks_fetched_at` are instants of the system's clock, because a fetch concerns others.
    """

    id: UUID = Field(primary_key=True, foreign_key="person.id")
    institution_id: UUID = Field(foreign_key="institution.id", index=True)
    name: str
    scopes: list[str] = texts()
    token_endpoint_auth_method: str
    jwks: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    jwks_uri: str | None = None
    jwks_fetched: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    jwks_asked_at: datetime | None = None
    jwks_fetched_at: datetime | None = None
    created_by: UUID | None = Field(default=None, foreign_key="person.id")
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    refused_at: datetime | None = None  # when a proof in its name was last refused, and why
    refused_for: str | None = None

    __table_args__ = (
        one_of("token_endpoint_auth_method", *vocabulary.AUTH_METHODS),
        check("scopes_known", "scopes <@ ARRAY[" + ", ".join(f"'{scope}'" for scope in vocabulary.SCOPES) + "]"),
        check(
            "keys_for_assertions",
            "num_nonnulls(jwks, jwks_uri) = CASE token_endpoint_auth_method WHEN 'private_key_jwt' THEN 1 ELSE 0 END",
        ),
    )


class ClientSecret(SQLModel, table=True):
    """A secret of a client, as its digest; while one is rotated, the old one lives on until `expires_at`."""

    __tablename__ = "client_secret"
    id: UUID = Field(primary_key=True)
    client_id: UUID = Field(foreign_key="client.id", index=True)
    digest: bytes = Field(sa_type=BYTEA)
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class UsedAssertion(SQLModel, table=True):
    """The `jti` of an assertion that a client has used, as its digest; `expires_at` is of the system's clock."""

    __tablename__ = "used_assertion"
    client_id: UUID = Field(primary_key=True, foreign_key="client.id")
    digest: bytes = Field(primary_key=True, sa_type=BYTEA)
    expires_at: datetime = Field(index=True)
