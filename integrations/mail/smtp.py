"""A mail is handed over to a mail server. What the server says becomes an outcome; this knows no rows."""

import asyncio
import contextlib
import re
from email import parser, policy, utils
from urllib import parse

import aiosmtplib

from integrations import plain_text
from service.kernel import email_addresses, outcomes

_DEADLINE_SECONDS = 15
_GOODBYE_SECONDS = 1
_IDLE_SECONDS = 5
_POLICY = "5.7."  # RFC 3463: what may be sent and by whom; it says nothing about the mailbox
_LAST_TEMPORARY_CODE = 499
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

        At most 15 s in all: a client's own timeouts are per read. What the server says of this mail decides, 4xx for
        later and 5xx for never; a fault of the line, of the server or of our login is not the mail's, and is tried
        again. Raises ValueError for a recipient that is not an address.
        """
        address = email_addresses.normal_form(recipient)
        needs_utf8 = email_addresses.needs_utf8(address)
        used: list[aiosmtplib.SMTP] = []
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                client = await self._begun(_sender(message), used, needs_utf8=needs_utf8)
                await client.rcpt(address, encoding=_encoding(needs_utf8=needs_utf8))
                response = await client.data(message)
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError) as refusal:
            answer = f"{refusal.code} {_without_addresses(refusal.message)}"
            if refusal.code <= _LAST_TEMPORARY_CODE:
                return outcomes.Retry(None, answer)
            is_ours = isinstance(refusal, aiosmtplib.SMTPSenderRefused) or refusal.message.startswith(_POLICY)
            return outcomes.Unsendable(answer) if is_ours else outcomes.Refused(answer)
        except aiosmtplib.SMTPNotSupported:
            return outcomes.Unsendable(NO_SMTPUTF8)
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

    async def _begun(self, sender: str, used: list[aiosmtplib.SMTP], *, needs_utf8: bool) -> aiosmtplib.SMTP:
        """Give a connection on which a mail was begun; what was opened or taken is in `used`.

        Raises SMTPNotSupported when the recipient's address needs SMTPUTF8, and the server does not offer it.
        A server may have given up a connection that lay idle: no mail has suffered yet, so a new one is opened.
        """
        # One by one, as the library's own sendmail resets the envelope after a refusal and may hang in that.
        while self._idle:
            client, retiring = self._idle.popitem()
            retiring.cancel()
            used.append(client)
            try:
                await _begin(client, sender, needs_utf8=needs_utf8)
            except aiosmtplib.SMTPNotSupported:
                raise
            except (aiosmtplib.SMTPException, OSError):
                continue
            return client
        client = _client(self._url)
        used.append(client)
        await client.connect()
        await _begin(client, sender, needs_utf8=needs_utf8)
        return client

    async def _retire(self, client: aiosmtplib.SMTP) -> None:
        await asyncio.sleep(_IDLE_SECONDS)
        if self._idle.pop(client, None):
            await _leave(client)


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


async def _begin(client: aiosmtplib.SMTP, sender: str, *, needs_utf8: bool) -> None:
    """Begin a mail; an address in letters needs the server's word that it carries them (RFC 6531)."""
    options = [_SMTPUTF8] if needs_utf8 else []
    if needs_utf8:
        if client.is_ehlo_or_helo_needed:
            with contextlib.suppress(aiosmtplib.SMTPHeloError):  # a server without EHLO has no extensions
                await client.ehlo()
        if not client.supports_extension(_SMTPUTF8):
            raise aiosmtplib.SMTPNotSupported(NO_SMTPUTF8)
    await client.mail(sender, options=options, encoding=_encoding(needs_utf8=needs_utf8))


def _encoding(*, needs_utf8: bool) -> str:
    return "utf-8" if needs_utf8 else "ascii"


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
