"""What is wrong with an installation, and how to mend it: for the operator, before users find out."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from integrations.runtime import health, migrate, postgres
from integrations.runtime.settings import Settings
from integrations.runtime.world import World, opened
from service.kernel import actor, crypto, errors
from service.outbox import deliveries, webhooks
from service.people import logins
from service.rules.time import availability

OLDEST_SERVER = 150_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` says what to do when it is not well."""

    subject: str
    is_well: bool
    detail: str
    mend: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything, whatever is wrong with the rest."""
    found = [_zones(), _mail(settings)]
    if settings.outbound_allow:
        detail = f"{len(settings.outbound_allow)} hosts or networks bypass the outbound guard"
        found.append(Finding("outbound", is_well=False, detail=detail, mend="Unset POBRATYM_OUTBOUND_ALLOW."))
    try:
        async with AsyncExitStack() as stack:
            world = await stack.enter_async_context(opened(settings, purpose="doctor", migrating=False))
            found += [finding async for finding in database(world)]
    except (postgres.CannotStart, SQLAlchemyError, OSError, errors.Unavailable) as error:
        mend = "Is the server running, and the address right?"
        if isinstance(error, postgres.CannotStart):
            mend = "Read the log that the message names, and see that the disk is not full."
        found.append(Finding("database", is_well=False, detail=_said(error), mend=mend))
    return found


def _said(error: Exception) -> str:
    """Give our own words, but only the kind of a driver's error: its words may hold the address and password."""
    return str(error) if isinstance(error, postgres.CannotStart) else type(error).__name__


def _zones() -> Finding:
    return Finding("zones", is_well=True, detail=f"tz database {availability.TZDATA_VERSION}, from the tzdata package")


def _mail(settings: Settings) -> Finding:
    if settings.smtp_url is not None:
        return Finding("mail", is_well=True, detail="by SMTP; `pobratym worker` tells when the server refuses")
    folder = next(path for path in (settings.mail_dir, *settings.mail_dir.absolute().parents) if path.exists())
    return Finding(
        "mail",
        is_well=os.access(folder, os.W_OK),
        detail=f"no server is set: mail is written to {settings.mail_dir}",
        mend="Set POBRATYM_SMTP_URL, or let this user write there.",
    )


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
        waits = (await health.backlog(world)).oldest_due_seconds
        is_prompt, detail = waits <= health.LATE_SECONDS, f"the oldest due one waits for {waits:.0f} s"
        yield Finding("deliveries", is_well=is_prompt, detail=detail, mend="Run `pobratym worker`.")
        async with world.database.work(actor.TIMER) as w:
            silent = await deliveries.unreachable(w)
        if silent:
            detail = f"no admin or coordinator of {', '.join(silent)} has an address that takes mail"
            mend = "Correct an address (`PATCH /v1/people/{id}`), or name somebody else."
            yield Finding("addresses", is_well=False, detail=detail, mend=mend)


async def _keys(world: World) -> Finding:
    """See whether what was sealed opens: the signing key stands for it, and the secrets of webhooks for themselves."""
    mend = "Add the key that was used before to POBRATYM_SECRET_KEYS, behind the new one."
    try:
        async with world.database.work(actor.TIMER) as w:
            found = await logins.signing_keys(w)
            silent = await webhooks.unreadable(w)
    except crypto.CannotDecrypt:
        return Finding("keys", is_well=False, detail="the secret keys do not open what is stored", mend=mend)
    if silent:
        detail = f"no secret of {silent} webhook endpoints opens: they are sent nothing"
        return Finding("keys", is_well=False, detail=detail, mend=f"{mend} Or rotate those secrets.")
    return Finding("keys", is_well=True, detail="they open what is stored" if found else "nothing is sealed yet")
