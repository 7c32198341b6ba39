"""One mail as bytes.

`compose` is a pure function of plain values, so every attempt carries the same bytes under the same Message-ID. The
MIME text is assembled here and not by the standard library's EmailMessage: its boundaries are random, and it re-folds
what it is given. What is assembled is ASCII only, but for an address in letters other than Latin (RFC 6532), and each
header value has been checked. Knows no rows.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email import header, utils
from typing import Any, Literal

from integrations import plain_text
from integrations.mail import letters
from service.kernel import email_addresses

_HEADER_CHARACTERS = 76
_MESSAGE_ID = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A person's or our own name and address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Mail:
    """Everything one mail says, as plain values; `values` and `links` are those of `letters.write`."""

    message_id: str
    dated: datetime
    sender: Mailbox
    reply_to: Mailbox | None
    recipient: Mailbox
    locale: str
    template: str
    values: Mapping[str, Any]
    links: Mapping[str, str]
    request_id: str | None = None  # of ours, for whoever asks us about the mail
    method: Literal["REQUEST", "CANCEL"] | None = None
    stop_url: str | None = None  # where a POST alone switches off mails of this kind (RFC 8058)


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of MIME: its own headers, and its body as ASCII lines."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


def compose(mail: Mail, calendar: bytes | None) -> bytes:
    """The message is ready to be sent, the same bytes for the same values, with CRLF.

    It is ASCII only, unless the recipient's address needs a server with SMTPUTF8.

    With `calendar` it is an invitation: the calendar is the last alternative, and the same bytes are attached as
    `invite.ics`. Raises ValueError for an address, Message-ID or link that is not one, for a calendar whose method,
    organizer or attendees do not fit the mail, and for what `letters.write` refuses.
    """
    if (mail.method is None) != (calendar is None):
        fault = "a mail has a calendar if, and only if, it has a method"
        raise ValueError(fault)
    message_id = checked_message_id(mail.message_id)
    seed = hashlib.sha256(message_id.encode()).hexdigest()[:32]
    letter = letters.write(mail.template, mail.locale, mail.recipient.name, mail.values, mail.links)
    choices = [_text("plain", letter.plain), _text("html", letter.html)]
    if calendar is None:
        body = _multipart("alternative", f"=_alt_{seed}", choices)
    elif misfit := _misfit(mail, calendar):
        raise ValueError(misfit)
    else:
        body = _invitation(choices, calendar, str(mail.method), seed)
    headers = [
        ("From", _mailbox("From", mail.sender)),
        ("To", _mailbox("To", mail.recipient)),
        *([("Reply-To", _mailbox("Reply-To", mail.reply_to))] if mail.reply_to else []),
        ("Subject", _unstructured("Subject", letter.subject)),
        ("Date", utils.format_datetime(mail.dated.astimezone(UTC))),
        ("Message-ID", f"<{message_id}>"),
        ("Auto-Submitted", "auto-generated"),
        *([("X-Request-Id", mail.request_id)] if mail.request_id else []),
        *_unsubscribing(mail.stop_url),
        ("Content-Language", mail.locale),
        ("MIME-Version", "1.0"),
    ]
    return _bytes(_Part((*headers, *body.headers), body.body))


def _unsubscribing(url: str | None) -> list[tuple[str, str]]:
    if url is None:
        return []
    return [("List-Unsubscribe", f"<{url}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")]


def _misfit(mail: Mail, calendar: bytes) -> str | None:
    """Why a client would not take this calendar for an invitation to this person by this sender (RFC 6047 2.3, 2.4)."""
    lines = calendar.replace(b"\r\n ", b"").decode().split("\r\n")
    organizer = (mail.reply_to or mail.sender).address
    attendee = email_addresses.uri(mail.recipient.address)
    if [line for line in lines if line.startswith("METHOD:")] != [f"METHOD:{mail.method}"]:
        return "the calendar's method is not the mail's"
    if not any(line.startswith("ORGANIZER") and line.endswith(f":{email_addresses.uri(organizer)}") for line in lines):
        return "the answer would not go to the calendar's organizer"
    if not any(line.startswith("ATTENDEE") and line.endswith(f":{attendee}") for line in lines):
        return "the recipient is not an attendee of the calendar"
    return None


def _invitation(choices: list[_Part], calendar: bytes, method: str, seed: str) -> _Part:
    kind = f'text/calendar; charset="utf-8"; method={method}; component=VEVENT'
    alternative = _multipart("alternative", f"=_alt_{seed}", [*choices, _base64(kind, calendar)])
    copy = _base64('application/ics; name="invite.ics"', calendar, 'attachment; filename="invite.ics"')
    return _multipart("mixed", f"=_mix_{seed}", [alternative, copy])


def _text(subtype: str, text: str) -> _Part:
    octets = text.replace("\n", "\r\n").encode()
    kind = f'text/{subtype}; charset="utf-8"'
    if octets.isascii():
        return _Part(_content(kind, "quoted-printable"), binascii.b2a_qp(octets, istext=True))
    return _base64(kind, octets)


def _base64(kind: str, octets: bytes, disposition: str | None = None) -> _Part:
    return _Part(_content(kind, "base64", disposition), base64.encodebytes(octets).replace(b"\n", b"\r\n"))


def _content(kind: str, encoding: str, disposition: str | None = None) -> tuple[tuple[str, str], ...]:
    headers = (("Content-Type", kind), ("Content-Transfer-Encoding", encoding))
    return (*headers, ("Content-Disposition", disposition)) if disposition else headers


def _multipart(subtype: str, boundary: str, parts: list[_Part]) -> _Part:
    line = f"--{boundary}".encode()
    body = b"".join(line + b"\r\n" + _bytes(part) + b"\r\n" for part in parts)
    return _Part((("Content-Type", f'multipart/{subtype}; boundary="{boundary}"'),), body + line + b"--\r\n")


def _bytes(part: _Part) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in part.headers).encode() + b"\r\n" + part.body


def _checked(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        fault = "a Message-ID is not one"
        raise ValueError(fault)
    return value


def checked_message_id(message_id: str) -> str:
    """The Message-ID without its brackets; raises ValueError if it is not one."""
    return _checked(_MESSAGE_ID, message_id.strip(" <>"))


def _mailbox(field: str, mailbox: Mailbox) -> str:
    name = plain_text.line(mailbox.name)
    address = f"<{email_addresses.normal_form(mailbox.address)}>"
    if not name:
        return address
    phrase = f'"{utils.quote(name)}"' if _is_plain(name) else _encoded(field, name)
    return f"{phrase}\r\n {address}"


def _unstructured(field: str, text: str) -> str:
    one_line = plain_text.line(text)
    return one_line if _is_plain(one_line) else _encoded(field, one_line)


def _is_plain(text: str) -> bool:
    """Whether a reader shows the text as it stands: some decode what looks like an encoded word wherever it is."""
    return text.isascii() and "=?" not in text


def _encoded(field: str, text: str) -> str:
    words = header.Header(text, "utf-8", maxlinelen=_HEADER_CHARACTERS, header_name=field)
    return words.encode(linesep="\r\n")
