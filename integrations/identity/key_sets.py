"""Key sets (JWKS) of partner systems: read strictly when registered, fetched from their address when need be.

A key is used with one algorithm only, the one that it names or that its kind allows. Fetching happens outside any
transaction, through the guarded client, and once a minute for each client at most, in all processes together.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from integrations import outbound_http
from integrations.identity import jwt
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock
from service.people import clients
from service.rules.sentences import Sentence

MOST_KEYS = 10
FRESH = timedelta(hours=1)
"""A fetched set is fetched again when it is older, so that a key that a partner withdrew is forgotten."""
STALE = timedelta(days=1)
"""A set that could not be fetched again for so long proves nothing any more."""

_DEADLINE_SECONDS = 10.0
_MOST_BYTES = 64 * 1024
_LONGEST_NAME = 200
_RSA_BITS = range(2048, 4097)
_RSA_EXPONENT = 65537
_SUCCESS = 200
_CURVES: dict[str, tuple[type[ec.EllipticCurve], int, str]] = {
    "P-256": (ec.SECP256R1, 32, "ES256"),
    "P-384": (ec.SECP384R1, 48, "ES384"),
}
_RSA_ALGORITHMS = ("RS384", "RS256")  # the first is that of a key which names none (SMART Backend Services)
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_waiting: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()


class BadKeySet(Exception):
    """This is no set of keys for us; the message says why, and quotes nothing."""

    def __init__(self, pointer: str, detail: str) -> None:
        """Point at what is wrong, relative to the set."""
        super().__init__(detail)
        self.pointer, self.detail = pointer, detail


def checked(jwks: Mapping[str, Any]) -> dict[str, Any]:
    """Give the set with only the members that we use; raises BadKeySet unless we can use every key."""
    entries = _entries(jwks, at_least=1)
    keys: dict[str, jwt.Key] = {}
    for place, entry in enumerate(entries):
        try:
            name, key = _key(entry)
        except ValueError as error:
            raise BadKeySet(f"/keys/{place}", error.args[0]) from None
        except TypeError:
            raise BadKeySet(f"/keys/{place}", "is no key") from None
        if name in keys:
            raise BadKeySet(f"/keys/{place}/kid", "stands for another key already")
        keys[name] = key
    return _written(keys)


def usable(jwks: Mapping[str, Any]) -> dict[str, Any]:
    """Give the keys that we can use of a set that may hold others too (RFC 7517 §5), or none; raises BadKeySet.

    An empty set is valid: a partner that withdrew its only key has none that proves it.
    """
    keys: dict[str, jwt.Key] = {}
    for entry in _entries(jwks, at_least=0):
        try:
            name, key = _key(entry)
        except (ValueError, TypeError):
            continue
        keys.setdefault(name, key)
    return _written(keys)


def keys_of(row: tables.Client, at: datetime) -> dict[str, jwt.Key]:
    """Give the keys that prove the client at an instant of the system's clock, by their names."""
    key_set = row.jwks
    if row.jwks_uri is not None and row.jwks_fetched_at is not None and row.jwks_fetched_at > at - STALE:
        key_set = row.jwks_fetched
    return dict(map(_key, key_set["keys"])) if key_set else {}


async def refresh(world: World, client_id: UUID, key_id: str) -> None:
    """Fetch the client's key set if it is old or lacks the key; nothing happens if it was asked for just now.

    Other callers in this process wait while it is fetched.
    """
    async with _waiting.setdefault(client_id, asyncio.Lock()):
        at = clock.wall()
        async with world.database.work(actor.STRANGER) as w:
            row = await clients.find(w, client_id)
            if row is None or row.jwks_uri is None or not _needs(row, key_id, at):
                return
            url = row.jwks_uri
            if not await clients.may_ask_for_keys(w, client_id, at):
                return
        try:
            key_set = usable(await _fetched(world.outbound, url))
        except (BadKeySet, outbound_http.Refused, httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, ValueError):
            return  # what is known stays in force until it is stale
        async with world.database.work(actor.STRANGER) as w:
            await clients.keep_keys(w, client_id, url, key_set, at)


def _needs(row: tables.Client, key_id: str, at: datetime) -> bool:
    is_old = row.jwks_fetched_at is None or row.jwks_fetched_at <= at - FRESH
    return is_old or key_id not in keys_of(row, at)


async def _fetched(client: httpx.AsyncClient, url: str) -> Mapping[str, Any]:
    body = b""
    async with (
        asyncio.timeout(_DEADLINE_SECONDS),
        client.stream("GET", url, headers={"Accept": "application/jwk-set+json, application/json"}) as answer,
    ):
        if answer.status_code != _SUCCESS:
            raise BadKeySet("", "was not given")
        async for part in answer.aiter_raw():
            body += part
            if len(body) > _MOST_BYTES:
                raise BadKeySet("", "is too large")
    try:
        key_set = json.loads(body)
    except RecursionError:
        raise BadKeySet("", "is nested too deep") from None
    if not isinstance(key_set, dict):
        raise BadKeySet("", "is no object")
    return key_set


def _entries(jwks: Mapping[str, Any], *, at_least: int) -> list[Mapping[str, Any]]:
    entries = jwks.get("keys")
    if not isinstance(entries, list) or not at_least <= len(entries) <= MOST_KEYS:
        raise BadKeySet("/keys", Sentence("must be a list of {least} to {most} keys", least=at_least, most=MOST_KEYS))
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def _key(entry: Mapping[str, Any]) -> tuple[str, jwt.Key]:
    """Read one key; raises ValueError saying what is wrong."""
    name = entry.get("kid")
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not name.isascii() or not name.isprintable():
        raise ValueError("needs a kid of visible characters")
    if _PRIVATE & entry.keys():
        raise ValueError("holds a private key: make another, and send the public one")
    if entry.get("use", "sig") != "sig":
        raise ValueError("is not for signatures")
    if entry.get("kty") == "EC":
        return name, _curve_key(entry)
    if entry.get("kty") == "RSA":
        return name, _rsa_key(entry)
    raise ValueError("must be of kty EC or RSA")


def _curve_key(entry: Mapping[str, Any]) -> jwt.Key:
    parameters = _CURVES.get(str(entry.get("crv")))
    if parameters is None:
        raise ValueError("must be on the curve P-256 or P-384")
    curve, size, algorithm = parameters
    if entry.get("alg", algorithm) != algorithm:
        raise ValueError(Sentence("is for {algorithm} by its curve", algorithm=algorithm))
    x, y = (_number(entry, name, size) for name in ("x", "y"))
    try:
        ec.EllipticCurvePublicNumbers(x, y, curve()).public_key()
    except ValueError:
        raise ValueError("is no point of its curve") from None
    return jwt.Key({name: entry[name] for name in ("kty", "crv", "x", "y")}, algorithm)


def _rsa_key(entry: Mapping[str, Any]) -> jwt.Key:
    algorithm = entry.get("alg", _RSA_ALGORITHMS[0])
    if algorithm not in _RSA_ALGORITHMS:
        raise ValueError("must be for RS384 or RS256")
    modulus, exponent = _number(entry, "n"), _number(entry, "e")
    if modulus.bit_length() not in _RSA_BITS or exponent != _RSA_EXPONENT:
        raise ValueError("must have 2048 to 4096 bits and the exponent 65537")
    try:
        rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise ValueError("is no key") from None
    return jwt.Key({name: entry[name] for name in ("kty", "n", "e")}, algorithm)


def _number(entry: Mapping[str, Any], name: str, size: int | None = None) -> int:
    text = entry.get(name)
    if not isinstance(text, str) or len(text) > _MOST_BYTES:
        raise ValueError(Sentence("needs {name}", name=name))
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(Sentence("has a {name} that is no base64url", name=name)) from None
    if size is not None and len(raw) != size:
        raise ValueError(Sentence("has a {name} of another length", name=name))
    return int.from_bytes(raw)


def _written(keys: Mapping[str, jwt.Key]) -> dict[str, Any]:
    return {"keys": [{**key.jwk, "kid": name, "alg": key.algorithm, "use": "sig"} for name, key in keys.items()]}
