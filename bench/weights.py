"""G11: what each page of a clinician and a mentor weighs, asks and takes, beside the API calls that it stands for."""

import asyncio
import gzip
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import sqlalchemy as sa

from api import app
from bench import history, live
from bench.scratch import Site, Wanted
from bench.table import Line, at_most, ms

HEAVIEST = 10_000
_TWICE = 2
_SLACK = 2
"""Statements that every page has beside those of its calls: who looks, and the transaction of what is read."""
_WHY = "A page is words around rows: what it takes beyond its calls is the making of its text."


async def lines(site: Site, rounds: int) -> list[Line]:
    """Measure each page in turns with its calls."""
    found: list[Line] = []
    for name, who, path, calls in await _pages(site):
        token = await site.token_of(history.uid(who))
        page: Wanted = ("GET", path, await site.cookie(history.email(who)), None)
        asked: list[Wanted] = [("GET", call, token, None) for call in calls]
        took, *each = await live.in_turns(site, 4 * rounds, (page, 2), *[(call, 2) for call in asked])
        of_page, *of_calls = await _statements(site, [page, *asked])
        size = await asyncio.to_thread(_bytes, site, page)
        fits = size <= HEAVIEST
        limit = _TWICE * sum(of_calls) + _SLACK
        found += [
            Line(f"G11 {name}: bytes, compressed", f"{size:,}", "", None, f"<= {HEAVIEST:,}", fits),
            Line(f"G11 {name}: statements", str(of_page), str(sum(of_calls)), None, f"<= {limit}", of_page <= limit),
            at_most(f"G11 {name}: time", ms(took), ms(sum(each)), took / sum(each), _TWICE, _WHY),
        ]
    return found


async def _pages(site: Site) -> list[tuple[str, str, str, Sequence[str]]]:
    """Name each page, who looks, its address, and the calls of the API that give what it shows."""
    connection = await asyncpg.connect(site.dsn)
    clinician, mentor = "clinician 1", "mentor 1"
    case = await connection.fetchval(_NEWEST.format("consultation", "clinician"), history.uid(clinician))
    offer = await connection.fetchrow(_WAITING, history.uid(mentor))
    await connection.close()
    if offer is None:
        raise LookupError(mentor)
    own = f"/v1/mentors/{history.uid(mentor)}"
    soon, late = site.now + timedelta(hours=1), site.now + timedelta(days=7)
    slots = f"{own}/slots?from={soon:%Y-%m-%dT%H:%M:%SZ}&until={late:%Y-%m-%dT%H:%M:%SZ}&minutes=30"
    home = ("/v1/me/worklist", "/v1/appointments", "/v1/consultations")
    of_offer = (f"/v1/offers/{offer['id']}", f"/v1/consultations/{offer['consultation_id']}")
    return [
        ("home of a clinician", clinician, "/", home),
        ("home of a mentor", mentor, "/", (*home, "/v1/offers")),
        (
            "a case",
            clinician,
            f"/consultations/{case}",
            (f"/v1/consultations/{case}", "/v1/offers", "/v1/appointments"),
        ),
        ("an offer", mentor, f"/offers/{offer['id']}", of_offer),
        ("a counter's week", mentor, f"/offers/{offer['id']}/counter", (of_offer[0], slots)),
        ("my hours", mentor, "/hours", (f"{own}/availability", f"{own}/profile", slots)),
        ("my consultations", mentor, "/mine", ("/v1/offers", "/v1/consultations")),
        ("profile", mentor, "/profile", ("/v1/me", "/v1/me/preferences")),
    ]


_NEWEST = "SELECT id FROM {} WHERE {}_id = $1 ORDER BY created_at DESC, id LIMIT 1"
_WAITING = "SELECT id, consultation_id FROM offer WHERE mentor_id = $1 ORDER BY state <> 'pending', id LIMIT 1"


async def _statements(site: Site, wanted: Sequence[Wanted]) -> list[int]:
    """Count what each request asks the database, without BEGIN and COMMIT."""
    asked: list[str] = []

    def by_sqlalchemy(_c: object, _k: object, statement: str, *_: object) -> None:
        asked.append(statement)

    def by_driver(record: Any) -> None:  # noqa: ANN401 - the driver's
        if not record.query.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            asked.append(record.query)

    def taken(connection: Any, *_: object) -> None:  # noqa: ANN401 - the driver's
        connection.driver_connection.add_query_logger(by_driver)

    def given_back(connection: Any, *_: object) -> None:  # noqa: ANN401 - the driver's
        connection.driver_connection.remove_query_logger(by_driver)

    heard = (("before_cursor_execute", by_sqlalchemy), ("checkout", taken), ("checkin", given_back))
    for event, hearer in heard:
        sa.event.listen(site.world.engine.sync_engine, event, hearer)
    counts = []
    transport = httpx.ASGITransport(app.create(site.world))
    async with httpx.AsyncClient(transport=transport, base_url="http://bench") as client:
        for method, path, token, _ in wanted:
            asked.clear()
            is_cookie = str(token).startswith("session=")
            name, value = ("Cookie", str(token)) if is_cookie else ("Authorization", f"Bearer {token}")
            answer = await client.request(method, path, headers={name: value})
            if not answer.is_success:
                raise RuntimeError(answer.text)
            counts.append(len(asked))
    for event, hearer in heard:
        sa.event.remove(site.world.engine.sync_engine, event, hearer)
    return counts


def _bytes(site: Site, page: Wanted) -> int:
    """Give how many bytes of the page go over a line that compresses."""
    answer = httpx.get(f"http://127.0.0.1:{site.port}{page[1]}", headers={"Cookie": str(page[2])})
    return len(gzip.compress(answer.content, 6))
