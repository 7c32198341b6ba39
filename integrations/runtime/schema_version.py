"""Which version the database's schema has, and whether this program works on it.

Read without Alembic, which only `migrate` needs: it would cost every start a tenth of a second and nine megabytes. A
version is the name of its file, and each names the one before it.
"""

import functools
import re
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

FOLDER = Path(__file__).resolve().parents[2] / "migrations"
_DATED = re.compile(r"(\d{4}_\d\d_\d\d)_\w+")
_BEFORE = re.compile(r"""^down_revision = ["'](\w+)["']$""", re.MULTILINE)
_HAS_VERSIONS = sa.text("SELECT to_regclass('alembic_version') IS NOT NULL")
_VERSION = sa.text("SELECT version_num FROM alembic_version")


async def present(engine: AsyncEngine) -> str | None:
    """Tell the database's version; None when nothing was ever migrated."""
    async with engine.connect() as connection:
        if not (await connection.execute(_HAS_VERSIONS)).scalar_one():
            return None
        version: str | None = (await connection.execute(_VERSION)).scalar_one_or_none()
        return version


def serves(version: str | None) -> bool:
    """Tell whether this program works on a database of that version: its own, or one of a newer program."""
    return version == head() or is_newer(version)


def is_newer(version: str | None) -> bool:
    """Tell whether only a newer program knows that version: it added what we ignore and dropped what we do not use.

    A version is dated by its name; one that is unknown and older is no version of ours.
    """
    dated = _DATED.fullmatch(version or "")
    return dated is not None and version not in _known() and dated[1] >= head()[: len(dated[1])]


@functools.cache
def head(folder: Path = FOLDER) -> str:
    """Give the newest version in the folder, which no other one follows: by default, the one this program needs."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in _files(folder)}
    (newest,) = texts.keys() - {before for text in texts.values() for before in _BEFORE.findall(text)}
    return newest


@functools.cache
def _known() -> frozenset[str]:
    return frozenset(path.stem for path in _files(FOLDER))


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / "versions").glob("*.py") if _DATED.fullmatch(path.stem)]
