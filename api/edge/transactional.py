"""One request is one transaction, committed before the answer is sent (invariant E1).

who calls, and may they call now   outside the transaction, so that a failed call is counted too
the handler                        one unit of work: rolled back if the handler raises, committed if it returns
                                   (a handler that only reads, `deps.R`, has no transaction; a report,
                                   `deps.Reported`, is read in one of the replica's, if there is one)
the stored answer                  of a POST with an Idempotency-Key, in the handler's transaction
"""

import hashlib
import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response, params
from fastapi.routing import APIRoute

from api.edge import batches, deps, incoming, plain_json, problems, scopes, shapes, stored_answers
from integrations.runtime import replicas
from integrations.runtime.world import World
from service.kernel import actor as actors
from service.kernel import clock, errors, idempotency, limits, work
from service.outbox.events import instant
from service.rules.sentences import Sentence

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
SIGN_IN_PATHS = ("/v1/auth/", "/oauth2/")
STORES_NOTHING = frozenset({"/v1/consultations/preview"})
"""What these answer is kept under no Idempotency-Key either: asked again, it is found anew."""

_KEPT_HEADERS = ("content-type", "location", "etag", "expires", "preference-applied")
_LONGEST_KEY = 255


class Transactional(APIRoute):
    """A route whose handler works in `request.state.work`."""

    def get_route_handler(self) -> Handler:
        """Put the transaction around the handler."""
        handler = _tagging(super().get_route_handler(), self.response_model)
        hidden = shapes.shown_once(self.response_model)
        asked_for = {dependency.call for dependency in self.dependant.dependencies}
        is_reading, is_report = deps.reading in asked_for, deps.from_replica in asked_for
        turn = batches.turns(asked_for)
        needs_sign_in = is_reading or is_report or deps.signed_in in asked_for
        reads_json = self.body_field is not None and not isinstance(self.body_field.field_info, params.Form)

        async def transactional(request: Request) -> Response:
            if stored_answers.WORK in request.scope:  # a stored answer reads again, for a caller who was let in
                request.state.work = request.scope[stored_answers.WORK]
                return await handler(request)
            world: World = request.app.state.world

            def must_know(actor: actors.Actor) -> None:
                if needs_sign_in:
                    deps.must_be_signed_in(request, actor)
                    scopes.check(actor, scopes.needed(request.method, self.path))

            async def admit() -> actors.Actor | Response:
                async with world.database.apart(request.state.request_id) as w:
                    actor = await admitted(w, request)
                    must_know(actor)  # before the body is read, and before a stored answer is given again
                    if not is_reading:
                        return actor
                    w.actor, request.state.work = actor, w
                    return await handler(request)

            actor = await work.retrying(admit)
            if isinstance(actor, Response):
                return actor

            if reads_json:
                _must_be_json(request)
            body = await request.body()

            async def attempt() -> Response:
                async with world.database.work(by_now, request.state.request_id, request.state.traceparent) as w:
                    request.state.work = w
                    key = _idempotency(request, by_now, body)
                    return await (_once(w, key, handler, request, hidden, self.path) if key else handler(request))

            async with turn(request) as has_waited:
                by_now = await _caller_by_now(world, request, actor, has_waited=has_waited)
                must_know(by_now)
                # Who reads a report was let in and counted by the primary, which alone knows their roles of now.
                return await (_reported(world, request, by_now, handler) if is_report else work.retrying(attempt))

        return transactional


async def _reported(world: World, request: Request, actor: actors.Actor, handler: Handler) -> Response:
    """Give the report, and say as of when it is."""

    async def handle(w: work.Work) -> Response:
        request.state.work = w
        response = await handler(request)
        response.headers["As-Of"] = instant(w.as_of or w.now)
        return response

    return await replicas.read(world.database, world.replica, actor, handle, request.state.request_id)


def _tagging(handler: Handler, shape: object) -> Handler:
    """Have a list carry the digest of what it says as its tag (decision 0066)."""
    if "items" not in getattr(shape, "model_fields", ()):
        return handler

    async def tagging(request: Request) -> Response:
        response = await handler(request)
        is_json = response.headers.get("content-type", "").startswith("application/json")
        if is_json and response.status_code == HTTPStatus.OK:
            response.headers["ETag"] = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
        return response

    return tagging


async def admitted(w: work.Work, request: Request) -> actors.Actor:
    """Give the caller, and count the call. With a bad token the caller is a stranger, whom most handlers refuse."""
    world: World = request.app.state.world
    is_sign_in = request.url.path.startswith(SIGN_IN_PATHS)
    actor = await caller(w, request)
    per_minute = world.settings.sign_ins_per_minute if is_sign_in else world.settings.requests_per_minute
    if per_minute:
        await limits.take(w, _bucket(request, actor, is_sign_in=is_sign_in), clock.wall(), per_minute)
    return actor


async def caller(w: work.Work, request: Request) -> actors.Actor:
    """Give who calls, with the roles that they hold now; a stranger, and why in `state.refusal`, for a bad token."""
    world: World = request.app.state.world
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        try:
            return await world.tokens.caller(w, token.strip())
        except errors.Unauthenticated as error:
            request.state.refusal = error
    return actors.STRANGER


async def _caller_by_now(world: World, request: Request, actor: actors.Actor, *, has_waited: bool) -> actors.Actor:
    """Ask again who calls after a wait for the body or for a turn: it may have taken long, and roles end at once."""
    if not (has_waited or request.state.body_came_late):
        return actor

    async def ask() -> actors.Actor:
        async with world.database.apart(request.state.request_id) as w:
            return await caller(w, request)

    return await work.retrying(ask)


def _must_be_json(request: Request) -> None:
    if incoming.is_announced(request.headers) and not plain_json.is_meant(request.headers.get("content-type", "")):
        raise problems.UnsupportedMediaType


def _bucket(request: Request, actor: actors.Actor, *, is_sign_in: bool) -> str:
    if actor.person_id and not is_sign_in:
        return f"person:{actor.person_id}"
    address = request.client.host if request.client else "unknown"
    return f"{'sign-in' if is_sign_in else 'address'}:{address}"


def _idempotency(request: Request, actor: actors.Actor, body: bytes) -> idempotency.Request | None:
    """Give the key to store the answer under, if the request has one; raises Invalid for a malformed key."""
    path = request.url.path
    if request.method != "POST" or path.startswith(SIGN_IN_PATHS) or path in STORES_NOTHING or actor.person_id is None:
        return None
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    key = keys[0]
    if len(keys) > 1 or not 1 <= len(key) <= _LONGEST_KEY or not key.isascii() or not key.isprintable():
        detail = Sentence("must be one text of 1 to {most} visible characters", most=_LONGEST_KEY)
        raise errors.Invalid("/header/Idempotency-Key", detail)
    kind, _, boundary = request.headers.get("content-type", "").partition("boundary=")
    if kind.startswith("multipart/") and boundary:  # which a client draws anew each time
        body = body.replace(boundary.strip('"').encode(), b"")
    digest = hashlib.sha256(request.url.query.encode() + b"\0" + body).digest()
    return idempotency.Request(str(actor.person_id), path, key, digest)


async def _once(
    w: work.Work, key: idempotency.Request, handler: Handler, request: Request, hidden: frozenset[str], route: str
) -> Response:
    """Give the stored answer as the caller may read it now, or the handler's, its facts stored if it is a success."""
    answer_or_id = await idempotency.begin(w, key)
    if isinstance(answer_or_id, idempotency.StoredAnswer):
        try:
            body = await stored_answers.again(request, w, route, answer_or_id)
        except stored_answers.Refused as refused:
            return Response(refused.answer.body, refused.answer.status, refused.answer.headers)
        return Response(body, answer_or_id.status, {**answer_or_id.headers, "Idempotency-Replayed": "true"})
    try:
        response = await handler(request)
    except errors.DomainError as error:
        if error.is_recorded:  # else the rollback frees the key
            await idempotency.drop(w, answer_or_id)
        raise
    if response.status_code // 100 == 2:  # noqa: PLR2004 - success, as HTTP has it
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        body = _stored(bytes(response.body).decode(), hidden)
        await idempotency.finish(w, answer_or_id, idempotency.StoredAnswer(response.status_code, headers, body))
    else:
        await idempotency.drop(w, answer_or_id)
    return response


def _stored(body: str, hidden: frozenset[str]) -> str:
    """Give what is kept of the body: its facts, and null for what is shown once."""
    if not body:
        return body
    values = json.loads(body)
    return json.dumps(stored_answers.facts(values | dict.fromkeys(hidden & values.keys())), ensure_ascii=False)
