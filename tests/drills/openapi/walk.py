"""From a request to its session with the Python client that was generated from our description; run by its own Python.

`walk.py ask ADDRESS CLINICIAN-TOKEN MENTOR-TOKEN GIVEN-ON` prints the appointment's id and times;
`walk.py log ADDRESS MENTOR-TOKEN APPOINTMENT START END` logs its session and prints its id.
"""

# ruff: noqa: T201, ANN401 - a script; what was generated has no types that are known here

import importlib
import json
import sys
from typing import Any

CLIENT = "pobratym_client"


def operation(tag: str, name: str) -> Any:
    """Give the generated module of an operation."""
    return importlib.import_module(f"{CLIENT}.api.{tag}.{name}")


def shape(name: str) -> Any:
    """Give a generated shape."""
    return getattr(importlib.import_module(f"{CLIENT}.models"), name)


def signed_in(address: str, token: str) -> Any:
    """Give a client that raises for what the description does not foresee."""
    client = importlib.import_module(f"{CLIENT}.client").AuthenticatedClient
    return client(base_url=address, token=token, raise_on_unexpected_status=True)


def ask(address: str, clinician: str, mentor: str, given_on: str) -> None:
    """File a request, and accept its offer."""
    wish = {
        "specialty": "paediatrics",
        "priority": "urgent",
        "mode": "live",
        "question": "A child with a rare syndrome: which dose?",
        "languages": ["en"],
        "age_band": "child",
        "consent": {"scope": "general", "given_on": given_on},
    }
    requested = operation("consultations", "request_v1_consultations_post").sync_detailed(
        client=signed_in(address, clinician), body=shape("ConsultationIn").from_dict(wish), idempotency_key="walk"
    )
    if not isinstance(requested.parsed, shape("ConsultationOut")):
        raise SystemExit(requested.content.decode())
    answering = signed_in(address, mentor)
    offers = operation("offers", "page_v1_offers_get").sync(client=answering)
    offer = next(item for item in offers.items if item.consultation_id == requested.parsed.id)
    start = offer.to_dict()["starts"][0]
    accepted = operation("offers", "accept_v1_offers_offer_id_accept_post").sync(
        offer_id=offer.id, client=answering, body=shape("AcceptIn").from_dict({"starts_at": start})
    )
    booked = accepted.to_dict()
    print(json.dumps({name: booked[name] for name in ("id", "starts_at", "ends_at")}))


def log(address: str, mentor: str, appointment_id: str, started_at: str, ended_at: str) -> None:
    """Log the session, and read it again."""
    client = signed_in(address, mentor)
    session = {"started_at": started_at, "ended_at": ended_at, "outcome": "advice_given"}
    logged = operation("sessions", "log_v1_appointments_appointment_id_session_post").sync_detailed(
        appointment_id=appointment_id, client=client, body=shape("SessionIn").from_dict(session)
    )
    if not isinstance(logged.parsed, shape("SessionOut")):
        raise SystemExit(logged.content.decode())
    read = operation("sessions", "read_v1_sessions_session_id_get").sync(session_id=logged.parsed.id, client=client)
    print(json.dumps({"id": str(read.id), "location": logged.headers["location"]}))


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        ask(*sys.argv[2:])
    else:
        log(*sys.argv[2:])
