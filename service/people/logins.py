"""Sign-in links, refresh tokens, signing keys, and who is behind an access token.

No row holds a token: the token of a sign-in link or a refresh token is derived from the row's id under the secret keys
(invariant M3). `integrations.identity.access_tokens` writes and reads the bytes of access tokens; the rows here decide
whether one counts.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.dialects import postgresql
from sqlmodel import col

from service import tables
from service.kernel import actor as actors
from service.kernel import audit, clock, email_addresses, errors
from service.kernel.work import Work
from service.outbox import deliveries
from service.rules.time import availability

LINK_LIFE = timedelta(minutes=15)
REFRESH_LIFE = timedelta(days=30)
ACCESS_LIFE = timedelta(minutes=15)
OPEN_LINKS = 5
"""Links that one person may have open at once, so that requests cannot flood a mailbox."""
SIGN_IN = "sign_in"
REFRESH = "refresh"
_KEYS_LOCK = 0x706F6272
_COORDINATE_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The key that signs now, and the public keys (JWK) that verify every token which has not expired."""

    key_id: str
    private_pem: str
    public: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in: who, the refresh token that continues it, and the id for the access token."""

    person_id: UUID
    refresh_token: str
    token_id: UUID


async def caller(w: Work, person_id: UUID, token_id: UUID, scopes: frozenset[str] = frozenset()) -> actors.Actor:
    """Give the active person with the roles they hold now; raises Unauthenticated, also for a revoked token.

    A partner system comes with `scopes`, those of its token that it still has.
    """
    return actor_of(await w.fetch(_CALLER, {"person": person_id, "token": token_id}), w.now, scopes)


def actor_of(rows: Sequence[Any], now: datetime, scopes: frozenset[str] = frozenset()) -> actors.Actor:
    """Give the person whom rows of `ACTOR` and `ROLES` are about; raises Unauthenticated if there are none."""
    if not rows:
        raise errors.Unauthenticated
    grants = frozenset(actors.Grant(*row[:4]) for row in rows if row.role is not None)
    programmes = zip(rows[0].zones, rows[0].programmes, strict=True)
    days = frozenset((availability.local_date(now, zone), programme) for zone, programme in programmes)
    if rows[0].kind == "system":
        return actors.Actor("system", rows[0].id, grants, scopes & frozenset(rows[0].scopes), days)
    return actors.Actor(
        "person", rows[0].id, grants, days=days, is_address_confirmed=rows[0].address_unconfirmed_since is None
    )


ACTOR = """
g.role, g.institution_id, g.programme_id, g.department, p.id, p.kind, p.address_unconfirmed_since, c.scopes,
ARRAY(SELECT zone FROM programme ORDER BY id) AS zones, ARRAY(SELECT id FROM programme ORDER BY id) AS programmes"""
"""Columns, the first ones of a statement that asks who acts, a row a grant; `ROLES` joins them to person `p`."""
ROLES = "LEFT JOIN client c ON c.id = p.id LEFT JOIN role_grant g ON g.person_id = p.id"
_CALLER = sa.text(f"""
SELECT {ACTOR} FROM person p {ROLES}
WHERE p.id = :person AND p.state = 'active' AND NOT EXISTS (SELECT FROM revoked_token WHERE jti = :token)
""")  # noqa: S608 - the two constants above


async def person_with(w: Work, email: str) -> UUID:
    """Give the active person with this address; raises NotFound, and Unmailable for what is no address of anybody."""
    stored = email_addresses.as_stored(email)
    person_id: UUID | None = (
        await w.sql(
            sa.select(col(tables.Person.id)).where(
                sa.func.lower(col(tables.Person.email)) == stored.lower(), *_who_signs_in()
            )
        )
    ).scalar_one_or_none()
    if person_id is None:
        email_addresses.requires_carried("/email", email, utf8=w.carries_utf8)
        raise errors.NotFound
    return person_id


async def mail_link(w: Work, email: str) -> None:
    """Mail a sign-in link if an active person has this address; otherwise nothing is stored, at the same cost.

    For a stranger the same rows are written, in another person's name, and rolled back before anybody can see them.
    Raises Unmailable for an address that no mail of this installation reaches, whoever has it.
    """
    email = email_addresses.requires_carried("/email", email, utf8=w.carries_utf8)
    is_theirs = sa.func.lower(col(tables.Person.email)) == email.lower()
    is_open = sa.and_(
        col(tables.Link.person_id) == col(tables.Person.id),
        col(tables.Link.purpose) == SIGN_IN,
        col(tables.Link.used_at).is_(None),
        col(tables.Link.expires_at) > w.now,
    )
    open_links = sa.select(sa.func.count()).select_from(tables.Link).where(is_open).scalar_subquery()
    row = (
        await w.sql(
            sa.select(tables.Person, is_theirs.label("is_theirs"), open_links.label("open_links"))
            .where(*_who_signs_in())
            .order_by(is_theirs.desc())
            .limit(1)
        )
    ).first()
    if row is None:
        return
    async with w.savepoint() as savepoint:
        link = _link(w, row.Person.id, LINK_LIFE)
        await deliveries.mail(
            w, template=SIGN_IN, person=row.Person, values={}, links={SIGN_IN: link}, useless_after=link.expires_at
        )
        await w.finish()
        if not row.is_theirs or row.open_links >= OPEN_LINKS:
            await savepoint.rollback()


async def mail_again(w: Work, token: str) -> None:
    """Mail another sign-in link to whoever an earlier one was for, whatever became of it; raises LinkInvalid."""
    row_and_purpose = w.keys.link_row(token, SIGN_IN)
    row = await w.find(tables.Link, row_and_purpose[0]) if row_and_purpose else None
    if row is None:
        raise errors.LinkInvalid
    person = await w.read(tables.Person, row.person_id)
    await mail_link(w, person.email)


async def link_token(w: Work, email: str, life: timedelta) -> str:
    """Give the token of a sign-in link of the person with this address, without a mail; raises NotFound."""
    link = _link(w, await person_with(w, email), life)
    deliveries.put_link(w, link)
    return w.keys.link_token(link.id, SIGN_IN)


@dataclass(frozen=True, slots=True)
class Browser:
    """What signs in by a cookie: its name and system in words, and whether it is on a device of the person's own."""

    device: str | None = None
    is_own_device: bool = False


async def exchange(w: Work, token: str, browser: Browser | None = None) -> SignedIn:
    """Use up the sign-in link and begin a sign-in; raises LinkInvalid when it is used, expired or not ours."""
    row_and_purpose = w.keys.link_row(token, SIGN_IN)
    if row_and_purpose is None:
        raise errors.LinkInvalid
    is_let_in = col(tables.Link.person_id).in_(sa.select(col(tables.Person.id)).where(*_who_signs_in()))
    person_id: UUID | None = (
        await w.sql(
            sa.update(tables.Link)
            .where(col(tables.Link.id) == row_and_purpose[0], col(tables.Link.purpose) == SIGN_IN, is_let_in)
            .where(col(tables.Link.used_at).is_(None), col(tables.Link.expires_at) > w.now)
            .values(used_at=w.now)
            .returning(col(tables.Link.person_id))
        )
    ).scalar_one_or_none()
    if person_id is None:
        raise errors.LinkInvalid
    audit.record(w, "signed_in", "person", person_id)
    return _signed_in(w, person_id, None, browser)


async def refresh(w: Work, token: str) -> SignedIn | None:
    """Exchange the refresh token for its successor; None when it is not valid.

    A token used before was copied by somebody: its whole family ends. So None is a result that must be committed,
    not an error that rolls the change back.
    """
    row = await _refresh_row(w, token)
    if row is None:
        return None
    if row.used_at is not None:
        await _end_family(w, row.family_id)
        return None
    is_let_in = sa.select(sa.and_(*_who_signs_in())).where(col(tables.Person.id) == row.person_id)
    if row.revoked_at is not None or row.expires_at <= w.now or not (await w.sql(is_let_in)).scalar_one():
        return None
    row.used_at = w.now
    return _signed_in(w, row.person_id, row.family_id)


async def revoke(w: Work, token: str) -> None:
    """End the sign-in that the refresh token belongs to, with its access tokens; a bad token ends nothing."""
    row = await _refresh_row(w, token)
    if row is not None:
        await _end_family(w, row.family_id)


async def revoke_all(w: Work, person_id: UUID) -> None:
    """End every sign-in of the person."""
    families = (
        await w.sql(
            sa.select(col(tables.RefreshToken.family_id))
            .where(col(tables.RefreshToken.person_id) == person_id, col(tables.RefreshToken.revoked_at).is_(None))
            .distinct()
        )
    ).scalars()
    for family_id in families.all():
        await _end_family(w, family_id)


async def drop_links(w: Work, person_id: UUID) -> None:
    """No sign-in link that the person was or will be mailed counts any more; what waits to be mailed is dropped."""
    await w.sql(_END_LINKS, {"person": person_id, "now": w.now})
    await w.sql(_DROP_LINKS, {"person": person_id, "now": w.now})


_END_LINKS = sa.text("""
UPDATE link SET expires_at = :now
WHERE person_id = :person AND purpose = 'sign_in' AND used_at IS NULL AND expires_at > :now
""")
_DROP_LINKS = sa.text("""
UPDATE delivery SET state = 'dropped', next_attempt_at = NULL, settled_at = :now
WHERE person_id = :person AND kind = 'mail' AND state = 'pending' AND payload ->> 'template' = 'sign_in'
""")


async def revoke_access(w: Work, tokens: Mapping[UUID, datetime]) -> None:
    """Revoke the access tokens with these ids; each row is kept until the instant at which its token would expire."""
    if tokens:
        await w.sql(
            postgresql.insert(tables.RevokedToken)
            .values([{"jti": jti, "expires_at": expires_at} for jti, expires_at in sorted(tokens.items())])
            .on_conflict_do_nothing()
        )


async def signing_keys(w: Work) -> SigningKeys | None:
    """Give the keys in force: the newest signs, those just retired still verify; None when there are none."""
    rows = (
        await w.sql(
            sa.select(tables.SigningKey)
            .where(
                sa.or_(
                    col(tables.SigningKey.retired_at).is_(None),
                    col(tables.SigningKey.retired_at) > w.now - ACCESS_LIFE,
                )
            )
            .order_by(col(tables.SigningKey.retired_at).is_(None).desc(), col(tables.SigningKey.id).desc())
        )
    ).scalars()
    keys = rows.all()
    if not keys or keys[0].retired_at is not None:
        return None
    return SigningKeys(
        str(keys[0].id),
        w.keys.decrypt(keys[0].private_pem, keys[0].id),
        {str(key.id): key.public_jwk for key in keys},
    )


async def make_signing_key(w: Work, *, rotate: bool = False) -> SigningKeys:
    """Give the signing keys, with a new key if there is none (one, however many ask at a time) or when rotating."""
    await w.sql(sa.select(sa.func.pg_advisory_xact_lock(_KEYS_LOCK)))
    current = await signing_keys(w)
    if current and not rotate:
        return current
    await w.sql(
        sa.update(tables.SigningKey).where(col(tables.SigningKey.retired_at).is_(None)).values(retired_at=w.now)
    )
    row_id, (pem, jwk) = clock.new_id(), _new_key()
    w.add(
        tables.SigningKey(
            id=row_id, private_pem=w.keys.encrypt(pem, row_id), public_jwk=jwk | {"kid": str(row_id)}, created_at=w.now
        )
    )
    await w.flush()
    audit.record(w, "made", "signing_key", row_id)
    return SigningKeys(str(row_id), pem, {str(row_id): jwk, **(current.public if current else {})})


def _new_key() -> tuple[str, dict[str, Any]]:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    point = private.public_key().public_numbers()
    x, y = (
        base64.urlsafe_b64encode(number.to_bytes(_COORDINATE_BYTES)).decode().rstrip("=")
        for number in (point.x, point.y)
    )
    return pem.decode(), {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": x, "y": y}


def _who_signs_in() -> tuple[sa.ColumnElement[bool], ...]:
    """Active people for whom a person has vouched. No systems: they have credentials, and nobody reads their mail."""
    person = tables.Person
    return col(person.state) == "active", col(person.kind) == "person", col(person.is_vouched_for).is_(True)


def _link(w: Work, person_id: UUID, life: timedelta) -> deliveries.NewLink:
    return deliveries.NewLink(
        id=clock.new_id(), person_id=person_id, purpose=SIGN_IN, expires_at=w.now + life, created_at=w.now
    )


def _signed_in(w: Work, person_id: UUID, family_id: UUID | None, browser: Browser | None = None) -> SignedIn:
    row_id = clock.new_id()
    w.add(
        tables.RefreshToken(
            id=row_id,
            family_id=family_id or row_id,
            person_id=person_id,
            created_at=w.now,
            expires_at=w.now + REFRESH_LIFE,
            seen_at=w.now if browser else None,
            device=browser.device if browser else None,
            is_own_device=browser is not None and browser.is_own_device,
        )
    )
    return SignedIn(person_id, w.keys.link_token(row_id, REFRESH), row_id)


async def _refresh_row(w: Work, token: str) -> tables.RefreshToken | None:
    row_and_purpose = w.keys.link_row(token, REFRESH)
    if row_and_purpose is None:
        return None
    kind = tables.RefreshToken
    family = sa.select(col(kind.family_id)).where(col(kind.id) == row_and_purpose[0])
    await _lock_family(w, (await w.sql(family)).scalar_one_or_none())
    row: tables.RefreshToken | None = (
        await w.sql(sa.select(kind).where(col(kind.id) == row_and_purpose[0]).with_for_update())
    ).scalar_one_or_none()
    return row


async def _lock_family(w: Work, family_id: UUID | None) -> None:
    """Hold the family's first token until the end: a successor made meanwhile would outlive the end of its family."""
    kind = tables.RefreshToken
    of_family = sa.select(col(kind.id)).where(col(kind.family_id) == family_id)
    await w.sql(of_family.order_by(col(kind.id)).limit(1).with_for_update())


async def _end_family(w: Work, family_id: UUID) -> None:
    """Revoke every refresh token of the family; an access token has the id of the refresh token it came with."""
    await _lock_family(w, family_id)
    rows = (
        await w.sql(
            sa.update(tables.RefreshToken)
            .where(col(tables.RefreshToken.family_id) == family_id)
            .values(revoked_at=sa.func.coalesce(col(tables.RefreshToken.revoked_at), w.now))
            .returning(
                col(tables.RefreshToken.id), col(tables.RefreshToken.person_id), col(tables.RefreshToken.created_at)
            )
        )
    ).all()
    await revoke_access(
        w, {row.id: row.created_at + ACCESS_LIFE for row in rows if row.created_at + ACCESS_LIFE > w.now}
    )
    if rows:
        audit.record(w, "signed_out", "person", rows[0].person_id)
