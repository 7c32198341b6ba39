"""Mail out: one message as bytes, and its hand-over to a server or a Maildir.

`compose` is a pure function of plain values, so every attempt carries the same bytes under the same Message-ID. The
MIME text is assembled here and not by the standard library's EmailMessage: its boundaries are random, and it re-folds
what it is given. What is assembled is ASCII only, and each header value has been checked. Knows no rows.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email import header, parser, policy, utils
from pathlib import Path
from typing import Any, Literal
from urllib import parse

import aiosmtplib

from integrations import plain_text
from integrations.mail import letters
from service.kernel import outcomes

_DEADLINE_SECONDS = 15
_GOODBYE_SECONDS = 1
_IDLE_SECONDS = 5
_HEADER_CHARACTERS = 76
_POLICY = "5.7."  # RFC 3463: what may be sent and by whom; it says nothing about the mailbox
_LAST_TEMPORARY_CODE = 499
_MESSAGE_ID = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+")
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
_SCHEMES = ("smtp", "smtp+starttls", "smtps")


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
    method: Literal["REQUEST", "CANCEL"] | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of MIME: its own headers, and its body as ASCII lines."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


def compose(mail: Mail, calendar: bytes | None) -> bytes:
    """The message is ready to be sent, the same bytes for the same values, ASCII only, with CRLF.

    With `calendar` it is an invitation: the calendar is the last alternative, and the same bytes are attached as
    `invite.ics`. Raises ValueError for an address, Message-ID or link that is not one, for a calendar whose method,
    organizer or attendees do not fit the mail, and for what `letters.write` refuses.
    """
    if (mail.method is None) != (calendar is None):
        fault = "a mail has a calendar if, and only if, it has a method"
        raise ValueError(fault)
    message_id = _checked(_MESSAGE_ID, mail.message_id.removeprefix("<").removesuffix(">"))
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
        ("Content-Language", mail.locale),
        ("MIME-Version", "1.0"),
    ]
    return _bytes(_Part((*headers, *body.headers), body.body))


def _misfit(mail: Mail, calendar: bytes) -> str | None:
    """Why a client would not take this calendar for an invitation to this person by this sender (RFC 6047 2.3, 2.4)."""
    lines = calendar.replace(b"\r\n ", b"").decode().split("\r\n")
    organizer = (mail.reply_to or mail.sender).address
    if [line for line in lines if line.startswith("METHOD:")] != [f"METHOD:{mail.method}"]:
        return "the calendar's method is not the mail's"
    if not any(line.startswith("ORGANIZER") and line.endswith(f":mailto:{organizer}") for line in lines):
        return "the answer would not go to the calendar's organizer"
    if not any(line.startswith("ATTENDEE") and line.endswith(f":mailto:{mail.recipient.address}") for line in lines):
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
    return "".join(f"{name}: {value}\r\n" for name, value in part.headers).encode("ascii") + b"\r\n" + part.body


def _checked(pattern: re.Pattern[str], value: str) -> str:
    if not pattern.fullmatch(value):
        # The value is not shown: it may be a person's address.
        fault = "an address or Message-ID is not one"
        raise ValueError(fault)
    return value


def _address(address: str) -> str:
    local, _, domain = address.rpartition("@")
    with contextlib.suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return _checked(_ADDRESS, f"{local}@{domain}")


def _mailbox(field: str, mailbox: Mailbox) -> str:
    name = plain_text.line(mailbox.name)
    address = f"<{_address(mailbox.address)}>"
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


class SmtpOutbox:
    """A mail server, by its address; connections that took a mail stay open for the next one, for a few seconds."""

    def __init__(self, url: str) -> None:
        """Send to the server of `url` (`smtp://`, `smtp+starttls://`, `smtps://`); raises ValueError for another."""
        if parse.urlsplit(url).scheme not in _SCHEMES:
            fault = "a mail server is smtp://, smtp+starttls:// or smtps://"
            raise ValueError(fault)
        self._url = url
        self._idle: dict[aiosmtplib.SMTP, asyncio.Task[None]] = {}

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        """Hand the message to the server; gives the outcome.

        At most 15 s in all: a client's own timeouts are per read. What the server says of this mail decides, 4xx for
        later and 5xx for never; a fault of the line, of the server or of our login is not the mail's, and is tried
        again. Raises ValueError for a recipient that is not an address.
        """
        address = _address(recipient)
        used: list[aiosmtplib.SMTP] = []
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                client = await self._begun(_sender(message), used)
                await client.rcpt(address)
                response = await client.data(message)
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError) as refusal:
            answer = f"{refusal.code} {_without_addresses(refusal.message)}"
            if refusal.code <= _LAST_TEMPORARY_CODE:
                return outcomes.Retry(None, answer)
            is_ours = isinstance(refusal, aiosmtplib.SMTPSenderRefused) or refusal.message.startswith(_POLICY)
            return outcomes.Unsendable(answer) if is_ours else outcomes.Refused(answer)
        except (aiosmtplib.SMTPException, OSError) as fault:
            return outcomes.Retry(None, f"{type(fault).__name__}: {_without_addresses(str(fault))}")
        else:
            used.remove(client)
            self._idle[client] = asyncio.create_task(self._retire(client))
            return outcomes.Delivered(response.code)
        finally:
            for broken in used:
                await _leave(broken)

    async def aclose(self) -> None:
        """No connection is open any more; the next mail opens one."""
        idle, self._idle = self._idle, {}
        for client, retiring in idle.items():
            retiring.cancel()
            await _leave(client)

    async def _begun(self, sender: str, used: list[aiosmtplib.SMTP]) -> aiosmtplib.SMTP:
        """Give a connection on which a mail was begun; what was opened or taken is in `used`.

        A server may have given up a connection that lay idle: no mail has suffered yet, so a new one is opened.
        """
        # One by one, as the library's own sendmail resets the envelope after a refusal and may hang in that.
        while self._idle:
            client, retiring = self._idle.popitem()
            retiring.cancel()
            used.append(client)
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.mail(sender)
                return client
        client = _client(self._url)
        used.append(client)
        await client.connect()
        await client.mail(sender)
        return client

    async def _retire(self, client: aiosmtplib.SMTP) -> None:
        await asyncio.sleep(_IDLE_SECONDS)
        if self._idle.pop(client, None):
            await _leave(client)


def _sender(message: bytes) -> str:
    headers = parser.BytesHeaderParser(policy=policy.compat32).parsebytes(message.partition(b"\r\n\r\n")[0])
    return utils.parseaddr(headers["From"])[1]


def _without_addresses(text: str) -> str:
    """The server's words as they may be kept: it often quotes the recipient."""
    return re.sub(r"\S+@\S+", "<address>", plain_text.line(text))


def _client(url: str) -> aiosmtplib.SMTP:
    server = parse.urlsplit(url)
    return aiosmtplib.SMTP(
        hostname=server.hostname,
        port=server.port,
        username=parse.unquote(server.username) if server.username else None,
        password=parse.unquote(server.password) if server.password else None,
        timeout=_DEADLINE_SECONDS,
        use_tls=server.scheme == "smtps",
        start_tls=True if server.scheme == "smtp+starttls" else None,
        # Plain `smtp` is upgraded when that is offered, whatever the certificate: still better than plain (RFC 7435).
        validate_certs=server.scheme != "smtp",
    )


async def _leave(client: aiosmtplib.SMTP) -> None:
    """The connection is closed, politely if the server plays along: its answer changes nothing any more."""
    try:
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await client.quit()
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class MaildirOutbox:
    """A folder in Maildir form that takes mail where no server is configured."""

    folder: Path

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        """The message lies in `new/` under its Message-ID: the same one twice is one file, also once it was read."""
        _address(recipient)
        fields = parser.BytesHeaderParser(policy=policy.compat32).parsebytes(message)
        name = _checked(_MESSAGE_ID, str(fields["Message-ID"]).strip(" <>"))
        try:
            await asyncio.to_thread(self._put, name, message)
        except OSError as fault:
            return outcomes.Retry(None, f"{type(fault).__name__}: {fault.strerror}")
        return outcomes.Delivered(None)

    def _put(self, name: str, message: bytes) -> None:
        for part in ("tmp", "new", "cur"):
            (self.folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        if any((self.folder / "cur").glob(f"{name}*")):
            return
        descriptor, unfinished = tempfile.mkstemp(dir=self.folder / "tmp")
        with os.fdopen(descriptor, "wb") as file:
            file.write(message)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).replace(self.folder / "new" / name)
