"""A message for one browser, which only that browser reads: Message Encryption for Web Push (RFC 8291).

Its one record is encrypted with aes128gcm (RFC 8188), under a key that both sides agree on by elliptic curves. All
messages are padded to one length, so that nobody between us and the browser tells kinds of news by how long they are.
Tests have http_ece decrypt it, which knows nothing of this.
"""

import base64
import binascii
import hmac

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.kernel import clock

MOST_BYTES = 1_024
"""Of a message before it is padded to this; push services take 4,096 with all that is around it."""
_RECORD_BYTES = 4_096
_SALT_BYTES, _KEY_BYTES, _NONCE_BYTES, _SECRET_BYTES, _AUTH_BYTES = 16, 16, 12, 32, 16
_POINT_BYTES = 65
_LAST_RECORD = b"\x02"


class BadKey(ValueError):
    """This is no key that a browser gives."""


def public_key(p256dh: str) -> ec.EllipticCurvePublicKey:
    """Read a browser's public key, a point of P-256 in base64url; raises BadKey."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(p256dh, _POINT_BYTES))
    except ValueError as error:
        raise BadKey from error


def auth_secret(auth: str) -> bytes:
    """Read the secret that a browser shares with us, 16 bytes in base64url; raises BadKey."""
    return _bytes(auth, _AUTH_BYTES)


def encrypted(content: bytes, p256dh: str, auth: str) -> bytes:
    """Give the body that is posted, of MOST_BYTES at most; raises BadKey, and ValueError for a longer one."""
    theirs, secret = public_key(p256dh), auth_secret(auth)
    ours = ec.generate_private_key(ec.SECP256R1())  # for this message only
    our_point, their_point = _point(ours.public_key()), _point(theirs)
    agreed = _derived(
        ours.exchange(ec.ECDH(), theirs), secret, b"WebPush: info\0" + their_point + our_point, _SECRET_BYTES
    )
    salt = clock.random_bytes(_SALT_BYTES)
    key = _derived(agreed, salt, b"Content-Encoding: aes128gcm\0", _KEY_BYTES)
    nonce = _derived(agreed, salt, b"Content-Encoding: nonce\0", _NONCE_BYTES)
    padded = content + _LAST_RECORD + bytes(MOST_BYTES - len(content))
    head = salt + _RECORD_BYTES.to_bytes(4) + bytes([len(our_point)]) + our_point
    return head + AESGCM(key).encrypt(nonce, padded, b"")


def _derived(secret: bytes, salt: bytes, about: bytes, length: int) -> bytes:
    """Derive a key of at most 32 bytes (HKDF with SHA-256, RFC 5869: one block of it)."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), about + b"\x01", "sha256")[:length]


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def _bytes(text: str, length: int) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise BadKey from error
    if len(raw) != length:
        raise BadKey
    return raw
