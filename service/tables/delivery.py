"""What leaves the building, and what is remembered of every act."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlmodel import AutoString, Field, SQLModel

from service import vocabulary
from service.tables.columns import Versioned, check, ids, index, json_object, one_of, texts


class Event(SQLModel, table=True):
    """One change of one subject; `position` is given after the commit, in an order without gaps.

    `body` is what every receiver gets, byte for byte: by webhook, and by asking for events.
    """

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
    body: str

    __table_args__ = (
        index("ix_event_unplaced", "id", where="position IS NULL"),
        index("ix_event_programme_id_position", "programme_id", "position"),
        index("ix_event_memorandum_id_position", "memorandum_id", "position"),
        index("ix_event_person_ids", "person_ids", using="gin"),
        index("ix_event_institution_ids", "institution_ids", using="gin"),
        index(
            "ix_event_subject_version",
            "subject_id",
            "subject_version",
            "type",
            unique=True,
        ),
    )


class WebhookEndpoint(Versioned, table=True):
    """A partner's address that events are sent to: all that it may see, or the `types` and `memoranda` named."""

    __tablename__ = "webhook_endpoint"
    id: UUID = Field(primary_key=True)
    institution_id: UUID = Field(foreign_key="institution.id", index=True)
    url: str
    types: list[str] = texts()
    memoranda: list[UUID] = ids()
    signature: str = "v1"
    state: str = "active"
    why: str | None = None  # why it is not active
    created_by: UUID | None = Field(default=None, foreign_key="person.id")
    deleted_at: datetime | None = None
    failing_since: datetime | None = None  # the first failure after the last success
    warned_percent: int = 0  # of the time after which it is disabled: when the coordinators were last warned
    counted_from: datetime | None = None  # the circuit breaker's window: attempts and failures since then
    counted: int = 0
    counted_failed: int = 0
    broken_until: datetime | None = None  # the breaker is open: nothing is tried before

    __table_args__ = (
        one_of("signature", *vocabulary.SIGNATURE_SCHEMES),
        one_of("state", *vocabulary.ENDPOINT_STATES),
        one_of("why", *vocabulary.WHY_NOT_ACTIVE),
        check("why_not_active", "(state = 'active') = (why IS NULL)"),
    )


class WebhookSecret(SQLModel, table=True):
    """A secret that signs an endpoint's deliveries; one that was replaced signs too, until it expires."""

    __tablename__ = "webhook_secret"
    id: UUID = Field(primary_key=True)
    endpoint_id: UUID = Field(foreign_key="webhook_endpoint.id", index=True)
    sealed: bytes = Field(sa_type=BYTEA)  # the key in base64, sealed under this row's id
    public_key: str | None = None
    created_at: datetime
    expires_at: datetime | None = None

    __table_args__ = (
        index("uq_webhook_secret_current", "endpoint_id", unique=True, where="expires_at IS NULL"),
    )  # fmt: skip


class Delivery(SQLModel, table=True):
    """One mail, webhook, push or text message to one receiver: the truth of its sending.

    A `payload` is plain values, never case text; a webhook's `body` is the very text that is signed and sent.
    """

    id: UUID = Field(primary_key=True)
    kind: vocabulary.DeliveryKind = Field(sa_type=AutoString)
    event_id: UUID | None = Field(default=None, foreign_key="event.id", index=True)
    endpoint_id: UUID | None = Field(default=None, foreign_key="webhook_endpoint.id")
    person_id: UUID | None = Field(default=None, foreign_key="person.id", index=True)
    appointment_id: UUID | None = Field(default=None, foreign_key="appointment.id", index=True)
    offer_id: UUID | None = None  # the offer that this mail brings to its mentor
    subscription_id: UUID | None = None  # the device that a push is for; it may be gone since
    about: str | None = None  # what news tells of: each receiver is told once
    sequence: int | None = None  # the appointment's when it was recorded: a newer one makes the mail obsolete
    payload: dict[str, Any] = json_object()
    sealed_address: bytes | None = Field(default=None, sa_type=BYTEA)  # where it goes, if not to the person's own
    body: str | None = None
    state: str = "pending"
    attempt: int = 0
    attempts_before: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})  # it was last sent again
    next_attempt_at: datetime | None = None
    leased_until: datetime | None = None  # by the database's clock: until then it is a worker's
    useless_after: datetime | None = None
    held_at: datetime | None = None  # an operator holds this mail back since then
    created_at: datetime
    settled_at: datetime | None = None
    error: str | None = None
    request_id: str | None = None  # of the request that brought it about; none where a timer did
    traceparent: str | None = None  # that the request came with (W3C Trace Context)

    __table_args__ = (
        one_of("kind", *vocabulary.DELIVERY_KINDS),
        one_of("state", *vocabulary.DELIVERY_STATES),
        check("due_while_pending", "(state = 'pending') = (next_attempt_at IS NOT NULL)"),
        check("webhook_whole", "(kind = 'webhook') = (endpoint_id IS NOT NULL AND body IS NOT NULL)"),
        index("ix_delivery_next_attempt_at", "next_attempt_at", where="state = 'pending' AND kind = 'mail'"),
        index(
            "ix_delivery_endpoint_next_attempt_at", "endpoint_id", "next_attempt_at",
            where="state = 'pending' AND kind = 'webhook'",
        ),
        index(
            "ix_delivery_news_next_attempt_at", "next_attempt_at",
            where="state = 'pending' AND kind IN ('push', 'sms')",
        ),
        index("ix_delivery_news_settled_at", "settled_at", where="kind IN ('push', 'sms')"),
        index(
            "uq_delivery_about", "coalesce(subscription_id, person_id)", "about",
            unique=True, where="about IS NOT NULL",
        ),
        # For the figures, which are asked for every few seconds and must not read what is settled.
        index("ix_delivery_pending", "kind", "created_at", where="state = 'pending'"),
        index("ix_delivery_failed", "kind", "state", "settled_at", where="state = 'dead' OR state = 'refused'"),
        index("ix_delivery_offer_id", "offer_id", where="offer_id IS NOT NULL"),
        index("ix_delivery_endpoint_id", "endpoint_id", "id", where="kind = 'webhook'"),
        index("ix_delivery_settled_at", "settled_at", where="kind = 'webhook'"),
        index("uq_delivery_endpoint_event", "endpoint_id", "event_id", unique=True, where="kind = 'webhook'"),
    )  # fmt: skip


class PushKey(SQLModel, table=True):
    """The key by which this installation signs what it pushes (VAPID, RFC 8292): one for good, as browsers keep it."""

    __tablename__ = "push_key"
    id: UUID = Field(primary_key=True)
    sealed: bytes = Field(sa_type=BYTEA)  # the private key (PKCS 8 as PEM), sealed under this row's id
    public_key: str  # the point of P-256, uncompressed, in base64url
    created_at: datetime

    __table_args__ = (index("uq_push_key_only", "(true)", unique=True),)


class PushSubscription(SQLModel, table=True):
    """A device that a person has news pushed to. It ends with the sign-in that it was made in, or with their roles.

    `sealed` is a JSON object: the `endpoint` (an address that is a secret), `p256dh` and `auth` as the browser gave
    them. Whoever subscribes the same endpoint takes it over: it is the same browser.
    """

    __tablename__ = "push_subscription"
    id: UUID = Field(primary_key=True)
    person_id: UUID = Field(foreign_key="person.id", index=True)
    family_id: UUID | None = Field(
        default=None, index=True
    )  # of the sign-in; none of a token that no sign-in is behind
    endpoint_digest: bytes = Field(sa_type=BYTEA, unique=True)
    sealed: bytes = Field(sa_type=BYTEA)
    device: str | None = None  # which browser on which system, as it says of itself
    created_at: datetime


class DeliveryAttempt(SQLModel, table=True):
    """One try at a delivery; `status` and the first of the `response` are the receiver's, where there was one."""

    __tablename__ = "delivery_attempt"
    delivery_id: UUID = Field(primary_key=True, foreign_key="delivery.id")
    attempt: int = Field(primary_key=True)
    at: datetime
    duration_ms: int
    outcome: str
    error: str | None = None
    status: int | None = None
    response: str | None = None
    next_attempt_at: datetime | None = None


class AttemptCount(SQLModel, table=True):
    """How many attempts ended with an outcome, ever: the sum over shards, which keep workers from waiting in line."""

    __tablename__ = "attempt_count"
    kind: vocabulary.DeliveryKind = Field(primary_key=True, sa_type=AutoString)
    outcome: vocabulary.AttemptOutcome = Field(primary_key=True, sa_type=AutoString)
    shard: int = Field(primary_key=True)
    attempts: int = Field(sa_type=BigInteger)

    __table_args__ = (
        one_of("kind", *vocabulary.DELIVERY_KINDS),
        one_of("outcome", *vocabulary.ATTEMPT_OUTCOMES),
    )


class MailServer(SQLModel, table=True):
    """How the one mail server stands, as all workers see it: one row at most (decision 0035)."""

    __tablename__ = "mail_server"
    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    cuts: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})  # mails in a row that were cut off
    last_cut_id: UUID | None = None  # the last of these mails
    failing_since: datetime | None = None  # the first of these attempts
    away_since: datetime | None = None
    phase: str | None = None
    status: int | None = None
    error: str | None = None
    probe_at: datetime | None = None
    probe_leased_until: datetime | None = None  # by the database's clock
    held_at: datetime | None = None  # an operator holds all mail back since then

    __table_args__ = (
        check("only_one", "id = 1"),
        one_of("phase", *vocabulary.SMTP_PHASES),
        check("probed_while_away", "(away_since IS NULL) = (probe_at IS NULL)"),
    )


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
        {"postgresql_partition_by": "RANGE (id)"},  # by month (`partitions`)
    )


class IdempotencyKey(SQLModel, table=True):
    """The stored answer to a POST; the body is sealed."""

    __tablename__ = "idempotency_key"
    id: UUID = Field(primary_key=True)
    caller: str
    path_hash: bytes = Field(sa_type=BYTEA)  # callers write paths of any length, an index holds short ones
    key: str
    request_hash: bytes = Field(sa_type=BYTEA)
    status: int | None = None
    headers: dict[str, str] = Field(default_factory=dict, sa_type=JSONB)
    body: bytes | None = Field(default=None, sa_type=BYTEA)
    created_at: datetime

    __table_args__ = (
        index("uq_idempotency_key", "caller", "path_hash", "key", unique=True),
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
