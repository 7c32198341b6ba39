"""The hash chain of a memorandum's log (invariant L1): whoever changes an entry breaks every hash after it."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GENESIS = "0" * 64
_MAX_INTEGER = 2**53 - 1
_HASH = re.compile(r"[0-9a-f]{64}")
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode
_LITERALS = {None: "null", True: "true", False: "false"}


class NotCanonical(ValueError):
    """The value has no canonical form here."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it is stored."""

    id: str
    body: Mapping[str, object]
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ended at some time: how many entries it had, and the hash of the last one."""

    position: int
    hash: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of following a chain: how many entries are intact, the last good hash, and the first broken entry.

    `first_broken` is the entry's id, `head` when the chain does not end where it should, or `anchor` when it does not
    pass through the head that was written down elsewhere.
    """

    ok: bool
    entries: int
    head: str
    first_broken: str | None = None


def canonical(value: object) -> str:
    """Write the value as RFC 8785 does: keys in the order of UTF-16, no spaces.

    Fractions are refused, because implementations write them differently; so are integers beyond 2^53.
    """
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return _LITERALS[value]
    if isinstance(value, int) and abs(value) <= _MAX_INTEGER:
        return str(int(value))
    if isinstance(value, Mapping):
        return "{" + ",".join([f"{_text(key)}:{canonical(value[key])}" for key in _ordered(value)]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([canonical(inner) for inner in value]) + "]"
    message = f"a value of {type(value).__name__} has no canonical form here"
    raise NotCanonical(message)


def _ordered(members: Mapping[Any, object]) -> list[str]:
    texts = [key for key in members if isinstance(key, str)]
    if len(texts) < len(members):
        message = "a key is not a string"
        raise NotCanonical(message)
    return sorted(texts) if all(map(str.isascii, texts)) else sorted(texts, key=_utf16)


def _text(value: str) -> str:
    if not value.isascii():
        _utf16(value)
    return _ENCODE(str(value))


def _utf16(value: str) -> bytes:
    try:
        return value.encode("utf-16-be")
    except UnicodeEncodeError:
        message = "a lone surrogate has no canonical form"
        raise NotCanonical(message) from None


def entry_hash(previous: str, body: Mapping[str, object]) -> str:
    """Give the SHA-256, in hex, of the previous entry's hash and this entry; the first one follows GENESIS."""
    if not _HASH.fullmatch(previous):
        message = "the previous hash is not 64 hex digits"
        raise NotCanonical(message)
    return hashlib.sha256((previous + canonical(body)).encode()).hexdigest()


def verify(entries: Iterable[Entry], *, end: Head | None = None, anchor: Head | None = None) -> Verification:
    """Follow the chain from GENESIS, in order, and stop at the first entry that does not fit.

    It must end at `end` and pass through `anchor`, if they are given.
    """
    head, good = GENESIS, 0
    is_anchored = anchor is None or anchor == Head(good, head)
    for entry in entries:
        if entry.previous_hash != head or entry.hash != _hash_or_none(head, entry.body):
            return Verification(ok=False, entries=good, head=head, first_broken=entry.id)
        head, good = entry.hash, good + 1
        is_anchored = is_anchored or anchor == Head(good, head)
    if end is not None and end != Head(good, head):
        return Verification(ok=False, entries=good, head=head, first_broken="head")
    if not is_anchored:
        return Verification(ok=False, entries=good, head=head, first_broken="anchor")
    return Verification(ok=True, entries=good, head=head)


def _hash_or_none(previous: str, body: Mapping[str, object]) -> str | None:
    try:
        return entry_hash(previous, body)
    except NotCanonical:
        return None
