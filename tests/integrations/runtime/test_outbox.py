"""The hand-over of mails: to a real server, to ones that misbehave, to a Maildir."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiosmtpd import smtp as aiosmtpd

import letterbox
import postoffice
from integrations.mail import maildir, smtp
from replies import REPLIES, Published
from service.kernel import outcomes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A mail server of its own process, and the Maildir that it fills."""
    folder = tmp_path_factory.mktemp("server") / "mail"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}"]
    with subprocess.Popen([*command, "-c", "aiosmtpd.handlers.Mailbox", str(folder)]) as process:
        for _ in range(2_400):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None
            time.sleep(0.05)
        yield f"smtp://127.0.0.1:{port}", folder
        process.terminate()


async def sent(url: str, message: bytes | None = None) -> outcomes.Outcome:
    """Send one mail, and leave nothing open."""
    async with contextlib.aclosing(smtp.SmtpOutbox(url)) as outbox:
        return await outbox.send(message or letterbox.written(), letterbox.CLINICIAN)


async def test_inv_03_a_server_of_its_own_process_gets_the_calendar_byte_for_byte(server: tuple[str, Path]) -> None:
    url, folder = server
    message, ics = letterbox.invitation()
    assert await sent(url, message) == outcomes.Delivered(250)
    (taken,) = (folder / "new").iterdir()
    assert letterbox.calendar_octets(taken.read_bytes()) == [ics, ics]
    assert letterbox.opened(taken.read_bytes())["X-RcptTo"] == letterbox.CLINICIAN


class Handler:
    """A server's manners: what it says at RCPT and after DATA, and what it took."""

    def __init__(self, *, at_rcpt: str = "250 OK", after_data: str = "250 OK") -> None:
        self.at_rcpt = at_rcpt
        self.after_data = after_data
        self.taken: list[bytes | str | None] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self,
        _server: aiosmtpd.SMTP,
        _session: aiosmtpd.Session,
        envelope: aiosmtpd.Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.at_rcpt

    async def handle_DATA(self, _server: aiosmtpd.SMTP, _session: aiosmtpd.Session, envelope: aiosmtpd.Envelope) -> str:  # noqa: N802
        self.taken.append(envelope.content)
        return self.after_data


@contextlib.asynccontextmanager
async def serving(protocol: Callable[[], asyncio.BaseProtocol]) -> AsyncIterator[str]:
    listener = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield f"smtp://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()


async def sent_to(handler: Handler) -> outcomes.Outcome:
    async with serving(lambda: aiosmtpd.SMTP(handler)) as url:
        return await sent(url)


async def test_a_server_gets_the_very_bytes_that_were_composed() -> None:
    handler = Handler()
    assert await sent_to(handler) == outcomes.Delivered(250)
    assert handler.taken == [letterbox.written()]


@pytest.mark.parametrize("code", [450, 451, 452])
async def test_a_refusal_for_now_is_tried_again(code: int) -> None:
    outcome = await sent_to(Handler(at_rcpt=f"{code} come back"))
    assert outcome == outcomes.Retry(None, f"{code} come back", code, phase="rcpt")


async def test_a_server_that_closes_under_a_mail_has_cut_it_off() -> None:
    outcome = await sent_to(Handler(at_rcpt="421 come back"))
    assert outcome == outcomes.Cut(None, "421 come back", 421, phase="rcpt")


@pytest.mark.parametrize("code", [550, 552, 553, 554])
async def test_a_refusal_for_good_is_final(code: int) -> None:
    outcome = await sent_to(Handler(at_rcpt=f"{code} no such person"))
    assert outcome == outcomes.Refused(f"{code} no such person", code, phase="rcpt")


BY_FAULT = {"address": outcomes.Refused, "mailbox": outcomes.Full, "ours": outcomes.Ours, "server": outcomes.Retry}
AT_A_MAIL = [row for row in REPLIES if row.phase in {"rcpt", "data"}]


@pytest.mark.parametrize("published", AT_A_MAIL, ids=lambda row: f"{row.server}: {row.code} {row.text[:40]}")
async def test_ft_22_a_published_reply_becomes_the_outcome_of_whose_fault_it_is(published: Published) -> None:
    said = f"{published.code} {published.text.format(to=letterbox.CLINICIAN, **{'from': 'no-reply@pobratym.example'})}"
    outcome = await sent_to(Handler(at_rcpt=said) if published.phase == "rcpt" else Handler(after_data=said))
    kind = outcomes.Cut if published.code == 421 else BY_FAULT[published.fault]
    assert type(outcome) is kind
    assert isinstance(outcome, outcomes.Retry | outcomes.Refused)
    assert (outcome.status, outcome.phase) == (published.code, published.phase)
    assert letterbox.CLINICIAN not in outcome.error


class Refusing(asyncio.Protocol):
    """A server that refuses one step of every conversation, in these words."""

    def __init__(self, at: str, said: str) -> None:
        self.at, self.said = at, said

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(f"{self.said if self.at == 'connect' else '220 here'}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        word = data.split()[0].decode().lower()
        if word == self.at or (word == "helo" and self.at == "ehlo"):
            self.transport.write(f"{self.said}\r\n".encode())
        elif word == "ehlo":
            offers = b"250-STARTTLS\r\n" if self.at == "starttls" else b""
            self.transport.write(b"250-here\r\n" + offers + b"250 AUTH PLAIN\r\n")
        else:
            self.transport.write(b"250 fine\r\n")


FIRST = [row for row in REPLIES if row.phase not in {"rcpt", "data"}]


@pytest.mark.parametrize("published", FIRST, ids=lambda row: f"{row.server}: {row.phase} {row.code}")
async def test_ft_23_what_every_mail_would_meet_is_the_servers_and_none_of_the_mails(published: Published) -> None:
    said = f"{published.code} {published.text.format(**{'from': 'no-reply@pobratym.example'})}"
    scheme = {"starttls": "smtp+starttls:", "auth": "smtp:"}.get(published.phase, "smtp:")
    async with serving(lambda: Refusing(published.phase, said)) as url:
        address = url.replace("smtp:", scheme).replace("//", "//user:password@" if published.phase == "auth" else "//")
        outcome = await sent(address)
        async with contextlib.aclosing(smtp.SmtpOutbox(address)) as outbox:
            probed = await outbox.probe("no-reply@pobratym.example")
    if published.phase == "mail" and published.code >= 500:
        assert type(outcome) is outcomes.Ours
        assert probed is None
    else:
        assert type(outcome) is type(probed) is outcomes.Away
        assert (outcome.status, outcome.phase) == (published.code, published.phase)


async def test_ft_23_a_server_that_takes_mail_is_not_away_and_a_look_sends_none() -> None:
    handler = Handler()
    async with serving(lambda: aiosmtpd.SMTP(handler)) as url, contextlib.aclosing(smtp.SmtpOutbox(url)) as outbox:
        assert await outbox.probe("no-reply@pobratym.example") is None
    assert handler.taken == []


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("451 later", outcomes.Retry(None, "451 later", 451, phase="data")),
        ("554 spam", outcomes.Ours(None, "554 spam", 554, phase="data")),
    ],
)
async def test_a_refusal_after_the_text_counts_as_well(said: str, outcome: outcomes.Outcome) -> None:
    assert await sent_to(Handler(after_data=said)) == outcome


@pytest.mark.parametrize("said", ["550 5.7.1 relaying denied", "554 5.7.26 unauthenticated"])
async def test_a_refusal_of_who_sends_says_nothing_about_the_address(said: str) -> None:
    assert await sent_to(Handler(at_rcpt=said)) == outcomes.Ours(None, said, int(said[:3]), phase="rcpt")


async def test_nobody_listening_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    outcome = await sent(f"smtp://127.0.0.1:{port}")
    assert isinstance(outcome, outcomes.Retry)


class Hanging(asyncio.Protocol):
    """A server that answers by a script and then falls silent at one word."""

    def __init__(self, silent_at: bytes) -> None:
        self.silent_at = silent_at
        self.in_text = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.silent_at != b"greeting":
            transport.write(b"220 here\r\n")

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        word = data.split()[0].upper()
        if self.in_text:
            self.in_text = not data.endswith(b"\r\n.\r\n")
            if not self.in_text and self.silent_at != b"text":
                self.transport.write(b"250 taken\r\n")
        elif word != self.silent_at:
            self.in_text = word == b"DATA"
            self.transport.write(b"354 go on\r\n" if self.in_text else b"250 fine\r\n")


@pytest.mark.parametrize("silent_at", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "text"])
async def test_a_server_that_hangs_is_tried_again(silent_at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "_DEADLINE_SECONDS", 0.3)
    async with serving(lambda: Hanging(silent_at.encode())) as url:
        outcome = await sent(url)
    is_under_a_mail = silent_at in {"RCPT", "DATA", "text"}
    assert type(outcome) is (outcomes.Cut if is_under_a_mail else outcomes.Away)
    assert "Timeout" in outcome.error


async def test_a_server_that_hangs_at_the_goodbye_has_the_mail() -> None:
    async with serving(lambda: Hanging(b"QUIT")) as url:
        assert await sent(url) == outcomes.Delivered(250)


async def test_a_server_without_starttls_gets_nothing_when_it_is_required() -> None:
    handler = Handler()
    async with serving(lambda: aiosmtpd.SMTP(handler)) as url:
        outcome = await sent(url.replace("smtp:", "smtp+starttls:"))
    assert isinstance(outcome, outcomes.Retry)
    assert handler.taken == []


async def test_a_wrong_password_is_our_fault_and_is_tried_again() -> None:
    def refusing(*_arguments: object) -> aiosmtpd.AuthResult:
        return aiosmtpd.AuthResult(success=False, handled=False)

    def protocol() -> aiosmtpd.SMTP:
        return aiosmtpd.SMTP(Handler(), authenticator=refusing, auth_require_tls=False)

    async with serving(protocol) as url:
        outcome = await sent(url.replace("//", "//us%40x:wrong@"))
    assert isinstance(outcome, outcomes.Retry)
    assert "Authentication" in outcome.error


# --- connections -------------------------------------------------------------------------------------------------


class Lines:
    """Counts the connections of one server, and can cut them."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.opened: list[aiosmtpd.SMTP] = []

    def __call__(self) -> aiosmtpd.SMTP:
        self.opened.append(aiosmtpd.SMTP(self.handler))
        return self.opened[-1]

    def are_closed(self) -> bool:
        return all(line.transport is None or line.transport.is_closing() for line in self.opened)

    def cut(self) -> None:
        for line in self.opened:
            if line.transport is not None:
                line.transport.close()


async def two_sent(lines: Lines, between: Callable[[], object]) -> list[outcomes.Outcome]:
    """Send two mails by one outbox, and do something in between."""
    said = []
    async with serving(lines) as url, contextlib.aclosing(smtp.SmtpOutbox(url)) as outbox:
        for _ in range(2):
            said.append(await outbox.send(letterbox.written(), letterbox.CLINICIAN))
            between()
            await asyncio.sleep(0.05)  # what the other side did must arrive
    return said


async def test_mails_follow_each_other_over_one_connection() -> None:
    lines = Lines(Handler())
    assert await two_sent(lines, lambda: None) == [outcomes.Delivered(250)] * 2
    assert (len(lines.opened), lines.handler.taken) == (1, [letterbox.written()] * 2)


async def test_a_connection_that_the_server_gave_up_is_replaced_and_the_mail_goes_once() -> None:
    lines = Lines(Handler())
    assert await two_sent(lines, lines.cut) == [outcomes.Delivered(250)] * 2
    assert (len(lines.opened), lines.handler.taken) == (2, [letterbox.written()] * 2)


async def test_a_server_that_wants_no_second_mail_on_a_connection_gets_it_on_another() -> None:
    class OneEach(Handler):
        async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
            self,
            server: aiosmtpd.SMTP,
            _session: aiosmtpd.Session,
            envelope: aiosmtpd.Envelope,
            address: str,
            _options: list[str],
        ) -> str:
            if server in used:
                return "421 enough for one connection"
            used.add(server)
            envelope.mail_from = address
            return "250 OK"

    used: set[aiosmtpd.SMTP] = set()
    lines = Lines(OneEach())
    assert await two_sent(lines, lambda: None) == [outcomes.Delivered(250)] * 2
    assert (len(lines.opened), len(lines.handler.taken)) == (2, 2)


async def test_a_connection_lost_after_the_text_is_left_to_the_schedule_and_not_sent_again_at_once() -> None:
    class Cutting(Handler):
        async def handle_DATA(  # noqa: N802
            self, server: aiosmtpd.SMTP, session: aiosmtpd.Session, envelope: aiosmtpd.Envelope
        ) -> str:
            said = await super().handle_DATA(server, session, envelope)
            if len(self.taken) == 2:
                lines.cut()
            return said

    lines = Lines(Cutting())
    first, second = await two_sent(lines, lambda: None)
    assert first == outcomes.Delivered(250)
    assert isinstance(second, outcomes.Retry)
    assert (len(lines.opened), len(lines.handler.taken)) == (1, 2)


async def test_a_connection_without_work_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "_IDLE_SECONDS", 0.01)
    lines = Lines(Handler())
    async with serving(lines) as url, contextlib.aclosing(smtp.SmtpOutbox(url)) as outbox:
        await outbox.send(letterbox.written(), letterbox.CLINICIAN)
        await postoffice.until(lines.are_closed)
    assert len(lines.opened) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:25", ""])
async def test_another_scheme_is_no_mail_server(url: str) -> None:
    with pytest.raises(ValueError, match="smtp://"):
        await sent(url)


async def test_a_maildir_keeps_the_bytes_under_the_message_id(tmp_path: Path) -> None:
    outbox = maildir.MaildirOutbox(tmp_path / "mail")
    assert await outbox.send(letterbox.written(), letterbox.CLINICIAN) == outcomes.Delivered(None)
    (file,) = (tmp_path / "mail" / "new").iterdir()
    assert (file.name, file.read_bytes()) == (letterbox.MESSAGE_ID, letterbox.written())
    assert list((tmp_path / "mail" / "tmp").iterdir()) == []


async def test_a_maildir_has_a_repeated_mail_once(tmp_path: Path) -> None:
    outbox = maildir.MaildirOutbox(tmp_path)
    for _ in range(2):
        await outbox.send(letterbox.written(), letterbox.CLINICIAN)
    assert len(list((tmp_path / "new").iterdir())) == 1


async def test_a_maildir_does_not_bring_back_a_mail_that_was_read(tmp_path: Path) -> None:
    outbox = maildir.MaildirOutbox(tmp_path)
    await outbox.send(letterbox.written(), letterbox.CLINICIAN)
    (tmp_path / "new" / letterbox.MESSAGE_ID).rename(tmp_path / "cur" / f"{letterbox.MESSAGE_ID}:2,S")
    await outbox.send(letterbox.written(), letterbox.CLINICIAN)
    assert list((tmp_path / "new").iterdir()) == []


async def test_a_maildir_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file where the folder should be")
    outcome = await maildir.MaildirOutbox(tmp_path / "mail").send(letterbox.written(), letterbox.CLINICIAN)
    assert isinstance(outcome, outcomes.Retry)
