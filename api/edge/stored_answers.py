"""What is kept of an answer for its Idempotency-Key, and how it is told again (invariant I3, invariant D7).

A stored answer is a second copy of what it shows. So only facts are kept (ids, instants, numbers, codes of the
vocabulary): no text that a person wrote, no name, no address. To tell the answer again, the same thing is read by its
GET route, as the caller is now: by the same door, with the same row in the audit. What that route refuses is refused;
what it shows fills the texts.
"""

import enum
import json
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import Request
from starlette.types import Message

from service import vocabulary
from service.kernel import idempotency
from service.kernel.work import Work

WORK = "pobratym.work"
"""Where the scope of a reading carries the unit of work in which it is made."""

READ_AT: Mapping[str, tuple[str, ...]] = {
    "/v1/clients/{client_id}/rotate-secret": ("/v1/clients/{client_id}",),
    "/v1/specialties": ("/v1/specialties",),
    "/v1/institutions/{institution_id}/memberships": ("/v1/institutions/{institution_id}",),
    "/v1/institutions/{institution_id}/memberships/{membership_id}/end": ("/v1/institutions/{institution_id}",),
    "/v1/people/{person_id}/address-confirmation": ("/v1/people/{person_id}",),
    "/v1/imports/{import_id}/load": ("/v1/imports/{import_id}",),
    "/v1/people/{person_id}/verification": ("/v1/people/{person_id}",),
    "/v1/memoranda/{memorandum_id}/transitions": ("/v1/memoranda/{memorandum_id}",),
    "/v1/consultations/{consultation_id}/cancel": ("/v1/consultations/{consultation_id}",),
    "/v1/consultations/{consultation_id}/consent": ("/v1/consultations/{consultation_id}",),
    "/v1/consultations/{consultation_id}/widen": ("/v1/consultations/{consultation_id}",),
    "/v1/consultations/{consultation_id}/assign": ("/v1/consultations/{consultation_id}",),
    "/v1/consultations/{consultation_id}/advice": ("/v1/consultations/{consultation_id}/advice",),
    "/v1/offers/{offer_id}/accept": ("/v1/appointments/{id}", "/v1/offers/{offer_id}"),
    "/v1/offers/{offer_id}/show": ("/v1/offers/{offer_id}",),
    "/v1/offers/{offer_id}/decline": ("/v1/offers/{offer_id}",),
    "/v1/offers/{offer_id}/counter": ("/v1/offers/{offer_id}",),
    "/v1/offers/{offer_id}/counter/accept": ("/v1/appointments/{id}", "/v1/offers/{offer_id}"),
    "/v1/offers/{offer_id}/counter/decline": ("/v1/offers/{offer_id}",),
    "/v1/appointments/{appointment_id}/reschedule": ("/v1/appointments/{appointment_id}",),
    "/v1/appointments/{appointment_id}/cancel": ("/v1/appointments/{appointment_id}",),
    "/v1/appointments/{appointment_id}/no-show": ("/v1/appointments/{appointment_id}",),
    "/v1/sessions/{session_id}/feedback": ("/v1/sessions/{session_id}/feedback",),
    "/v1/webhook-endpoints/{endpoint_id}/rotate-secret": ("/v1/webhook-endpoints/{endpoint_id}",),
    "/v1/webhook-endpoints/{endpoint_id}/test": ("/v1/webhook-endpoints/{endpoint_id}/deliveries",),
    "/v1/webhook-endpoints/deliveries/{delivery_id}/resend": ("/v1/webhook-endpoints/{endpoint_id}/deliveries",),
    "/v1/webhook-endpoints/{endpoint_id}/recover": ("/v1/webhook-endpoints/{endpoint_id}",),
}
"""Where what a POST answered with is read, if not at its `Location`: the first address whose parameters are known.

They are those of the POST's own address and the members of its answer. A list stands for the item with the same id or
code.
"""

_LEFT_OUT = ""
_REGISTERED_UNDER = "code"
"""The member that names a row of the registry, which is read again by it."""
_ID_OR_TIME = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_OF_THE_BODY = (b"content-length", b"content-type", b"transfer-encoding", b"expect")


def _codes() -> Iterator[str]:
    for listed in vars(vocabulary).values():
        if isinstance(listed, enum.EnumMeta | tuple | Mapping):
            yield from (str(member) for member in listed)
        yield from (code for code in typing.get_args(listed) if isinstance(code, str))


_CODES = frozenset(_codes())


def facts(answer: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Give the JSON value with every text left out but ids, times and codes."""
    if isinstance(answer, dict):
        return {name: value if name == _REGISTERED_UNDER else facts(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [facts(value) for value in answer]
    if isinstance(answer, str) and not (answer in _CODES or _ID_OR_TIME.fullmatch(answer)):
        return _LEFT_OUT
    return answer


def filled(answer: Any, current: Any) -> Any:  # noqa: ANN401 - JSON values
    """Give the facts with the texts that stand at the same places of what is read now; null where there is none."""
    if isinstance(answer, dict):
        members = current if isinstance(current, dict) else {}
        return {name: filled(value, members.get(name)) for name, value in answer.items()}
    if isinstance(answer, list):
        if _LEFT_OUT in answer:  # a list of texts
            return current if isinstance(current, list) else []
        items = current if isinstance(current, list) and len(current) == len(answer) else [None] * len(answer)
        return [filled(value, item) for value, item in zip(answer, items, strict=True)]
    if answer == _LEFT_OUT and isinstance(answer, str):
        return current if isinstance(current, str) else None
    return answer


class Refused(Exception):
    """Who asks may not read now what the answer shows; `answer` says so."""

    def __init__(self, answer: "Collected") -> None:
        """Keep the answer of the route that reads."""
        super().__init__()
        self.answer = answer


async def again(request: Request, w: Work, route: str, stored: idempotency.StoredAnswer) -> str:
    """Give the stored body with its texts as the caller reads them now, in `w`; raises Refused."""
    if not stored.body:
        return stored.body
    answer = facts(json.loads(stored.body))
    path = stored.headers.get("location") or _address(READ_AT.get(route, ()), dict(request.path_params) | answer)
    if path is None:
        return json.dumps(filled(answer, {}))
    reading = await _read(request, w, path)
    if reading.status // 100 != 2:  # noqa: PLR2004 - success, as HTTP has it
        raise Refused(reading)
    current = json.loads(reading.body)
    if "items" in current:
        current = next((item for item in current["items"] if _name(item) == _name(answer)), {})
    return json.dumps(filled(answer, current), ensure_ascii=False, separators=(",", ":"))


def _name(item: Mapping[str, Any]) -> object:
    return item.get("id") or item.get(_REGISTERED_UNDER)


def _address(templates: tuple[str, ...], values: Mapping[str, object]) -> str | None:
    known = (template for template in templates if set(re.findall(r"\{(\w+)\}", template)) <= values.keys())
    return next((template.format_map(values) for template in known), None)


class Collected:
    """The answer of a reading, kept instead of sent."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.status, self.body = 0, b""
        self.headers: dict[str, str] = {}

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")


async def _read(request: Request, w: Work, path: str) -> Collected:
    """Ask our own GET route, in the caller's unit of work and with their head."""
    own = ("route", "endpoint", "path_params", "router")
    full_path = request.scope.get("root_path", "") + path
    scope = {name: value for name, value in request.scope.items() if name not in own} | {
        "method": "GET",
        "path": full_path,
        "raw_path": full_path.encode(),
        "query_string": b"",
        "headers": [pair for pair in request.scope["headers"] if pair[0] not in _OF_THE_BODY],
        WORK: w,
    }

    async def nothing() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    reading = Collected()
    await request.app.router(scope, nothing, reading.send)
    return reading
