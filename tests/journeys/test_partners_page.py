"""The receivers of `docs/partners.md`, run as they stand there: they take what is ours, and nothing else (WH-03)."""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import postoffice
from integrations import http, webhooks
from integrations.settings import Settings
from service import events, outcomes

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "partners.md").read_text()
WITH_LIBRARY = ROOT / "tests" / "integrations" / "webhooks"
KEY, OTHER = base64.b64encode(bytes(range(32))).decode(), base64.b64encode(bytes(32)).decode()
BODY = '{"type":"offer.sent","timestamp":"2026-11-20T10:35:00Z","data":{"id":"the-offer","version":1,"links":{}}}'


def program(language: str) -> str:
    """The code under the heading of that language's receiver."""
    section = PAGE.split(f"### A receiver in {'Python' if language == 'python' else 'JavaScript'}")[1]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


@contextlib.asynccontextmanager
async def running(language: str, port: int) -> AsyncIterator["subprocess.Popen[str]"]:
    """Have the page's receiver run, and listen."""
    process = _started(language, port)
    try:
        await postoffice.until(lambda: _listens(port), 30)
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _started(language: str, port: int) -> "subprocess.Popen[str]":
    start = [sys.executable, "-c"] if language == "python" else ["node", "--input-type=module", "-e"]
    return subprocess.Popen(
        [*start, program(language)],
        cwd=WITH_LIBRARY,
        env=os.environ | {"WEBHOOK_SECRET": f"whsec_{KEY}", "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def sent(port: int, key: str) -> outcomes.Outcome:
    url = f"http://127.0.0.1:{port}/"
    async with http.client(Settings(outbound_allow=("127.0.0.1",))) as client:
        return await webhooks.post(client, url, "event-1", BODY, signature="v1", secrets=[key])


@pytest.mark.parametrize("language", ["python", "js"])
async def test_the_receiver_on_the_page_takes_what_is_signed_once_and_refuses_the_rest(language: str) -> None:
    if language == "js" and shutil.which("node") is None:
        pytest.skip("no node on this machine: the JavaScript receiver is left out")
    port = free_port()
    async with running(language, port) as process:
        found = [await sent(port, key) for key in (KEY, KEY, OTHER)]
        process.terminate()
        shown = process.stdout.read() if process.stdout else ""
    assert [outcome.status for outcome in found] == [204, 204, 400]
    assert shown.splitlines() == ["offer.sent the-offer"]


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_receiver_on_the_page_is_about_twenty_lines(language: str) -> None:
    assert len([line for line in program(language).splitlines() if line.strip()]) <= 22


def test_the_page_lists_every_event() -> None:
    listed = re.findall(r"`([a-z_]+\.[a-z_]+)`", PAGE.split("### The events")[1].split("###")[0])
    assert sorted(listed) == sorted(events.TYPES)


def test_wh_20_the_page_speaks_of_fixed_addresses_for_firewalls() -> None:
    assert "they are fixed" in PAGE
