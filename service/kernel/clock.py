"""The only module that reads the time, draws random bytes and makes ids.

`now()` is the domain's time and may be simulated (invariant T5). `wall()` is always the system's time, for what other
parties check: timestamps of webhooks, client assertions, Date headers.
"""

import os
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)


class Clock(Protocol):
    """A source of the domain's time."""

    def now(self) -> datetime:
        """Tell the domain's instant, in UTC."""
        ...


def wall() -> datetime:
    """Tell the system's instant, in UTC, whatever the domain's clock says."""
    return datetime.now(UTC)


class SystemClock:
    """The domain's time is the system's."""

    def now(self) -> datetime:
        """Tell the instant, in UTC."""
        return wall()


class ManualClock:
    """The system's time plus the seconds in a file that all processes of one data directory share."""

    def __init__(self, path: Path) -> None:
        """Read the offset from `path` each time the clock is read; a missing file means no offset."""
        self._path = path

    def now(self) -> datetime:
        """Tell the shifted instant, in UTC."""
        try:
            offset = float(self._path.read_text())
        except (FileNotFoundError, ValueError):
            offset = 0.0
        return wall() + timedelta(seconds=offset)

    def set(self, instant: datetime | None) -> None:
        """Set the domain's time to `instant` in every process; None returns to the system's time."""
        offset = (instant - wall()).total_seconds() if instant else 0.0
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(repr(offset))
        temporary.replace(self._path)


def new_id() -> UUID:
    """Make a UUIDv7 (RFC 9562 §5.7) of the system's time, so that ids grow whatever the domain's clock says.

    The twelve bits behind the version are the fraction of the millisecond (RFC 9562 §6.2, method 3), so that ids of one
    transaction stay in the order in which they were made.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    value = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (rest << 12) // 1_000_000 << 64
    return UUID(int=value | 0b10 << 62 | secrets.randbits(62))


def least_id(at: datetime) -> UUID:
    """Give the least of the ids that `new_id` makes from this instant on."""
    return UUID(int=(int(at.timestamp() * 1000) << 80) | 0x7 << 76 | 0b10 << 62)


def own_id(text: str | None) -> str | None:
    """Give the text if it has the form of our ids: what others chose themselves is not passed on to third parties."""
    return text if text and _ID.fullmatch(text) else None


def jitter() -> float:
    """Draw a number in [0, 1)."""
    return secrets.randbelow(1 << 30) / (1 << 30)


def random_bytes(count: int) -> bytes:
    """Draw bytes that nobody can guess."""
    return secrets.token_bytes(count)


def monotonic() -> float:
    """Read a stopwatch, in seconds: for durations only."""
    return time.perf_counter()
