"""Signed tokens (JWT), strictly: the only module that knows python-jose.

python-jose alone takes tokens that it should not (no `aud`, no `exp`, unknown `crit`, duplicate claims, odd base64url),
and reads the system's clock. So everything is checked here first and by the caller's clock; jose only does the
arithmetic of the signature, with the one algorithm that our own table names for the key. It must not touch a database.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from jose import jws
from jose.exceptions import JOSEError

ACCESS = "at+jwt"
LIFE = timedelta(minutes=15)
_MOST_BYTES = 8 * 1024
_SEGMENTS = 3
_LEEWAY = 5  # seconds that two of our machines' clocks may differ
_LATEST = 253_402_300_799  # the last second of the year 9999
_ALGORITHM = "ES256"
_SIGNATURE_BYTES = 64
_INSTANTS = ("exp", "iat")
_TEXTS = ("aud", "iss", "sub", "jti")


class InvalidToken(Exception):
    """This token proves nothing; the message is for our own tests, never for the caller."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token proved."""

    subject: str
    token_id: str
    expires_at: datetime


def sign(claims: Mapping[str, object], key_id: str, private_pem: str, typ: str = ACCESS) -> str:
    """Give the token of these claims, signed with ES256 and naming its key."""
    signed: str = jws.sign(dict(claims), private_pem, headers={"kid": key_id, "typ": typ}, algorithm=_ALGORITHM)
    return signed


def verify(
    token: str,
    keys: Mapping[str, Mapping[str, Any]],
    *,
    audience: str,
    issuer: str,
    now: datetime,
    typ: str = ACCESS,
) -> Claims:
    """Give what the token proves at `now`; any fault at all raises InvalidToken.

    `keys` are public JWKs by `kid`, all for ES256; `jku`, `x5u`, `x5c` and `jwk` of the token's header are not read.
    """
    try:
        header, payload = _parsed(token)
        key = _key(header, keys, typ)
        jws.verify(token, dict(key), algorithms=[_ALGORITHM])
        return _checked(payload, audience, issuer, now)
    except InvalidToken:
        raise
    except (JOSEError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
        raise InvalidToken(type(error).__name__) from None


def key_id(token: str) -> str:
    """Name the key that the token claims to be signed with; nothing is proved by it."""
    try:
        header, _ = _parsed(token)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidToken(type(error).__name__) from None
    return _text(header, "kid")


def _parsed(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(token) > _MOST_BYTES or not token.isascii():
        _refuse("too long or not ASCII")
    segments = token.split(".")
    if len(segments) != _SEGMENTS:
        _refuse("not three segments")
    header, payload, signature = (_decoded(segment) for segment in segments)
    if len(signature) != _SIGNATURE_BYTES:
        _refuse("the signature has another length")
    return _object(header), _object(payload)


def _decoded(segment: str) -> bytes:
    try:
        raw = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        _refuse("not base64url")
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != segment:
        _refuse("not canonical base64url")
    return raw


def _object(raw: bytes) -> dict[str, Any]:
    value = json.loads(
        raw.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_refuse, parse_float=_refuse
    )
    if not isinstance(value, dict):
        _refuse("not an object")
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse("a name is there twice")
    return found


def _key(header: Mapping[str, Any], keys: Mapping[str, Mapping[str, Any]], typ: str) -> Mapping[str, Any]:
    if "crit" in header:
        _refuse("crit is not understood")
    if header.get("alg") != _ALGORITHM or header.get("typ") != typ:
        _refuse("another algorithm or type")
    key = keys.get(_text(header, "kid"))
    if key is None:
        _refuse("no such key")
    return key


def _checked(payload: Mapping[str, Any], audience: str, issuer: str, now: datetime) -> Claims:
    issued, expires = (_instant(payload, name) for name in reversed(_INSTANTS))
    aud, iss, sub, jti = (_text(payload, name) for name in _TEXTS)
    if aud != audience or iss != issuer:
        _refuse("for somebody else, or by somebody else")
    seconds = now.timestamp()
    if not 0 < expires - issued <= LIFE.total_seconds():
        _refuse("lives too long, or not at all")
    if issued > seconds + _LEEWAY or seconds >= expires:
        _refuse("not yet, or no longer")
    if "nbf" in payload and _instant(payload, "nbf") > seconds + _LEEWAY:
        _refuse("not yet")
    return Claims(sub, jti, datetime.fromtimestamp(expires, UTC))


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        _refuse(f"{name} is missing or no text")
    return value


def _instant(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST:
        _refuse(f"{name} is missing or no whole number of seconds")
    return value


def _refuse(why: str) -> NoReturn:
    raise InvalidToken(why)
