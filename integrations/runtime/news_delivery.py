"""Tells news: each delivery is claimed in one transaction, sent while none is open, and settled in a second one."""

from datetime import timedelta
from email.utils import parseaddr
from uuid import UUID

import httpx
import orjson
import structlog

from integrations import news_texts
from integrations.identity import jwt
from integrations.push import sending as pushing
from integrations.runtime import tracing
from integrations.runtime.world import World
from integrations.sms import sending as messaging
from service.kernel import actor, clock, outcomes
from service.outbox import news, push_subscriptions

_PROOF_LIFE = timedelta(hours=12)
_log = structlog.get_logger("pobratym.news")


async def deliver(world: World, delivery_id: UUID) -> None:
    """Try the delivery if it is due and of use; only the first process to claim it tries it."""
    async with world.database.work(actor.TIMER) as w:
        claim = await news.claim(w, delivery_id)
        key = await push_subscriptions.find_key(w) if claim and claim.kind == "push" else None
    if claim is None:
        return
    started_at, stopwatch = world.clock.now(), clock.monotonic()
    with tracing.span(world.tracer, claim.kind, claim.traceparent) as current:
        outcome = await _attempt(world, claim, key)
        tracing.attempted(current, claim.delivery_id, claim.attempt, outcome)
    duration_ms = round((clock.monotonic() - stopwatch) * 1000)
    state = await world.database.run(actor.TIMER, lambda w: news.settle(w, claim, outcome, started_at, duration_ms))
    _tell(claim, outcome, state)


async def _attempt(world: World, claim: news.Claim, key: push_subscriptions.SigningKey | None) -> outcomes.Outcome:
    if claim.kind == "sms":
        return await _message(world, claim)
    if key is None or claim.receiver is None:
        return outcomes.Unsendable("there is no key to sign with")
    text = news_texts.worded(claim.news, claim.until, claim.zone, claim.locale)
    content = orjson.dumps({"title": text.title, "body": text.text, "lang": claim.locale, "tag": claim.news})
    seconds = int((claim.until - world.clock.now()).total_seconds())
    return await pushing.post(
        world.outbound,
        claim.receiver,
        content,
        authorization=vapid(key, claim.receiver.endpoint, parseaddr(world.settings.mail_from)[1]),
        seconds=seconds,
        about=claim.about,
    )


async def _message(world: World, claim: news.Claim) -> outcomes.Outcome:
    settings = world.settings
    if settings.sms_url is None or claim.phone is None:
        return outcomes.Unsendable("there is no gateway for text messages")
    text = news_texts.message(claim.news, claim.until, claim.zone, claim.locale, f"{settings.base_url}/")
    token = settings.sms_token.get_secret_value() if settings.sms_token else None
    return await messaging.post(
        world.outbound, settings.sms_url, token, to=claim.phone, text=text, reference=str(claim.delivery_id)
    )


def vapid(key: push_subscriptions.SigningKey, endpoint: str, contact: str) -> str:
    """Give the header by which a push service knows who pushes, and whom to write to about it (RFC 8292).

    By the system's clock, since the service compares it with its own.
    """
    until = int((clock.wall() + _PROOF_LIFE).timestamp())
    claims = {"aud": pushing.origin(endpoint), "exp": until, "sub": f"mailto:{contact}"}
    return f"vapid t={jwt.sign(claims, None, key.private_pem, 'JWT')}, k={key.public}"


def _tell(claim: news.Claim, outcome: outcomes.Outcome, state: str) -> None:
    """Have a line for an attempt that failed, and for a device that is gone; ids, codes and a host only."""
    if isinstance(outcome, outcomes.Delivered):
        return
    values = {
        "kind": claim.kind,
        "delivery_id": str(claim.delivery_id),
        "request_id": claim.request_id,
        "traceparent": claim.traceparent,
        "attempt": claim.attempt,
        "outcome": outcomes.word(outcome),
        "status": outcome.status,
        "state": state,
        "host": httpx.URL(claim.receiver.endpoint).host if claim.receiver else None,
    }
    if isinstance(outcome, outcomes.Gone):
        _log.info("push_device_gone", **values)
    elif isinstance(outcome, outcomes.Ours | outcomes.Unsendable):
        _log.error("news_refused_for_our_fault", **values)
    else:
        _log.warning("news_attempt_failed", **values)
