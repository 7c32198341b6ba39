"""What is measured over HTTP, on databases of several sizes."""

import asyncio
import itertools
import re
import sys
from collections.abc import Sequence
from statistics import median, quantiles
from uuid import UUID

import asyncpg

from bench import data, mails, pace, replay
from bench.scratch import Site, Wanted, in_thread, process
from bench.table import Line, at_least, at_most, medians, ms
from service import tables
from service.care import casefile
from service.kernel import actor, clock
from service.outbox import notices

CLIENTS = 8
_MANY, _FEW = 20, 3
_WHY_RANKED = (
    "Processor time of the program: 10 µs to judge and score a mentor, 1 ms for FastAPI and its frame, the look whether"
    " the caller sees the case. On one machine P2 was 5.7 and 6.2 within an hour, P3 6.5 and 7.2."
)


async def median_of(site: Site, wanted: Wanted, times: int) -> float:
    """Ask the same thing one time after another; gives the median answer in seconds."""
    loaded = await in_thread(site.load, [[wanted] * times])
    return float(loaded.must_be(200).median)


async def in_turns(
    site: Site, rounds: int, *wanted: tuple[Wanted, int], allowed: Sequence[int] = (200,)
) -> list[float]:
    """Ask for all over one connection, each so many times a round; gives the median answer of each, in seconds.

    Other machines' work makes a processor half as fast for a second and more: a round is shorter than that.
    """
    turn = [(number, one) for number, (one, times) in enumerate(wanted) for _ in range(times)]
    loaded = await in_thread(site.load, [[one for _, one in turn] * rounds])
    found: list[list[float]] = [[] for _ in wanted]
    for (number, _), (_, seconds, _) in zip(turn * rounds, loaded.must_be(*allowed).answers, strict=True):
        found[number].append(seconds)
    return [median(taken) for taken in found]


async def rate_of(site: Site, wanted: Sequence[Wanted], *allowed: int) -> float:
    """Let eight clients share the requests; gives answers a second."""
    loaded = await in_thread(site.load, [wanted[number::CLIENTS] for number in range(CLIENTS)])
    return float(loaded.must_be(*allowed).rate)


async def bare(site: Site, rounds: int) -> list[Line]:
    """The stack doing next to nothing: what everything else is to be read against."""
    paths = ("/bench/hello", "/bench/one", "/bench/rows")
    rates = await medians(rounds, *[lambda p=p: rate_of(site, [("GET", p, None, None)] * 400, 200) for p in paths])
    names = ("hello JSON", "asyncpg SELECT 1", "20 rows by SQLAlchemy through pydantic")
    return [Line(f"   bare: {name}", f"{rate:,.0f}/s") for name, rate in zip(names, rates, strict=True)]


async def asks(site: Site, hospital: int, days: int = 14) -> Wanted:
    """Ask for the candidates of the open request of this hospital."""
    path = f"/v1/consultations/{data.uid(f'open {hospital} {days}')}/candidates"
    return ("GET", path, await site.token(f"clinician {hospital}"), None)


async def candidates(sites: dict[int, Site], rounds: int) -> list[Line]:
    """P2 and P3: whom to ask, 50 and 1,000 of them, among ever more."""
    smallest, middle, largest = sites[min(sites)], sites[10_000], sites[max(sites)]
    one: Wanted = ("GET", "/bench/one", None, None)
    period = f"from={data.soon(middle.now, 1):%Y-%m-%dT%H:%M:%SZ}&until={data.soon(middle.now, 60):%Y-%m-%dT%H:%M:%SZ}"
    slots = f"/v1/mentors/{data.uid('mentor 1')}/slots?{period}&minutes=30"
    of_one, of_fifty, of_long, of_slots = await in_turns(
        middle,
        10 * rounds,
        (one, 10),
        (await asks(middle, 1001), 5),
        (await asks(middle, 1001, 60), 2),
        (("GET", slots, await middle.token("clinician 1001"), None), 1),
    )
    of_thousand, beside = await in_turns(
        largest, 5 * rounds, (await asks(largest, 1002), 2), (await asks(largest, 1001), 10)
    )
    among = [await asks(smallest, 1001), await asks(largest, 1001)]
    least, most = await medians(
        2 * rounds, lambda: median_of(smallest, among[0], 40), lambda: median_of(largest, among[1], 40)
    )
    return [
        at_most(
            "P2 candidates, 50 eligible of 10,000, 14 days", ms(of_fifty), ms(of_one), of_fifty / of_one, 6, _WHY_RANKED
        ),
        Line("   the same over 60 days", ms(of_long), ms(of_one), of_long / of_one),
        Line("   slots of one mentor, 59 days", ms(of_slots), ms(of_one), of_slots / of_one),
        at_most(
            f"P3 1,000 eligible instead of 50, of {max(sites):,}", ms(of_thousand), ms(beside), of_thousand / beside, 8,
            _WHY_RANKED,
        ),
        at_most(
            f"P3 50 eligible of {max(sites):,} mentors instead of {min(sites):,}", ms(most), ms(least), most / least,
            1.3,
        ),
    ]  # fmt: skip


class Pools:
    """Offers that wait to be accepted, each pool at times of its own."""

    def __init__(self, site: Site) -> None:
        """Make them on this site."""
        self.site = site
        self._serial = itertools.count()
        self._times = {_MANY: 0, _FEW: 0}

    async def make(self, count: int, mentors: int, contended: int = 1) -> list[data.ToAccept]:
        """Have so many offers wait for so many mentors; `contended` of them name the same time."""
        connection = await asyncpg.connect(self.site.dsn)
        made = await data.offer(
            connection,
            self.site.now,
            pool=f"pool {next(self._serial)}",
            count=count,
            mentors=mentors,
            contended=contended,
            first_time=self._times[mentors],
        )
        self._times[mentors] += -(-count // mentors // contended) + 1
        await connection.execute("ANALYZE offer, consultation, person, role_grant")
        await connection.close()
        return made

    async def wanted(self, offers: Sequence[data.ToAccept]) -> list[Wanted]:
        """Word the acceptances."""
        return [
            (
                "POST",
                f"/v1/offers/{offer.offer_id}/accept",
                await self.site.token_of(offer.mentor_id),
                {"starts_at": offer.starts_at.isoformat()},
            )
            for offer in offers
        ]


async def accepting(site: Site, rounds: int, count: int) -> list[Line]:
    """P4 and P5: acceptances a second, with room for all and with two after every time; nobody is booked twice."""
    pools = Pools(site)
    before = await _deadlocks(site)
    gave_up = statements = 0

    async def decided(mentors: int, contended: int = 1) -> float:
        nonlocal gave_up
        wanted = await pools.wanted(await pools.make(count, mentors, contended))
        loaded = await in_thread(site.load, [wanted[number::CLIENTS] for number in range(CLIENTS)])
        allowed = (200, 503) if contended == 1 else (200, 409, 503)
        gave_up += loaded.must_be(*allowed).count(503)
        return float((len(loaded.answers) - loaded.count(503)) / loaded.seconds)

    async def by_pgbench() -> float:
        nonlocal statements
        rate, statements = await _by_pgbench(site, await pools.wanted(await pools.make(count, _MANY)))
        return rate

    await decided(_MANY)
    here, there, few, both = await medians(
        rounds, lambda: decided(_MANY), by_pgbench, lambda: decided(_FEW), lambda: decided(_FEW, 2)
    )
    connection = await asyncpg.connect(site.dsn)
    overlaps = await connection.fetchval(_OVERLAPS)
    await connection.close()
    deadlocks = await _deadlocks(site) - before
    faults = f"{overlaps} overlaps, {deadlocks} deadlocks"
    waited = "   acceptances that waited for a lock for more than 2 s (503)"
    return [
        at_least("P4 acceptances, 8 clients on 20 mentors", f"{here:,.0f}/s", f"{there:,.0f}/s", here / there, 0.25),
        at_least("P5 acceptances, 8 clients on 3 mentors", f"{few:,.0f}/s", f"{here:,.0f}/s", few / here, 0.6),
        at_least("P5 the same, two after each time (409s count)", f"{both:,.0f}/s", f"{here:,.0f}/s", both / here, 0.6),
        Line("P4 nobody is booked twice", faults, "", None, "0 and 0", not overlaps and not deadlocks),
        Line(waited, str(gave_up), "", None, "0", not gave_up),
        Line("   statements of one acceptance", str(statements)),
    ]


async def _by_pgbench(site: Site, wanted: Sequence[Wanted]) -> tuple[float, int]:
    """Have pgbench send what these requests send; gives requests a second, and the statements of the last."""
    scripts = await replay.transcripts(site, wanted)
    return float(await in_thread(replay.rate, site, scripts, CLIENTS)), scripts[-1].count(";\n")


_OVERLAPS = """
SELECT count(*) FROM participant p JOIN appointment a ON a.id = p.appointment_id AND a.status = 'booked'
JOIN participant q ON q.person_id = p.person_id AND q.appointment_id > p.appointment_id
JOIN appointment b ON b.id = q.appointment_id AND b.status = 'booked'
WHERE p.role = 'mentor' AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at
"""


async def _deadlocks(site: Site) -> int:
    connection = await asyncpg.connect(site.dsn)
    count = await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    await connection.close()
    return int(count)


async def filing(site: Site, rounds: int, count: int) -> list[Line]:
    """A request with its first wave of two offers, eight clients: P6, whose own goal G5 and G6 have replaced."""
    token = await site.token("clinician 1001")
    wanted: list[Wanted] = [("POST", "/v1/consultations", token, data.wish(site.now))] * count
    rows: Wanted = ("GET", "/bench/rows", None, None)
    statements = 0

    async def by_pgbench() -> float:
        nonlocal statements
        rate, statements = await _by_pgbench(site, wanted[: count // 2])
        return rate

    filed, read, ceiling = await medians(
        rounds, lambda: rate_of(site, wanted, 201), lambda: rate_of(site, [rows] * 4 * count, 200), by_pgbench
    )
    return [
        Line("   requests filed, with two offers each", f"{filed:,.0f}/s", f"{read:,.0f}/s", filed / read),
        at_least("P6 against the same SQL by pgbench", f"{filed:,.0f}/s", f"{ceiling:,.0f}/s", filed / ceiling, 0.25),
        Line("   statements of one filing", str(statements)),
    ]


async def mail(site: Site, seconds: int) -> list[Line]:
    """P8: from the commit until an SMTP server has the mail, 25 changes of two invites a second."""
    with mails.sink() as sink:
        with process(
            [sys.executable, "-c", "from api.cli import main; main.main()", "worker"],
            site,
            POBRATYM_SMTP_URL=f"smtp://127.0.0.1:{sink.port}",
        ):
            await _change(site, 1, 150)
            await mails.until_delivered(site)  # the worker is up now
            committed = await _change(site, seconds, 200)
            await mails.until_delivered(site)
        said = sink.said()
    arrived = {UUID(name): at for name, at in said.items() if re.fullmatch(r"[0-9a-f-]{36}", name)}
    waits = sorted(arrived[id_] - at for id_, at in committed.items() if id_ in arrived)
    lost, middle = len(committed) - len(waits), median(waits)
    centiles = quantiles(waits, n=100)
    rate = len(waits) / (max(arrived.values()) - min(committed.values()))
    why = f"50 a second come in; this machine handed over {rate:.0f}, so that they wait for each other. {pace.WHY}"
    return [
        Line("P8 commit until the mail is handed over, median", ms(middle), "", None, "<= 100 ms", middle <= 0.1, why),
        Line("P8 the same of 99 mails of 100", ms(centiles[98]), "", None, "<= 1 s", centiles[98] <= 1, why),
        Line(f"   lost of {len(committed)} mails, 50/s", str(lost), "", None, "0", lost == 0),
    ]


async def _change(site: Site, seconds: int, first: int) -> dict[UUID, float]:
    """Record invites of appointments that are booked ahead; gives when each mail was committed, on the wall clock."""
    visits = [data.uid(f"ahead {n} 0") for n in range(first, first + 25 * seconds)]
    committed: dict[UUID, float] = {}
    began = clock.monotonic()
    for number, visit in enumerate(visits):
        await asyncio.sleep(max(0.0, began + number / 25 - clock.monotonic()))
        async with site.world.database.work(actor.TIMER) as w:
            appointment = await w.read(tables.Appointment, visit)
            await notices.invited(await casefile.open_case(w, appointment.consultation_id), "booked")
            await w.flush()
            jobs = [job.delivery_id for job in w.jobs]
        at = clock.wall().timestamp()
        committed |= dict.fromkeys(jobs, at)
    return committed
