"""Errors as documents (RFC 9457): one table says which status each has, every type has a page.

A document never repeats the input, nor the message of an error that is not ours: drivers quote rows in theirs.
"""

import functools
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from api.edge import allowed, base_path, browsers, fault_words
from integrations import address_words, catalogues
from integrations.catalogues import Catalogue
from service.kernel import email_addresses, errors
from service.rules.sentences import Sentence

MEDIA_TYPE = "application/problem+json"
_MOST_FAULTS = 100
_MEGABYTE = 1_000_000
_OF_TOKENS = {
    "invalid_token": "The access token is not ours, expired or was revoked",
    "insufficient_scope": "The access token is not good for this call",
}
_EXAMPLE = {"state": {"request_id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"}}
STATUS: dict[type[errors.DomainError], int] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Invalid: 422,
    errors.PersonalDataFound: 422,
    errors.IdempotencyKeyReused: 422,
    errors.Conflict: 409,
    errors.TooManyDecisions: 413,
    errors.PreconditionRequired: 428,
    errors.StaleVersion: 412,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
}
"""A subclass has its parent's."""

_EDGE: dict[str, tuple[int, str]] = {
    "malformed-json": (400, "The body cannot be read"),
    "bad-request": (400, "The request cannot be read"),
    "method-not-allowed": (405, "This address does not answer to this method"),
    "not-acceptable": (406, "None of the wanted forms is offered"),
    "request-timeout": (408, "The body came too slowly"),
    "too-large": (413, "The body is too large"),
    "uri-too-long": (414, "The address is too long"),
    "unsupported-media-type": (415, "The body has another form than this address reads"),
    "head-too-large": (431, "The headers are too large"),
    "internal": (500, "We failed, and have a record of it; nothing was done"),
}
"""Problems that arise before the domain is called, by name: status and title."""
PageOf = Callable[[Mapping[str, Any], str, Mapping[str, str]], Response]
"""Gives the page of a problem, by the request's scope, its name and its headers; the application brings one."""
_BY_STATUS = {status: name for name, (status, _) in reversed(_EDGE.items())}
_ABOUT = "The type and status of this problem:"
_ADVICE_BY_STATUS = {
    400: "Send UTF-8 JSON, nested at most 32 deep, with at most 5,000 values and every name once.",
    401: "Sign in, or exchange your refresh token for a new access token, then send the request again.",
    403: "The reason is in the document's members. Sending the same request again will not help.",
    404: "Check the address. What you may not see is answered as if it did not exist.",
    405: "The Allow header names the methods of this address.",
    406: "Name one of the forms that the description of this address (/docs) lists in Accept.",
    408: "Send the request again when the line is better.",
    409: "Read the resource again: it has changed, or somebody was quicker.",
    412: "Read the resource again and send its new ETag in If-Match.",
    413: "Send less at once.",
    414: "Shorten the address: put the values of a long list into several requests.",
    415: "Send the body in the form that the description of this address (/docs) names.",
    422: "The document's `errors` point at the fields at fault.",
    428: "Read the resource and send its ETag in If-Match.",
    429: "Wait for the seconds of the Retry-After header.",
    431: "Send fewer or shorter headers and cookies.",
    500: "Tell the operator the request id of the document's `instance`.",
    503: "Wait for the seconds of the Retry-After header; sending the same request again is safe.",
}
_ADVICE = {
    "bad-request": "Send HTTP/1.1, as a library of your language writes it.",
    "forbidden": "Ask the coordinator of your institution, or an admin of the programme, who may do this.",
    "local-only": "Send the request from the machine itself.",
    "link-invalid": "Ask for a new link on the sign-in page; one that was used is good for nothing.",
    "offer-closed": "Nothing is left to answer: the mentor's other offers are in GET /v1/offers.",
    "offer-expired": "Others were asked meanwhile: the mentor's open offers are in GET /v1/offers.",
    "slot-taken": "Choose another time: `next_starts` names the next ones, if any are known.",
    "hold-expired": "Hold a time again: GET /v1/consultations/{id}/candidates names those that are free.",
    "not-comparable": "Rehearse a time that begins at `comparable_from` or later.",
    "too-many-decisions": "Rehearse a shorter time.",
    "already-logged": "Read what is there; a mistake in it is corrected by POST /v1/sessions/{id}/corrections.",
    "join-not-open": "Come back at `opens_at`; after `closes_at` the room is shut.",
    "disputed": "Nothing was changed. The coordinators of both sides were told and settle it; if the two sides met, "
    "log the session by POST /v1/appointments/{id}/session.",
    "outcome-unknown": "Send the same request again with the same Idempotency-Key: it is done once. Without a key, "
    "look first whether it was done.",
    "idempotency-key-reused": "Send a new request under a new key; repeat an old one with the same body.",
    "insufficient-scope": "Ask for a token with the scope that `scope` names; the client must be registered for it.",
}
"""What to do next, by the problem's name where the status says too little."""


class BadBody(Exception):
    """The body cannot be read; the message says where, and quotes nothing."""


class TooLarge(Exception):
    """The body is larger than one of its kind may be."""

    def __init__(self, most_bytes: int) -> None:
        """Keep how large it may be."""
        if most_bytes >= _MEGABYTE:
            super().__init__(Sentence("At most {most} MB.", most=f"{most_bytes / _MEGABYTE:g}"))
        else:
            super().__init__(Sentence("At most {most} bytes.", most=most_bytes))


class TooSlow(Exception):
    """The body came too slowly."""


class UnsupportedMediaType(Exception):
    """The body has another form than this address reads."""


def name_of(kind: type[errors.DomainError]) -> str:
    """Give the problem's kebab-case name: that of the class, or of the nearest parent that `errors` defines."""
    ours = next(c for c in kind.__mro__ if c.__module__ == errors.__name__)
    return re.sub(r"(?<!^)(?=[A-Z])", "-", ours.__name__).lower()


def status_of(kind: type[errors.DomainError]) -> int:
    """Give the status that answers this error."""
    return next((STATUS[c] for c in kind.__mro__ if c in STATUS), 500)


def kinds(kind: type[errors.DomainError] = errors.DomainError) -> Iterator[type[errors.DomainError]]:
    """List every error that the domain names."""
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from kinds(child)


@functools.cache
def catalogue() -> dict[str, tuple[int, str]]:
    """Give status and title of every problem there is, by name."""
    return {name_of(kind): (status_of(kind), kind.title()) for kind in kinds()} | _EDGE


def of(*error_types: type[errors.DomainError]) -> dict[int | str, dict[str, Any]]:
    """Document these as answers of a route: `responses=problems.of(errors.OfferClosed)`."""
    answers: dict[int | str, dict[str, Any]] = {}
    for error_type in error_types:
        answer = answers.setdefault(status_of(error_type), _documented(status_of(error_type)))
        _add_example(answer, name_of(error_type))
    return answers


def document(name: str, scope: Mapping[str, Any], /, detail: str | None = None, **members: object) -> dict[str, object]:
    """Give the problem's body, for the request of this scope, in its language; `detail` is else what to do next."""
    status, title = catalogue()[name]
    words = words_for(scope)
    said = [words.said(text) or text for text in (title, detail or advice(name))]
    body = {
        "type": base_path.outward(scope, f"/problems/{name}"),
        "title": said[0],
        "status": status,
        "detail": said[1],
    }
    request_id = scope["state"]["request_id"]
    return {**body, "instance": f"urn:request:{request_id}", **members}


def answer(
    scope: Mapping[str, Any],
    name: str,
    /,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> Response:
    """Give the problem as a response: a page where a browser asks, else a document.

    The document is in ASCII only, so that no half character can break it.
    """
    if "app" in scope and browsers.want_page(scope):
        page_of: PageOf = scope["app"].state.problem_page
        return page_of(scope, name, headers or {})
    body = {key: value for key, value in document(name, scope, detail, **members).items() if value is not None}
    content = json.dumps(body, ensure_ascii=True, separators=(",", ":"))
    return Response(content, catalogue()[name][0], headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error with a problem document, and serve the page of each type."""
    app.add_exception_handler(errors.DomainError, _domain)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(BadBody, _bad_body)
    app.add_exception_handler(TooLarge, _too_large)
    app.add_exception_handler(TooSlow, _too_slow)
    app.add_exception_handler(UnsupportedMediaType, _unsupported)
    app.add_api_route("/problems/{name}", page, include_in_schema=False, response_class=HTMLResponse)


def add_common(operation: dict[str, Any], *names: str) -> None:
    """Document problems that many operations share."""
    for name in names:
        status = str(catalogue()[name][0])
        _add_example(operation["responses"].setdefault(status, _documented(int(status))), name)


async def page(name: str, request: Request) -> HTMLResponse:
    """Explain a problem type to a person; raises NotFound."""
    if name not in catalogue():
        raise errors.NotFound
    status, title = catalogue()[name]
    words = words_for(request.scope)
    title, next_step, about = (words.said(text) or text for text in (title, advice(name), _ABOUT))
    return HTMLResponse(
        f'<!doctype html><html lang="{words.locale}"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<h1>{html.escape(title)}</h1><p>{html.escape(about)} <code>{html.escape(name)}</code>: {status} "
        f"{html.escape(HTTPStatus(status).phrase)}</p><p>{html.escape(next_step)}</p></html>"
    )


def advice(name: str) -> str:
    """Say what to do after a problem."""
    return _ADVICE.get(name) or _ADVICE_BY_STATUS.get(catalogue()[name][0], "Check how the request is written.")


async def _domain(request: Request, error: Exception) -> Response:
    if not isinstance(error, errors.DomainError):
        raise error
    headers = {}
    if isinstance(error, errors.TooManyRequests | errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.Unauthenticated):
        has_token = request.headers.get("authorization", "").lower().startswith("bearer ")
        is_of_token = has_token and not isinstance(error, errors.LinkInvalid)
        headers["WWW-Authenticate"] = challenge("invalid_token" if is_of_token else None)
    if isinstance(error, errors.InsufficientScope):
        headers["WWW-Authenticate"] = challenge("insufficient_scope", error.scope)
    if isinstance(error, email_addresses.Unmailable):
        error = errors.Invalid(error.pointer, address_words.worded(error.refused, words_for(request.scope)))
    members = {name: value for name, value in error.members.items() if value is not None}
    faults, words = members.get("errors"), words_for(request.scope)
    if isinstance(faults, list):
        members["errors"] = [{**fault, "detail": words.said(fault["detail"]) or fault["detail"]} for fault in faults]
    return answer(request.scope, name_of(type(error)), error.detail, headers, **members)


def words_for(scope: Mapping[str, Any]) -> Catalogue:
    """Give the words of the language that the request asks for; English without a wish, and without a head."""
    wish = Headers(raw=scope.get("headers", [])).get("accept-language", "")
    return catalogues.of(catalogues.wanted(wish))


def challenge(error: str | None = None, scope: str | None = None) -> str:
    """Word what is wrong with a token, or that there is none (RFC 6750 §3); `scope` is the one that would do."""
    told = {"realm": "pobratym", "error": error, "error_description": _OF_TOKENS.get(error or ""), "scope": scope}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in told.items() if value)


async def _validation(request: Request, error: Exception) -> Response:
    """Give pointers to the faults, never the input; a path with a malformed id is answered 404."""
    if not isinstance(error, RequestValidationError):
        raise error
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return answer(request.scope, "malformed-json")
    if any(fault["loc"][:1] == ("path",) for fault in faults):
        return answer(request.scope, "not-found")
    words = words_for(request.scope)
    listed = [
        {"pointer": _pointer(fault["loc"]), "detail": fault_words.sentence(fault, words)}
        for fault in faults[:_MOST_FAULTS]
    ]
    return answer(request.scope, "invalid", listed[0]["detail"], errors=listed)


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = allowed.methods(request)
        if request.method == "OPTIONS":
            return Response(None, HTTPStatus.NO_CONTENT, headers)
    domain_name = {404: "not-found", 401: "unauthenticated", 403: "forbidden"}.get(error.status_code)
    name = domain_name or _BY_STATUS.get(error.status_code, "bad-request")
    return answer(request.scope, name, None, headers)


async def _bad_body(request: Request, error: Exception) -> Response:
    return answer(request.scope, "malformed-json", error.args[0])


async def _too_large(request: Request, error: Exception) -> Response:
    return answer(request.scope, "too-large", error.args[0])


async def _too_slow(request: Request, _error: Exception) -> Response:
    return answer(request.scope, "request-timeout")


async def _unsupported(request: Request, _error: Exception) -> Response:
    return answer(request.scope, "unsupported-media-type", "Send application/json.")


def _pointer(place: Sequence[int | str]) -> str:
    """Give the JSON pointer into the body, or into `query` and `header`."""
    parts = place[1:] if place[:1] == ("body",) else place
    escaped = (str(part)[:64].replace("~", "~0").replace("/", "~1") for part in parts)
    return "".join(f"/{part}" for part in escaped)


def _documented(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}},
    }


def _add_example(answer_: dict[str, Any], name: str) -> None:
    faults = [{"pointer": "/field", "detail": "must not be empty"}] if name == "invalid" else None
    value = document(name, _EXAMPLE, errors=faults)
    members = {key: part for key, part in value.items() if part is not None}
    answer_["content"][MEDIA_TYPE].setdefault("examples", {})[name] = {"value": members}
