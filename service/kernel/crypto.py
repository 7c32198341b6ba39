"""Encryption of case text in the database, and the tokens in links.

The caller passes the keys, each with a name. The first one encrypts and every one decrypts, so keys are rotated without
a pause (invariant D2). The cipher is AES-256-GCM with the row's id as associated data, so a value that is copied to
another row does not open.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.kernel import clock

KEY_BYTES = 32
_NONCE = 12
_MAC = 20


def public_key(private: bytes) -> bytes:
    """Give the public half of an ed25519 key."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


class CannotDecrypt(Exception):
    """No key at hand opens this text for this row."""


class Keys:
    """The secret keys of this installation by id, in order: the first one encrypts."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take 32-byte keys; ids are at most 255 bytes."""
        if not keys or any(len(key) != KEY_BYTES for key in keys.values()):
            msg = "at least one secret key of 32 bytes is needed"
            raise ValueError(msg)
        self._keys = dict(keys)
        self._link_keys = [hmac.digest(key, b"pobratym links", "sha256") for key in keys.values()]
        self._field_keys = {name: AESGCM(hmac.digest(key, b"pobratym fields", "sha256")) for name, key in keys.items()}

    def encrypt(self, text: str, row_id: UUID) -> bytes:
        """Give key id, nonce and ciphertext as one value, bound to the row."""
        name = next(iter(self._keys)).encode()
        nonce = clock.random_bytes(_NONCE)
        sealed = self._field_keys[name.decode()].encrypt(nonce, text.encode(), row_id.bytes)
        return bytes([len(name)]) + name + nonce + sealed

    def decrypt(self, value: bytes, row_id: UUID) -> str:
        """Give the text back; raises CannotDecrypt for another row's value or a key that was removed."""
        name, rest = value[1 : 1 + value[0]].decode(), value[1 + value[0] :]
        if name not in self._field_keys:
            raise CannotDecrypt
        try:
            return self._field_keys[name].decrypt(rest[:_NONCE], rest[_NONCE:], row_id.bytes).decode()
        except InvalidTag as error:
            raise CannotDecrypt from error

    def link_token(self, row_id: UUID, purpose: str) -> str:
        """Derive the token of a link: no row holds it (invariant M3)."""
        return base64.urlsafe_b64encode(row_id.bytes + self._mac(self._link_keys[0], row_id, purpose)).decode()

    def link_row(self, token: str, *purposes: str) -> tuple[UUID, str] | None:
        """Tell which row and purpose a token was derived for, under any of the keys; None when it is not ours."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError, ValueError):
            return None
        if len(raw) != 16 + _MAC:
            return None
        row_id, mac = UUID(bytes=raw[:16]), raw[16:]
        for purpose in purposes:
            for key in self._link_keys:
                if hmac.compare_digest(mac, self._mac(key, row_id, purpose)):
                    return row_id, purpose
        return None

    def proof(self, row_id: UUID, purpose: str, length: int) -> bytes:
        """Give bytes, 20 at most, that only a holder of the keys can make for this row and purpose."""
        return self._mac(self._link_keys[0], row_id, purpose)[:length]

    def proves(self, proof: bytes, row_id: UUID, purpose: str) -> bool:
        """Tell whether the bytes were made for this row and purpose, under any of the keys."""
        return any(hmac.compare_digest(proof, self._mac(key, row_id, purpose)[: len(proof)]) for key in self._link_keys)

    @staticmethod
    def _mac(key: bytes, row_id: UUID, purpose: str) -> bytes:
        return hmac.digest(key, row_id.bytes + b"\0" + purpose.encode(), hashlib.sha256)[:_MAC]
