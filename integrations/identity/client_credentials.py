"""Client credentials (RFC 6749 §4.4): a partner system proves who it is and gets an access token bound to scopes.

It proves it by a secret, or by an assertion signed with its private key (RFC 7523, as SMART Backend Services has it).
Every failed proof gets the same refusal, which does not tell what part of it was wrong. Who runs the client sees
it at the client (`refused_at`, `refused_for`), and operators in the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from integrations.identity import jwt, key_sets
from integrations.runtime.world import World
from service import tables, vocabulary
from service.kernel import actor as actors
from service.kernel import clock, work
from service.kernel.work import Work
from service.people import clients

_log = structlog.get_logger(__name__)
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - an address


class Unproved(Exception):
    """A client has not proved that it is the one it names; `fault` says why to who runs it."""

    def __init__(self, fault: vocabulary.ProofFault) -> None:
        """Keep why."""
        super().__init__(fault)
        self.fault = fault


class TokenRefused(Exception):
    """No token; `error` is one of RFC 6749 §5.2."""

    def __init__(self, error: str, description: str) -> None:
        """Say why, quoting nothing."""
        super().__init__(error)
        self.error, self.description = error, description


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a client asks for, and its proof: `secret` with its id, or an assertion that names it."""

    client_id: UUID | None
    secret: str | None
    assertion: str | None
    scopes: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """An access token, how long it lives, and what it is good for."""

    token: str
    seconds: int
    scopes: tuple[str, ...]


def token_address(base_url: str) -> str:
    """Give the address where tokens are asked for."""
    return base_url + TOKEN_PATH


async def grant(world: World, request_id: str, wish: TokenRequest) -> TokenGrant:
    """Give a token to the client that proves itself; raises TokenRefused.

    A key set is fetched before the transaction begins, never inside it.
    """
    client_id = wish.client_id
    if wish.assertion is not None:
        client_id, key_id = _claimed(wish.assertion)
        if wish.client_id not in {None, client_id}:
            raise _refused()
        await key_sets.refresh(world, client_id, key_id)

    async def attempt() -> TokenGrant:
        async with world.database.work(actors.STRANGER, request_id) as w:
            row = await clients.find(w, client_id) if client_id else None
            if row is None:
                raise _refused()
            await _prove(w, world, row, wish)
            scopes = _granted_scopes(row.scopes, wish.scopes)
            await clients.let_in(w, row, scopes)
            token, seconds = await world.tokens.issue(w, row.id, clock.new_id(), scopes)
            return TokenGrant(token, seconds, scopes)

    try:
        return await work.retrying(attempt)
    except Unproved as unproved:
        fault = unproved.fault
        _log.warning("client_proof_refused", client_id=str(client_id), reason=fault)
        await world.database.run(actors.STRANGER, lambda w: clients.keep_refusal(w, client_id, fault))
        raise _refused() from None


async def _prove(w: Work, world: World, row: tables.Client, wish: TokenRequest) -> None:
    """Pass a client whose proof holds, and use the proof up; raises Unproved."""
    is_by_secret = row.token_endpoint_auth_method == clients.SECRET
    if (wish.assertion is None) != is_by_secret:
        raise Unproved("other_method")
    if wish.assertion is None:
        if wish.secret is None or not await clients.is_secret(w, row, wish.secret):
            raise Unproved("secret")
        return
    issuer = world.settings.base_url
    at = clock.wall()
    try:
        proof = jwt.verify_assertion(
            wish.assertion,
            key_sets.keys_of(row, at),
            client_id=str(row.id),
            audiences=(token_address(issuer), issuer),
            now=at,
        )
    except jwt.InvalidToken as invalid:
        raise Unproved(invalid.fault) from None
    if not await clients.use_up(w, row, proof.token_id, proof.expires_at):
        raise Unproved("used_before")


def _claimed(assertion: str) -> tuple[UUID, str]:
    """Name the client and the key that the assertion claims; nothing is proved by it."""
    try:
        return UUID(jwt.claimed_issuer(assertion)), jwt.key_id(assertion)
    except (jwt.InvalidToken, ValueError):
        raise _refused() from None


def _granted_scopes(registered: Sequence[str], requested: tuple[str, ...] | None) -> tuple[str, ...]:
    """Give the requested scopes, or all registered ones when none are requested; raises TokenRefused for others."""
    if requested is None:
        return tuple(registered)
    if not requested or not set(requested) <= set(registered):
        raise TokenRefused("invalid_scope", "A scope is asked for that the client does not have.")
    return tuple(sorted(set(requested)))


def _refused() -> TokenRefused:
    return TokenRefused("invalid_client", "The client is not known, or has not proved that it is the one it names.")
