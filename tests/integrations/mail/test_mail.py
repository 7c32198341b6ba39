"""Mails as their readers get them."""

import email
from datetime import timedelta, timezone
from email import header, utils
from typing import Any

import pytest

import letterbox
from integrations import catalogues
from integrations.mail import letters, messages
from service import vocabulary

WORDS: dict[str, catalogues.Catalogue] = {locale: catalogues.of(locale) for locale in vocabulary.LOCALES}
LETTERS = [context.removeprefix("letter.") for context in WORDS["en"].contexts if context.startswith("letter.")]
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
EVERY_LINK = {name: f"https://pobratym.example/a/{name}-token" for name in WORDS["en"]["mail.links"]}
INJECTION = "x\r\nBcc: evil@evil.example\r\n\r\n<script>alert(1)</script>\x00\x85\u2028\u202e"
CANARY = "canary-of-a-case"


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
@pytest.mark.parametrize("template", LETTERS)
def test_every_letter_is_whole_in_plain_and_html_in_every_language(template: str, locale: str) -> None:
    message = letterbox.written(template=template, locale=locale, values=EVERYTHING, links=EVERY_LINK)
    plain, html = letterbox.body(message, "plain"), letterbox.body(message, "html")
    for paragraph in WORDS[locale][f"letter.{template}"]["text"].split("\n\n"):
        assert paragraph in plain
    for name, url in EVERY_LINK.items():
        assert f"{WORDS[locale]['mail.links'][name]}:\r\n{url}\r\n" in plain
        assert f'href="{url}"' in html
    assert f'<html lang="{locale}">' in html
    assert len(html.encode()) < 10_000
    assert letterbox.opened(message).defects == []


def test_an_english_mail_has_no_cyrillic_letter() -> None:
    message = letterbox.written(locale="en", recipient=messages.Mailbox("Camille", letterbox.MENTOR), values=EVERYTHING)
    text = letterbox.body(message, "plain") + letterbox.body(message, "html") + letterbox.opened(message)["Subject"]
    assert [letter for letter in text if "\u0400" <= letter <= "\u052f"] == []


def test_a_ukrainian_mail_says_weekday_and_places_in_ukrainian() -> None:
    text = letterbox.body(letterbox.written(), "plain").replace("\N{NARROW NO-BREAK SPACE}", " ")
    day = "субота, 21 листопада 2026 р."  # noqa: RUF001 - Ukrainian
    assert f"Час лікаря: {day}, 17:00\N{EN DASH}17:30 (Київ, UTC+2)" in text
    assert f"Час ментора: {day}, 10:00\N{EN DASH}10:30 (Вінніпеґ, UTC-5)" in text


def test_an_offset_with_minutes_is_told_in_full() -> None:
    said = letterbox.VALUES | {"zone": "Asia/Kathmandu", "answer_by": "2026-11-14T09:00:00Z"}
    assert "14:45 (Kathmandu, UTC+5:45)" in letterbox.body(letterbox.written(locale="en", values=said), "plain")


def test_a_time_without_sides_is_told_in_the_readers_zone() -> None:
    said = {"starts_at": "2026-11-21T15:00:00Z", "zone": "Europe/Paris"}
    text = letterbox.body(letterbox.written(locale="en", values=letterbox.VALUES | said | {"times": []}), "plain")
    assert "\nTime: Saturday, 21 November 2026, 16:00" in text.replace("\r", "")


def test_offered_times_are_told_by_all_clocks_and_lead_to_their_own_link() -> None:
    links = {f"accept_{number}": f"https://pobratym.example/a/{number}" for number in (2, 1)}
    said = letterbox.VALUES | {"starts": EVERYTHING["starts"], "zone": "America/Winnipeg"}
    text = letterbox.body(letterbox.written(template="offer", locale="en", values=said, links=links), "plain").replace(
        "\r", ""
    )
    assert "Time 2: Sunday, 22 November 2026, 10:00 (Winnipeg, UTC-5) = Sunday, 22 November 2026, 17:00 (Kyi" in text
    first, second = (text.index(f"{day} November 2026, 10:00 (Winnipeg, UTC-5):\n") for day in (21, 22))
    assert first < second


def test_a_stat_mail_says_the_local_pathway_first() -> None:
    text = letterbox.body(letterbox.written(locale="en", values=letterbox.VALUES | {"priority": "stat"}), "plain")
    assert text.split("\n")[2].startswith("Follow your local emergency pathway first")


def test_a_stat_event_says_the_local_pathway_first() -> None:
    text = letters.event_text("en", letterbox.VALUES | {"priority": "stat"}, {})
    assert text.description.startswith("Follow your local emergency pathway first")


def test_hospitals_are_named_only_when_the_values_name_them() -> None:
    named = letterbox.VALUES | {"institution_names": ["Chernihiv Hospital", "CHU de Lille"]}
    assert "Hospitals: Chernihiv Hospital — CHU de Lille" in letterbox.body(
        letterbox.written(locale="en", values=named), "plain"
    )
    assert "Hospital" not in letterbox.body(letterbox.written(locale="en"), "plain")


def test_a_mailbox_without_a_name_is_greeted_without_one() -> None:
    message = letterbox.written(recipient=messages.Mailbox("", letterbox.CLINICIAN))
    assert letterbox.opened(message)["To"] == letterbox.CLINICIAN
    assert letterbox.body(message, "plain").startswith("Вітаємо!")


def test_a_calendar_shows_no_time_that_is_past_its_move() -> None:
    said = letterbox.VALUES | {"previous_starts_at": "2026-11-20T15:00:00Z"}
    assert letters.event_text("en", said, {}) == letters.event_text("en", letterbox.VALUES, {})


@pytest.mark.parametrize(("locale", "mentor"), [("en", "mentor"), ("uk", "ментор")])
def test_a_clinician_whose_place_a_colleague_takes_reads_of_no_other_mentor(locale: str, mentor: str) -> None:
    assert mentor not in " ".join(WORDS[locale]["letter.handed_over"].values()).lower()


@pytest.mark.parametrize(
    ("locale", "asked", "said"),
    [
        ("en", {}, "Nobody was asked."),
        ("en", {"declined": 1}, "1 mentor was asked, and is not taking it."),
        ("en", {"declined": 2, "expired": 1}, "3 mentors were asked; none of them is taking it."),
        ("uk", {}, "Нікого не запитано."),
        ("uk", {"expired": 1}, "Запит отримав 1 ментор; наразі згоди немає."),
        ("uk", {"declined": 2, "expired": 1}, "Запит отримали 3 ментори; наразі згоди немає."),
        ("uk", {"declined": 11}, "Запит отримали 11 менторів; наразі згоди немає."),
        ("uk", {"declined": 21}, "Запит отримав 21 ментор; наразі згоди немає."),
    ],
)
def test_the_letter_of_nobody_left_counts_who_was_asked(locale: str, asked: dict[str, int], said: str) -> None:
    message = letterbox.written(template="unmatched", locale=locale, values=letterbox.VALUES | {"asked": asked})
    plain = letterbox.body(message, "plain")
    assert said in plain
    for answer, number in asked.items():
        assert f"{WORDS[locale]['mail.facts'][f'asked_{answer}']}: {number}\r\n" in plain


@pytest.mark.parametrize("template", LETTERS)
def test_no_case_text_can_enter_a_letter(template: str) -> None:
    free = dict.fromkeys(["question", "note", "conclusion", "text", "department", "patient", "clinician"], CANARY)
    message = letterbox.written(template=template, values=EVERYTHING | free, links=EVERY_LINK)
    whole = message.decode() + "".join(str(part.get_content()) for part in letterbox.parts(message))
    assert CANARY not in whole


@pytest.mark.parametrize("reason", [CANARY, "a note typed by somebody"])
def test_a_reason_outside_the_list_is_refused(reason: str) -> None:
    with pytest.raises(ValueError, match="no reason"):
        letterbox.written(values=letterbox.VALUES | {"reason": reason})


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
        ({"recipient": messages.Mailbox("", "a@x.example, b@x.example")}, "no address"),
        ({"recipient": messages.Mailbox("", "a@x.example\r\nBcc: b@x.example")}, "no address"),
        ({"sender": messages.Mailbox("", "nobody")}, "no address"),
        ({"method": "REQUEST"}, "if, and only if"),
    ],
)
def test_what_no_mail_can_say_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        letterbox.written(**changes)


@pytest.mark.parametrize("field", ["recipient", "sender", "reply_to", "specialty", "institution", "id"])
def test_no_value_starts_a_header_or_a_tag(field: str) -> None:
    said = dict(letterbox.VALUES)
    changes: dict[str, Any] = {"values": said}
    if field in {"recipient", "sender", "reply_to"}:
        changes[field] = messages.Mailbox(INJECTION, "a@x.example")
    said |= {"specialty": {"uk": INJECTION, "en": ""}} if field == "specialty" else {}
    said |= {"institution_names": [INJECTION]} if field == "institution" else {}
    said |= {"consultation_id": INJECTION} if field == "id" else {}
    message = letterbox.written(reply_to=changes.pop("reply_to", messages.Mailbox("", "r@x.example")), **changes)
    assert (
        letterbox.opened(message).keys()
        == letterbox.opened(letterbox.written(reply_to=letterbox.a_mail().sender)).keys()
    )
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
    message = letterbox.written(recipient=messages.Mailbox(name, letterbox.CLINICIAN))
    (address,) = letterbox.opened(message)["To"].addresses
    assert address.addr_spec == letterbox.CLINICIAN
    # Not by the parser's display_name: Python 3.11 puts a space between two encoded words of a phrase.
    field = email.message_from_bytes(message)["To"]
    assert str(header.make_header(header.decode_header(field))).startswith(spelt)


def test_ft_21_a_domain_in_another_script_is_written_in_ascii() -> None:
    message = letterbox.written(recipient=messages.Mailbox("", "doctor@лікарня.укр"))
    assert b"<doctor@xn--" in message


def test_a_mail_names_itself_its_time_and_that_a_machine_sent_it() -> None:
    headers = letterbox.opened(letterbox.written(dated=letterbox.DATED.astimezone(timezone(timedelta(hours=3)))))
    assert headers["Message-ID"] == f"<{letterbox.MESSAGE_ID}>"
    assert utils.parsedate_to_datetime(headers["Date"]) == letterbox.DATED
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["Content-Language"] == "uk"


def test_the_same_mail_has_the_same_bytes_and_another_other_boundaries() -> None:
    assert letterbox.written() == letterbox.written()
    other = letterbox.opened(letterbox.written(message_id="other@pobratym.example"))
    assert other.get_boundary() != letterbox.opened(letterbox.written()).get_boundary()


def test_a_text_of_ascii_letters_stays_readable_in_the_raw_mail() -> None:
    # Spam filters hold it against a mail when plain ASCII hides in base64.
    links = {"sign_in": "https://pobratym.example/sign-in/" + "t" * 90}
    someone = messages.Mailbox("Camille", letterbox.MENTOR)
    message = letterbox.written(template="sign_in", locale="en", recipient=someone, values={}, links=links)
    assert b"\r\nDear Camille,\r\n" in message
    assert links["sign_in"] in letterbox.body(message, "plain")
    assert max(len(line) for line in message.split(b"\r\n")) <= 90


def test_a_fact_that_is_not_known_is_left_out() -> None:
    said = {name: value for name, value in letterbox.VALUES.items() if name in {"specialty", "priority"}}
    text = letterbox.body(letterbox.written(template="receipt", locale="en", values=said, links={}), "plain")
    assert [line.split(":")[0] for line in text.splitlines() if ": " in line][-3:-1] == ["Specialty", "Priority"]


def test_a_mail_without_an_invite_is_plain_and_html_only() -> None:
    kinds = [part.get_content_type() for part in letterbox.opened(letterbox.written()).walk()]
    assert kinds == ["multipart/alternative", "text/plain", "text/html"]
