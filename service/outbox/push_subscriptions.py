"""Devices that somebody has news pushed to (Web Push), and the one key that signs for this installation (VAPID).

A subscription lives as long as the sign-in that it was made in, and while its person is active and holds a role. A
visit that was only not made use of for a while does not end it: news is for whoever is not looking (decision 0124).
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlmodel import col

from service import tables
from service.kernel import access, audit, clock, errors
from service.kernel.work import Work

MOST = 10
"""Devices of one person; a further one takes the place of the oldest."""
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtext('pobratym push key'))")
_LOCK_BROWSER = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:digest, 0))")

LIVES = """\
EXISTS (SELECT FROM person p WHERE p.id = s.person_id AND p.state = 'active'
        AND EXISTS (SELECT FROM role_grant g WHERE g.person_id = p.id))
AND (s.family_id IS NULL OR EXISTS (SELECT FROM refresh_token t WHERE t.family_id = s.family_id
     AND t.revoked_at IS NULL AND t.expires_at > :now))"""
"""Of the subscription `s`: whether anything is pushed to it still."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a browser is pushed to, as it gave it: an address that is a secret, its public key, its shared secret."""

    endpoint: str
    p256dh: str
    auth: str


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The installation's key: private as PEM, public as browsers take it."""

    private_pem: str
    public: str


@dataclass(frozen=True, slots=True)
class Device:
    """A device that the actor is told on."""

    id: UUID
    name: str | None
    since: datetime
    family_id: UUID | None


async def find_key(w: Work) -> SigningKey | None:
    """Give the key; None as long as nobody has asked for it."""
    row = (await w.sql(sa.select(tables.PushKey))).scalar_one_or_none()
    return SigningKey(w.keys.decrypt(row.sealed, row.id), row.public_key) if row else None


async def signing_key(w: Work) -> SigningKey:
    """Give the key, made if there is none: one, however many ask at a time."""
    key = await find_key(w)
    if key is None:
        await w.sql(_LOCK)
        key = await find_key(w) or await _make_key(w)
    return key


async def _make_key(w: Work) -> SigningKey:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    point = private.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    public, row_id = base64.urlsafe_b64encode(point).decode().rstrip("="), clock.new_id()
    w.add(tables.PushKey(id=row_id, sealed=w.keys.encrypt(pem, row_id), public_key=public, created_at=w.now))
    await w.flush()
    audit.record(w, "made", "push_key", row_id)
    return SigningKey(pem, public)


async def subscribe(w: Work, receiver: Receiver, family_id: UUID | None, device: str | None) -> UUID:
    """The actor is told on this device as long as the sign-in lasts; gives the subscription's id.

    The same browser keeps its id; from somebody else it is taken over. Raises Forbidden for whoever is no person.
    """
    person = await _oneself(w, lock=True)
    if person.state != "active":
        raise errors.Forbidden  # since a moment ago: whoever disabled or erased them had the lock first
    digest = hashlib.sha256(receiver.endpoint.encode()).digest()
    await w.sql(_LOCK_BROWSER, {"digest": digest.hex()})  # pressed twice, or by two people at once, it has one row
    query = sa.select(tables.PushSubscription).where(col(tables.PushSubscription.endpoint_digest) == digest)
    row: tables.PushSubscription | None = (await w.sql(query.with_for_update())).scalar_one_or_none()
    if row is not None and row.person_id != person.id:
        await w.delete(row)
        await w.flush()
        row = None
    if row is None:
        row_id = clock.new_id()
        row = tables.PushSubscription(
            id=row_id, person_id=person.id, endpoint_digest=digest, sealed=b"", created_at=w.now
        )
        w.add(row)
        audit.record(w, "created", "push_subscription", row_id)
    row.sealed = w.keys.encrypt(json.dumps(asdict(receiver)), row.id)
    row.family_id, row.device = family_id, device
    await w.sql(_KEEP_NEWEST, {"person": person.id, "most": MOST})
    return row.id


async def unsubscribe(w: Work, subscription_id: UUID) -> None:
    """The actor is told on this device no more; raises NotFound for one that is not theirs."""
    person = await _oneself(w)
    row = await w.find(tables.PushSubscription, subscription_id)
    if row is None or row.person_id != person.id:
        raise errors.NotFound
    await remove(w, subscription_id)


async def remove(w: Work, subscription_id: UUID) -> None:
    """The subscription is no more: switched off, or its push service says that it has ended."""
    await w.sql(_REMOVE, {"id": subscription_id})
    audit.record(w, "deleted", "push_subscription", subscription_id)


async def devices(w: Work) -> Sequence[Device]:
    """Give the devices that the actor is told on, the newest first."""
    rows = await w.sql(_DEVICES, {"me": w.actor.person_id, "now": w.now})
    return [Device(*row) for row in rows]


async def follow_sign_in(w: Work, former_id: UUID | None, family_id: UUID) -> None:
    """Somebody has signed in where `former_id` was the sign-in before: what this browser was told goes on for them.

    Not what somebody else was told on it, nor what they had ended from elsewhere.
    """
    if former_id is not None and former_id != family_id:
        values = {"former": former_id, "family": family_id}
        await w.sql(_TAKE_ALONG, values)
        await w.sql(_LEAVE, values)


async def family_of(w: Work, token_id: UUID) -> UUID | None:
    """Give the sign-in that a person's access token belongs to; None for one that no sign-in is behind."""
    family_id: UUID | None = (await w.sql(_FAMILY, {"id": token_id})).scalar_one_or_none()
    return family_id


async def _oneself(w: Work, *, lock: bool = False) -> tables.Person:
    if w.actor.kind != "person" or w.actor.person_id is None:
        raise errors.Forbidden
    return await access.visible_person(w, w.actor.person_id, lock=lock)


_KEEP_NEWEST = sa.text("""
DELETE FROM push_subscription WHERE id IN (SELECT id FROM push_subscription WHERE person_id = :person
                                           ORDER BY created_at DESC, id DESC OFFSET :most)
""")
_REMOVE = sa.text("DELETE FROM push_subscription WHERE id = :id")
_DEVICES = sa.text(f"""
SELECT s.id, s.device, s.created_at, s.family_id FROM push_subscription s WHERE s.person_id = :me AND {LIVES}
ORDER BY s.created_at DESC, s.id
""")  # noqa: S608 - our own words
_TAKE_ALONG = sa.text("""
UPDATE push_subscription SET family_id = :family
WHERE family_id = :former AND person_id = (SELECT person_id FROM refresh_token WHERE id = :family)
AND EXISTS (SELECT FROM refresh_token WHERE id = :former AND revoked_at IS NULL)
""")
_LEAVE = sa.text("DELETE FROM push_subscription WHERE family_id = :former")
_FAMILY = sa.text("SELECT family_id FROM refresh_token WHERE id = :id")
