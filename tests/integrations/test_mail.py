"""Mails as their readers get them, and their hand-over: to a real server, to ones that misbehave, to a Maildir."""

import asyncio
import contextlib
import email
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta, timezone
from email import header, utils
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd import smtp

import letterbox
from integrations import letters, mail
from service import outcomes
from service.rules import gate
from service.tables import care

CATALOGUES = Path(letters.__file__).parent / "templates" / "mail"
WORDS = {locale: tomllib.loads((CATALOGUES / f"{locale}.toml").read_text("utf-8")) for locale in ("uk", "en")}
EVERYTHING: dict[str, Any] = letterbox.VALUES | {
    "previous_starts_at": "2026-11-20T15:00:00Z",
    "starts": ["2026-11-21T15:00:00Z", "2026-11-22T15:00:00Z"],
    "answer_by": "2026-11-14T09:00:00Z",
    "answer_due_at": "2026-11-19T09:00:00Z",
    "advice_due_at": "2026-11-19T09:00:00Z",
    "held_until": "2026-11-12T09:15:00Z",
    "expires_at": "2026-11-12T09:15:00Z",
    "reason": "wrong_specialty",
    "counts": {"mentor_full": 2, "no_memorandum": 17},
    "memorandum_id": "0199a1b2-0000-7000-8000-000000000003",
    "person_id": "0199a1b2-0000-7000-8000-000000000004",
}
EVERY_LINK = {name: f"https://pobratym.example/a/{name}-token" for name in WORDS["en"]["links"]}
INJECTION = "x\r\nBcc: evil@evil.example\r\n\r\n<script>alert(1)</script>\x00\x85\u2028\u202e"
CANARY = "canary-of-a-case"

Reply = Callable[[str], str]


def written(**changes: Any) -> bytes:  # noqa: ANN401 - any field of the mail
    return mail.compose(letterbox.a_mail(**changes), None)


@pytest.mark.parametrize("locale", ["uk", "en"])
@pytest.mark.parametrize("template", WORDS["en"]["letters"])
def test_every_letter_is_whole_in_plain_and_html_in_both_languages(template: str, locale: str) -> None:
    message = written(template=template, locale=locale, values=EVERYTHING, links=EVERY_LINK)
    plain, html = letterbox.body(message, "plain"), letterbox.body(message, "html")
    for paragraph in WORDS[locale]["letters"][template]["paragraphs"]:
        assert paragraph in plain
    for name, url in EVERY_LINK.items():
        assert f"{WORDS[locale]['links'][name]}:\r\n{url}\r\n" in plain
        assert f'href="{url}"' in html
    assert f'<html lang="{locale}">' in html
    assert len(html.encode()) < 10_000
    assert letterbox.opened(message).defects == []


@pytest.mark.parametrize("table", ["letters", "facts", "links", "priorities", "modes", "reasons"])
def test_the_catalogues_of_both_languages_hold_the_same(table: str) -> None:
    assert list(WORDS["uk"][table]) == list(WORDS["en"][table])


@pytest.mark.parametrize("locale", ["uk", "en"])
def test_every_code_of_the_domain_has_words(locale: str) -> None:
    reasons = {*gate.Refusal, *care.DECLINE_REASONS, *care.CANCEL_REASONS}
    reasons |= {*care.APPOINTMENT_CANCEL_REASONS, *care.RELEASE_REASONS}
    assert {str(reason) for reason in reasons} <= set(WORDS[locale]["reasons"])


def test_an_english_mail_has_no_cyrillic_letter() -> None:
    message = written(locale="en", recipient=mail.Mailbox("Camille", letterbox.MENTOR), values=EVERYTHING)
    text = letterbox.body(message, "plain") + letterbox.body(message, "html") + letterbox.opened(message)["Subject"]
    assert [letter for letter in text if "\u0400" <= letter <= "\u052f"] == []


def test_a_ukrainian_mail_says_weekday_and_places_in_ukrainian() -> None:
    text = letterbox.body(written(), "plain").replace("\N{NARROW NO-BREAK SPACE}", " ")
    day = "субота, 21 листопада 2026 р."  # noqa: RUF001 - Ukrainian
    assert f"Час лікаря: {day}, 17:00\N{EN DASH}17:30 (Київ, UTC+2)" in text
    assert f"Час ментора: {day}, 10:00\N{EN DASH}10:30 (Вінніпеґ, UTC-5)" in text


def test_an_offset_with_minutes_is_told_in_full() -> None:
    said = letterbox.VALUES | {"zone": "Asia/Kathmandu", "answer_by": "2026-11-14T09:00:00Z"}
    assert "14:45 (Kathmandu, UTC+5:45)" in letterbox.body(written(locale="en", values=said), "plain")


def test_a_time_without_sides_is_told_in_the_readers_zone() -> None:
    said = {"starts_at": "2026-11-21T15:00:00Z", "zone": "Europe/Paris"}
    text = letterbox.body(written(locale="en", values=letterbox.VALUES | said | {"times": []}), "plain")
    assert "\nTime: Saturday, 21 November 2026, 16:00" in text.replace("\r", "")


def test_offered_times_are_told_by_all_clocks_and_lead_to_their_own_link() -> None:
    links = {f"accept_{number}": f"https://pobratym.example/a/{number}" for number in (2, 1)}
    said = letterbox.VALUES | {"starts": EVERYTHING["starts"], "zone": "America/Winnipeg"}
    text = letterbox.body(written(template="offer", locale="en", values=said, links=links), "plain").replace("\r", "")
    assert "Time 2: Sunday, 22 November 2026, 17:00 (Kyiv, UTC+2) = Sunday, 22 November 2026, 10:00 (Winn" in text
    first, second = (text.index(f"{day} November 2026, 10:00 (Winnipeg, UTC-5):\n") for day in (21, 22))
    assert first < second


def test_a_stat_mail_says_the_local_pathway_first() -> None:
    text = letterbox.body(written(locale="en", values=letterbox.VALUES | {"priority": "stat"}), "plain")
    assert text.split("\n")[2].startswith("Follow your local emergency pathway first")


def test_a_stat_event_says_the_local_pathway_first() -> None:
    text = letters.event_text("en", letterbox.VALUES | {"priority": "stat"}, {})
    assert text.description.startswith("Follow your local emergency pathway first")


def test_hospitals_are_named_only_when_the_values_name_them() -> None:
    named = letterbox.VALUES | {"institution_names": ["Chernihiv Hospital", "CHU de Lille"]}
    assert "Hospitals: Chernihiv Hospital — CHU de Lille" in letterbox.body(written(locale="en", values=named), "plain")
    assert "Hospital" not in letterbox.body(written(locale="en"), "plain")


def test_a_mailbox_without_a_name_is_greeted_without_one() -> None:
    message = written(recipient=mail.Mailbox("", letterbox.CLINICIAN))
    assert letterbox.opened(message)["To"] == letterbox.CLINICIAN
    assert letterbox.body(message, "plain").startswith("Вітаємо!")


@pytest.mark.parametrize("template", WORDS["en"]["letters"])
def test_no_case_text_can_enter_a_letter(template: str) -> None:
    free = dict.fromkeys(["question", "note", "conclusion", "text", "department", "patient", "clinician"], CANARY)
    message = written(template=template, values=EVERYTHING | free, links=EVERY_LINK)
    whole = message.decode() + "".join(str(part.get_content()) for part in letterbox.parts(message))
    assert CANARY not in whole


@pytest.mark.parametrize("reason", [CANARY, "a note typed by somebody"])
def test_a_reason_outside_the_list_is_refused(reason: str) -> None:
    with pytest.raises(ValueError, match="no reason"):
        written(values=letterbox.VALUES | {"reason": reason})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"template": "unheard_of"}, "no letter"),
        ({"locale": "xx"}, "no mails are written"),
        ({"links": {"unheard_of": "https://x.example"}}, "no link"),
        ({"links": {"view": "javascript:alert(1)"}}, "not a plain"),
        ({"links": {"view": "https://x.example/\r\nBcc: evil@x.example"}}, "not a plain"),
        ({"links": {"view": 'https://x.example/">'}}, "not a plain"),
        ({"values": {"consultation_id": "1"}}, "booked needs 'specialty'"),
        ({"message_id": "a@b\r\nBcc: evil@x.example"}, "is not one"),
        ({"recipient": mail.Mailbox("", "a@x.example, b@x.example")}, "is not one"),
        ({"recipient": mail.Mailbox("", "a@x.example\r\nBcc: b@x.example")}, "is not one"),
        ({"sender": mail.Mailbox("", "nobody")}, "is not one"),
        ({"method": "REQUEST"}, "if, and only if"),
    ],
)
def test_what_no_mail_can_say_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        written(**changes)


@pytest.mark.parametrize("field", ["recipient", "sender", "reply_to", "specialty", "institution", "id"])
def test_no_value_starts_a_header_or_a_tag(field: str) -> None:
    said = dict(letterbox.VALUES)
    changes: dict[str, Any] = {"values": said}
    if field in {"recipient", "sender", "reply_to"}:
        changes[field] = mail.Mailbox(INJECTION, "a@x.example")
    said |= {"specialty": {"uk": INJECTION, "en": ""}} if field == "specialty" else {}
    said |= {"institution_names": [INJECTION]} if field == "institution" else {}
    said |= {"consultation_id": INJECTION} if field == "id" else {}
    message = written(reply_to=changes.pop("reply_to", mail.Mailbox("", "r@x.example")), **changes)
    assert letterbox.opened(message).keys() == letterbox.opened(written(reply_to=letterbox.a_mail().sender)).keys()
    assert "<script>" not in letterbox.body(message, "html")
    text = letterbox.body(message, "plain") + letterbox.body(message, "html")
    assert not {"\x00", "\x85", "\u2028", "\u202e"} & set(text)


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("Олена Шевченко-Григоренко, к.м.н., завідувачка інтенсивної терапії новонароджених 👶🏽 " * 2, "Олена Шев"),
        ('Dr "Bob" \\ <evil@x.example>, other@x.example', r'"Dr \"Bob\" \\ <evil@x.example>, other@x.example"'),
        ("=?utf-8?q?evil=40x.example=2C?=", "=?utf-8?q?evil=40x.example=2C?="),
    ],
)
def test_a_name_stays_a_name_however_it_is_spelt(name: str, spelt: str) -> None:
    message = written(recipient=mail.Mailbox(name, letterbox.CLINICIAN))
    (address,) = letterbox.opened(message)["To"].addresses
    assert address.addr_spec == letterbox.CLINICIAN
    # Not by the parser's display_name: Python 3.11 puts a space between two encoded words of a phrase.
    field = email.message_from_bytes(message)["To"]
    assert str(header.make_header(header.decode_header(field))).startswith(spelt)


def test_a_domain_in_another_script_is_written_in_ascii() -> None:
    message = written(recipient=mail.Mailbox("", "doctor@лікарня.укр"))
    assert b"<doctor@xn--" in message


def test_a_mail_names_itself_its_time_and_that_a_machine_sent_it() -> None:
    headers = letterbox.opened(written(dated=letterbox.DATED.astimezone(timezone(timedelta(hours=3)))))
    assert headers["Message-ID"] == f"<{letterbox.MESSAGE_ID}>"
    assert utils.parsedate_to_datetime(headers["Date"]) == letterbox.DATED
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Content-Language"] == "uk"


def test_the_same_mail_has_the_same_bytes_and_another_other_boundaries() -> None:
    assert written() == written()
    other = letterbox.opened(written(message_id="other@pobratym.example"))
    assert other.get_boundary() != letterbox.opened(written()).get_boundary()


def test_a_text_of_ascii_letters_stays_readable_in_the_raw_mail() -> None:
    # Spam filters hold it against a mail when plain ASCII hides in base64.
    links = {"sign_in": "https://pobratym.example/sign-in/" + "t" * 90}
    someone = mail.Mailbox("Camille", letterbox.MENTOR)
    message = written(template="sign_in", locale="en", recipient=someone, values={}, links=links)
    assert b"\r\nDear Camille,\r\n" in message
    assert links["sign_in"] in letterbox.body(message, "plain")
    assert max(len(line) for line in message.split(b"\r\n")) <= 90


def test_a_fact_that_is_not_known_is_left_out() -> None:
    said = {name: value for name, value in letterbox.VALUES.items() if name in {"specialty", "priority"}}
    text = letterbox.body(written(template="receipt", locale="en", values=said, links={}), "plain")
    assert [line.split(":")[0] for line in text.splitlines() if ": " in line][-3:-1] == ["Specialty", "Priority"]


def test_a_mail_without_an_invite_is_plain_and_html_only() -> None:
    kinds = [part.get_content_type() for part in letterbox.opened(written()).walk()]
    assert kinds == ["multipart/alternative", "text/plain", "text/html"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A mail server of its own process, and the Maildir that it fills."""
    folder = tmp_path_factory.mktemp("server") / "mail"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}"]
    with subprocess.Popen([*command, "-c", "aiosmtpd.handlers.Mailbox", str(folder)]) as process:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"smtp://127.0.0.1:{port}", folder
        process.terminate()


async def test_inv_03_a_server_of_its_own_process_gets_the_calendar_byte_for_byte(server: tuple[str, Path]) -> None:
    url, folder = server
    message, ics = letterbox.invitation()
    assert await mail.send(url, message, letterbox.CLINICIAN) == outcomes.Delivered(250)
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
        self, _server: smtp.SMTP, _session: smtp.Session, envelope: smtp.Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.at_rcpt

    async def handle_DATA(self, _server: smtp.SMTP, _session: smtp.Session, envelope: smtp.Envelope) -> str:  # noqa: N802
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
    async with serving(lambda: smtp.SMTP(handler)) as url:
        return await mail.SmtpOutbox(url).send(written(), letterbox.CLINICIAN)


async def test_a_server_gets_the_very_bytes_that_were_composed() -> None:
    handler = Handler()
    assert await sent_to(handler) == outcomes.Delivered(250)
    assert handler.taken == [written()]


@pytest.mark.parametrize("code", [421, 450, 451, 452])
async def test_a_refusal_for_now_is_tried_again(code: int) -> None:
    assert await sent_to(Handler(at_rcpt=f"{code} come back")) == outcomes.Retry(None, f"{code} come back")


@pytest.mark.parametrize("code", [550, 552, 553, 554])
async def test_a_refusal_for_good_is_final(code: int) -> None:
    assert await sent_to(Handler(at_rcpt=f"{code} no such person")) == outcomes.Refused(f"{code} no such person")


@pytest.mark.parametrize(
    ("said", "outcome"),
    [("451 later", outcomes.Retry(None, "451 later")), ("554 spam", outcomes.Refused("554 spam"))],
)
async def test_a_refusal_after_the_text_counts_as_well(said: str, outcome: outcomes.Outcome) -> None:
    assert await sent_to(Handler(after_data=said)) == outcome


async def test_nobody_listening_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    outcome = await mail.send(f"smtp://127.0.0.1:{port}", written(), letterbox.CLINICIAN)
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
    monkeypatch.setattr(mail, "_DEADLINE_SECONDS", 0.3)
    async with serving(lambda: Hanging(silent_at.encode())) as url:
        outcome = await mail.send(url, written(), letterbox.CLINICIAN)
    assert isinstance(outcome, outcomes.Retry)
    assert "Timeout" in outcome.error


async def test_a_server_that_hangs_at_the_goodbye_has_the_mail() -> None:
    async with serving(lambda: Hanging(b"QUIT")) as url:
        assert await mail.send(url, written(), letterbox.CLINICIAN) == outcomes.Delivered(250)


async def test_a_server_without_starttls_gets_nothing_when_it_is_required() -> None:
    handler = Handler()
    async with serving(lambda: smtp.SMTP(handler)) as url:
        outcome = await mail.send(url.replace("smtp:", "smtp+starttls:"), written(), letterbox.CLINICIAN)
    assert isinstance(outcome, outcomes.Retry)
    assert handler.taken == []


async def test_a_wrong_password_is_our_fault_and_is_tried_again() -> None:
    def refusing(*_arguments: object) -> smtp.AuthResult:
        return smtp.AuthResult(success=False, handled=False)

    def protocol() -> smtp.SMTP:
        return smtp.SMTP(Handler(), authenticator=refusing, auth_require_tls=False)

    async with serving(protocol) as url:
        outcome = await mail.send(url.replace("//", "//us%40x:wrong@"), written(), letterbox.CLINICIAN)
    assert isinstance(outcome, outcomes.Retry)
    assert "Authentication" in outcome.error


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:25", ""])
async def test_another_scheme_is_no_mail_server(url: str) -> None:
    with pytest.raises(ValueError, match="smtp://"):
        await mail.send(url, written(), letterbox.CLINICIAN)


async def test_a_maildir_keeps_the_bytes_under_the_message_id(tmp_path: Path) -> None:
    outbox = mail.MaildirOutbox(tmp_path / "mail")
    assert await outbox.send(written(), letterbox.CLINICIAN) == outcomes.Delivered(None)
    (file,) = (tmp_path / "mail" / "new").iterdir()
    assert (file.name, file.read_bytes()) == (letterbox.MESSAGE_ID, written())
    assert list((tmp_path / "mail" / "tmp").iterdir()) == []


async def test_a_maildir_has_a_repeated_mail_once(tmp_path: Path) -> None:
    outbox = mail.MaildirOutbox(tmp_path)
    for _ in range(2):
        await outbox.send(written(), letterbox.CLINICIAN)
    assert len(list((tmp_path / "new").iterdir())) == 1


async def test_a_maildir_does_not_bring_back_a_mail_that_was_read(tmp_path: Path) -> None:
    outbox = mail.MaildirOutbox(tmp_path)
    await outbox.send(written(), letterbox.CLINICIAN)
    (tmp_path / "new" / letterbox.MESSAGE_ID).rename(tmp_path / "cur" / f"{letterbox.MESSAGE_ID}:2,S")
    await outbox.send(written(), letterbox.CLINICIAN)
    assert list((tmp_path / "new").iterdir()) == []


async def test_a_maildir_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file where the folder should be")
    outcome = await mail.MaildirOutbox(tmp_path / "mail").send(written(), letterbox.CLINICIAN)
    assert isinstance(outcome, outcomes.Retry)
