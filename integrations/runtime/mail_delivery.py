"""Delivers mails one after another (invariant E2).

Each is claimed in one transaction, handed over while none is open, and settled in a second one.
"""

import functools
from collections.abc import Mapping
from datetime import datetime
from email.utils import parseaddr
from typing import Any
from uuid import UUID

import structlog

from integrations.calendar import invites
from integrations.mail import letters, messages
from integrations.runtime import schema_version, tracing
from integrations.runtime.settings import Settings
from integrations.runtime.world import World
from service import vocabulary
from service.care import offers
from service.kernel import actor, clock, email_addresses, outcomes
from service.kernel.work import Work
from service.outbox import deliveries, mail_server, offer_mails

_log = structlog.get_logger("pobratym.mail")
_PREFIXES: Mapping[str, str] = {
    "sign_in": "sign-in",
    "join": "j",
    vocabulary.STOP_DIGEST: "a/digest",
    vocabulary.OWN_ADDRESS: "a/own-address",
    **dict.fromkeys(vocabulary.ADDRESS_PURPOSES, "a/address"),
}
_WITHOUT_AWAY = ("sign_in", "away_set", "address_asked")
"""Mails about nothing but the person themself."""


async def deliver(world: World, delivery_id: UUID) -> None:
    """Try the delivery if it is due; only the first process to claim it tries it."""
    async with world.database.work(actor.TIMER) as w:
        claim = await deliveries.claim(w, delivery_id)
    if claim is None:
        await world.database.run(actor.TIMER, lambda w: offer_mails.note_unreached(w, delivery_id))
        return
    if claim.late_offer_id is not None:
        claim = await world.database.run(actor.TIMER, functools.partial(_in_time, claim))
        if claim is None:
            return
    started_at, stopwatch = world.clock.now(), clock.monotonic()
    with tracing.span(world.tracer, "mail", claim.traceparent) as current:
        outcome = await _attempt(world, claim)
        tracing.attempted(current, claim.delivery_id, claim.attempt, outcome)
    if outcome is None:
        await world.database.run(actor.TIMER, lambda w: deliveries.leave(w, claim))
        return
    duration_ms = round((clock.monotonic() - stopwatch) * 1000)
    settled = await world.database.run(
        actor.TIMER, lambda w: deliveries.settle(w, claim, outcome, started_at, duration_ms)
    )
    if settled.state in {"refused", "dead"}:
        await world.database.run(actor.TIMER, lambda w: offer_mails.note_unreached(w, delivery_id))
    _tell(claim, outcome, settled)


async def _in_time(claim: deliveries.Claim, w: Work) -> deliveries.Claim | None:
    """Give the mail with the mentor's whole time to answer from now; None if the offer is of no use any more."""
    if claim.late_offer_id is None or await offers.start_clock(w, claim.late_offer_id):
        return await deliveries.again(w, claim)
    await deliveries.drop(w, claim)
    return None


def _tell(claim: deliveries.Claim, outcome: outcomes.Outcome, settled: deliveries.Settled) -> None:
    """Have a line for an attempt that failed, and one when the server is lost; ids and codes only."""
    if isinstance(outcome, outcomes.Delivered):
        return
    values = {
        "delivery_id": str(claim.delivery_id),
        "request_id": claim.request_id,
        "traceparent": claim.traceparent,
        "attempt": claim.attempt,
        "outcome": outcomes.word(outcome),
        "phase": outcome.phase,
        "status": outcome.status,
        "state": settled.state,
    }
    if settled.is_server_lost:
        _log.error("mail_server_away", **values)
    elif isinstance(outcome, outcomes.Ours):
        _log.error("mail_refused_for_our_fault", **values)
    else:
        _log.warning("mail_attempt_failed", **values)


async def look_for_server(world: World) -> None:
    """See whether a mail server that is away is back, if a look is due: then everything that waited is due at once."""
    async with world.database.apart() as w:
        if not await mail_server.take_probe(w):
            return
    outcome = await world.outbox.probe(parseaddr(world.settings.mail_from)[1])
    if outcome is not None:
        await world.database.run(actor.TIMER, lambda w: mail_server.still_away(w, outcome))
        return
    back = await world.database.run(actor.TIMER, mail_server.back)
    if back is not None:
        _log.warning("mail_server_back", count=back.waiting, away_s=back.away_seconds)


async def _attempt(world: World, claim: deliveries.Claim) -> outcomes.Outcome | None:
    """Hand the mail over; None when it is left to a newer worker, because the database has a newer program's schema."""
    if claim.recipient is None:
        return outcomes.Unsendable("the recipient is gone")
    if not email_addresses.is_carried(
        claim.recipient[1], utf8=True
    ):  # whether a server carries letters, it says itself
        return outcomes.Refused("mail cannot carry this address")
    try:
        message = compose(world, claim)
    except letters.Unknown as fault:
        is_newer = schema_version.is_newer(await schema_version.present(world.engine))
        return None if is_newer else outcomes.Unsendable(f"cannot be composed: {fault}")
    except ValueError as fault:  # a poison row must not stop the others
        return outcomes.Unsendable(f"cannot be composed: {fault}")
    except (LookupError, TypeError, AttributeError) as fault:  # a payload of another shape must not come back for ever
        return outcomes.Unsendable(f"cannot be composed: {type(fault).__name__}")
    return await world.outbox.send(message, claim.recipient[1])


def compose(world: World, claim: deliveries.Claim) -> bytes:
    """Give the mail's bytes: a pure function of the row, the people's names and addresses, and the keys."""
    payload, settings = claim.payload, world.settings
    links = urls(world, payload) | _away(world, claim)
    name, address = claim.recipient or ("", "")
    sender = messages.Mailbox(*parseaddr(settings.mail_from))
    calendar = payload.get("calendar")
    ics = invite(settings, calendar, payload["values"], payload["locale"], claim.people, links) if calendar else None
    return messages.compose(
        messages.Mail(
            message_id=f"{claim.delivery_id}@{domain(settings)}",
            dated=datetime.fromisoformat(payload["dated"]),
            sender=sender,
            reply_to=None,
            recipient=messages.Mailbox(name, address),
            locale=payload["locale"],
            template=payload["template"],
            values=payload["values"],
            links=links,
            request_id=clock.own_id(claim.request_id),
            method=calendar["method"] if calendar else None,
            stop_url=links.get("stop_digest"),
        ),
        ics,
    )


def urls(world: World, payload: Mapping[str, Any]) -> dict[str, str]:
    """Give the mail's links with their tokens, derived only now."""
    base = world.settings.base_url
    links = {
        name: f"{base}/{_PREFIXES.get(link['purpose'], 'a')}/{world.keys.link_token(UUID(link['id']), link['purpose'])}"
        for name, link in payload["links"].items()
    }
    page = payload["values"].get("page")
    return links | ({"view": f"{base}{page}"} if page else {})


def _away(world: World, claim: deliveries.Claim) -> dict[str, str]:
    """Give the link that every mail to a mentor has, by which they are away; its token is that of the mail's row."""
    if not claim.is_to_mentor or claim.payload["template"] in _WITHOUT_AWAY:
        return {}
    token = world.keys.link_token(claim.delivery_id, vocabulary.AWAY)
    return {"away": f"{world.settings.base_url}/a/away/{token}"}


def invite(
    settings: Settings,
    calendar: Mapping[str, Any],
    values: Mapping[str, Any],
    locale: str,
    people: Mapping[str, tuple[str, str, str]],
    links: Mapping[str, str],
) -> bytes:
    """Give the iCalendar object for one person, in their language; people are name, address, locale by id."""
    text = letters.event_text(locale, values, links)
    attendees = []
    for attendee in calendar["attendees"]:
        name, address, language = people[attendee["person_id"]]
        attendees.append(invites.Attendee(name, address, language, attendee["partstat"]))
    return invites.render(
        invites.Invite(
            method=calendar["method"],
            uid=f"{calendar['appointment_id']}@{domain(settings)}",
            sequence=calendar["sequence"],
            dtstamp=datetime.fromisoformat(calendar["dtstamp"]),
            starts_at=datetime.fromisoformat(calendar["starts_at"]),
            ends_at=datetime.fromisoformat(calendar["ends_at"]),
            status=calendar["status"],
            summary=text.summary,
            description=text.description,
            url=links.get("join"),
            organizer=invites.Organizer(*parseaddr(settings.mail_from)),
            attendees=tuple(attendees),
            locale=locale,
        )
    )


def domain(settings: Settings) -> str:
    """Name the domain of Message-IDs and calendar UIDs: the sender's. Changing it makes every invite a new one."""
    return parseaddr(settings.mail_from)[1].rpartition("@")[2]
