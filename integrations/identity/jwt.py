"""Signed tokens (JWT), strictly: the only module that knows python-jose.

python-jose alone takes tokens that it should not (no `aud`, no `exp`, unknown `crit`, duplicate claims, odd base64url),
and reads the system's clock. So everything is checked here first and by the caller's clock; jose only does the
arithmetic of the signature, with the one algorithm that our own table names for the key. It must not touch a database.
"""

import base64
import binascii
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from service import vocabulary

ACCESS = "at+jwt"
LIFE = timedelta(minutes=15)
ASSERTION_LIFE = timedelta(minutes=5)
SIGNATURES = {"ES256": 64, "ES384": 96, "RS256": None, "RS384": None}
"""The algorithms of assertions, and how long a signature is; that of RSA is as long as its key."""
_ALGORITHM = "ES256"
_ASSERTION_TYPES = (None, "JWT", "client-authentication+jwt")
_MOST_BRACKETS = 32
_MOST_BYTES = 8 * 1024
_MOST_ID = 255
_SEGMENTS = 3
_LEEWAY = 5  # seconds that two of our machines' clocks may differ
_PARTNERS_LEEWAY = 30  # and a partner's from ours
_LATEST = 253_402_300_799  # the last second of the year 9999


class InvalidToken(Exception):
    """This token proves nothing; why is for those who run the client or the server, never for the caller."""

    def __init__(self, why: str, fault: vocabulary.ProofFault = "malformed") -> None:
        """Say why, and of which kind it is."""
        super().__init__(why)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token proved."""

    subject: str
    token_id: str
    expires_at: datetime
    scopes: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Key:
    """A public key of somebody else, and the one algorithm it is for."""

    jwk: Mapping[str, Any]
    algorithm: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an assertion proved: it may be used once, and not after it expires."""

    token_id: str
    expires_at: datetime


def sign(claims: Mapping[str, object], key_id: str | None, private_pem: str, typ: str = ACCESS) -> str:
    """Give the token of these claims, signed with ES256 and naming its key, where whoever reads it knows several."""
    from jose import jws  # noqa: PLC0415 - whoever shows the first token brings it, not each start

    signed: str = jws.sign(
        dict(claims), private_pem, headers=({"kid": key_id} if key_id else {}) | {"typ": typ}, algorithm=_ALGORITHM
    )
    return signed


def signed(token: str, keys: Mapping[str, Mapping[str, Any]], typ: str = ACCESS) -> Mapping[str, Any]:
    """Give the payload of a token that one of the keys signed; any fault at all raises InvalidToken.

    `keys` are public JWKs by `kid`, all for ES256; `jku`, `x5u`, `x5c` and `jwk` of the token's header are not read.
    Audience, issuer and times are checked by `holding`.
    """
    return _proved(token, {name: Key(jwk, _ALGORITHM) for name, jwk in keys.items()}, (typ,))


def holding(payload: Mapping[str, Any], *, audience: str, issuer: str, now: datetime) -> Claims:
    """Give what a signed token proves to `audience` at `now`; any fault at all raises InvalidToken."""
    issued, expires = _instant(payload, "iat"), _instant(payload, "exp")
    aud, iss, sub, jti = (_text(payload, name) for name in ("aud", "iss", "sub", "jti"))
    if aud != audience or iss != issuer:
        _refuse("for somebody else, or by somebody else")
    seconds = now.timestamp()
    if not 0 < expires - issued <= LIFE.total_seconds():
        _refuse("lives too long, or not at all")
    if issued > seconds + _LEEWAY or seconds >= expires:
        _refuse("not yet, or no longer")
    if "nbf" in payload and _instant(payload, "nbf") > seconds + _LEEWAY:
        _refuse("not yet")
    scopes = frozenset(_text(payload, "scope").split(" ")) if payload.get("scope") else frozenset()
    return Claims(sub, jti, datetime.fromtimestamp(expires, UTC), scopes)


def verify_assertion(
    token: str, keys: Mapping[str, Key], *, client_id: str, audiences: Collection[str], now: datetime
) -> Assertion:
    """Give what a client's assertion proves at `now` of the system's clock (RFC 7523 §3); raises InvalidToken.

    It names the client as `iss` and `sub`, one of our `audiences` as `aud` (a text, or a list of this one), a `jti`,
    and ends within five minutes.
    """
    payload = _proved(token, keys, _ASSERTION_TYPES)
    if {_text(payload, name) for name in ("iss", "sub")} != {client_id}:
        _refuse("of another client", "client")
    audience = payload.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if not isinstance(audience, str) or audience not in audiences:
        _refuse("for somebody else", "audience")
    seconds = now.timestamp()
    expires, token_id = _instant(payload, "exp"), _text(payload, "jti")
    began = [_instant(payload, name) for name in ("iat", "nbf") if name in payload]
    life = ASSERTION_LIFE.total_seconds()
    if seconds >= expires:
        _refuse("no longer", "expired")
    if expires > seconds + life + _PARTNERS_LEEWAY or any(not 0 < expires - at <= life for at in began):
        _refuse("for too long", "lives_too_long")
    if any(at > seconds + _PARTNERS_LEEWAY for at in began):
        _refuse("not yet", "not_yet_valid")
    if len(token_id) > _MOST_ID:
        _refuse("jti is too long")
    return Assertion(token_id, datetime.fromtimestamp(expires, UTC))


def key_id(token: str) -> str:
    """Name the key that the token claims to be signed with; nothing is proved by it."""
    return _text(_read(token)[0], "kid")


def claimed_issuer(token: str) -> str:
    """Name who the token claims to be from; nothing is proved by it."""
    return _text(_read(token)[1], "iss")


def _proved(token: str, keys: Mapping[str, Key], types: Collection[str | None]) -> dict[str, Any]:
    """Give the claims of a token that one of the keys signed."""
    from jose import jws  # noqa: PLC0415 - as in `sign`
    from jose.exceptions import JOSEError  # noqa: PLC0415

    header, payload, signature = _read(token)
    key = _key(header, keys, types)
    if SIGNATURES[key.algorithm] not in {None, len(signature)}:
        _refuse("the signature has another length", "signature")
    try:
        jws.verify(token, dict(key.jwk), algorithms=[key.algorithm])
    except (JOSEError, ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise InvalidToken(type(error).__name__, "signature") from None
    return payload


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    try:
        return _parsed(token)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidToken(type(error).__name__) from None


def _parsed(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    if len(token) > _MOST_BYTES or not token.isascii():
        _refuse("too long or not ASCII")
    segments = token.split(".")
    if len(segments) != _SEGMENTS:
        _refuse("not three segments")
    header, payload, signature = (_decoded(segment) for segment in segments)
    return _object(header), _object(payload), signature


def _decoded(segment: str) -> bytes:
    try:
        raw = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        _refuse("not base64url")
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != segment:
        _refuse("not canonical base64url")
    return raw


def _object(raw: bytes) -> dict[str, Any]:
    if raw.count(b"{") + raw.count(b"[") > _MOST_BRACKETS:  # a parser's own bound is another in each version of Python
        _refuse("nested too deep")
    value = json.loads(
        raw.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse, parse_float=_refuse
    )
    if not isinstance(value, dict):
        _refuse("not an object")
    json.dumps(value, ensure_ascii=False).encode()  # half a character (\ud800) is no text: a ValueError
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("a name is there twice")
    return members


def _key(header: Mapping[str, Any], keys: Mapping[str, Key], types: Collection[str | None]) -> Key:
    if "crit" in header:
        _refuse("crit is not understood")
    key = keys.get(_text(header, "kid"))
    if key is None:
        _refuse("no such key", "unknown_key")
    if header.get("alg") != key.algorithm or header.get("typ") not in types:
        _refuse("another algorithm or type", "algorithm")
    return key


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


def _refuse(why: str, fault: vocabulary.ProofFault = "malformed") -> NoReturn:
    raise InvalidToken(why, fault)
