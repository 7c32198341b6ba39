"""Invites: one appointment as one person's iCalendar object (RFC 5545, iTIP RFC 5546).

A pure function of plain values, so that a repeated mail carries the same bytes. It reads no clock and no rows, and
knows nothing of mail. icalendar's value types escape and check; lines are put together and folded here, since with its
folding the bench's P7 is 2.3, with its component tree 4, here 1.5, and the goal is 2.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from icalendar.parser import Contentline, Parameters
from icalendar.prop import vCalAddress, vText, vUri

from integrations import catalogues, plain_text
from service.kernel import email_addresses

_LONGEST_UID_OCTETS = 255
_LINE_OCTETS = 75
_STATUSES = {"REQUEST": ("TENTATIVE", "CONFIRMED"), "CANCEL": ("CANCELLED", None)}
_IN_QUOTES = re.compile('"([^"]*)"')
_BUSY_STATUSES = {
    "TENTATIVE": "TENTATIVE",
    "CONFIRMED": "BUSY",
}  # as Outlook shows the time; what is called off is free
_INSIDE_A_CHARACTER = range(0b1000_0000, 0b1100_0000)  # UTF-8's octets after the first


@dataclass(frozen=True, slots=True)
class Organizer:
    """Who invites: the address is one that we read."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attendee:
    """One invited person, with the answer that we really have from them."""

    name: str
    address: str
    language: str
    partstat: Literal["NEEDS-ACTION", "ACCEPTED", "DECLINED", "TENTATIVE"] = "NEEDS-ACTION"
    role: Literal["REQ-PARTICIPANT", "OPT-PARTICIPANT", "NON-PARTICIPANT"] = "REQ-PARTICIPANT"


@dataclass(frozen=True, slots=True)
class Invite:
    """Everything one person's invite says; `status` is None when that person alone is removed (RFC 5546 3.2.5)."""

    method: Literal["REQUEST", "CANCEL"]
    uid: str
    sequence: int
    dtstamp: datetime
    starts_at: datetime
    ends_at: datetime
    status: Literal["TENTATIVE", "CONFIRMED", "CANCELLED"] | None
    summary: str
    description: str
    url: str | None
    organizer: Organizer
    attendees: tuple[Attendee, ...]
    locale: str


def render(invite: Invite) -> bytes:
    """The invite is an iCalendar object, the same bytes for the same values.

    Raises ValueError for values that no client could use: an end not after the start, a naive instant, nobody invited,
    a UID that is too long, a status that does not belong to the method, an address or link with a line break in it.
    """
    if fault := _fault(invite):
        raise ValueError(fault)
    lines = (
        *("BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Pobratym//Pobratym//EN", f"METHOD:{invite.method}"),
        *("BEGIN:VEVENT", *_event(invite), "END:VEVENT", "END:VCALENDAR"),
    )
    return b"".join(_folded(line) for line in lines)


def _fault(invite: Invite) -> str | None:
    if None in {instant.tzinfo for instant in (invite.dtstamp, invite.starts_at, invite.ends_at)}:
        return "an instant of an invite has an offset"
    if invite.starts_at >= invite.ends_at:
        return "an invite ends after its start"
    if invite.status not in _STATUSES.get(invite.method, ()):
        return f"a {invite.method} does not say {invite.status}"
    if not invite.attendees or invite.sequence < 0:
        return "an invite has somebody invited and a sequence from 0"
    if not 0 < len(invite.uid.encode()) <= _LONGEST_UID_OCTETS:
        return "a UID has 1 to 255 octets"
    return None


def _event(invite: Invite) -> Iterator[str]:
    yield _text("UID", invite.uid)
    yield f"DTSTAMP:{_utc(invite.dtstamp)}"
    yield f"DTSTART:{_utc(invite.starts_at)}"
    yield f"DTEND:{_utc(invite.ends_at)}"
    yield f"SEQUENCE:{invite.sequence}"
    if invite.status:
        yield f"STATUS:{invite.status}"
    yield _text("SUMMARY", plain_text.line(invite.summary), {"LANGUAGE": invite.locale})
    yield _text("DESCRIPTION", plain_text.text(invite.description), {"LANGUAGE": invite.locale})
    if invite.url:
        yield from _link(invite.url)
    yield _address("ORGANIZER", invite.organizer.address, _named(invite.organizer.name, invite.locale))
    for attendee in invite.attendees:
        yield _address("ATTENDEE", attendee.address, _answer_asked(attendee, invite))
    yield "CLASS:PRIVATE"
    yield "TRANSP:TRANSPARENT" if invite.method == "CANCEL" else "TRANSP:OPAQUE"
    # Outlook takes how a time is shown from these and not from STATUS: now, and once it is accepted (MS-OXCICAL).
    busy_status = _BUSY_STATUSES.get(invite.status or "", "FREE")
    yield f"X-MICROSOFT-CDO-BUSYSTATUS:{busy_status}"
    yield f"X-MICROSOFT-CDO-INTENDEDSTATUS:{busy_status}"
    # A counter-proposal by calendar is not read; the mail's own link takes it.
    yield "X-MICROSOFT-DISALLOW-COUNTER:TRUE"


def _link(url: str) -> Iterator[str]:
    """The room three times: Google and Outlook show LOCATION, Apple URL, newer clients CONFERENCE (RFC 7986)."""
    yield _text("LOCATION", plain_text.line(url, len(url)))
    yield _line("URL", {}, vUri(url))
    yield _line("CONFERENCE", {"VALUE": "URI", "FEATURE": ["AUDIO", "VIDEO"]}, vUri(url))


def _named(name: str, locale: str) -> dict[str, str]:
    """CN, which cannot hold a double quote (RFC 5545 3.1): a name in quotes has those of the language; no empty CN.

    RFC 6868 has a sign for the double quote, but a reader that does not know it shows the sign.
    """
    line = plain_text.line(name)
    if '"' in line:
        opening, closing = catalogues.of(locale)["mail"]["quoted"].split("{text}")
        line = _IN_QUOTES.sub(rf"{opening}\1{closing}", line).replace('"', closing)
    return {"CN": line} if line else {}


def _answer_asked(attendee: Attendee, invite: Invite) -> dict[str, str]:
    parameters = _named(attendee.name, invite.locale) | {"CUTYPE": "INDIVIDUAL", "LANGUAGE": attendee.language}
    parameters |= {"PARTSTAT": attendee.partstat, "ROLE": attendee.role}
    return parameters | {"RSVP": "TRUE"} if invite.method == "REQUEST" else parameters


def _address(name: str, address: str, parameters: dict[str, str]) -> str:
    return _line(name, parameters, vCalAddress(email_addresses.uri(address)))


def _text(name: str, value: str, parameters: dict[str, str] | None = None) -> str:
    return _line(name, parameters or {}, vText(value))


def _line(name: str, parameters: Mapping[str, str | list[str]], value: vText | vUri | vCalAddress) -> str:
    return str(Contentline.from_parts(name, Parameters(parameters), value))


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _folded(line: str) -> bytes:
    """The line in pieces of at most 75 octets, none of which ends inside a character (RFC 5545 3.1).

    icalendar's own folding walks character by character, which was half the time of an invite in Ukrainian.
    """
    octets = line.encode()
    pieces = []
    start, room = 0, _LINE_OCTETS
    while len(octets) - start > room:
        end = start + room
        while octets[end] in _INSIDE_A_CHARACTER:
            end -= 1
        pieces.append(octets[start:end])
        start, room = end, _LINE_OCTETS - 1
    pieces.append(octets[start:])
    return b"\r\n ".join(pieces) + b"\r\n"
