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
    """A client with its secrets that still count, newest first."""

    row: tables.Client
    secrets: tuple[tables.ClientSecret, ...]


async def register(w: Work, wanted: Registration) -> tuple[ClientView, str | None]:
    """A system of the institution can ask for tokens; gives its secret, if it has one, for the only time.

    By the institution's coordinator or an admin; raises Forbidden, Invalid.
    """
    if not (w.actor.is_timer or w.actor.programmes("programme_admin")):
        access.requires_at(w, wanted.institution_id, "coordinator")
    institution = await w.find(tables.Institution, wanted.institution_id)
    if institution is None:
        raise errors.Invalid("/institution_id", "no such institution")
    _check_keys(wanted.method, wanted.jwks, wanted.jwks_uri)
    _check_scopes(wanted.scopes)
    row_id = clock.new_id()
    row = tables.Client(
        id=row_id,
        created_at=w.now,
        institution_id=institution.id,
        name=wanted.name,
        scopes=sorted(set(wanted.scopes)),
        token_endpoint_auth_method=wanted.method,
        jwks=dict(wanted.jwks) if wanted.jwks else None,
        jwks_uri=wanted.jwks_uri,
        created_by=w.actor.person_id,
    )
    w.add(
        tables.Person(
            id=row_id,
            kind="system",
            email=_MAILBOX.format(row_id),
            display_name=wanted.name,
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
    secret = _new_secret(w, row) if wanted.method == SECRET else None
    audit.record(w, "created", "client", row.id, scopes=row.scopes, method=row.token_endpoint_auth_method)
    return (await views(w, [row]))[0], secret


async def page(w: Work, *, after: UUID | None, limit: int, institution_id: UUID | None = None) -> list[ClientView]:
    """Give the clients that the actor sees, revoked ones too, oldest first; one more than `limit` if others follow."""
    seen = [access.clients_seen(w.actor)]
    if institution_id is not None:
        seen.append(col(tables.Client.institution_id) == institution_id)
    return await views(w, await paging.rows(w, tables.Client, sa.and_(*seen), after=after, limit=limit))


async def views(w: Work, rows: Collection[tables.Client]) -> list[ClientView]:
    """Give the clients with their secrets."""
    kind = tables.ClientSecret
    found: dict[UUID, list[tables.ClientSecret]] = {row.id: [] for row in rows}
    statement = sa.select(kind).where(col(kind.client_id).in_(found), _counts(w)).order_by(col(kind.id).desc())
    for secret in (await w.sql(statement)).scalars():
        found[secret.client_id].append(secret)
    return [ClientView(row, tuple(found[row.id])) for row in rows]


async def change(w: Work, row: tables.Client, changes: Mapping[str, Any]) -> ClientView:
    """Change name, scopes or keys of a client that the actor sees; tokens lose what its scopes lose, at once.

    New keys take the place of the old ones, given either way.
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
    """The client has a new secret; the secrets that counted until now go on for the overlap and no longer.

    Raises Conflict when more than ten old ones would go on, and for a client without secrets.
    """
    _must_be_in_use(row)
    if row.token_endpoint_auth_method != SECRET:
        raise errors.Conflict("This client proves itself by a key and has no secret.")
    kind, until = tables.ClientSecret, w.now + overlap
    ending = sa.func.least(sa.func.coalesce(col(kind.expires_at), until), until)
    theirs = col(kind.client_id) == row.id
    await w.sql(sa.update(kind).where(theirs).values(expires_at=ending))
    kept = (await w.sql(sa.select(sa.func.count()).where(theirs, _counts(w)))).scalar_one()
    if kept > subscriptions.MOST_OLD_SECRETS:
        msg = f"{subscriptions.MOST_OLD_SECRETS} earlier secrets are still valid: wait until one has expired."
        raise errors.Conflict(msg)
    secret = _new_secret(w, row)
    w.touch(row)
    audit.record(w, "rotated", "client", row.id, overlap_hours=int(overlap / timedelta(hours=1)))
    await w.flush()
    return (await views(w, [row]))[0], secret


async def revoke(w: Work, row: tables.Client) -> None:
    """The client and all its tokens prove nothing from the next request on, for ever. A second call changes nothing.

    Nothing more is sent to addresses that it named: a person decides which of its endpoints go on.
    """
    if row.revoked_at is not None:
        return
    row.revoked_at = w.now
    (await w.read(tables.Person, row.id)).state = "disabled"
    ended = sa.update(tables.ClientSecret).where(col(tables.ClientSecret.client_id) == row.id, _counts(w))
    await w.sql(ended.values(expires_at=w.now))
    await subscriptions.pause_those_of(w, row.id)
    w.touch(row)
    audit.record(w, "revoked", "client", row.id)


async def find(w: Work, client_id: UUID) -> tables.Client | None:
    """Give the client, if it is in use."""
    kind = tables.Client
    found: tables.Client | None = (
        await w.sql(sa.select(kind).where(col(kind.id) == client_id, col(kind.revoked_at).is_(None)))
    ).scalar_one_or_none()
    return found


async def is_secret(w: Work, row: tables.Client, secret: str) -> bool:
    """Tell whether the secret is the client's and counts; remembers that it was used."""
    kind = tables.ClientSecret
    theirs = (col(kind.client_id) == row.id, col(kind.digest) == _digest(secret), _counts(w))
    found = await w.sql(sa.update(kind).where(*theirs).values(last_used_at=w.now).returning(col(kind.id)))
    return found.first() is not None and row.token_endpoint_auth_method == SECRET


async def use_up(w: Work, row: tables.Client, assertion_id: str, expires_at: datetime) -> bool:
    """Tell whether the assertion is used for the first time, and remember it; of many at once one is the first."""
    values = {"client_id": row.id, "digest": _digest(assertion_id), "expires_at": expires_at}
    statement = postgresql.insert(tables.UsedAssertion).values(values).on_conflict_do_nothing()
    return (await w.sql(statement.returning(col(tables.UsedAssertion.client_id)))).first() is not None


async def may_ask_for_keys(w: Work, client_id: UUID, at: datetime) -> bool:
    """Tell whether the client's key set may be fetched now, and that this was the time; `at` is the system's clock."""
    kind = tables.Client
    statement = (
        sa.update(kind)
        .where(col(kind.id) == client_id, col(kind.jwks_uri).is_not(None))
        .where(sa.or_(col(kind.jwks_asked_at).is_(None), col(kind.jwks_asked_at) <= at - ASK_AGAIN))
        .values(jwks_asked_at=at)
    )
    return (await w.sql(statement.returning(col(kind.id)))).first() is not None


async def keep_keys(w: Work, client_id: UUID, jwks_uri: str, keys: Mapping[str, Any], at: datetime) -> None:
    """The client has the keys that were fetched, unless its address was changed meanwhile."""
    kind = tables.Client
    theirs = (col(kind.id) == client_id, col(kind.jwks_uri) == jwks_uri)
    await w.sql(sa.update(kind).where(*theirs).values(jwks_fetched=dict(keys), jwks_fetched_at=at))


async def let_in(w: Work, row: tables.Client, scopes: Sequence[str]) -> None:
    """The client, which has proved itself, acts from here on; that it got a token is remembered."""
    w.actor = actor.Actor("system", row.id, scopes=frozenset(scopes))
    row.last_used_at = w.now
    audit.record(w, "token_issued", "client", row.id, scopes=list(scopes))
    await w.flush()


def _new_secret(w: Work, row: tables.Client) -> str:
    secret = base64.urlsafe_b64encode(clock.random_bytes(_SECRET_BYTES)).decode().rstrip("=")
    w.add(tables.ClientSecret(id=clock.new_id(), client_id=row.id, digest=_digest(secret), created_at=w.now))
    return secret


def _digest(text: str) -> bytes:
    """Stand for a text that nobody can guess: 32 random bytes need no slow hash."""
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
    given = sum(each is not None for each in (jwks, jwks_uri))
    if method == PRIVATE_KEY and given != 1:
        raise errors.Invalid("/jwks", "exactly one of jwks and jwks_uri is needed")
    if method == SECRET and given:
        raise errors.Invalid("/jwks" if jwks is not None else "/jwks_uri", "a client with a secret has no keys")
