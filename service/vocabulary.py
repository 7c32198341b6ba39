"""Every code of the product, once: CHECK constraints, API shapes, pages, mails, imports and SQL take them from here."""

from typing import Literal, get_args

ROLES = ("clinician", "mentor", "coordinator", "programme_admin", "partner_system")
SCOPES = {
    "consultations:read": "read the institution's consultations, without case text",
    "consultations:write": "kept for filing requests over FHIR; opens nothing yet",
    "appointments:read": "read offers, appointments and sessions of the institution's side",
    "appointments:write": "answer offers for the institution's mentors, move and call off, log sessions",
    "availability:write": "register mentors, and keep their profiles and hours",
    "memoranda:read": "read the institution's memoranda and their logs",
    "events:read": "read the institution's events",
    "webhooks:write": "keep the institution's webhook endpoints",
    "reports:read": "read reports of the institution and its memoranda",
}
"""What a partner system's token may be good for (contract §2)."""

Locale = Literal["uk", "en"]
"""The languages of mails, pages and documents; each has its catalogue in `integrations/catalogues`."""
LOCALES: tuple[Locale, ...] = get_args(Locale)
