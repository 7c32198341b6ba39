"""What is written: a request by one person (G5), two hundred by a program while somebody looks at pages (G6)."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from statistics import median

import asyncpg

from bench import data, load, mails, pace
from bench.live import in_turns
from bench.scratch import Site, Wanted, in_thread, process
from bench.table import Line, at_most, ms
from service.kernel import clock

BATCH, CONNECTIONS = 200, 8
_WHY_FILED = (
    "The program's processor time: to rank 100 mentors, keep what was decided (A5), and make two offers with mails."
)
_ONE: Wanted = ("GET", "/bench/one", None, None)
_BETWEEN_PAGES = 0.05
_LOOKS = 1200


async def one_filing(site: Site, rounds: int) -> list[Line]:
    """G5: a request answered with its wave of two offers, one person; until the mail of the first offer is there."""
    filing: Wanted = ("POST", "/v1/consultations", await site.token("clinician 1001"), data.wish(site.now))
    one, filed = await in_turns(site, 5 * rounds, (_ONE, 10), (filing, 2), allowed=(200, 201))
    waits = await _until_handed_over(site, filing, 4 * rounds)
    return [
        at_most("G5 a request filed with its wave, one person", ms(filed), ms(one), filed / one, 12, _WHY_FILED),
        Line(
            "G5 from the click until the first offer's mail is handed over", ms(median(waits)), "", None, "<= 300 ms",
            median(waits) <= 0.3, pace.WHY,
        ),
        Line("   the longest of them", ms(max(waits))),
    ]  # fmt: skip


async def _until_handed_over(site: Site, filing: Wanted, count: int) -> list[float]:
    """File so many requests, one a third of a second; gives how long the first offer of each was on its way."""
    clicked: dict[str, float] = {}
    with mails.sink() as sink, _worker(site, sink.port):
        await mails.until_delivered(site)  # the worker is up, and has what was filed before
        async with _connection(site) as connection:
            for _ in range(count):
                at = time.time()
                answer = await connection.ask(site, filing)
                clicked[json.loads(answer)["id"]] = at
                await asyncio.sleep(0.3)
        await mails.until_delivered(site)
        arrived = sink.said()
    database = await asyncpg.connect(site.dsn)
    rows = await database.fetch(_OFFERED, list(clicked))
    await database.close()
    first: dict[str, float] = {}
    for row in rows:
        at = arrived[str(row["id"])]
        first[row["consultation"]] = min(at, first.get(row["consultation"], at))
    return [first[case] - at for case, at in clicked.items()]


_OFFERED = """
SELECT id, payload -> 'values' ->> 'consultation_id' AS consultation FROM delivery
WHERE payload ->> 'template' LIKE 'offer%' AND payload -> 'values' ->> 'consultation_id' = ANY($1)
"""


async def batch(site: Site) -> list[Line]:
    """G6: two hundred requests at once by a program, and a page meanwhile; then the same with the waves inside."""
    page: Wanted = ("GET", "/", await site.cookie("clinician1@bench.example"), None)
    with mails.sink() as sink, _worker(site, sink.port):
        await mails.until_delivered(site)
        async with _connection(site) as connection:
            quiet = await _pages(connection, site, page, asyncio.create_task(asyncio.sleep(5)))
            later = await _filed(site, {"Prefer": "respond-async"}, connection, page)
            pause = asyncio.create_task(mails.until_delivered(site))
            await _pages(connection, site, page, pause)
            inside = await _filed(site, {}, connection, page)
    beside, beside_inside = median(later.pages), median(inside.pages)
    usual = median(quiet)
    return [
        Line(
            f"G6 {BATCH} requests filed at once, all answered", f"{later.answered:.1f} s", "", None, "<= 10 s",
            later.answered <= 10, pace.WHY,
        ),
        Line("   of them told to come again (503) before", str(later.refused)),
        Line("G6 every wave of them out", f"{later.out:.1f} s", "", None, "<= 20 s", later.out <= 20, pace.WHY),
        at_most("G6 the home page beside them", ms(beside), ms(usual), beside / usual, 2),
        Line("   with the waves inside, all answered", f"{inside.answered:.1f} s"),
        Line("   the home page beside those", ms(beside_inside), ms(usual), beside_inside / usual),
    ]  # fmt: skip


class _Filed:
    """How long it took until all were answered and until every wave was out, in seconds, and each page meanwhile."""

    answered: float
    out: float
    pages: list[float]
    refused: int = 0  # told to come again (503), and sent again as a client does


async def _filed(site: Site, headers: Mapping[str, str], connection: "_Connection", page: Wanted) -> _Filed:
    filing = ("POST", "/v1/consultations", await site.token("clinician 1001"), data.wish(site.now), dict(headers))
    found, began = _Filed(), clock.monotonic()

    async def file_all() -> None:
        left = BATCH
        while left:
            each = [[filing] * len(range(number, left, CONNECTIONS)) for number in range(min(left, CONNECTIONS))]
            left = (await in_thread(site.load, each)).must_be(201, 503).count(503)
            found.refused += left
        found.answered = clock.monotonic() - began
        database = await asyncpg.connect(site.dsn)
        for _ in range(_LOOKS):
            if not await database.fetchval(_UNASKED):
                break
            await asyncio.sleep(0.1)
        found.out = clock.monotonic() - began
        await database.close()

    found.pages = await _pages(connection, site, page, asyncio.create_task(file_all()))
    return found


_UNASKED = "SELECT count(*) FROM consultation WHERE state = 'open' AND waves = 0 AND next_wave_at IS NOT NULL"


async def _pages(connection: "_Connection", site: Site, page: Wanted, until: "asyncio.Task[None]") -> list[float]:
    """Look at the page again and again until the task is done; gives how long each look took."""
    taken = []
    while not until.done():
        began = time.perf_counter()
        await connection.ask(site, page)
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(_BETWEEN_PAGES)
    await until
    return taken


class _Connection:
    """One connection to the site, kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ask over these."""
        self._reader, self._writer = reader, writer

    async def ask(self, site: Site, wanted: Wanted) -> bytes:
        """Send a request and wait for the answer, which must be a success."""
        self._writer.write(load.request(f"127.0.0.1:{site.port}", *wanted))
        status, answer = await load.answers(self._reader)
        if status // 100 != 2:
            raise RuntimeError(f"{status}: {answer[:300]!r}")
        return answer


@asynccontextmanager
async def _connection(site: Site) -> AsyncIterator[_Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1 << 22)
    yield _Connection(reader, writer)
    writer.close()


@contextmanager
def _worker(site: Site, smtp_port: int) -> Iterator[None]:
    command = [sys.executable, "-c", "from api.cli import main; main.main()", "worker"]
    with process(command, site, POBRATYM_SMTP_URL=f"smtp://127.0.0.1:{smtp_port}"):
        yield
