"""Private keys of partner systems, their public sets, and assertions made with them."""

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

from service.kernel import clock

AUDIENCE = "http://127.0.0.1:8000/oauth2/token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
HASHES: dict[str, HashAlgorithm] = {"256": SHA256(), "384": SHA384()}
CURVES: dict[str, tuple[ec.EllipticCurve, str, int]] = {
    "ES256": (ec.SECP256R1(), "P-256", 32),
    "ES384": (ec.SECP384R1(), "P-384", 48),
}
_RSA = rsa.generate_private_key(65537, 2048)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Key:
    """A private key for one algorithm, with its name."""

    def __init__(self, kid: str = "k1", algorithm: str = "ES384") -> None:
        self.kid, self.algorithm = kid, algorithm
        self.private = ec.generate_private_key(CURVES[algorithm][0]) if algorithm in CURVES else _RSA

    @property
    def jwk(self) -> dict[str, str]:
        """The public key, as a partner publishes it."""
        named = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            point, (_, crv, size) = self.private.public_key().public_numbers(), CURVES[self.algorithm]
            return named | {"kty": "EC", "crv": crv, "x": b64(point.x.to_bytes(size)), "y": b64(point.y.to_bytes(size))}
        numbers = self.private.public_key().public_numbers()
        return named | {"kty": "RSA", "n": b64(numbers.n.to_bytes(256)), "e": b64(numbers.e.to_bytes(3))}

    def signature(self, text: bytes) -> bytes:
        """Sign as RFC 7518 has it."""
        digest = HASHES[self.algorithm[2:]]
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            r, s = utils.decode_dss_signature(self.private.sign(text, ec.ECDSA(digest)))
            size = CURVES[self.algorithm][2]
            return r.to_bytes(size) + s.to_bytes(size)
        return self.private.sign(text, padding.PKCS1v15(), digest)

    def jws(self, header: str, payload: str) -> str:
        """Sign exactly these texts."""
        start = f"{b64(header.encode())}.{b64(payload.encode())}"
        return f"{start}.{b64(self.signature(start.encode()))}"


def header(key: Key, **members: object) -> dict[str, Any]:
    """The header of an assertion; a member that is None is left out."""
    named = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"} | members
    return {name: value for name, value in named.items() if value is not None}


def claims(client_id: str, **members: object) -> dict[str, Any]:
    """The claims of an assertion that lives four minutes by the system's clock; one that is None is left out."""
    usual = {
        "iss": client_id,
        "sub": client_id,
        "aud": AUDIENCE,
        "jti": str(clock.new_id()),
        "iat": int(time.time()),
        "exp": int(time.time()) + 240,
    }
    return {name: value for name, value in (usual | members).items() if value is not None}


def assertion(key: Key, client_id: str, **members: object) -> str:
    """An assertion that holds, but for the claims that are named."""
    return key.jws(json.dumps(header(key)), json.dumps(claims(client_id, **members)))


def keyset(*keys: Key) -> dict[str, Any]:
    return {"keys": [key.jwk for key in keys]}
