"""What the entry takes, the exit can send: composed, and taken by a mail server that we did not write."""

# ruff: noqa: RUF001 - letters of other alphabets are what this is about

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest
from aiosmtpd import smtp as aiosmtpd
from hypothesis import given, reject
from hypothesis import strategies as st

import letterbox
from integrations.calendar import invites
from integrations.mail import messages, smtp
from integrations.runtime import doctor, settings
from service.kernel import email_addresses, outcomes

ASCII_WORDS = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}", fullmatch=True)
UKRAINIAN_WORDS = st.text("абвгґдеєжзиіїйклмнопрстуфхцчшщьюяАЇЄҐ0123456789", min_size=1, max_size=12)
ASCII_LABELS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,10}[A-Za-z0-9])?", fullmatch=True)
OTHER_WORDS = st.text("αβγδεζηθικλμν", min_size=1) | st.text("אבגדהוזחט", min_size=1) | st.text("éàüöñ", min_size=1)
ADDRESSES = st.builds(
    lambda words, labels, end: ".".join(words) + "@" + ".".join([*labels, end]),
    st.lists(ASCII_WORDS, min_size=1, max_size=3) | st.lists(UKRAINIAN_WORDS | OTHER_WORDS, min_size=1, max_size=3),
    st.lists(ASCII_LABELS | UKRAINIAN_WORDS | OTHER_WORDS, min_size=1, max_size=4),
    st.sampled_from(["ua", "укр", "example", "ελ", "xn--j1amh"]),
)


def _octets(content: bytes | str | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


class Post:
    """Keeps who each mail was for, and what it said."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []
        self.url = ""

    async def handle_DATA(self, _server: object, _session: object, envelope: aiosmtpd.Envelope) -> str:  # noqa: N802
        self.mails.append((envelope.rcpt_tos[0], _octets(envelope.content)))
        return "250 OK"


@contextlib.asynccontextmanager
async def post(*, utf8: bool) -> AsyncIterator[Post]:
    """Have a mail server, with SMTPUTF8 or without."""
    kept = Post()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: aiosmtpd.SMTP(kept, enable_SMTPUTF8=utf8), "127.0.0.1", 0)
    kept.url = f"smtp://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield kept
    finally:
        listener.close()


def invitation(address: str) -> bytes:
    """An invitation to the address, as the worker writes it."""
    attendee = invites.Attendee("Олена Шевченко", address, "uk")
    invite = invites.render(letterbox.an_invite(attendees=(attendee,)))
    return messages.compose(
        letterbox.a_mail(method="REQUEST", recipient=messages.Mailbox("Олена Шевченко", address)), invite
    )


@pytest.mark.parametrize("utf8", [False, True])
@given(data=st.data())
def test_ft_20_what_the_entry_takes_a_server_takes(data: st.DataObject, *, utf8: bool) -> None:
    try:
        address = email_addresses.carried(data.draw(ADDRESSES), utf8=utf8)
    except email_addresses.Refused:
        reject()

    async def sent() -> tuple[outcomes.Outcome, list[tuple[str, bytes]]]:
        async with post(utf8=utf8) as kept:
            outbox = smtp.SmtpOutbox(kept.url)
            outcome = await outbox.send(invitation(address), address)
            await outbox.aclose()
            return outcome, kept.mails

    outcome, mails = asyncio.run(sent())
    assert outcome == outcomes.Delivered(250)
    ((recipient, content),) = mails
    assert recipient == address
    assert f" <{address}>\r\n".encode() in content.partition(b"\r\n\r\n")[0]  # RFC 6532: UTF-8 in a header as it is
    (ics, _) = letterbox.calendar_octets(content)
    assert letterbox.values(ics, "ATTENDEE") == [email_addresses.uri(address)]


async def test_ft_20_a_server_that_does_not_carry_such_letters_is_not_tried_for_ever() -> None:
    async with post(utf8=False) as kept:
        outbox = smtp.SmtpOutbox(kept.url)
        assert await outbox.send(invitation(letterbox.CLINICIAN), letterbox.CLINICIAN) == outcomes.Delivered(250)
        on_an_open_line = await outbox.send(invitation("лікар@hospital.ua"), "лікар@hospital.ua")
        on_a_new_one = await outbox.send(invitation("лікар@hospital.ua"), "лікар@hospital.ua")
        await outbox.aclose()
    assert on_an_open_line == on_a_new_one == outcomes.Refused(smtp.NO_SMTPUTF8, phase="mail")
    assert [recipient for recipient, _ in kept.mails] == [letterbox.CLINICIAN]


def test_ft_20_a_mail_is_ascii_unless_its_recipients_address_is_not() -> None:
    assert invitation(letterbox.CLINICIAN).isascii()
    assert invitation("likar@xn--80atcko5gyb.xn--j1amh").isascii()
    header, _, body = invitation("лікар@hospital.ua").partition(b"\r\n\r\n")
    assert "<лікар@hospital.ua>" in header.decode()
    assert body.isascii()


@pytest.mark.parametrize(("is_offered", "is_well"), [(True, True), (False, False)])
async def test_ft_20_the_doctor_asks_the_server_whether_it_carries_such_letters(
    the_settings: settings.Settings, *, is_offered: bool, is_well: bool
) -> None:
    async with post(utf8=is_offered) as kept:
        found = await _mail_findings(the_settings, kept.url)
    assert [finding.is_well for finding in found] == [True, is_well]
    away = await _mail_findings(the_settings, kept.url)
    assert [finding.is_well for finding in away] == [True, False]


async def _mail_findings(base: settings.Settings, url: str) -> list[doctor.Finding]:
    known = settings.load({"POBRATYM_SMTP_URL": url, "POBRATYM_SMTPUTF8": "on"})
    changed = base.model_copy(update={"smtp_url": known.smtp_url, "smtputf8": known.smtputf8})
    return [finding for finding in await doctor.examine(changed) if finding.subject == "mail"]


def test_ft_20_an_attendee_of_an_older_release_does_not_stop_the_invites_of_the_others() -> None:
    old = invites.Attendee("Old", "doc\u200b1@klinika.example", "uk")
    present = (invites.Attendee("", letterbox.CLINICIAN, "uk"), old)
    ics = invites.render(letterbox.an_invite(attendees=present))
    assert messages.compose(dataclasses.replace(letterbox.a_mail(), method="REQUEST"), ics)
