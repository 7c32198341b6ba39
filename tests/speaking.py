"""What a program says to people in one of its languages. Run in its folder, it prints that as JSON.

Its arguments are the language, the address of an empty database, and a folder for data.
"""

import asyncio
import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pypdfium2
from sqlalchemy import make_url

import world as simulated
from api import app
from integrations.documents import certificates, journal_tables, report_pages
from integrations.mail import letters
from integrations.runtime import logs, migrate, settings
from pages.scene import Scene
from service.reporting.certificates import Certificate
from service.reporting.reports import Report, Titles
from service.rules.figures.figures import Figure

NAMES = {"en": "Neonatology", "uk": "Неонатологія"}
DAY = date(2026, 11, 2)
FIGURES = ("sessions", "written_advices", "minutes", "hours_to_answer", "areas", "partner_countries")


def mail(locale: str, number: int) -> str:
    values = {"specialty": NAMES, "priority": "urgent", "reason": "busy", "answer_by": "2026-11-16T08:00:00Z"}
    asked = {"declined": number}
    letter = letters.write("unmatched", locale, "Camille", values | {"asked": asked}, {"view": "https://here.example/"})
    return f"{letter.subject}\n{letter.plain}"


def report(locale: str) -> str:
    figures = tuple(Figure(name, 3, "number", "") for name in FIGURES)
    made_at = datetime(2026, 11, 3, tzinfo=UTC)
    made = Report("programme", UUID(int=1), DAY, date(2026, 11, 4), "UTC", made_at, made_at, None, figures)
    return text_of(report_pages.document(made, Titles(NAMES, {}, None), locale).read())


def certificate(locale: str) -> str:
    one = Certificate(
        session_id=UUID(int=1), person_id=UUID(int=2), name="Somebody", role="mentor", on=DAY, mode="live", minutes=20,
        topic=(NAMES["en"], NAMES["uk"]), programme=("Programme", "Програма"), code="", is_replaced=False,
    )  # fmt: skip
    return text_of(certificates.one(one, locale, "https://here.example/certificates"))


def text_of(document: bytes) -> str:
    return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(document))


async def pages(locale: str, address: str, data_dir: str) -> tuple[str, str, str]:
    """Give a stranger's first page, the form of a clinician and the profile of a mentor whose language this is."""
    here = settings.Settings(data_dir=Path(data_dir))
    engine = simulated.engine(here, make_url(address))
    await migrate.upgrade(engine)
    clock = simulated.TestClock()
    scene = Scene(simulated.made(here, engine, clock), clock)
    await scene.set_up()
    await scene.rows("UPDATE person SET locale = :locale RETURNING 1", locale=locale)
    async with (
        scene.browser() as stranger,
        scene.browser(scene.clinician) as clinician,
        scene.browser(scene.mentor) as mentor,
    ):
        first = await stranger.get("/", headers={"Accept-Language": locale})
        form = await clinician.get("/consultations/new")
        profile = await mentor.get("/profile")
    await engine.dispose()
    return first.text, form.text, profile.text


async def main(locale: str, address: str, data_dir: str) -> None:
    logs.configure("critical")
    first, form, profile = await pages(locale, address, data_dir)
    shape: dict[str, Any] = app.create().openapi()["components"]["schemas"]["NewPerson"]["properties"]["locale"]
    row = {"specialty_en": NAMES["en"], "specialty_uk": NAMES["uk"], "outcome": "referred"}
    said = {
        "mails": [mail(locale, number) for number in (1, 2, 5)],
        "first page": first,
        "form": form,
        "profile": profile,
        "report": report(locale),
        "certificate": certificate(locale),
        "journal": [
            journal_tables.head([*row][2:], locale),
            *journal_tables.rows([row], ["specialty", "outcome"], locale, "UTC"),
        ],
        "languages of the API": shape["enum"],
    }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
