"""What is wrong with an installation, and how to mend it: for the operator, before users find out."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiosmtplib
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from integrations.mail import smtp
from integrations.runtime import health, migrate, postgres
from integrations.runtime.settings import Settings
from integrations.runtime.world import World, opened
from service.care import appointments
from service.kernel import actor, crypto, errors
from service.outbox import deliveries, mail_server, webhooks
from service.people import logins, people
from service.reporting import rollups
from service.rules.time import availability
from service.rules.time.intervals import Interval

OLDEST_SERVER = 150_000
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
    if settings.outbound_allow:
        detail = f"{len(settings.outbound_allow)} hosts or networks bypass the outbound guard"
        findings.append(Finding("outbound", is_well=False, detail=detail, mend="Unset POBRATYM_OUTBOUND_ALLOW."))
    try:
        async with AsyncExitStack() as stack:
            timeout = settings.job_statement_timeout_ms if with_reports else None
            opening = opened(settings, purpose="doctor", statement_timeout_ms=timeout, migrating=False)
            world = await stack.enter_async_context(opening)
            findings += [finding async for finding in database(world)]
            if with_reports and migrate.serves(await migrate.present(world.engine)):
                findings.append(await reports(world))
    except (postgres.CannotStart, SQLAlchemyError, OSError, errors.Unavailable) as error:
        mend = "Is the server running, and the address right?"
        if isinstance(error, postgres.CannotStart):
            mend = "Read the log that the message names, and see that the disk is not full."
        findings.append(Finding("database", is_well=False, detail=_wording(error), mend=mend))
    return findings


def _wording(error: Exception) -> str:
    """Give our own words, but only the kind of a driver's error: its words may hold the address and password."""
    return str(error) if isinstance(error, postgres.CannotStart) else type(error).__name__


def _zones() -> Finding:
    return Finding("zones", is_well=True, detail=f"tz database {availability.TZDATA_VERSION}, from the tzdata package")


def _mail(settings: Settings) -> Finding:
    if settings.smtp_url is not None:
        return Finding("mail", is_well=True, detail="by SMTP")
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
        return [Finding("mail", is_well=False, detail=f"the server cannot be asked: {type(fault).__name__}", mend=mend)]
    detail = "the server offers SMTPUTF8" if is_offered else smtp.NO_SMTPUTF8
    mend = "Unset POBRATYM_SMTPUTF8, or have the server carry such addresses (Postfix: smtputf8_enable)."
    return [Finding("mail", is_well=is_offered, detail=detail, mend=mend)]


async def database(world: World) -> AsyncIterator[Finding]:
    """Look at the database and at what it holds."""
    async with world.engine.connect() as connection:
        number = int((await connection.execute(sa.text("SHOW server_version_num"))).scalar_one())
        version = (await connection.execute(sa.text("SHOW server_version"))).scalar_one()
    mend = "PostgreSQL 15 or later is needed."
    yield Finding("database", is_well=number >= OLDEST_SERVER, detail=f"PostgreSQL {version}", mend=mend)
    present = await migrate.present(world.engine)
    is_served, newer = migrate.serves(present), ", of a newer program" if migrate.is_newer(present) else ""
    detail = (present or "none") + newer
    yield Finding("schema", is_well=is_served, detail=detail, mend="Run `pobratym migrate`.")
    if is_served:
        yield await _keys(world)
        async for finding in _sent_mail(world):
            yield finding
        waits = (await health.backlog(world)).oldest_due_seconds
        is_prompt, detail = waits <= health.LATE_SECONDS, f"the oldest due one waits for {waits:.0f} s"
        yield Finding("deliveries", is_well=is_prompt, detail=detail, mend="Run `pobratym worker`.")
        async with world.database.work(actor.TIMER) as w:
            silent = await deliveries.unreachable(w)
            newest_zones = await appointments.newest_zone_data(w)
            unmailable = await people.unmailable(w)
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
            "reports", is_well=True, detail=f"{rollup_count} weeks and blocks of weeks are kept as their rows say"
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
