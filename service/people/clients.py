"""Partner systems as OAuth clients of one institution: people register them, a secret or a key proves them.

Behind each client stands a person of its own kind, who holds the role `partner_system` and is named in the audit. No
row holds a secret. `integrations.identity.client_credentials` reads what a token request proves; the rows here decide
whether that counts.
"""

import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import access, actor, audit, clock, errors, paging
from service.kernel.work import Work
from service.outbox import subscriptions
from service.rules.sentences import Sentence

SECRET, PRIVATE_KEY = vocabulary.AUTH_METHODS
OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=7)
ASK_AGAIN = timedelta(minutes=1)
"""A key set is fetched at most this often, however many unknown keys are named."""
_SECRET_BYTES = 32
_MAILBOX = "{}@systems.invalid"  # RFC 2606: no mail can ever reach it
_KEYS = {"jwks", "jwks_uri"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What is registered. With PRIVATE_KEY exactly one of `jwks` (checked by the caller) and `jwks_uri` is given."""

    institution_id: UUID
    name: str
    scopes: tuple[str, ...]
    method: str
    jwks: Mapping[str, Any] | None = None
    jwks_uri: str | None = None


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client with its secrets that are still valid, newest first."""

    row: tables.Client
    secrets: tuple[tables.ClientSecret, ...]


async def register(w: Work, registration: Registration) -> tuple[ClientView, str | None]:
    """Register a system of the institution, which can ask for tokens; gives its secret, shown this once, if it has one.

    By the institution's coordinator or an admin; raises Forbidden, Invalid.
    """
    if not (w.actor.is_timer or w.actor.programmes("programme_admin")):
        access.requires_at(w, registration.institution_id, "coordinator")
    institution = await w.find(tables.Institution, registration.institution_id)
    if institution is None:
        raise errors.Invalid("/institution_id", "no such institution")
    _check_keys(registration.method, registration.jwks, registration.jwks_uri)
    _check_scopes(registration.scopes)
    row_id = clock.new_id()
    row = tables.Client(
        id=row_id,
        created_at=w.now,
        institution_id=institution.id,
        name=registration.name,
        scopes=sorted(set(registration.scopes)),
        token_endpoint_auth_method=registration.method,
        jwks=dict(registration.jwks) if registration.jwks else None,
        jwks_uri=registration.jwks_uri,
        created_by=w.actor.person_id,
    )
    w.add(
        tables.Person(
            id=row_id,
            kind="system",
            email=_MAILBOX.format(row_id),
            display_name=registration.name,
            locale="en",
            zone=institution.zone or "UTC",
            created_at=w.now,
        ),
        tables.RoleGrant(
            id=clock.new_id(),
            person_id=row_id,
            role="partner_system",
            institution_id=institution.id,
            created_at=w.now,
        ),
        row,
    )
    await w.flush()
    secret = _new_secret(w, row) if registration.method == SECRET else None
    audit.record(w, "created", "client", row.id, scopes=row.scopes, method=row.token_endpoint_auth_method)
    return (await views(w, [row]))[0], secret


async def page(w: Work, *, after: UUID | None, limit: int, institution_id: UUID | None = None) -> list[ClientView]:
    """Give the clients that the actor sees, revoked ones too, oldest first; one more than `limit` if others follow."""
    filters = [] if institution_id is None else [col(tables.Client.institution_id) == institution_id]
    return await views(w, await paging.rows(w, tables.Client, *filters, after=after, limit=limit))


async def views(w: Work, rows: Collection[tables.Client]) -> list[ClientView]:
    """Give the clients with their secrets."""
    kind = tables.ClientSecret
    secrets: dict[UUID, list[tables.ClientSecret]] = {row.id: [] for row in rows}
    statement = sa.select(kind).where(col(kind.client_id).in_(secrets), _counts(w)).order_by(col(kind.id).desc())
    for secret in (await w.sql(statement)).scalars():
        secrets[secret.client_id].append(secret)
    return [ClientView(row, tuple(secrets[row.id])) for row in rows]


async def change(w: Work, row: tables.Client, changes: Mapping[str, Any]) -> ClientView:
    """Change name, scopes or keys of a client that the actor sees; its tokens lose a removed scope at once.

    New keys, as `jwks` or `jwks_uri`, replace the old ones.
    """
    _must_be_in_use(row)
    if "scopes" in changes:
        _check_scopes(changes["scopes"])
        row.scopes = sorted(set(changes["scopes"]))
    if _KEYS & changes.keys():
        jwks, jwks_uri = changes.get("jwks"), changes.get("jwks_uri")
        _check_keys(row.token_endpoint_auth_method, jwks, jwks_uri)
        row.jwks, row.jwks_uri = jwks, jwks_uri
        row.jwks_fetched = row.jwks_fetched_at = row.jwks_asked_at = None
    if "name" in changes:
        row.name = changes["name"]
        (await w.read(tables.Person, row.id)).display_name = row.name
    w.touch(row)
    audit.record(w, "changed", "client", row.id, fields=sorted(changes))
    return (await views(w, [row]))[0]


async def rotate(w: Work, row: tables.Client, overlap: timedelta) -> tuple[ClientView, str]:
    """Give the client a new secret; the secrets that were valid until now stay valid for the overlap and no longer.

    Raises Conflict when more than ten old ones would stay valid, and for a client without secrets.
    """
    _must_be_in_use(row)
    if row.token_endpoint_auth_method != SECRET:
        raise errors.Conflict("This client proves itself by a key and has no secret.")
    kind, until = tables.ClientSecret, w.now + overlap
    ending = sa.func.least(sa.func.coalesce(col(kind.expires_at), until), until)
    of_client = col(kind.client_id) == row.id
    await w.sql(sa.update(kind).where(of_client).values(expires_at=ending))
    old_count = (await w.sql(sa.select(sa.func.count()).where(of_client, _counts(w)))).scalar_one()
    if old_count > subscriptions.MOST_OLD_SECRETS:
        msg = Sentence(subscriptions.MANY_SECRETS, count=subscriptions.MOST_OLD_SECRETS)
        raise errors.Conflict(msg)
    secret = _new_secret(w, row)
    w.touch(row)
    audit.record(w, "rotated", "client", row.id, overlap_hours=int(overlap / timedelta(hours=1)))
    await w.flush()
    return (await views(w, [row]))[0], secret


async def revoke(w: Work, row: tables.Client) -> None:
    """The client and all its tokens are invalid from the next request on, for ever. A second call changes nothing.

    The endpoints that it registered are paused: a person decides which of them become active again.
    """
    if row.revoked_at is not None:
        return
    row.revoked_at = w.now
    (await w.read(tables.Person, row.id)).state = "disabled"
    unexpired = sa.update(tables.ClientSecret).where(col(tables.ClientSecret.client_id) == row.id, _counts(w))
    await w.sql(unexpired.values(expires_at=w.now))
    await subscriptions.pause_those_of(w, row.id)
    w.touch(row)
    audit.record(w, "revoked", "client", row.id)


async def find(w: Work, client_id: UUID) -> tables.Client | None:
    """Give the client, if it is in use."""
    kind = tables.Client
    client: tables.Client | None = (
        await w.sql(sa.select(kind).where(col(kind.id) == client_id, col(kind.revoked_at).is_(None)))
    ).scalar_one_or_none()
    return client


async def is_secret(w: Work, row: tables.Client, secret: str) -> bool:
    """Tell whether the secret is the client's and valid; if so, its row records this use."""
    kind = tables.ClientSecret
    conditions = (col(kind.client_id) == row.id, col(kind.digest) == _digest(secret), _counts(w))
    matching = await w.sql(sa.update(kind).where(*conditions).values(last_used_at=w.now).returning(col(kind.id)))
    return matching.first() is not None and row.token_endpoint_auth_method == SECRET


async def keep_refusal(w: Work, client_id: UUID | None, fault: vocabulary.ProofFault) -> None:
    """Record that a proof in the client's name was refused, for who runs it: the last one, whoever sent it."""
    kind = tables.Client
    await w.sql(sa.update(kind).where(col(kind.id) == client_id).values(refused_at=w.now, refused_for=fault))


async def use_up(w: Work, row: tables.Client, assertion_id: str, expires_at: datetime) -> bool:
    """Tell whether the assertion is used for the first time, and store it; of many at once one is the first."""
    values = {"client_id": row.id, "digest": _digest(assertion_id), "expires_at": expires_at}
    statement = postgresql.insert(tables.UsedAssertion).values(values).on_conflict_do_nothing()
    return (await w.sql(statement.returning(col(tables.UsedAssertion.client_id)))).first() is not None


async def may_ask_for_keys(w: Work, client_id: UUID, at: datetime) -> bool:
    """Tell whether the client's key set may be fetched now, and if so record that; `at` is of the system's clock."""
    kind = tables.Client
    statement = (
        sa.update(kind)
        .where(col(kind.id) == client_id, col(kind.jwks_uri).is_not(None))
        .where(sa.or_(col(kind.jwks_asked_at).is_(None), col(kind.jwks_asked_at) <= at - ASK_AGAIN))
        .values(jwks_asked_at=at)
    )
    return (await w.sql(statement.returning(col(kind.id)))).first() is not None


async def keep_keys(w: Work, client_id: UUID, jwks_uri: str, keys: Mapping[str, Any], at: datetime) -> None:
    """Store the fetched keys of the client, unless its `jwks_uri` was changed meanwhile."""
    kind = tables.Client
    conditions = (col(kind.id) == client_id, col(kind.jwks_uri) == jwks_uri)
    await w.sql(sa.update(kind).where(*conditions).values(jwks_fetched=dict(keys), jwks_fetched_at=at))


async def let_in(w: Work, row: tables.Client, scopes: Sequence[str]) -> None:
    """Make the client, which has proved itself, the actor of this unit of work; audits that it got a token."""
    w.actor = actor.Actor("system", row.id, scopes=frozenset(scopes))
    row.last_used_at = w.now
    audit.record(w, "token_issued", "client", row.id, scopes=list(scopes))
    await w.flush()


def _new_secret(w: Work, row: tables.Client) -> str:
    secret = base64.urlsafe_b64encode(clock.random_bytes(_SECRET_BYTES)).decode().rstrip("=")
    w.add(tables.ClientSecret(id=clock.new_id(), client_id=row.id, digest=_digest(secret), created_at=w.now))
    return secret


def _digest(text: str) -> bytes:
    """Give the digest of a text that nobody can guess: 32 random bytes need no slow hash."""
    return hashlib.sha256(text.encode()).digest()


def _counts(w: Work) -> sa.ColumnElement[bool]:
    expires_at = col(tables.ClientSecret.expires_at)
    return sa.or_(expires_at.is_(None), expires_at > w.now)


def _must_be_in_use(row: tables.Client) -> None:
    if row.revoked_at is not None:
        raise errors.Conflict("This client was revoked: register another.")


def _check_scopes(scopes: Sequence[str]) -> None:
    if not scopes or not set(scopes) <= vocabulary.SCOPES.keys():
        raise errors.Invalid("/scope", "names a scope that does not exist, or none")


def _check_keys(method: str, jwks: object, jwks_uri: str | None) -> None:
    key_count = sum(keys is not None for keys in (jwks, jwks_uri))
    if method == PRIVATE_KEY and key_count != 1:
        raise errors.Invalid("/jwks", "exactly one of jwks and jwks_uri is needed")
    if method == SECRET and key_count:
        raise errors.Invalid("/jwks" if jwks is not None else "/jwks_uri", "a client with a secret has no keys")
