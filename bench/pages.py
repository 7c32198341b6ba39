"""G2: the pages that people open first, in turns with `SELECT 1`, without a past and with the longest one."""

from collections.abc import Sequence

import asyncpg

from bench import history, live
from bench.scratch import Site, Wanted
from bench.table import Line, at_most, ms

_HOME, _FORM = 12, 8
_WHY = "Rows in words: half of the program's time goes into the page's text, the rest into five to seven statements."
_WHO = ("clinician 1", "coordinator 1", "mentor 1", "admin 1")
_ONE: Wanted = ("GET", "/bench/one", None, None)


async def lines(sites: Sequence[Site], rounds: int) -> list[Line]:
    """Measure the first page of each role, the request form, a case and an offer."""
    return [line for site in sites for line in await _of_site(site, rounds)]


async def _of_site(site: Site, rounds: int) -> list[Line]:
    past = f"{int(site.name.rpartition('_')[2]):,} past"
    pages = [
        *[(f"G2 home, {who.split()[0]}, {past}", await _page(site, who, "/"), _HOME) for who in _WHO],
        (f"G2 request form, {past}", await _page(site, "clinician 1", "/consultations/new"), _FORM),
        (
            f"   a case, {past}",
            await _page(site, "clinician 1", await _latest(site, "consultation", "clinician")),
            None,
        ),
        (f"   an offer, {past}", await _page(site, "mentor 1", await _latest(site, "offer", "mentor")), None),
    ]
    one, *took = await live.in_turns(site, 6 * rounds, (_ONE, 5), *[(page, 2) for _, page, _ in pages])
    return [
        Line(name, ms(seconds), ms(one), seconds / one)
        if goal is None
        else at_most(name, ms(seconds), ms(one), seconds / one, goal, _WHY)
        for (name, _, goal), seconds in zip(pages, took, strict=True)
    ]


async def _page(site: Site, who: str, path: str) -> Wanted:
    return ("GET", path, await site.cookie(history.email(who)), None)


async def _latest(site: Site, table: str, role: str) -> str:
    """Give the page of the person's newest one."""
    connection = await asyncpg.connect(site.dsn)
    statement = f"SELECT id FROM {table} WHERE {role}_id = $1 ORDER BY created_at DESC, id LIMIT 1"
    row_id = await connection.fetchval(statement, history.uid(f"{role} 1"))
    await connection.close()
    return f"/{table}s/{row_id}"
