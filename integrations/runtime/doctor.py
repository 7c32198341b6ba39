"""What is wrong with an installation, and how to mend it: for the operator, before users find out."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiosmtplib
import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from integrations.mail import smtp
from integrations.runtime import database_faults, health, postgres, replicas, schema_version
from integrations.runtime.connector import Connector
from integrations.runtime.settings import NO_DIRECT_WAY, BadSettings, Settings
from integrations.runtime.world import World, opened, session_settings
from service import housekeeping
from service.care import appointments
from service.kernel import actor, clock, crypto, database_clock, errors, installation, partitions, processes
from service.outbox import deliveries, mail_server, news, webhooks
from service.people import logins, people
from service.reporting import rollups
from service.rules.time import availability
from service.rules.time.intervals import Interval

OLDEST_SERVER = 150_000
FARTHEST_CLOCK_SECONDS = 5.0
UNREADABLE = "the role may not read which database this is, so not every restore is noticed"
_UNREACHED = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_TRIAL = "pobratym_doctor"
_NOTICE_SECONDS = 5
_NAMED = 10  # weeks of each programme: who has more of them needs no longer list


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` says what to do when it is not well."""

    subject: str
    is_well: bool
    detail: str
    mend: str = ""


async def examine(settings: Settings, *, with_reports: bool = False) -> list[Finding]:
    """Look at every part, whatever is wrong with the others; `with_reports` also counts the kept rollups anew.

    That takes twice as long as a report of everything without rollups.
    """
    findings = [_zones(), _mail(settings), *await _letters_of_mail(settings)]
    if settings.pooler == "transaction" and settings.database_direct_url is None:
        mend = "Set POBRATYM_DATABASE_DIRECT_URL to the address of the database itself."
        return [*findings, Finding("pooler", is_well=False, detail=NO_DIRECT_WAY, mend=mend)]
    if settings.outbound_allow:
        detail = f"{len(settings.outbound_allow)} hosts or networks bypass the outbound guard"
        findings.append(Finding("outbound", is_well=False, detail=detail, mend="Unset POBRATYM_OUTBOUND_ALLOW."))
    try:
        async with AsyncExitStack() as stack:
            timeout = settings.job_statement_timeout_ms if with_reports else None
            opening = opened(settings, purpose="doctor", statement_timeout_ms=timeout, migrating=False)
            world = await stack.enter_async_context(opening)
            findings += [finding async for finding in connections(world)]
            findings += [finding async for finding in database(world)]
            findings += await _replica(world)
            if with_reports and schema_version.serves(await schema_version.present(world.engine)):
                findings.append(await reports(world))
    except postgres.NoFolder as error:
        mend = "Name a folder that this user may make and write to, or mend its rights."
        findings.append(Finding("database", is_well=False, detail=str(error), mend=mend))
    except postgres.CannotStart as error:
        mend = "Read the log that the message names, and see that the disk is not full."
        findings.append(Finding("database", is_well=False, detail=str(error), mend=mend))
    except BadSettings as error:
        mend = "Put the file back as it was (a backup of it has the keys), or mend its rights."
        findings.append(Finding("keys", is_well=False, detail="; ".join(error.faults), mend=mend))
    except (SQLAlchemyError, *_UNREACHED, errors.Unavailable) as error:
        mend = "Is the server running, and the address right?"
        findings.append(Finding("database", is_well=False, detail=database_faults.told(error), mend=mend))
    return findings


def _zones() -> Finding:
    return Finding("zones", is_well=True, detail=f"tz database {availability.TZDATA_VERSION}, from the tzdata package")


def _mail(settings: Settings) -> Finding:
    if settings.smtp_url is not None:
        return Finding("mail", is_well=True, detail=f"by SMTP to {smtp.place(settings.smtp_url.get_secret_value())}")
    folder = next(path for path in (settings.mail_dir, *settings.mail_dir.absolute().parents) if path.exists())
    return Finding(
        "mail",
        is_well=os.access(folder, os.W_OK),
        detail=f"no server is set: mail is written to {settings.mail_dir}",
        mend="Set POBRATYM_SMTP_URL, or let this user write there.",
    )


async def _letters_of_mail(settings: Settings) -> list[Finding]:
    """Ask the mail server whether it carries addresses in letters other than Latin, if the settings say so."""
    if not settings.smtputf8 or settings.smtp_url is None:
        return []
    try:
        is_offered = await smtp.offers_utf8(settings.smtp_url.get_secret_value())
    except (aiosmtplib.SMTPException, OSError) as fault:
        mend = "Is the mail server running, and POBRATYM_SMTP_URL right?"
        place = smtp.place(settings.smtp_url.get_secret_value())
        detail = f"{place} cannot be asked: {database_faults.told(fault)}"
        return [Finding("mail", is_well=False, detail=detail, mend=mend)]
    detail = "the server offers SMTPUTF8" if is_offered else smtp.NO_SMTPUTF8
    mend = "Unset POBRATYM_SMTPUTF8, or have the server carry such addresses (Postfix: smtputf8_enable)."
    return [Finding("mail", is_well=is_offered, detail=detail, mend=mend)]


async def connections(world: World) -> AsyncIterator[Finding]:
    """Open what requests open and what the worker opens, and see that notices arrive and the clocks agree."""
    direct = await world.connector.connect({"application_name": "pobratym doctor"})
    try:
        (session,) = await direct.fetch(_SESSION)
        difference = session["epoch"] - clock.wall().timestamp()
        mend = "Leave fewer connections to others, raise max_connections, or lower POBRATYM_POOL_SIZE."
        detail = f"{session['place']}, {session['tls']}, as {session['role']}, {session['kind']}"
        left = session["connections_left"]
        is_enough = left > world.settings.pool_size
        yield Finding("connection", is_well=is_enough, detail=f"{detail}; {left} connections left", mend=mend)
        mend = "Have both machines follow a time server."
        detail = f"the database's is {difference:+.1f} s from ours"
        yield Finding("clock", is_well=abs(difference) <= FARTHEST_CLOCK_SECONDS, detail=detail, mend=mend)
        if session["is_read_only"]:  # then nobody can notify either
            detail = "the server takes no changes: it is a standby, its recovery is paused, or it was set so"
            mend = "Name the primary, promote this one (`SELECT pg_promote()`), or end default_transaction_read_only."
            yield Finding("database", is_well=False, detail=detail, mend=mend)
        else:
            yield await _notices(world, direct)
    finally:
        await direct.close()
    if world.settings.pooler != "none":
        yield await _pooled(world)


_SESSION = """
SELECT coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'by a socket') AS place,
       coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), 'without TLS') AS tls,
       current_user AS role, CASE WHEN pg_is_in_recovery() THEN 'a standby' ELSE 'the primary' END AS kind,
       current_setting('transaction_read_only') = 'on' AS is_read_only,
       CAST(extract(epoch FROM clock_timestamp()) AS float8) AS epoch,
       CAST(current_setting('max_connections') AS int) - CAST(current_setting('superuser_reserved_connections') AS int)
       - (SELECT sum(numbackends) FROM pg_stat_database) AS connections_left
"""


async def _notices(world: World, connection: "asyncpg.Connection[Any]") -> Finding:
    """See whether what one session notifies reaches another, as the worker needs it."""
    heard = asyncio.Event()
    await connection.add_listener(_TRIAL, lambda *_: heard.set())
    async with world.engine.begin() as notifying:
        await notifying.execute(sa.text(f"NOTIFY {_TRIAL}"))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_NOTICE_SECONDS):
            await heard.wait()
    mend = "A pooler stands in the way: set POBRATYM_DATABASE_DIRECT_URL to the address of the database itself."
    detail = "arrive" if heard.is_set() else f"do not arrive within {_NOTICE_SECONDS} s: mail and webhooks leave late"
    return Finding("notices", is_well=heard.is_set(), detail=detail, mend=mend)


async def _replica(world: World) -> list[Finding]:
    """Open the replica that reports are read on, and see that it is one of this database, and how late."""
    if world.replica is None:
        return []
    mend = "Is it running, and POBRATYM_DATABASE_READ_URL right? Reports are read on the primary meanwhile."
    try:
        connection = await world.replica.connector.connect({"application_name": "pobratym doctor"})
        try:
            (session,) = await connection.fetch(_SESSION)
        finally:
            await connection.close()
        standing = await world.replica.standing(world.database)
    except replicas.NotRead as fault:
        detail = f"it cannot be read: {fault.reason}"
        return [Finding("replica", is_well=False, detail=detail, mend=mend)]
    except _UNREACHED as error:
        return [Finding("replica", is_well=False, detail=database_faults.told(error), mend=mend)]
    is_prompt = standing.lag_seconds <= world.replica.most_lag_seconds
    detail = f"{session['place']}, {session['tls']}, as {session['role']}, {session['kind']}"
    mend = "See `pg_stat_replication` at the primary, and whether replay is paused or waits for a long query."
    return [Finding("replica", is_well=is_prompt, detail=f"{detail}; {standing.lag_seconds:.0f} s late", mend=mend)]


async def _pooled(world: World) -> Finding:
    """See whether what comes through the pooler works under the timeouts of the settings."""
    way = Connector(world.settings.address(), usual_seconds=world.settings.pool_timeout_ms / 1000)
    connection = await way.connect({"application_name": "pobratym doctor"}, statement_cache_size=0)
    try:
        wanted = session_settings(world.settings)
        rows = await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY($1) ORDER BY name", list(wanted)
        )
    finally:
        await connection.close()
    differing = [f"{row['name']} is {row['setting']}" for row in rows if row["setting"] != wanted[row["name"]]]
    detail = "; ".join(differing) or "sessions have the timeouts of the settings"
    mend = "Run `pobratym migrate`, which writes them to the role, then have the pooler reconnect."
    return Finding("pooler", is_well=not differing, detail=detail, mend=mend)


async def database(world: World) -> AsyncIterator[Finding]:
    """Look at the database and at what it holds."""
    async with world.engine.connect() as connection:
        number = int((await connection.execute(sa.text("SHOW server_version_num"))).scalar_one())
        version = (await connection.execute(sa.text("SHOW server_version"))).scalar_one()
    mend = "PostgreSQL 15 or later is needed."
    yield Finding("database", is_well=number >= OLDEST_SERVER, detail=f"PostgreSQL {version}", mend=mend)
    present = await schema_version.present(world.engine)
    is_served = schema_version.serves(present)
    detail = (present or "none") + (", of a newer program" if schema_version.is_newer(present) else "")
    yield Finding("schema", is_well=is_served, detail=detail, mend="Run `pobratym migrate`.")
    if is_served:
        async with world.database.work(actor.TIMER) as w:
            restore = await installation.standing(w)
            grant = await installation.missing_rights(w)
        if grant:
            mend = f"Have a superuser say in this database: {grant};"
            yield Finding("rights", is_well=False, detail=UNREADABLE, mend=mend)
        if restore.held_since:
            detail = (
                f"restored, held since {restore.held_since:%Y-%m-%d %H:%M} UTC ({restore.held_reason}): nothing leaves"
            )
            mend = "See `pobratym restore status`, then `pobratym restore release`."
            yield Finding("restore", is_well=False, detail=detail, mend=mend)
        yield await _keys(world)
        async for finding in _sent_mail(world):
            yield finding
        async for finding in _told_news(world):
            yield finding
        waits = (await health.backlog(world)).oldest_due_seconds
        is_prompt, detail = waits <= health.LATE_SECONDS, f"the oldest due one waits for {waits:.0f} s"
        yield Finding("deliveries", is_well=is_prompt, detail=detail, mend="Run `pobratym worker`.")
        yield await _house(world)
        yield await _partitions(world)
        async with world.database.work(actor.TIMER) as w:
            silent = await deliveries.unreachable(w)
            newest_zones = await appointments.newest_zone_data(w)
            unmailable = await people.unmailable(w)
            running = await processes.running(w)
        yield _processes(running)
        if newest_zones and newest_zones > world.database.tzdata_version:
            detail = f"booked times were made with {newest_zones}, which this program leaves as they are"
            mend = "Deploy a build with that tzdata package or a newer one: older data shows wrong local times."
            yield Finding("zones", is_well=False, detail=detail, mend=mend)
        if unmailable:
            detail = f"no mail can reach the addresses of {', '.join(map(str, unmailable))}"
            mend = "Correct them (`PATCH /v1/people/{id}`): an older release took addresses that mail cannot carry."
            yield Finding("addresses", is_well=False, detail=detail, mend=mend)
        if silent:
            detail = f"no admin or coordinator of {', '.join(silent)} has an address that takes mail"
            mend = "Correct an address (`PATCH /v1/people/{id}`), or name somebody else."
            yield Finding("addresses", is_well=False, detail=detail, mend=mend)


def _processes(running: Sequence[processes.Running]) -> Finding:
    """Name what runs; none does where everything was stopped, and mail that waits for a worker is told of by itself."""
    live = [process for process in running if process.is_live]
    wrong = [process for process in live if process.is_clock_off or process.failing]
    detail = "; ".join(_named_process(process) for process in live) or "none runs"
    mend = "Have its host follow a time server" if any(process.is_clock_off for process in wrong) else "Read its log"
    return Finding("processes", is_well=not wrong, detail=detail, mend=f"{mend}.")


def _named_process(process: processes.Running) -> str:
    row = process.row
    named = f"{row.kind} on {row.host} ({row.version}, tzdata {row.tzdata}), heard {process.silent_seconds:.0f} s ago"
    faults = [f"{', '.join(process.failing)} fails"] if process.failing else []
    if process.is_clock_off:
        faults.append(f"its clock is {(row.clock_offset_ms or 0) / 1000:+.1f} s from the database's")
    return ": ".join([named, ", ".join(faults)] if faults else [named])


async def _sent_mail(world: World) -> AsyncIterator[Finding]:
    """See what keeps mail from leaving: the server, an operator, or a refusal that is our fault."""
    async with world.database.work(actor.TIMER) as w:
        standing = await mail_server.standing(w)
        refused = await deliveries.refused_for_our_fault(w)
        dead = await deliveries.count_dead(w)
    if standing.away_since:
        said = f"{standing.phase or 'hand-over'}: {standing.error}"
        detail = f"the mail server is away since {standing.away_since:%Y-%m-%d %H:%M} UTC ({said}); all mail waits"
        mend = "See to the server or to POBRATYM_SMTP_URL: everything leaves within a minute of its return."
        yield Finding("mail", is_well=False, detail=detail, mend=mend)
    if standing.held_at:
        detail = f"all mail is held back since {standing.held_at:%Y-%m-%d %H:%M} UTC"
        yield Finding("mail", is_well=False, detail=detail, mend="`pobratym mail release` lets it leave.")
    if refused:
        detail = (
            f"the server refuses {len(refused)} mails for what we are or send: {'; '.join(sorted(set(refused)))[:200]}"
        )
        mend = "Mend it with whoever keeps the server (block lists, SPF), then `pobratym mail retry --refused`."
        yield Finding("mail", is_well=False, detail=detail, mend=mend)
    if dead:
        detail = f"{dead} mails were given up after three days"
        yield Finding(
            "mail",
            is_well=False,
            detail=detail,
            mend="`pobratym mail list --state dead`, then `pobratym mail retry --all-dead`.",
        )


async def _told_news(world: World) -> AsyncIterator[Finding]:
    """See what pushes and text messages were given up: each was told by mail as well."""
    async with world.database.work(actor.TIMER) as w:
        given_up = await news.given_up(w)
    for kind in given_up:
        detail = f"{kind.count} of kind {kind.kind} were given up in 30 days: {', '.join(kind.errors)[:200]}"
        mend = "See the worker's log (`news_attempt_failed`, `news_refused_for_our_fault`), and docs/runbook.md."
        yield Finding("news", is_well=False, detail=detail, mend=mend)


async def _house(world: World) -> Finding:
    """See whether what has ended is deleted, and what keeps it from that."""
    async with world.database.work(actor.TIMER) as w:
        house = await housekeeping.standing(w)
    detail = "no worker was here yet" if house.age_seconds is None else f"done {house.age_seconds / 60:.0f} min ago"
    if house.failing:
        failed = "; ".join(f"{task}: {error}" for task, error in house.failing.items())
        detail = f"{detail}; failed since: {failed}"
    mend = "Run `pobratym worker`; what failed is in its log (`housekeeping_failed`)."
    return Finding("housekeeping", is_well=not (house.is_late or house.failing), detail=detail, mend=mend)


async def _partitions(world: World) -> Finding:
    """See whether the tables of parts have one for the months to come: without it they take no row."""
    async with world.database.work(actor.TIMER) as w:
        ends = await partitions.ends(w)
        soon = await database_clock.now(w) + timedelta(days=partitions.LATE_DAYS)
    detail = "; ".join(f"{table} takes rows until {at:%Y-%m-%d}" for table, at in ends.items())
    mend = "Run `pobratym worker`, whose housekeeper makes the next ones, or `pobratym migrate`, which does so at once."
    return Finding("partitions", is_well=min(ends.values()) > soon, detail=detail, mend=mend)


async def _keys(world: World) -> Finding:
    """See whether what was sealed opens: the signing keys, which stand for the rest, and each secret of a webhook."""
    mend = "Add the key that was used before to POBRATYM_SECRET_KEYS, behind the new one."
    try:
        async with world.database.work(actor.TIMER) as w:
            signing_keys = await logins.signing_keys(w)
            silent = await webhooks.unreadable(w)
    except crypto.CannotDecrypt:
        return Finding("keys", is_well=False, detail="the secret keys do not open what is stored", mend=mend)
    if silent:
        detail = f"no secret of {silent} webhook endpoints opens: they are sent nothing"
        return Finding("keys", is_well=False, detail=detail, mend=f"{mend} Or rotate those secrets.")
    return Finding("keys", is_well=True, detail="they open what is stored" if signing_keys else "nothing is sealed yet")


async def reports(world: World) -> Finding:
    """See whether the rollups of each programme's past are what its rows say."""
    comparisons = await rollups.compare(world.database)
    rollup_count = sum(comparison.rollups for comparison in comparisons)
    differing = [comparison for comparison in comparisons if comparison.differing]
    if not differing:
        return Finding(
            "reports", is_well=True, detail=f"{rollup_count} days, weeks and blocks of weeks are kept as their rows say"
        )
    spans = "; ".join(f"{comparison.programme_code}: {_named(comparison.differing)}" for comparison in differing)
    return Finding(
        "reports",
        is_well=False,
        detail=f"what is kept of the past is not what its rows say, in UTC: {spans}",
        mend="Say `DELETE FROM report_rollup;` to the database: reports count anew, and the worker keeps it again.",
    )


def _named(spans: Sequence[Interval]) -> str:
    first = ", ".join(f"{since:%Y-%m-%d} until {till:%Y-%m-%d}" for since, till in sorted(spans)[:_NAMED])
    return first if len(spans) <= _NAMED else f"{first} and {len(spans) - _NAMED} more"
