"""A third language is one catalogue, one entry, and the version of the schema that takes it."""

import asyncio
import json
import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from babel.messages import pofile
from babel.messages.catalog import Catalog
from sqlalchemy import URL

import newer
import world as simulated
from integrations import catalogues
from postoffice import ROOT

pytestmark = pytest.mark.slow

LACKING = "mail", "closing"


def polish() -> bytes:
    """Word everything but one thing, each word by a mark before the English one; of a number, each form by its own."""
    english = pofile.read_po(BytesIO((catalogues.FOLDER / "en.po").read_bytes()))
    made = Catalog(locale="pl_PL")
    for each in english:
        if isinstance(each.id, str) and isinstance(each.string, str):
            said = "" if (each.context, each.id) == LACKING else f"Ż {each.string}"
            made.add(each.id, said, context=each.context)
        elif each.string:
            made.add(each.id, tuple(f"Ż{form} {each.string[-1]}" for form in range(3)), context=each.context)
    written = BytesIO()
    pofile.write_po(written, made)
    return written.getvalue()


def speak(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    there = os.environ | {"PYTHONPATH": f"{folder}:{ROOT / 'tests'}"}
    command = [sys.executable, str(ROOT / "tests" / "speaking.py"), *arguments]
    return subprocess.run(command, cwd=folder, env=there, capture_output=True, text=True, check=False)


@pytest.fixture
async def said(server_url: URL, tmp_path: Path) -> dict[str, Any]:
    program = newer.Program(tmp_path)
    program.speak("pl", polish())
    async with simulated.database(server_url, "pobratym_polish") as url:
        address = url.render_as_string(hide_password=False)
        ran = await asyncio.to_thread(speak, tmp_path, "pl", address, str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


async def test_a_third_language_is_spoken_everywhere_and_what_it_lacks_is_said_in_english(said: dict[str, Any]) -> None:
    assert "pl" in said["languages of the API"]

    for form, mail in enumerate(said["mails"]):
        assert "Ż Nobody left to ask: Neonatology, Ż urgent\nŻ Dear Camille," in mail
        assert f"Ż{form} {(1, 2, 5)[form]} mentors were asked" in mail
        assert re.search(r"Ż Please answer by: poniedziałek, 16 listopada 2026", mail)
        assert "\nPobratym schedules and logs consultations" in mail

    assert '<html lang="pl">' in said["first page"]
    assert "<h1>Ż Advice between partner hospitals</h1>" in said["first page"]
    assert "<h1>Ż What is your question?</h1>" in said["form"]
    assert ">francuski</label>" in said["profile"]
    assert '"Paediatrics"' in said["form"]

    assert "Ż Report of the programme" in said["report"]
    assert "Neonatology" in said["report"]
    assert "2 listopada 2026" in said["report"]
    assert "Ż Certificate of attendance" in said["certificate"]
    assert "0,33 h (20 min)" in said["certificate"]
    assert said["journal"] == [["Ż Result"], ["Neonatology", "Ż referred"]]
