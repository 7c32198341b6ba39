"""The calendar part of mails: INV-01 to INV-17 as far as bytes can show them, and a second reader (ical.js)."""

import itertools
import json
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import letterbox
from integrations.calendar import invites
from integrations.mail import letters, messages
from rules.values import PROPERTY

READER = Path(__file__).parent / "ical"
INJECTION = "x\r\nATTENDEE:mailto:evil@evil.example\nMETHOD:PUBLISH\rX:y\u2028\u2029\x85\x0bz\x00"
CANCEL: dict[str, Any] = {"method": "CANCEL", "status": "CANCELLED"}


def test_inv_01_the_calendar_is_the_last_alternative_and_no_attachment() -> None:
    message, _ = letterbox.invitation()
    mixed = letterbox.opened(message)
    alternative, copy = mixed.iter_parts()
    assert mixed.get_content_type() == "multipart/mixed"
    assert alternative.get_content_type() == "multipart/alternative"
    assert [p.get_content_type() for p in alternative.iter_parts()] == ["text/plain", "text/html", "text/calendar"]
    assert [p.get_content_disposition() for p in alternative.iter_parts()] == [None, None, None]
    assert (copy.get_content_disposition(), copy.get_filename()) == ("attachment", "invite.ics")


def test_inv_01_the_attached_copy_is_byte_identical() -> None:
    message, ics = letterbox.invitation()
    assert letterbox.calendar_octets(message) == [ics, ics]


@pytest.mark.parametrize(("method", "changes"), [("REQUEST", {}), ("CANCEL", CANCEL)])
def test_inv_02_the_mime_method_is_the_calendars_only_method(method: str, changes: dict[str, Any]) -> None:
    message, ics = letterbox.invitation(**changes)
    part = letterbox.parts(message)[2]
    assert part["Content-Type"].params["method"] == method
    assert part["Content-Type"].params["component"] == "VEVENT"
    assert letterbox.values(ics, "METHOD") == [method]


def test_inv_02_a_mail_does_not_carry_a_calendar_of_another_method() -> None:
    with pytest.raises(ValueError, match="method is not the mail's"):
        messages.compose(letterbox.a_mail(method="CANCEL"), invites.render(letterbox.an_invite()))


def test_inv_03_the_calendar_is_utf_8_in_an_ascii_encoding() -> None:
    message, _ = letterbox.invitation()
    part = letterbox.parts(message)[2]
    assert part.get_content_charset() == "utf-8"
    assert part["Content-Transfer-Encoding"] == "base64"
    assert message.isascii()


def test_inv_03_decoded_lines_end_in_crlf_only() -> None:
    _, ics = letterbox.invitation()
    assert ics.endswith(b"\r\n")
    assert b"\r\r\n" not in ics
    assert ics.count(b"\n") == ics.count(b"\r") == ics.count(b"\r\n")


@PROPERTY
@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]) | st.sampled_from("їҐ👶🏽\n"), max_size=400))
def test_inv_04_lines_are_at_most_75_octets_and_whole_characters(text: str) -> None:
    ics = invites.render(letterbox.an_invite(summary=text, description=text))
    for line in ics.removesuffix(b"\r\n").split(b"\r\n"):
        assert len(line) <= 75
        line.decode()


def test_inv_04_a_long_ukrainian_text_with_emoji_survives_the_folding() -> None:
    text = "Консультація з неонатології 👶🏽, щомісяця; " * 20
    assert str(letterbox.event(invites.render(letterbox.an_invite(description=text)))["description"]) == text


def test_inv_05_the_organizer_is_a_bare_address_that_the_answer_goes_to() -> None:
    message, ics = letterbox.invitation()
    assert letterbox.values(ics, "ORGANIZER") == [f"mailto:{letterbox.SENDER}"]
    assert letterbox.opened(message)["From"].addresses[0].addr_spec == letterbox.SENDER


def test_inv_05_a_mail_whose_answer_goes_elsewhere_is_not_written() -> None:
    with pytest.raises(ValueError, match="organizer"):
        messages.compose(
            letterbox.a_mail(method="REQUEST", reply_to=messages.Mailbox("", "other@x.example")),
            invites.render(letterbox.an_invite()),
        )


@pytest.mark.parametrize("status", ["TENTATIVE", "CONFIRMED"])
def test_inv_06_a_request_has_exactly_what_itip_asks(status: str) -> None:
    ics = invites.render(letterbox.an_invite(status=status))
    once = ("UID", "DTSTAMP", "DTSTART", "DTEND", "ORGANIZER", "SUMMARY", "SEQUENCE", "STATUS")
    assert {name: len(letterbox.values(ics, name)) for name in once} == dict.fromkeys(once, 1)
    assert len(letterbox.values(ics, "ATTENDEE")) == 2
    assert letterbox.values(ics, "STATUS") == [status]
    assert letterbox.values(ics, "DURATION") == letterbox.values(ics, "REQUEST-STATUS") == []


@pytest.mark.parametrize(
    ("method", "status"), [("REQUEST", "CANCELLED"), ("REQUEST", None), ("CANCEL", "CONFIRMED"), ("PUBLISH", None)]
)
def test_inv_06_no_other_status_or_method_is_rendered(method: str, status: str | None) -> None:
    with pytest.raises(ValueError, match=f"a {method} does not say"):
        invites.render(letterbox.an_invite(method=method, status=status))


@pytest.mark.parametrize("sequence", [0, 1, 7])
def test_inv_06_the_sequence_is_always_told(sequence: int) -> None:
    assert letterbox.values(invites.render(letterbox.an_invite(sequence=sequence)), "SEQUENCE") == [str(sequence)]


def test_inv_07_the_only_uid_is_the_events() -> None:
    ics = invites.render(letterbox.an_invite())
    assert letterbox.values(ics, "UID") == [letterbox.an_invite().uid]
    assert [line.split(":")[0] for line in letterbox.lines(ics)[:5]] == [
        "BEGIN",
        "VERSION",
        "PRODID",
        "METHOD",
        "BEGIN",
    ]


@pytest.mark.parametrize("uid", ["", "x" * 256, "ї" * 128])
def test_inv_07_a_uid_has_1_to_255_octets(uid: str) -> None:
    with pytest.raises(ValueError, match="255 octets"):
        invites.render(letterbox.an_invite(uid=uid))


def test_inv_08_an_attendee_is_asked_for_an_answer_in_their_language() -> None:
    clinician, mentor = letterbox.event(invites.render(letterbox.an_invite()))["attendee"]
    assert dict(clinician.params) == {
        "CN": "Олена Шевченко, к.м.н.",
        "CUTYPE": "INDIVIDUAL",
        "LANGUAGE": "uk",
        "PARTSTAT": "NEEDS-ACTION",
        "ROLE": "REQ-PARTICIPANT",
        "RSVP": "TRUE",
    }
    assert mentor.params["LANGUAGE"] == "en"


def test_inv_08_partstat_is_the_answer_that_we_have() -> None:
    accepted = invites.Attendee("Mentor", "mentor@lille.example", "en", partstat="ACCEPTED")
    assert (
        letterbox.event(invites.render(letterbox.an_invite(attendees=(accepted,))))["attendee"].params["PARTSTAT"]
        == "ACCEPTED"
    )


def test_inv_08_an_invite_goes_to_nobody_who_is_not_among_its_attendees() -> None:
    with pytest.raises(ValueError, match="not an attendee"):
        messages.compose(
            letterbox.a_mail(method="REQUEST", recipient=messages.Mailbox("", "other@x.example")),
            invites.render(letterbox.an_invite()),
        )


def attendee_line(name: str, reader: str) -> str:
    """Give the line of somebody of that name in an invite that is read in that language."""
    attendee = invites.Attendee(name, "x@lille.example", "en")
    ics = invites.render(letterbox.an_invite(attendees=(attendee,), locale=reader))
    (line,) = (line for line in letterbox.lines(ics) if line.startswith("ATTENDEE"))
    return line


@pytest.mark.parametrize(
    ("name", "reader", "written"),
    [
        ('Лікарня "Надія"', "uk", "Лікарня «Надія»"),
        ('Dr "Bob" Smith', "en", "Dr “Bob” Smith"),
        ('""', "en", "“”"),
        ('5" pipe', "en", "5” pipe"),
        ('"a" "b" "', "uk", "«a» «b» »"),
        (r'"\1 \g<0>"', "en", r"“\1 \g<0>”"),
        ("Дурань, Каміль", "uk", "Дурань, Каміль"),
        ("a;b:c", "uk", "a;b:c"),
        ("a\r\n\tb\x00\u2028c", "uk", "a b c"),
    ],
)
def test_inv_08_a_name_is_what_a_parameter_can_carry(name: str, reader: str, written: str) -> None:
    line = attendee_line(name, reader)
    assert f'CN="{written}";' in line or f"CN={written};" in line
    assert line.count('"') in {0, 2}


@pytest.mark.parametrize("name", ["", " ", "\u202e\x00\r\n"])
def test_inv_08_who_has_no_name_has_no_empty_one(name: str) -> None:
    assert "CN=" not in attendee_line(name, "uk")
    ics = invites.render(letterbox.an_invite(organizer=invites.Organizer(name, letterbox.SENDER)))
    assert f"ORGANIZER:mailto:{letterbox.SENDER}" in letterbox.lines(ics)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"status": "TENTATIVE"}, "TENTATIVE"),
        ({"status": "CONFIRMED"}, "BUSY"),
        (CANCEL, "FREE"),
        ({"method": "CANCEL", "status": None}, "FREE"),
    ],
)
def test_ft_10_outlook_is_told_how_the_time_is_meant(changes: dict[str, Any], shown: str) -> None:
    ics = invites.render(letterbox.an_invite(**changes))
    assert letterbox.values(ics, "X-MICROSOFT-CDO-BUSYSTATUS") == [shown]
    assert letterbox.values(ics, "X-MICROSOFT-CDO-INTENDEDSTATUS") == [shown]


def test_ft_10_an_invite_wakes_nobody() -> None:
    assert b"VALARM" not in invites.render(letterbox.an_invite())


@pytest.mark.parametrize("name", ['Лікарня "Надія"', "Дурань, Каміль; відділення: 2", "a^nb ^'c", "O'Brien", ""])
def test_inv_08_a_second_implementation_reads_the_name(name: str) -> None:
    attendee = invites.Attendee(name, letterbox.CLINICIAN, "uk")
    read = read_by_ical_js(invites.render(letterbox.an_invite(attendees=(attendee,))))
    assert read["attendees"][0].get("name") == (name.replace('"Надія"', "«Надія»") or None)


def test_inv_09_times_are_utc_without_a_time_zone_component() -> None:
    ics = invites.render(letterbox.an_invite(starts_at=datetime.fromisoformat("2026-11-21T17:00:00+02:00")))
    assert letterbox.values(ics, "DTSTART") == ["20261121T150000Z"]
    assert letterbox.values(ics, "DTEND") == ["20261121T153000Z"]
    assert b"VTIMEZONE" not in ics


@pytest.mark.parametrize(
    ("starts_at", "zone", "kyiv", "there"),
    [
        ("2026-11-21T15:00:00Z", "America/Winnipeg", "17:00", "10:00"),
        ("2026-10-24T15:00:00Z", "America/Toronto", "18:00", "11:00"),
        ("2026-10-27T15:00:00Z", "America/Toronto", "17:00", "11:00"),
        ("2027-03-20T15:00:00Z", "America/Toronto", "17:00", "11:00"),
        ("2026-03-27T15:00:00Z", "Asia/Jerusalem", "17:00", "18:00"),
        ("2026-12-01T15:00:00Z", "Europe/Istanbul", "17:00", "18:00"),
    ],
)
def test_inv_09_the_text_gives_both_sides_local_time(starts_at: str, zone: str, kyiv: str, there: str) -> None:
    sides = [{"who": "clinician", "zone": "Europe/Kyiv"}, {"who": "mentor", "zone": zone}]
    said = letterbox.VALUES | {"starts_at": starts_at, "ends_at": starts_at, "times": sides}
    text = letterbox.body(messages.compose(letterbox.a_mail(locale="en", values=said), None), "plain")
    (clinician,) = (line for line in text.splitlines() if "Clinician" in line)
    (mentor,) = (line for line in text.splitlines() if "Mentor" in line)
    assert f", {kyiv}" in clinician
    assert "(Kyiv, UTC+" in clinician
    assert f", {there}" in mentor


def test_inv_10_no_zone_is_named_in_an_invite() -> None:
    assert b"TZID" not in invites.render(letterbox.an_invite())


def injected(field: str) -> bytes:
    changes: dict[str, Any] = {field: INJECTION}
    if field == "organizer":
        changes = {"organizer": invites.Organizer(INJECTION, letterbox.SENDER)}
    if field == "attendees":
        changes = {"attendees": (invites.Attendee(INJECTION, letterbox.CLINICIAN, "uk"),) * 2}
    return invites.render(letterbox.an_invite(**changes))


def properties(ics: bytes) -> list[str]:
    return [line.partition(":")[0].partition(";")[0] for line in letterbox.lines(ics)]


@pytest.mark.parametrize("field", ["summary", "description", "uid", "organizer", "attendees"])
def test_inv_11_no_value_starts_a_line_of_its_own(field: str) -> None:
    assert properties(injected(field)) == properties(invites.render(letterbox.an_invite()))


@pytest.mark.parametrize("field", ["summary", "description", "organizer", "attendees"])
def test_inv_11_no_value_brings_in_a_character_that_steers(field: str) -> None:
    text = injected(field).replace(b"\r\n", b"").decode()
    assert set(text) & set("\r\n\x00\x0b\x85\u2028\u2029") == set()


@pytest.mark.parametrize("field", ["url", "organizer", "attendees"])
def test_inv_11_an_address_with_a_line_break_is_refused(field: str) -> None:
    address = "x@x.example\r\nATTENDEE:mailto:evil@evil.example"
    values_of = {
        "url": f"https://{address}",
        "organizer": invites.Organizer("", address),
        "attendees": (invites.Attendee("", address, "uk"),),
    }
    with pytest.raises(ValueError, match=r"(?i)line break|newline|CR|LF|control"):
        invites.render(letterbox.an_invite(**{field: values_of[field]}))


def test_inv_11_an_invite_is_private_and_names_the_room() -> None:
    ics = invites.render(letterbox.an_invite())
    assert letterbox.values(ics, "CLASS") == ["PRIVATE"]
    assert (
        letterbox.values(ics, "CONFERENCE")
        == letterbox.values(ics, "URL")
        == letterbox.values(ics, "LOCATION")
        == [letterbox.LINKS["join"]]
    )


def test_inv_11_the_room_is_told_to_be_for_sound_and_picture() -> None:
    (line,) = (found for found in letterbox.lines(invites.render(letterbox.an_invite())) if "CONFERENCE" in found)
    assert line == f"CONFERENCE;FEATURE=AUDIO,VIDEO;VALUE=URI:{letterbox.LINKS['join']}"


def test_inv_11_an_event_tells_facts_and_links_that_open_but_no_link_that_acts() -> None:
    text = letters.event_text("en", letterbox.VALUES | {"question": "canary"}, letterbox.LINKS)
    assert text.summary == "Consultation: Neonatology"
    assert letterbox.LINKS["join"] in text.description
    assert letterbox.LINKS["cancel"] not in text.description
    assert "canary" not in text.description


def test_inv_14_a_cancellation_of_all_says_so() -> None:
    ics = invites.render(letterbox.an_invite(**CANCEL, sequence=3))
    assert letterbox.values(ics, "METHOD") == ["CANCEL"]
    assert letterbox.values(ics, "STATUS") == ["CANCELLED"]
    assert letterbox.values(ics, "SEQUENCE") == ["3"]
    assert len(letterbox.values(ics, "ATTENDEE")) == 2
    assert len(letterbox.values(ics, "ORGANIZER")) == len(letterbox.values(ics, "DTSTAMP")) == 1


def test_inv_14_the_removal_of_one_person_has_no_status() -> None:
    removed = invites.Attendee("Dr Camille Durand", "mentor@lille.example", "en")
    ics = invites.render(letterbox.an_invite(method="CANCEL", status=None, attendees=(removed,)))
    assert letterbox.values(ics, "STATUS") == []
    assert letterbox.values(ics, "ATTENDEE") == ["mailto:mentor@lille.example"]


def test_inv_14_a_cancellation_asks_for_no_answer() -> None:
    assert b"RSVP" not in invites.render(letterbox.an_invite(**CANCEL))


def test_inv_16_a_repeated_mail_has_the_same_bytes() -> None:
    assert letterbox.invitation() == letterbox.invitation()


def test_inv_20_clients_are_told_that_counters_by_calendar_are_not_read() -> None:
    assert letterbox.values(invites.render(letterbox.an_invite()), "X-MICROSOFT-DISALLOW-COUNTER") == ["TRUE"]


@pytest.mark.parametrize(("locale", "advice"), [("en", "I know the sender"), ("uk", "Я знаю відправника")])
def test_inv_22_the_first_contact_tells_how_to_know_the_sender(locale: str, advice: str) -> None:
    message = messages.compose(letterbox.a_mail(locale=locale), None)
    assert advice in letterbox.body(message, "plain")
    assert advice in letterbox.body(message, "html")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"ends_at": letterbox.STARTS_AT}, "ends after"),
        ({"starts_at": letterbox.STARTS_AT.replace(tzinfo=None)}, "offset"),
        ({"attendees": ()}, "invited"),
        ({"sequence": -1}, "sequence"),
    ],
)
def test_an_invite_that_no_client_could_use_is_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        invites.render(letterbox.an_invite(**changes))


def test_an_invite_without_a_room_names_none() -> None:
    ics = invites.render(letterbox.an_invite(url=None))
    assert (
        letterbox.values(ics, "LOCATION") == letterbox.values(ics, "URL") == letterbox.values(ics, "CONFERENCE") == []
    )


def read_by_ical_js(ics: bytes) -> dict[str, Any]:
    if shutil.which("node") is None:
        pytest.skip("no node on this machine: the second reader is left out")
    told = subprocess.run(["node", READER / "read.js"], input=ics, capture_output=True, check=False, timeout=60)
    assert told.returncode == 0, f"ical.js cannot run (make setup-node installs it): {told.stderr.decode()[-500:]}"
    return dict(json.loads(told.stdout))


def test_a_second_implementation_reads_the_invitation_that_was_mailed() -> None:
    message, _ = letterbox.invitation()
    read = read_by_ical_js(letterbox.calendar_octets(message)[0])
    assert read == {
        "method": "REQUEST",
        "components": ["vevent"],
        "uid": letterbox.an_invite().uid,
        "sequence": 0,
        "status": "CONFIRMED",
        "summary": "Консультація: Неонатологія",
        "description": letterbox.an_invite().description,
        "start": "2026-11-21T15:00:00.000Z",
        "end": "2026-11-21T15:30:00.000Z",
        "organizer": f"mailto:{letterbox.SENDER}",
        "attendees": [
            {"address": f"mailto:{letterbox.CLINICIAN}", "name": "Олена Шевченко, к.м.н.", "partstat": "NEEDS-ACTION"},
            {"address": "mailto:mentor@lille.example", "name": "Dr Camille Durand", "partstat": "NEEDS-ACTION"},
        ],
    }


def test_inv_13_a_second_implementation_sees_one_uid_and_rising_sequence_through_move_and_cancel() -> None:
    day = timedelta(days=1)
    moved = {
        "starts_at": letterbox.STARTS_AT + day,
        "ends_at": letterbox.ENDS_AT + day,
        "dtstamp": letterbox.DATED + day,
    }
    history = [{}, {**moved, "sequence": 1}, {**moved, **CANCEL, "sequence": 2}]
    read = [read_by_ical_js(invites.render(letterbox.an_invite(**changes))) for changes in history]
    assert {step["uid"] for step in read} == {letterbox.an_invite().uid}
    assert all(before["sequence"] < after["sequence"] for before, after in itertools.pairwise(read))
    assert [step["start"] for step in read] == [f"2026-11-{day}T15:00:00.000Z" for day in (21, 22, 22)]
    assert [step["status"] for step in read] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]


def test_a_second_implementation_finds_nothing_that_was_smuggled_in() -> None:
    read = read_by_ical_js(invites.render(letterbox.an_invite(summary=INJECTION, description=INJECTION)))
    assert len(read["attendees"]) == 2
    assert read["method"] == "REQUEST"
