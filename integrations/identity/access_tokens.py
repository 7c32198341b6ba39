"""Our access tokens: made for people and systems, and turned back into the actor who is calling.

The keys lie in the database (`service.people.logins`); this process keeps them for a minute at most, so that a retired
key is forgotten everywhere soon. What a person may do is never in a token, but a system's names its scopes, which can
only narrow: roles, and the scopes that a system still has, are read afresh at each request.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from integrations.identity import jwt
from service.kernel import actor as actors
from service.kernel import clock, errors
from service.kernel.work import Work
from service.people import logins

AUDIENCE = "pobratym"
_KEPT_SECONDS = 60.0
_NOT_SOONER_SECONDS = 1.0
_MOST_PROVED = 5_000


class AccessTokens:
    """Makes and reads access tokens with the keys that this process holds at the moment."""

    def __init__(self, issuer: str) -> None:
        """Sign as `issuer`, the address of this installation."""
        self._issuer = issuer
        self._keys: logins.SigningKeys | None = None
        self._proved: dict[str, Mapping[str, Any]] = {}  # by token: claims whose signature these keys have proved
        self._read_at = 0.0

    async def issue(
        self, w: Work, person_id: UUID, token_id: UUID, scopes: Sequence[str] | None = None
    ) -> tuple[str, int]:
        """Give an access token of the person, and the seconds it lives; a system's is bound to scopes (RFC 9068)."""
        await self._refresh(w)
        keys = self._keys
        if keys is None:  # the first keys ever are cached only once they are committed
            keys = await logins.make_signing_key(w)
        issued = int(w.now.timestamp())
        seconds = int(jwt.LIFE.total_seconds())
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": str(person_id),
            "jti": str(token_id),
            "iat": issued,
            "exp": issued + seconds,
        }
        if scopes is not None:
            claims |= {"client_id": str(person_id), "scope": " ".join(scopes)}
        return jwt.sign(claims, keys.key_id, keys.private_pem), seconds

    async def caller(self, w: Work, token: str) -> actors.Actor:
        """Give who is calling with this bearer token, with the roles of this moment; raises Unauthenticated."""
        claims = await self._verified(w, token)
        try:
            person_id, token_id = UUID(claims.subject), UUID(claims.token_id)
        except ValueError:
            raise errors.Unauthenticated from None
        return await logins.caller(w, person_id, token_id, claims.scopes)

    async def id_of(self, w: Work, token: str) -> UUID:
        """Give the id of a valid token, which is that of the refresh token that it came with, if one did."""
        return UUID((await self._verified(w, token)).token_id)

    async def revoke(self, w: Work, token: str) -> None:
        """Revoke the access token from now on; one that is not valid is left alone."""
        try:
            claims = await self._verified(w, token)
            token_id = UUID(claims.token_id)
        except (errors.Unauthenticated, ValueError):
            return
        await logins.revoke_access(w, {token_id: claims.expires_at})

    async def for_email(self, w: Work, email: str) -> str:
        """Give an access token of the person with this address: the operator's command; raises NotFound."""
        person_id = await logins.person_with(w, email)
        token, _ = await self.issue(w, person_id, clock.new_id())
        return token

    async def _verified(self, w: Work, token: str) -> jwt.Claims:
        """Give the claims of a valid token; its signature is checked once for as long as the keys stay the same."""
        try:
            await self._refresh(w, key_id=None if token in self._proved else jwt.key_id(token))
            payload = self._proved.get(token)
            if payload is None:
                payload = jwt.signed(token, self._keys.public if self._keys else {})
                if len(self._proved) >= _MOST_PROVED:
                    self._proved.clear()
                self._proved[token] = payload
            return jwt.holding(payload, audience=AUDIENCE, issuer=self._issuer, now=w.now)
        except jwt.InvalidToken:
            raise errors.Unauthenticated from None

    async def _refresh(self, w: Work, key_id: str | None = None) -> None:
        age = clock.monotonic() - self._read_at
        is_known = self._keys is not None and (key_id is None or key_id in self._keys.public)
        if is_known and age < _KEPT_SECONDS:
            return
        if key_id is not None and self._keys is not None and age < _NOT_SOONER_SECONDS:
            return  # a stranger's kid must not cost a query each time
        self._keys = await logins.signing_keys(w)
        self._proved.clear()
        self._read_at = clock.monotonic()
