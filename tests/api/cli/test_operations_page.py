"""What docs/operations.md has an operator type beside commands does what it says: Python, and statements that look."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa

import postoffice
from integrations.runtime.world import World
from service.kernel import actor
from service.people import logins

PAGE = (postoffice.ROOT / "docs" / "operations.md").read_text()


def blocks(kind: str) -> list[str]:
    """Give the page's blocks of this kind, without what indents them."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```$", PAGE, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


PYTHON = [
    text
    for block in blocks("sh")
    for text in re.findall(r"python - <<'END'\n(.*?)^END$", block, re.MULTILINE | re.DOTALL)
]
LOOKS = [text for text in blocks("sql") if text.startswith("SELECT")]


@pytest.fixture
async def made_key(world: World) -> World:
    """An installation that has signed already."""
    async with world.database.work(actor.TIMER) as w:
        await logins.make_signing_key(w)
    return world


@pytest.mark.races
@pytest.mark.slow
async def test_a_new_signing_key_is_made_as_the_page_says(made_key: World, tmp_path: Path) -> None:
    (text,) = PYTHON
    told = postoffice.environment(made_key, DATA_DIR=str(tmp_path)) | {"PATH": os.environ["PATH"]}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-", env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate(text.encode())
    assert (process.returncode, said) == (0, b"")
    async with made_key.database.work(actor.TIMER) as w:
        ended = list(
            (await w.sql(sa.text("SELECT retired_at IS NOT NULL FROM signing_key ORDER BY created_at"))).scalars()
        )
    assert sorted(ended) == [False, True]


@pytest.mark.parametrize("text", LOOKS, ids=lambda text: text.split()[1])
async def test_a_statement_of_the_page_finds_something(made_key: World, text: str) -> None:
    async with made_key.database.work(actor.TIMER) as w:
        assert (await w.sql(sa.text(text.replace(":", r"\:").rstrip().rstrip(";")))).all()


def test_the_page_has_them() -> None:
    assert (len(PYTHON), len(LOOKS)) == (1, 2)
