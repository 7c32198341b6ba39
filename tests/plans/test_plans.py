"""What is read of a long past: no statement reads a whole table that grows, or drops much for each row it keeps (G1).

The statements are those that ran: every route is asked by everybody who may, and a worker does its rounds, over a
generated past (`walk`); the server tells each one's plan. So a new statement is looked at by itself.
"""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncpg
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy import URL

import world as simulated
from bench import explaining, history
from bench.explaining import Collector
from integrations.runtime import settings
from plans import exempt, walk

pytestmark = [pytest.mark.load(60), pytest.mark.xdist_group("plans")]  # the past is made once, not in each process

A_TEST_OF_THE_CHECKER = "a test of the checker"
PAST = 50_000 if os.environ.get("DRILLS") else 20_000
WITHOUT_DATABASE = {
    "/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/{issuer_path:path}", "/docs",
    "/docs/style.css", "/health/live",
    "/manifest.webmanifest", "/offline", "/openapi.json", "/problems/{name}", "/schemas/events/{type_}.json", "/sw.js",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Walked:
    walk: walk.Walk
    collector: Collector
    sizes: dict[str, int]
    begins: dict[str, tuple[str, str]]

    def faults(self) -> Iterator[tuple[str, str, str]]:
        """Give each fault with its statement, and what that was for."""
        for text, plans in self.collector.plans.items():
            for doing, plan in plans:
                if doing == A_TEST_OF_THE_CHECKER:  # a fault on purpose, told before or after: tests have no order
                    continue
                for fault in explaining.faults(plan, self.sizes, self.begins):
                    yield fault, " ".join(text.split()), doing


@pytest.fixture(scope="module")
async def walked(
    server_url: URL, template: str, the_settings: settings.Settings, application: FastAPI
) -> AsyncIterator[Walked]:
    async with simulated.database(server_url, f"{template}_past", template) as url:
        test_clock = simulated.TestClock()
        connection = await asyncpg.connect(simulated.text_of(url))
        await history.populate(connection, test_clock.now(), PAST, simulated.KEYS)
        sizes, begins = await explaining.sizes(connection), await explaining.begins(connection)
        await connection.close()
        engine = simulated.engine(the_settings, url)
        collector = Collector(engine)
        await collector.start()
        found = walk.Walk(simulated.made(the_settings, engine, test_clock), test_clock, application, collector)
        await found.look_around()
        await found.fold()
        for who in walk.EVERYBODY:
            await found.visit(who)
        await found.work()
        await collector.begin(A_TEST_OF_THE_CHECKER)
        yield Walked(found, collector, sizes, begins)
        await collector.stop()


async def test_every_route_is_walked_by_somebody_to_whom_it_shows_something(walked: Walked) -> None:
    routes = walk.routes(walked.walk.application)
    shown = {route for (_, route), status in walked.walk.answers.items() if status < 400}
    assert sorted(set(routes) - shown - walk.SHOWS_NOTHING) == []
    asking = {doing.partition(" GET ")[2].partition("?")[0] for _, _, doing in _statements(walked)}
    silent = {route for route in routes if not route.startswith("/pages/")} - asking
    assert silent == WITHOUT_DATABASE


def _statements(walked: Walked) -> Iterator[tuple[str, explaining.Plan, str]]:
    for text, plans in walked.collector.plans.items():
        for doing, plan in plans:
            yield text, plan, doing


async def test_g1_no_statement_reads_what_it_does_not_show(walked: Walked) -> None:
    wrong: dict[tuple[str, str], set[str]] = {}
    for fault, text, doing in walked.faults():
        if exempt.reason(text, doing) is None:
            wrong.setdefault((text[:400], fault.partition(":")[0]), set()).add(f"{fault} ({doing})")
    told = [f"\n{text}\n    " + "\n    ".join(sorted(found)[:4]) for (text, _), found in sorted(wrong.items())]
    if told:
        pytest.fail("".join(told), pytrace=False)


async def test_each_exemption_is_needed(walked: Walked) -> None:
    met = {exempt.reason(text, doing) for _, text, doing in walked.faults()}
    assert sorted({*exempt.REASONS, *exempt.TOLERATED} - met) == []


@pytest.mark.parametrize(
    ("statement", "index", "fault"),
    [
        ("SELECT id FROM session WHERE consultation_id = :case", "ix_session_consultation_id", "Seq Scan session"),
        ("SELECT id FROM consultation WHERE alert_at <= now()", "ix_consultation_alert_at", "Seq Scan consultation"),
        (
            "SELECT id FROM offer WHERE consultation_id = :case",
            "ix_offer_consultation_id",
            "ix_offer_asked: the whole index",
        ),
    ],
)
async def test_an_index_that_is_missing_is_found(walked: Walked, statement: str, index: str, fault: str) -> None:
    case = {"case": walked.walk.things["consultations"]} if ":case" in statement else {}
    async with walked.walk.world.engine.connect() as connection:
        await connection.execute(sa.text(statement), case)
        assert await _found(walked, statement) == []
        await connection.execute(sa.text(f"DROP INDEX {index}"))
        await connection.execute(sa.text(f"{statement} AND true"), case)
        await connection.rollback()
    assert any(fault in one for one in await _found(walked, f"{statement} AND true"))


BY_AN_OR = """SELECT * FROM consultation c WHERE c.clinician_id = :quiet
OR c.id IN (SELECT consultation_id FROM offer WHERE mentor_id = :quiet) ORDER BY c.id LIMIT 51"""
BY_NO_INDEX = """SELECT c.id FROM consultation c JOIN programme p ON p.id = c.programme_id
WHERE NOT c.is_forgotten AND coalesce(c.closed_at, CASE WHEN c.state = 'draft' THEN c.created_at END)
+ make_interval(days => coalesce(CAST(p.policy->>'case_text_days' AS int), 200)) <= '2026-11-16Z'
ORDER BY 1 LIMIT 100"""
"""The timer of retention before an index could find what is due."""


@pytest.mark.parametrize("statement", [BY_AN_OR, BY_NO_INDEX], ids=["visibility", "timer"])
async def test_what_was_read_before_is_found(walked: Walked, statement: str) -> None:
    who = {"quiet": history.uid("clinician 1200")} if ":quiet" in statement else {}
    async with walked.walk.world.engine.connect() as connection:
        await connection.execute(sa.text(statement), who)
    assert await _found(walked, statement) != []


async def _found(walked: Walked, statement: str) -> list[str]:
    await walked.collector.begin(walked.collector.doing)
    begun = statement.partition(":")[0]  # a placeholder is numbered by the driver
    plans = [plan for text, plan, _ in _statements(walked) if text.startswith(begun) and len(text) >= len(begun)]
    return [fault for plan in plans[-1:] for fault in explaining.faults(plan, walked.sizes, walked.begins)]
