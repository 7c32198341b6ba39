"""Drills run on real processes and real disks."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data directory that PostgreSQL's own user can enter."""
    with tempfile.TemporaryDirectory(prefix="pobratym-drill-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
