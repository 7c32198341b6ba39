"""Drills run on real processes and real disks."""

import gc
import tempfile
import time
from asyncio import events
from collections.abc import Iterator
from pathlib import Path

import pytest

from drills.looping import Loop


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory that PostgreSQL's own user can enter."""
    with tempfile.TemporaryDirectory(prefix="pobratym-drill-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """Measure every callback that asyncio's own loop runs; the collector of garbage counts apart."""
    measured, run = Loop(), events.Handle._run

    def timed(handle: events.Handle) -> None:
        began = time.thread_time()
        run(handle)
        measured.note(time.thread_time() - began)

    monkeypatch.setattr(events.Handle, "_run", timed)
    gc.collect()
    gc.freeze()
    yield measured
    gc.unfreeze()
