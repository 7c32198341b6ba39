"""Which scope a partner system needs for which call (invariant A3): one table, asked in `api.edge.transactional` alone.

A route that is not listed is closed to systems. Scopes do not concern people. What a scope opens is still only what the
system's institution has a part in: `service.kernel.access` decides that, as it does for people.
"""

from collections.abc import Mapping
from types import MappingProxyType

from service.kernel import actor as actors
from service.kernel import errors

ANY = ""
"""Every token will do."""

_NEEDED = {
    "": """
        GET /v1/me
        GET /v1/programmes
        GET /v1/programmes/{}
        GET /v1/specialties
        GET /v1/institutions
        GET /v1/institutions/{}
        GET /v1/institutions/{}/memberships
        GET /v1/programmes/{}/activities
        """,
    "consultations:read": """
        GET /v1/consultations
        GET /v1/consultations/{}
        """,
    "appointments:read": """
        GET /v1/offers
        GET /v1/offers/{}
        GET /v1/appointments
        GET /v1/appointments/{}
        GET /v1/sessions/{}
        """,
    "appointments:write": """
        POST /v1/offers/{}/accept
        POST /v1/offers/{}/show
        POST /v1/offers/{}/decline
        POST /v1/offers/{}/counter
        POST /v1/appointments/{}/reschedule
        POST /v1/appointments/{}/cancel
        POST /v1/appointments/{}/no-show
        POST /v1/appointments/{}/session
        POST /v1/sessions/{}/corrections
        """,
    "availability:write": """
        POST /v1/people
        GET /v1/mentors
        GET /v1/mentors/{}/profile
        PUT /v1/mentors/{}/profile
        GET /v1/mentors/{}/availability
        PUT /v1/mentors/{}/availability
        GET /v1/mentors/{}/slots
        """,
    "memoranda:read": """
        GET /v1/memoranda
        GET /v1/memoranda/{}
        GET /v1/memoranda/{}/transitions
        GET /v1/memoranda/{}/activities
        GET /v1/activities/{}
        GET /v1/memoranda/{}/log
        GET /v1/memoranda/{}/log/verification
        """,
    "events:read": """
        GET /v1/events
        """,
    "webhooks:write": """
        GET /v1/webhook-endpoints
        POST /v1/webhook-endpoints
        GET /v1/webhook-endpoints/{}
        PATCH /v1/webhook-endpoints/{}
        DELETE /v1/webhook-endpoints/{}
        POST /v1/webhook-endpoints/{}/rotate-secret
        POST /v1/webhook-endpoints/{}/test
        GET /v1/webhook-endpoints/{}/deliveries
        POST /v1/webhook-endpoints/deliveries/{}/resend
        POST /v1/webhook-endpoints/{}/recover
        """,
    "reports:read": """
        GET /v1/memoranda/{}/report
        GET /v1/institutions/{}/report
        GET /v1/memoranda/{}/report/rows
        GET /v1/institutions/{}/report/rows
        """,
}

NEEDED: Mapping[str, str] = MappingProxyType(
    {call.strip(): scope for scope, calls in _NEEDED.items() for call in calls.strip().splitlines()}
)
"""Scope by call: the method and the route's path with its parameters unnamed."""


def needed(method: str, path: str) -> str | None:
    """Give the scope that opens the route to systems, ANY, or None where no system is let in."""
    unnamed = "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
    return NEEDED.get(f"{method.upper()} {unnamed}")


def check(actor: actors.Actor, scope: str | None) -> None:
    """Let people through, and systems whose token is good for the call; raises InsufficientScope."""
    if actor.scopes is None or scope == ANY or scope in actor.scopes:
        return
    raise errors.InsufficientScope(scope)
