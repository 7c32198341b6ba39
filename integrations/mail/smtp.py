"""A mail is handed over to a mail server. What the server says becomes an outcome; this knows no rows."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email import parser, policy, utils
from types import MappingProxyType
from urllib import parse

import aiosmtplib

from integrations import plain_text
from service import vocabulary
from service.kernel import email_addresses, outcomes
from service.rules.delivery import refusals

_DEADLINE_SECONDS = 15
_GOODBYE_SECONDS = 1
_IDLE_SECONDS = 5
_SMTPUTF8 = "SMTPUTF8"
NO_SMTPUTF8 = "the mail server does not carry addresses in letters other than Latin (SMTPUTF8)"
_SCHEMES = ("smtp", "smtp+starttls", "smtps")


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

        At most 15 s in all: a client's own timeouts are per read. What the server says, and at which step, tells whose
        fault it is that the mail was not taken (`rules.delivery.refusals`). Raises ValueError for a recipient that is
        not an address.
        """
        address = email_addresses.normal_form(recipient)
        needs_utf8 = email_addresses.needs_utf8(address)
        used: list[aiosmtplib.SMTP] = []
        step = _Step()
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                client = await self._begun(_sender(message), used, step, needs_utf8=needs_utf8)
                step.phase = "rcpt"
                await client.rcpt(address, encoding=_encoding(needs_utf8=needs_utf8))
                step.phase = "data"
                response = await client.data(message)
        except (aiosmtplib.SMTPException, OSError) as fault:
            return _outcome(fault, step)
        else:
            used.remove(client)
            self._idle[client] = asyncio.create_task(self._retire(client))
            return outcomes.Delivered(response.code)
        finally:
            for broken in used:
                await _leave(broken)

    async def probe(self, sender: str) -> outcomes.Away | None:
        """Begin a mail from `sender` over a connection of its own, and send none: what keeps the server from it."""
        client, step = _client(self._url), _Step()
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                await client.connect()
                await _begin(client, sender, step, needs_utf8=False)
        except (aiosmtplib.SMTPException, OSError) as fault:
            outcome = _outcome(fault, step)
            return outcome if isinstance(outcome, outcomes.Away) else None
        finally:
            await _leave(client)
        return None

    async def aclose(self) -> None:
        """No connection is open any more; the next mail opens one."""
        idle, self._idle = self._idle, {}
        for client, retiring in idle.items():
            retiring.cancel()
            await _leave(client)

    async def _begun(
        self, sender: str, used: list[aiosmtplib.SMTP], step: "_Step", *, needs_utf8: bool
    ) -> aiosmtplib.SMTP:
        """Give a connection on which a mail was begun; what was opened or taken is in `used`.

        Raises _NeedsUtf8 when the recipient's address needs SMTPUTF8, and the server does not offer it.
        A server may have given up a connection that lay idle: no mail has suffered yet, so a new one is opened.
        """
        # One by one, as the library's own sendmail resets the envelope after a refusal and may hang in that.
        while self._idle:
            client, retiring = self._idle.popitem()
            retiring.cancel()
            used.append(client)
            try:
                await _begin(client, sender, step, needs_utf8=needs_utf8)
            except _NeedsUtf8:
                raise
            except (aiosmtplib.SMTPException, OSError):
                continue
            return client
        client = _client(self._url)
        used.append(client)
        step.phase = "connect"
        await client.connect()
        await _begin(client, sender, step, needs_utf8=needs_utf8)
        return client

    async def _retire(self, client: aiosmtplib.SMTP) -> None:
        await asyncio.sleep(_IDLE_SECONDS)
        if self._idle.pop(client, None):
            await _leave(client)


def place(url: str) -> str:
    """Give the host and port of the server, without a user and a password."""
    client = _client(url)
    return f"{client.hostname}:{client.port}"


async def offers_utf8(url: str) -> bool:
    """Tell whether the server of `url` offers SMTPUTF8; raises SMTPException or OSError when it cannot be asked."""
    client = _client(url)
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            await client.connect()
            await client.ehlo()
            return client.supports_extension(_SMTPUTF8)
    finally:
        await _leave(client)


@dataclass(slots=True)
class _Step:
    """How far a conversation has come."""

    phase: vocabulary.SmtpPhase = "connect"


class _NeedsUtf8(aiosmtplib.SMTPNotSupported):
    """The recipient's address has letters that this server does not carry."""


async def _begin(client: aiosmtplib.SMTP, sender: str, step: _Step, *, needs_utf8: bool) -> None:
    """Begin a mail; an address in letters needs the server's word that it carries them (RFC 6531)."""
    step.phase = "mail"
    options = [_SMTPUTF8] if needs_utf8 else []
    if needs_utf8:
        if client.is_ehlo_or_helo_needed:
            with contextlib.suppress(aiosmtplib.SMTPHeloError):  # a server without EHLO has no extensions
                await client.ehlo()
        if not client.supports_extension(_SMTPUTF8):
            raise _NeedsUtf8(NO_SMTPUTF8)
    await client.mail(sender, options=options, encoding=_encoding(needs_utf8=needs_utf8))


def _encoding(*, needs_utf8: bool) -> str:
    return "utf-8" if needs_utf8 else "ascii"


def _outcome(fault: aiosmtplib.SMTPException | OSError, step: _Step) -> outcomes.Outcome:
    if isinstance(fault, _NeedsUtf8):
        return outcomes.Refused(fault.message, phase=step.phase)
    code = fault.code if isinstance(fault, aiosmtplib.SMTPResponseException) else None
    said = fault.message if isinstance(fault, aiosmtplib.SMTPException) else str(fault)
    phase = _phase(fault, step.phase)
    error = f"{code or type(fault).__name__}{'' if code else ':'} {_without_addresses(said)}"
    reply = refusals.Reply(phase, code, said)
    if refusals.is_away(reply):
        return outcomes.Away(None, error, code, phase=phase)
    if refusals.is_cut(reply):
        return outcomes.Cut(None, error, code, phase=phase)
    return _BY_FAULT[refusals.fault(reply)](error, code, phase)


_BY_FAULT: Mapping[vocabulary.MailFault, Callable[[str, int | None, vocabulary.SmtpPhase], outcomes.Outcome]]
_BY_FAULT = MappingProxyType({
    "address": lambda error, code, phase: outcomes.Refused(error, code, phase=phase),
    "mailbox": lambda error, code, phase: outcomes.Full(None, error, code, phase=phase),
    "ours": lambda error, code, phase: outcomes.Ours(None, error, code, phase=phase),
    "server": lambda error, code, phase: outcomes.Retry(None, error, code, phase=phase),
})  # fmt: skip


def _phase(fault: Exception, phase: vocabulary.SmtpPhase) -> vocabulary.SmtpPhase:
    """Tell the steps apart that the client takes in one call."""
    if phase != "connect":
        return phase
    if isinstance(fault, aiosmtplib.SMTPAuthenticationError):
        return "auth"
    if isinstance(fault, aiosmtplib.SMTPHeloError):
        return "ehlo"
    is_securing = type(fault) is aiosmtplib.SMTPResponseException or isinstance(fault, ssl.SSLError)
    return "starttls" if is_securing or "STARTTLS" in str(fault) else "connect"


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
