"""Mails and invites as the tests write them, and what can be read back out of their bytes."""

import dataclasses
import email
import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from typing import Any

import icalendar

from integrations.calendar import invites
from integrations.mail import letters, messages

SENDER = "invites@pobratym.example"
CLINICIAN = "clinician@chernihiv.example"
MENTOR = "mentor@lille.example"
STARTS_AT = datetime(2026, 11, 21, 15, 0, tzinfo=UTC)
ENDS_AT = datetime(2026, 11, 21, 15, 30, tzinfo=UTC)
DATED = datetime(2026, 11, 12, 9, 0, tzinfo=UTC)
MESSAGE_ID = "0199a1b2-0000-7000-8000-00000000000a@pobratym.example"
VALUES: dict[str, Any] = {
    "consultation_id": "0199a1b2-0000-7000-8000-000000000001",
    "specialty": {"en": "Neonatology", "uk": "Неонатологія"},
    "priority": "urgent",
    "mode": "live",
    "starts_at": "2026-11-21T15:00:00Z",
    "ends_at": "2026-11-21T15:30:00Z",
    "times": [{"who": "clinician", "zone": "Europe/Kyiv"}, {"who": "mentor", "zone": "America/Winnipeg"}],
}
_PROPERTY = re.compile(r'(?P<name>[A-Z-]+)(;[A-Z-]+=("[^"]*"|[^":;])*)*:(?P<value>.*)')
LINKS = {"join": "https://pobratym.example/j/room-token", "cancel": "https://pobratym.example/a/cancel-token"}


def an_invite(**changes: Any) -> invites.Invite:  # noqa: ANN401 - any field of the invite
    words = letters.event_text("uk", VALUES, LINKS)
    invite = invites.Invite(
        method="REQUEST",
        uid="0199a1b2-0000-7000-8000-000000000002@pobratym.example",
        sequence=0,
        dtstamp=DATED,
        starts_at=STARTS_AT,
        ends_at=ENDS_AT,
        status="CONFIRMED",
        summary=words.summary,
        description=words.description,
        url=LINKS["join"],
        organizer=invites.Organizer("Побратим", SENDER),
        attendees=(
            invites.Attendee("Олена Шевченко, к.м.н.", CLINICIAN, "uk"),
            invites.Attendee("Dr Camille Durand", MENTOR, "en"),
        ),
        locale="uk",
    )
    return dataclasses.replace(invite, **changes)


def a_mail(**changes: Any) -> messages.Mail:  # noqa: ANN401 - any field of the mail
    written = messages.Mail(
        message_id=MESSAGE_ID,
        dated=DATED,
        sender=messages.Mailbox("Побратим", SENDER),
        reply_to=None,
        recipient=messages.Mailbox("Олена Шевченко, к.м.н.", CLINICIAN),
        locale="uk",
        template="booked",
        values=VALUES,
        links=LINKS,
    )
    return dataclasses.replace(written, **changes)


def written(**changes: Any) -> bytes:  # noqa: ANN401 - any field of the mail
    return messages.compose(a_mail(**changes), None)


def invitation(**changes: Any) -> tuple[bytes, bytes]:  # noqa: ANN401 - any field of the invite
    """The mail with an invite, and the invite's own bytes."""
    ics = invites.render(an_invite(**changes))
    return messages.compose(a_mail(method=changes.get("method", "REQUEST")), ics), ics


def opened(message: bytes) -> EmailMessage:
    return email.message_from_bytes(message, policy=policy.default)


def parts(message: bytes) -> list[EmailMessage]:
    """The leaves of the message, in their order."""
    return [part for part in opened(message).walk() if not part.is_multipart()]


def body(message: bytes, subtype: str) -> str:
    """The decoded text of the part `text/<subtype>`."""
    (text,) = (part.get_content() for part in parts(message) if part.get_content_type() == f"text/{subtype}")
    return str(text)


def calendar_octets(message: bytes) -> list[bytes]:
    """Each copy of the calendar that the message carries, decoded."""
    kinds = {"text/calendar", "application/ics"}
    return [bytes(part.get_payload(decode=True)) for part in parts(message) if part.get_content_type() in kinds]


def lines(ics: bytes) -> list[str]:
    """The calendar's lines, unfolded."""
    return ics.replace(b"\r\n ", b"").decode().removesuffix("\r\n").split("\r\n")


def values(ics: bytes, name: str) -> list[str]:
    """The value of each line of the property `name`."""
    found = (_PROPERTY.fullmatch(line) for line in lines(ics))
    return [line["value"] for line in found if line and line["name"] == name]


def event(ics: bytes) -> Any:  # noqa: ANN401 - icalendar's properties are typed as any of their classes
    """The one event that icalendar reads, without a fault."""
    (found,) = icalendar.Calendar.from_ical(ics).events
    assert found.errors == []
    return found
