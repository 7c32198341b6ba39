"""G1 and G8: what a long past costs who reads the present, and how many bytes a consultation leaves for ever."""

import re
from collections.abc import Sequence
from statistics import median

import asyncpg
import httpx

from api import app
from bench import explaining, history
from bench.frame import Bench
from bench.live import in_turns
from bench.scratch import Site, Wanted
from bench.table import Line, ms

ROWS_FOR_ONE, SLOWER, BYTES = 20, 1.5, 3_000
_WHY_ROWS = (
    "Somebody with nearly nothing to see, for whom the planner walks what is live; or no index has the list's order."
)
_WHY_SLOWER = "The worst of fifty: without a past its list may be shorter, as a present of 400 cases fills no page."
_WHY_BYTES = (
    "Three offers a case, each in the ten indexes by which people, hospitals and programmes list theirs in order (G1);"
    " and whoever read or did something is written down for five years."
)
_LISTS = ("/v1/consultations", "/v1/consultations?state=completed", "/v1/offers", "/v1/appointments", "/v1/memoranda")
_PEOPLE = (
    "clinician 1", "clinician 1200", "mentor 1", "mentor 991", "coordinator 1", "coordinator 60", "partner 1",
    "partner 100", "admin 1", "admin of all",
)  # fmt: skip
_CASE = "SELECT id FROM consultation WHERE clinician_id = $1 AND state = 'offered' ORDER BY id DESC LIMIT 1"
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OF_CASES = (
    "consultation", "consultation_window", "offer", "appointment", "participant", "seat", "advice", "session",
    "log_entry", "feedback", "audit", "event", "delivery", "delivery_attempt", "link",
)  # fmt: skip
_BYTES = """
SELECT relname, pg_total_relation_size(oid) AS bytes FROM pg_class
WHERE relkind = 'r' AND relnamespace = CAST('public' AS regnamespace)
"""


async def _asked(site: Site) -> dict[str, Wanted]:
    """Give what everybody reads first: lists, the page of one's home, a case and its page."""
    connection = await asyncpg.connect(site.dsn)
    case = await connection.fetchval(_CASE, history.uid("clinician 1"))
    await connection.close()
    found: dict[str, Wanted] = {}
    for who in _PEOPLE:
        token, cookie = await site.token_of(history.uid(who)), await site.cookie(history.email(who))
        for path in _LISTS:
            found[f"{path} of {who}"] = ("GET", path, token, None)
        found[f"home of {who}"] = ("GET", "/", cookie, None)
        if who in ("clinician 1", "mentor 1", "coordinator 1", "admin 1"):
            found[f"a case, to {who}"] = ("GET", f"/v1/consultations/{case}", token, None)
            found[f"page of a case, to {who}"] = ("GET", f"/consultations/{case}", cookie, None)
    return found


async def reading(bench: Bench) -> list[Line]:
    """G1: rows of growing tables read for each thing shown, and the time beside that without a past."""
    young, old = await bench.history(0), await bench.history(bench.long)
    here, there = await _asked(old), await _asked(young)
    read = await _rows_read(old, here)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in here}
    for _ in range(bench.rounds):
        for place, (site, asked) in enumerate(((old, here), (young, there))):
            for name, found in zip(asked, await in_turns(site, 3, *[(one, 1) for one in asked.values()]), strict=True):
                times[name][place].append(found)
    slower = {name: min(long) / min(short) for name, (long, short) in times.items()}
    worst, slowest = _most(read)[0], _most(slower)[0]
    long, short = (min(found) for found in times[slowest])
    return [
        Line(
            f"G1 rows read for one shown, {bench.long:,} cases", f"{read[worst]:,.1f}: {worst}", "", read[worst],
            f"<= {ROWS_FOR_ONE}", read[worst] <= ROWS_FOR_ONE, _WHY_ROWS,
        ),
        *(Line(f"   next: {name}", f"{read[name]:,.1f}") for name in _most(read)[1:4]),
        Line("   the middle of all", f"{median(read.values()):,.1f}"),
        Line(
            f"G1 p50 with {bench.long:,} cases beside none", f"{ms(long)}: {slowest}", ms(short), slower[slowest],
            f"<= {SLOWER:g}", slower[slowest] <= SLOWER, _WHY_SLOWER,
        ),
        *(
            Line(f"   next: {name}", ms(min(times[name][0])), ms(min(times[name][1])), slower[name])
            for name in _most(slower)[1:4]
        ),
        Line("   the middle of all", "", "", median(slower.values())),
    ]  # fmt: skip


def _most(of: dict[str, float]) -> Sequence[str]:
    return sorted(of, key=lambda name: -of[name])


async def _rows_read(site: Site, asked: dict[str, Wanted]) -> dict[str, float]:
    """Count the rows that each answer reads, for each thing that it names."""
    connection = await asyncpg.connect(site.dsn)
    sizes = await explaining.sizes(connection)
    await connection.close()
    collector, found = explaining.Collector(site.world.engine), {}
    await collector.start()
    transport = httpx.ASGITransport(app.create(site.world), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url=site.world.settings.base_url) as client:
        for name, (method, path, token, _) in asked.items():
            headers = _headers(str(token))
            await client.request(method, path, headers=headers)  # what is kept in memory is read once
            await collector.begin(name)
            answer = await client.request(method, path, headers=headers)
            await collector.begin("")
            shown = len(set(_ID.findall(answer.text)))
            plans = [plan for told in collector.plans.values() for doing, plan in told if doing == name]
            found[name] = sum(explaining.read_of_the_growing(plan, sizes) for plan in plans) / max(shown, 1)
            if answer.status_code != 200:
                raise RuntimeError(f"{name}: {answer.status_code} {answer.text[:300]}")
    await collector.stop()
    return found


def _headers(token: str) -> dict[str, str]:
    return {"Cookie": token} if token.startswith("session=") else {"Authorization": f"Bearer {token}"}


async def leaving(bench: Bench) -> list[Line]:
    """G8: what each past consultation takes, by table, once the housekeeper has been there."""
    site = await bench.history(bench.long)
    connection = await asyncpg.connect(site.dsn)
    bytes_of = dict.fromkeys(_OF_CASES, 0)
    for row in await connection.fetch(_BYTES):
        if (table := explaining.table_of(row["relname"])) in bytes_of:
            bytes_of[table] += row["bytes"]
    cases = await connection.fetchval("SELECT count(*) FROM consultation")
    await connection.close()
    for_ever = sum(bytes_of.values()) - sum(bytes_of[name] for name in _FOR_A_TIME)
    each = for_ever / cases
    return [
        Line(
            "G8 bytes that a consultation leaves", f"{each:,.0f}", f"{BYTES:,}", each / BYTES, "<= 1", each <= BYTES,
            _WHY_BYTES,
        ),
        *(
            Line(f"   {name}{', kept for a time' if name in _FOR_A_TIME else ''}", f"{bytes_of[name] / cases:,.0f}")
            for name in sorted(bytes_of, key=lambda name: -bytes_of[name])
            if bytes_of[name] / cases >= 10
        ),
    ]  # fmt: skip


_FOR_A_TIME = ("event", "delivery", "delivery_attempt", "link")
"""Whose rows end (docs/operations.md, "Retention"): their bytes do not grow with the past, but with a year of it."""
