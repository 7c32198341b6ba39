"""Errors as documents (RFC 9457): one table says which status each has, every type has a page.

A document never repeats the input, nor the message of an error that is not ours: drivers quote rows in theirs.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from api.edge import allowed, base_path
from integrations import address_words, catalogues
from integrations.catalogues import Catalogue
from service.kernel import email_addresses, errors

MEDIA_TYPE = "application/problem+json"
_MOST_FAULTS = 100
_EXAMPLE = {"state": {"request_id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"}}
STATUS: dict[type[errors.DomainError], int] = {
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Invalid: 422,
    errors.PersonalDataFound: 422,
    errors.IdempotencyKeyReused: 422,
    errors.Conflict: 409,
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
_BY_STATUS = {status: name for name, (status, _) in reversed(_EDGE.items())}


class BadBody(Exception):
    """The body cannot be read; the message says where, and quotes nothing."""


class TooLarge(Exception):
    """The body is larger than one of its kind may be."""

    def __init__(self, most_bytes: int) -> None:
        """Keep how large it may be."""
        super().__init__(f"At most {most_bytes} bytes.")


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
    """Give the problem's body, for the request of this scope."""
    status, title = catalogue()[name]
    request_id = scope["state"]["request_id"]
    body = {"type": base_path.outward(scope, f"/problems/{name}"), "title": title, "status": status, "detail": detail}
    return {**body, "instance": f"urn:request:{request_id}", **members}


def answer(
    scope: Mapping[str, Any],
    name: str,
    /,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: object,
) -> Response:
    """Give the problem as a response; ASCII only, so that no half character can break it."""
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


async def page(name: str) -> HTMLResponse:
    """Explain a problem type to a person; raises NotFound."""
    if name not in catalogue():
        raise errors.NotFound
    status, title = catalogue()[name]
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<h1>{html.escape(title)}</h1><p>Problem type <code>{html.escape(name)}</code>, answered with status {status} "
        f"({html.escape(HTTPStatus(status).phrase)}).</p><p>{html.escape(_advice(status))}</p></html>"
    )


def _advice(status: int) -> str:
    advice = {
        400: "Send UTF-8 JSON, nested at most 32 deep, with at most 5,000 values and every name once.",
        401: "Sign in, or exchange your refresh token for a new access token, then send the request again.",
        403: "The reason is in the document's members. Sending the same request again will not help.",
        404: "Check the address. What you may not see is answered as if it did not exist.",
        408: "Send the request again when the line is better.",
        409: "Read the resource again: it has changed, or somebody was quicker.",
        412: "Read the resource again and send its new ETag in If-Match.",
        413: "Send less at once.",
        414: "Shorten the address: put the values of a long list into several requests.",
        431: "Send fewer or shorter headers and cookies.",
        422: "The document's `errors` point at the fields at fault.",
        428: "Read the resource and send its ETag in If-Match.",
        429: "Wait for the seconds of the Retry-After header.",
        503: "Wait for the seconds of the Retry-After header; sending the same request again is safe.",
        500: "Tell the operator the request id of the document's `instance`.",
    }
    return advice.get(status, "Check how the request is written.")


async def _domain(request: Request, error: Exception) -> Response:
    if not isinstance(error, errors.DomainError):
        raise error
    headers = {}
    if isinstance(error, errors.TooManyRequests | errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.InsufficientScope):
        headers["WWW-Authenticate"] = _lacking(error.scope)
    if isinstance(error, email_addresses.Unmailable):
        error = errors.Invalid(error.pointer, address_words.worded(error.refused, _words(request)))
    members = {name: value for name, value in error.members.items() if value is not None}
    return answer(request.scope, name_of(type(error)), error.detail, headers, **members)


def _words(request: Request) -> Catalogue:
    return catalogues.of(catalogues.wanted(request.headers.get("accept-language", "")))


def _lacking(scope: str | None) -> str:
    """Word what a token lacks (RFC 6750 §3)."""
    return 'Bearer error="insufficient_scope"' + (f', scope="{scope}"' if scope else "")


async def _validation(request: Request, error: Exception) -> Response:
    """Give pointers to the faults, never the input; a path with a malformed id is answered 404."""
    if not isinstance(error, RequestValidationError):
        raise error
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return answer(request.scope, "malformed-json")
    if any(fault["loc"][:1] == ("path",) for fault in faults):
        return answer(request.scope, "not-found")
    words = _words(request)
    listed = [{"pointer": _pointer(fault["loc"]), "detail": sentence(fault, words)} for fault in faults[:_MOST_FAULTS]]
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
    return answer(request.scope, "malformed-json", str(error))


async def _too_large(request: Request, error: Exception) -> Response:
    return answer(request.scope, "too-large", str(error))


async def _too_slow(request: Request, _error: Exception) -> Response:
    return answer(request.scope, "request-timeout")


async def _unsupported(request: Request, _error: Exception) -> Response:
    return answer(request.scope, "unsupported-media-type", "Send application/json.")


def _pointer(place: Sequence[int | str]) -> str:
    """Give the JSON pointer into the body, or into `query` and `header`; a tag that a union adds stays in it."""
    parts = place[1:] if place[:1] == ("body",) else place
    escaped = (str(part)[:64].replace("~", "~0").replace("/", "~1") for part in parts)
    return "".join(f"/{part}" for part in escaped)


def sentence(fault: Mapping[str, Any], words: Catalogue) -> str:
    """Word a fault; pydantic's own words name types and limits, ours come after `Value error, `.

    What is wrong with an address is said in the language of `words`, the rest in English.
    """
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, email_addresses.Refused):
        return address_words.worded(cause, words)
    if fault["type"] == "extra_forbidden":
        return "there is no such field"
    return str(fault["msg"]).removeprefix("Value error, ")


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
