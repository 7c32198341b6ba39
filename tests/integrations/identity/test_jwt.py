"""Tokens that prove nothing: each of these was accepted by python-jose alone, or broke it."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jose import jws

from integrations.identity import jwt

NOW = datetime(2026, 11, 16, 8, tzinfo=UTC)
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
OTHER_PEM = (
    ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


POINT = PRIVATE.public_key().public_numbers()
JWK = {"kty": "EC", "crv": "P-256", "x": b64(POINT.x.to_bytes(32)), "y": b64(POINT.y.to_bytes(32))}
KEYS = {"k1": JWK}
CLAIMS: dict[str, Any] = {
    "iss": "https://pobratym.example",
    "aud": "pobratym",
    "sub": "somebody",
    "jti": "one",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 900,
}
HEADER = {"alg": "ES256", "typ": jwt.ACCESS, "kid": "k1"}


def signed_bytes(header: str, payload: str) -> str:
    """A token with a good signature over exactly these texts."""
    start = f"{b64(header.encode())}.{b64(payload.encode())}"
    r, s = utils.decode_dss_signature(PRIVATE.sign(start.encode(), ec.ECDSA(SHA256())))
    return f"{start}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


def token(header: dict[str, Any] | None = None, **claims: object) -> str:
    """A token with a good signature; a claim that is None is left out."""
    payload = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return signed_bytes(json.dumps(header or HEADER), json.dumps(payload))


def verified(text: str, now: datetime = NOW, keys: dict[str, dict[str, str]] = KEYS) -> jwt.Claims:
    payload = jwt.signed(text, keys)
    return jwt.holding(payload, audience="pobratym", issuer="https://pobratym.example", now=now)


def test_a_token_that_we_signed_proves_its_claims() -> None:
    claims = verified(jwt.sign(CLAIMS, "k1", PEM))
    assert (claims.subject, claims.token_id) == ("somebody", "one")
    assert claims.expires_at == NOW + timedelta(minutes=15)


def test_a_second_implementation_reads_our_token() -> None:
    from joserfc import jwk  # noqa: PLC0415 - the oracle
    from joserfc import jwt as joserfc_jwt  # noqa: PLC0415 - the oracle

    found = joserfc_jwt.decode(jwt.sign(CLAIMS, "k1", PEM), jwk.ECKey.import_key(dict(JWK)), algorithms=["ES256"])
    assert found.claims == CLAIMS


def test_the_helper_of_these_tests_makes_tokens_that_hold() -> None:
    assert verified(token()).subject == "somebody"


@pytest.mark.parametrize("claim", ["exp", "iat", "aud", "iss", "sub", "jti"])
def test_a_token_without_a_required_claim_proves_nothing(claim: str) -> None:
    with pytest.raises(jwt.InvalidToken):
        verified(token(**{claim: None}))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": "1795248000"},
        {"exp": 1e400},
        {"exp": True},
        {"exp": CLAIMS["exp"] + 0.5},
        {"exp": 10**30},
        {"iat": -1},
        {"exp": CLAIMS["exp"] + 1},
        {"exp": CLAIMS["iat"]},
        {"iat": CLAIMS["iat"] + 60, "exp": CLAIMS["exp"] + 60},
        {"nbf": CLAIMS["iat"] + 60},
        {"nbf": "soon"},
        {"aud": ["pobratym"]},
        {"aud": "somebody-else"},
        {"iss": "https://elsewhere.example"},
        {"sub": 7},
        {"sub": ""},
        {"jti": 7},
    ],
    ids=lambda claims: ",".join(f"{name}={value!r}"[:40] for name, value in claims.items()),
)
def test_a_claim_that_is_wrong_proves_nothing(claims: dict[str, Any]) -> None:
    with pytest.raises(jwt.InvalidToken):
        verified(token(**claims))


@pytest.mark.parametrize(
    "header",
    [
        HEADER | {"alg": "none"},
        HEADER | {"alg": "HS256"},
        HEADER | {"alg": "ES384"},
        HEADER | {"alg": None},
        HEADER | {"typ": "JWT"},
        HEADER | {"typ": "feed+jwt"},
        {"alg": "ES256", "kid": "k1"},
        HEADER | {"kid": "k2"},
        HEADER | {"kid": ["k1"]},
        HEADER | {"kid": "../../k1"},
        {"alg": "ES256", "typ": jwt.ACCESS},
        HEADER | {"crit": ["exp"]},
        HEADER | {"crit": []},
    ],
    ids=lambda header: json.dumps(header)[:60],
)
def test_a_header_that_is_wrong_proves_nothing(header: dict[str, Any]) -> None:
    with pytest.raises(jwt.InvalidToken):
        verified(token(header))


def test_a_key_that_the_header_brings_along_is_not_read() -> None:
    header = HEADER | {"jwk": JWK, "jku": "https://elsewhere.example/jwks.json", "x5u": "https://elsewhere.example"}
    assert verified(token(header)).subject == "somebody"
    with pytest.raises(jwt.InvalidToken):
        verified(token(header), keys={})


def test_another_key_of_the_same_kind_does_not_fit() -> None:
    with pytest.raises(jwt.InvalidToken):
        verified(jwt.sign(CLAIMS, "k1", OTHER_PEM))


@pytest.mark.parametrize("form", [Encoding.DER, Encoding.PEM])
def test_the_public_key_is_no_hmac_secret(form: Encoding) -> None:
    secret = PRIVATE.public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
    start = f"{b64(json.dumps(HEADER | {'alg': 'HS256'}).encode())}.{b64(json.dumps(CLAIMS).encode())}"
    import hashlib  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    forged = f"{start}.{b64(hmac.digest(secret, start.encode(), hashlib.sha256))}"
    with pytest.raises(jwt.InvalidToken):
        verified(forged)


def test_an_unsigned_token_proves_nothing() -> None:
    start = f"{b64(json.dumps(HEADER | {'alg': 'none'}).encode())}.{b64(json.dumps(CLAIMS).encode())}"
    with pytest.raises(jwt.InvalidToken):
        verified(f"{start}.")


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(CLAIMS)[:-1] + ', "sub": "admin"}',
        json.dumps(CLAIMS)[:-1] + ', "exp": NaN}',
        json.dumps(CLAIMS | {"exp": 0}).replace('"exp": 0', '"exp": Infinity'),
        json.dumps(CLAIMS)[:-1] + ', "deep": ' + "[" * 3000 + "]" * 3000 + "}",
        "[]",
        '"text"',
        "null",
        "{",
        "",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
    ids=["twin", "nan", "infinity", "deep", "list", "text", "null", "open", "empty", "surrogate"],
)
def test_a_payload_that_is_no_plain_object_proves_nothing(payload: str) -> None:
    with pytest.raises(jwt.InvalidToken):
        verified(signed_bytes(json.dumps(HEADER), payload))


def test_a_twin_in_the_header_proves_nothing() -> None:
    with pytest.raises(jwt.InvalidToken):
        verified(signed_bytes(json.dumps(HEADER)[:-1] + ', "alg": "ES256"}', json.dumps(CLAIMS)))


def _last_bits(text: str) -> str:
    """The same bytes, written with other unused bits at the end of the signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


@pytest.mark.parametrize(
    "spoil",
    [
        _last_bits,
        lambda text: text + "=",
        lambda text: text + "==",
        lambda text: text + " ",
        lambda text: " " + text,
        lambda text: text.replace(".", "\n.", 1),
        lambda text: text + ".",
        lambda text: text.rsplit(".", 1)[0],
        lambda text: text.rsplit(".", 1)[0] + ".",
        lambda text: text + "A" * 8192,
        lambda text: text[:-4],
        lambda text: "é" + text,
        lambda text: text + "\x00",
        lambda _: "",
        lambda _: "..",
        lambda _: ". . .",
        lambda _: "\ud800",
    ],
)
def test_bytes_that_are_not_canonical_prove_nothing(spoil: Callable[[str], str]) -> None:
    with pytest.raises(jwt.InvalidToken):
        verified(spoil(token()))


def test_every_flipped_bit_of_the_signature_is_noticed() -> None:
    start, signature = token().rsplit(".", 1)
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    for place in range(0, len(raw), 7):
        raw[place] ^= 1
        with pytest.raises(jwt.InvalidToken):
            verified(f"{start}.{b64(bytes(raw))}")
        raw[place] ^= 1


def test_a_signature_in_der_is_not_taken() -> None:
    start = token().rsplit(".", 1)[0]
    der = PRIVATE.sign(start.encode(), ec.ECDSA(SHA256()))
    with pytest.raises(jwt.InvalidToken):
        verified(f"{start}.{b64(der)}")


def test_a_token_ends_at_its_expiry_by_the_clock_it_is_given() -> None:
    text = jwt.sign(CLAIMS, "k1", PEM)
    assert verified(text, NOW + timedelta(seconds=899)).subject == "somebody"
    with pytest.raises(jwt.InvalidToken):
        verified(text, NOW + timedelta(seconds=900))


def test_a_token_from_the_future_proves_nothing_yet() -> None:
    with pytest.raises(jwt.InvalidToken):
        verified(jwt.sign(CLAIMS, "k1", PEM), NOW - timedelta(seconds=30))


def test_what_python_jose_alone_would_accept_is_refused_here() -> None:
    """The control: without the wrapper these do pass, so the tests above test something."""
    lax = token(exp=None, aud=None)
    assert jws.verify(lax, JWK, algorithms=["ES256"])
    with pytest.raises(jwt.InvalidToken):
        verified(lax)
