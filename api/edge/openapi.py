"""The description at /openapi.json, and the page at /docs that is made from it.

What all operations of a kind have in common (problems, the header `Idempotency-Key`) is added here, so that no route
repeats it.
"""

from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from jinja2 import Environment, PackageLoader, select_autoescape

from api.edge import bodies, event_schemas, problems, scopes, shapes, transactional
from integrations.identity import client_credentials
from service import vocabulary

DESCRIPTION = """\
Schedules and logs consultations between hospitals that have signed a memorandum.

Instants are RFC 3339 in UTC, ids are UUIDv7, durations carry their unit in the name. Errors are
`application/problem+json` whose `type` is a page that explains it. What you may not see is answered as if it did not
exist (404). Lists take `limit` and `after`; `next` is the `after` of the next page. Single resources carry an `ETag`;
PATCH and PUT need it in `If-Match`. A POST with an `Idempotency-Key` is done once: the same key, path and body give the
same answer for 24 hours. People are let in by their roles; a partner system also needs the scope that a call names, and
calls that name none are closed to it (403 `insufficient-scope`).
"""

_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "The same key, path and body give the same answer for 24 hours; an error frees the key.",
    "example": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11",
}
_TAGS = {
    "sign-in": "How people and systems prove who they are.",
    "registry": "Programmes, hospitals, specialties.",
    "people": "Who takes part, and in which role.",
    "mentors": "What mentors can and when.",
    "memoranda": "What links two hospitals.",
    "Consultations": "A request from the first word to its end.",
    "Offers": "What mentors are asked, and answer.",
    "Appointments": "The agreed time.",
    "Sessions": "What took place.",
    "activities": "What a memorandum brings besides.",
    "certificates": "Attendance, for continuing education.",
    "log": "The chained log of a memorandum.",
    "reports": "Figures of what was logged.",
    "events": "What happened, in one order.",
    "webhooks": "Where events are sent.",
    "partner systems": "Clients that act for a hospital.",
    "files": "Tables taken in.",
    "operation": "Whether the server works.",
}
_VERSIONED = frozenset({
    "AppointmentOut", "Availability", "Client", "ClientWithSecret", "ConsultationOut", "Endpoint", "Institution",
    "MadeEndpoint", "Memorandum", "OfferOut", "Person", "Profile", "Programme",
})  # fmt: skip
"""Shapes of resources that have a version, which their answers name as `ETag`."""
_HEADERS = {
    name: {"description": description, "schema": schema}
    for name, description, schema in (
        ("X-Request-Id", "The request's own id, to tell an operator.", {"type": "string", "maxLength": 64}),
        ("As-Of", "What is reported was so then.", {"type": "string", "format": "date-time"}),
        ("ETag", "The version, for `If-Match` and `If-None-Match`.", {"type": "string"}),
        ("Location", "Where it is read.", {"type": "string", "format": "uri-reference"}),
        ("Retry-After", "Seconds to wait before the next try.", {"type": "integer", "minimum": 0}),
        ("WWW-Authenticate", "What is wrong with the token, or which scope it lacks (RFC 6750).", {"type": "string"}),
    )
}
_HEADERS_BY_STATUS = {
    "303": ("Location",),
    "401": ("WWW-Authenticate",),
    "403": ("WWW-Authenticate",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
_LISTS = frozenset({"Events", "Journal"})
_WITHOUT_ADDRESS = frozenset({"AdviceOut", "FeedbackOut", "Membership", "Specialty"})
"""What is made and has no address of its own: it is read in a list, or where it was sent."""
_SYSTEMS = "oauth2"
_OUR_ADDRESSES = ("/problems/", "/schemas/", "/v1/", "/consultations/")
_pages = Environment(loader=PackageLoader("api.edge", "templates"), autoescape=select_autoescape(default=True))


def served(app: FastAPI, base_url: str) -> dict[str, Any]:
    """Give the OpenAPI 3.1 document of the API at this address."""
    document = describe(app)
    flow = {"tokenUrl": client_credentials.token_address(base_url), "scopes": dict(vocabulary.SCOPES)}
    schemes = document["components"]["securitySchemes"] | {
        _SYSTEMS: {
            "type": "oauth2",
            "description": "A partner system's token, good for the scopes that it names.",
            "flows": {"clientCredentials": flow},
        }
    }
    components = document["components"] | {"securitySchemes": schemes}
    told: dict[str, Any] = _outward(document | {"components": components}, urlsplit(base_url).path)
    about = told["info"] | {"contact": {"name": "Who runs this server", "url": f"{base_url}/"}}
    return told | {"info": about, "servers": [{"url": base_url}]}


def _outward(value: Any, base: str) -> Any:  # noqa: ANN401 - a JSON value
    """Give the value with `base` before each of our addresses that an example shows."""
    if not base:
        return value
    if isinstance(value, dict):
        return {name: _outward(member, base) for name, member in value.items()}
    if isinstance(value, list):
        return [_outward(member, base) for member in value]
    return base + value if isinstance(value, str) and value.startswith(_OUR_ADDRESSES) else value


def describe(app: FastAPI) -> dict[str, Any]:
    """Give what the document says wherever the API is served, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
            license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
        )
        schemas = document["components"]["schemas"] = bodies.with_null(document["components"]["schemas"])
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = shapes.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation)
                _offer_forms(operation)
                _show_example(operation, schemas)
                _describe_headers(path, operation)
        document["components"]["headers"] = _HEADERS
        document["webhooks"] = event_schemas.described()
        app.openapi_schema = document
    return app.openapi_schema


def page(app: FastAPI, base_url: str) -> str:
    """Give the description as a page for people, without any script."""
    return _pages.get_template("docs.html").render(document=served(app, base_url), base=urlsplit(base_url).path)


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add what every operation of this kind may answer."""
    answers = operation["responses"]
    if _is_default(answers.get("422")):
        answers.pop("422")
    parameters = operation.setdefault("parameters", [])
    kinds = {parameter["in"] for parameter in parameters}
    needs_sign_in = bool(operation.get("security"))
    _complete_body(operation)
    operation.setdefault("security", [])  # open to everybody
    problems.add_common(operation, "invalid")  # a parameter of the address that there is not
    if "path" in kinds or ("requestBody" in operation and needs_sign_in):  # an id in the body is looked up as well
        problems.add_common(operation, "not-found")
    if needs_sign_in:
        problems.add_common(operation, "unauthenticated", "insufficient-scope")
        _let_systems_in(operation, scopes.needed(method, path))
    if any(parameter["name"] == "If-Match" for parameter in parameters):
        problems.add_common(operation, "precondition-required", "stale-version")
    if method == "post" and needs_sign_in and not path.startswith(transactional.SIGN_IN_PATHS):
        parameters.append(_KEY_PARAMETER)
        problems.add_common(operation, "invalid", "idempotency-key-reused")
    if path.startswith(("/v1", "/oauth2", "/fhir")):
        problems.add_common(operation, "too-many-requests", "unavailable")


def _describe_headers(path: str, operation: dict[str, Any]) -> None:
    """Name the headers that the answers carry beside the usual ones."""
    for status, answer in operation["responses"].items():
        names = list(_HEADERS_BY_STATUS.get(status, ()))
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        shapes_of_it = {one.get("$ref", "").rpartition("/")[2] for one in schema.get("anyOf", [schema])}
        is_list = any(name.startswith("Listing_") or name in _LISTS for name in shapes_of_it)
        if status[0] == "2" and (is_list or shapes_of_it & _VERSIONED):
            names.append("ETag")
        if status[0] == "2" and "reports" in operation.get("tags", ()):
            names.append("As-Of")
        is_sent = status == "202" and path == "/v1/imports"
        if is_sent or (status == "201" and not shapes_of_it & _WITHOUT_ADDRESS):
            names.append("Location")
        for name in ["X-Request-Id", *names]:
            answer.setdefault("headers", {})[name] = {"$ref": f"#/components/headers/{name}"}


def _complete_body(operation: dict[str, Any]) -> None:
    """Add what every operation with such a body may answer."""
    if "requestBody" not in operation:
        return
    problems.add_common(operation, "too-large")
    content = operation["requestBody"].get("content", {})
    if "application/json" in content:
        problems.add_common(operation, "malformed-json", "unsupported-media-type", "invalid")
    if "multipart/form-data" in content:
        problems.add_common(operation, "malformed-json")


def _offer_forms(operation: dict[str, Any]) -> None:
    if len(operation["responses"].get("200", {}).get("content", {})) > 1:  # the caller chooses by Accept
        problems.add_common(operation, "not-acceptable")


def _let_systems_in(operation: dict[str, Any], scope: str | None) -> None:
    if scope is not None:
        operation["security"].append({_SYSTEMS: [scope] if scope else []})


def _show_example(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Put the example of a body's shape where every reader looks for it."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        body_schema = schema.get("anyOf", [schema])[0]  # a body that may be left out is this or null
        examples = schemas.get(body_schema.get("$ref", "").rpartition("/")[2], {}).get("examples")
        if examples and "examples" not in content:
            content.setdefault("example", examples[0])


def _is_default(answer: dict[str, Any] | None) -> bool:
    """Tell whether FastAPI wrote this answer by itself."""
    schema = (answer or {}).get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).endswith("HTTPValidationError")
