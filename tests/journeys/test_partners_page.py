"""What `docs/partners.md` has, run as it stands there.

The receivers take what is ours, and nothing else (WH-03); the lines for a terminal get a system its token.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

import postoffice
from integrations import outbound_http
from integrations.runtime.settings import Settings
from integrations.webhooks import sending
from service import vocabulary
from service.kernel import outcomes

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "partners.md").read_text()
WITH_LIBRARY = ROOT / "tests" / "integrations" / "webhooks"
KEY, OTHER = base64.b64encode(bytes(range(32))).decode(), base64.b64encode(bytes(32)).decode()
BODY = '{"type":"offer.sent","timestamp":"2026-11-20T10:35:00Z","data":{"id":"the-offer","version":1,"links":{}}}'
STATED = "http://127.0.0.1:8000"
BETWEEN = "\n--- the next section\n"


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
        await postoffice.until(lambda: _listens(port))
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
    async with outbound_http.client(Settings(outbound_allow=("127.0.0.1",))) as client:
        return await sending.post(client, url, "event-1", BODY, signature="v1", secrets=[key])


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
    assert sorted(listed) == sorted(vocabulary.EVENT_TYPES)


def test_wh_20_the_page_speaks_of_fixed_addresses_for_firewalls() -> None:
    assert "they are fixed" in PAGE


# --- credentials -------------------------------------------------------------------------------------------------


def section(heading: str) -> str:
    return PAGE.partition(f"### {heading}\n")[2].partition("\n### ")[0]


def shell(heading: str) -> str:
    """All lines of the section that are for a terminal."""
    return "".join(re.findall(r"```sh\n(.*?)```", section(heading), re.DOTALL))


def saved(heading: str) -> dict[str, str]:
    """The programs that the section has its reader save, by the name before each."""
    found = {}
    before, *blocks = section(heading).split("```python\n")
    for block in blocks:
        name = re.findall(r"`(\w+\.py)`", before)[-1]
        found[name], _, before = block.partition("```")
    return found


@contextlib.contextmanager
def demo(folder: Path) -> Iterator[str]:
    """Have the demo's people served, in a folder that has a `.venv` as ours has."""
    (folder / ".venv").symlink_to(sys.prefix)
    program = [sys.executable, "-c", "from api.cli.main import main; main()"]
    subprocess.run([*program, "demo", "--data-only"], env=environment(folder), check=True)
    port = free_port()
    with subprocess.Popen([*program, "serve", "--port", str(port)], env=environment(folder)) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"POBRATYM_DATA_DIR": str(folder / "data"), "POBRATYM_LOG_LEVEL": "error"}


def wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).is_success:
                return
        assert server.poll() is None
        time.sleep(0.2)
    raise TimeoutError


def mentors(said: str) -> set[str]:
    """Name the mentors of the last answer; answers end in no line of their own."""
    return {mentor["display_name"] for mentor in json.loads(said[said.rindex('{"items"') :])["items"]}


@pytest.mark.drill
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="no curl or no bash on this machine")
def test_the_lines_on_the_page_get_a_token_by_secret_and_by_private_key_and_use_it(tmp_path: Path) -> None:
    for name, text in saved("With a private key").items():
        (tmp_path / name).write_text(text)
    script = f"printf '{BETWEEN}'\n".join(shell(heading) for heading in ("With a secret", "With a private key"))
    with demo(tmp_path) as base:
        told = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace(STATED, base)],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    assert told.returncode == 0, told.stderr
    by_secret, by_key = told.stdout.split(BETWEEN)
    for said in (by_secret, by_key):
        assert "Mentor in paediatrics, Lille" in mentors(said)
    assert '"token_endpoint_auth_method":"private_key_jwt"' in by_key
    assert (tmp_path / "client.pem").stat().st_mode & 0o077 == 0
