"""Spans and instants as clocks show them, where the clocks change in between (FT-09)."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from babel import dates
from hypothesis import given
from hypothesis import strategies as st

import letterbox
from integrations import catalogues, local_times
from integrations.documents import journal_tables
from integrations.mail import letters, messages
from rules.values import PROPERTY

DASH = "\N{EN DASH}"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


SPANS = [
    ("2027-03-28T00:30Z", "2027-03-28T01:00Z", "Europe/Kyiv", f"02:30 (UTC+2) {DASH} 04:00 (UTC+3)"),
    ("2027-03-28T00:30Z", "2027-03-28T00:59Z", "Europe/Kyiv", f"02:30{DASH}02:59 (Kyiv, UTC+2)"),
    ("2026-10-25T00:30Z", "2026-10-25T01:15Z", "Europe/Kyiv", f"03:30 (UTC+3) {DASH} 03:15 (UTC+2)"),
    ("2026-10-25T00:00Z", "2026-10-25T00:45Z", "Europe/Kyiv", f"03:00{DASH}03:45 (Kyiv, UTC+3)"),
    ("2026-10-25T01:00Z", "2026-10-25T01:45Z", "Europe/Kyiv", f"03:00{DASH}03:45 (Kyiv, UTC+2)"),
    ("2027-03-14T06:30Z", "2027-03-14T07:30Z", "America/Toronto", f"01:30 (UTC-5) {DASH} 03:30 (UTC-4)"),
    ("2026-11-01T05:30Z", "2026-11-01T06:30Z", "America/Toronto", f"01:30 (UTC-4) {DASH} 01:30 (UTC-5)"),
    ("2026-11-21T10:00Z", "2026-11-21T10:30Z", "Asia/Kathmandu", f"15:45{DASH}16:15 (Kathmandu, UTC+5:45)"),
    ("2027-04-03T14:45Z", "2027-04-03T15:15Z", "Australia/Lord_Howe", f"01:45 (UTC+11) {DASH} 01:45 (UTC+10:30)"),
    ("2027-03-14T05:15Z", "2027-03-14T05:45Z", "America/St_Johns", f"01:45 (UTC-3:30) {DASH} 03:15 (UTC-2:30)"),
]


@pytest.mark.parametrize(("start", "end", "zone", "right"), SPANS)
def test_ft_09_each_end_of_a_span_has_its_own_offset_where_the_clocks_change(
    start: str, end: str, zone: str, right: str
) -> None:
    assert right in local_times.span(at(start), at(end), zone, "en")


def test_ft_09_a_span_over_midnight_has_the_date_of_its_end() -> None:
    said = local_times.span(at("2026-11-21T21:45Z"), at("2026-11-21T22:15Z"), "Europe/Kyiv", "en")
    assert said == f"Saturday, 21 November 2026, 23:45 {DASH} Sunday, 22 November 2026, 00:15 (Kyiv, UTC+2)"


def test_ft_09_over_midnight_and_over_a_change_of_clocks_both_are_said() -> None:
    # Cairo goes on from 23:59 to 01:00.
    said = local_times.span(at("2027-04-29T21:30Z"), at("2027-04-29T22:30Z"), "Africa/Cairo", "en")
    assert said == (f"Thursday, 29 April 2027, 23:30 (UTC+2) {DASH} Friday, 30 April 2027, 01:30 (UTC+3), Cairo")


@pytest.mark.parametrize(("locale", "place"), [("en", "Kyiv"), ("uk", "Київ")])
def test_ft_09_mails_and_calendars_say_it_for_both_sides(locale: str, place: str) -> None:
    sides = [{"who": "clinician", "zone": "Europe/Kyiv"}, {"who": "mentor", "zone": "America/Winnipeg"}]
    values = letterbox.VALUES | {
        "starts_at": "2027-03-28T00:30:00Z", "ends_at": "2027-03-28T01:00:00Z", "times": sides
    }  # fmt: skip
    message = messages.compose(letterbox.a_mail(locale=locale, values=values), None)
    description = letters.event_text(locale, values, {}).description
    for text in (letterbox.body(message, "plain"), letterbox.body(message, "html"), description):
        assert f"02:30 (UTC+2) {DASH} 04:00 (UTC+3), {place}" in text
        assert f"19:30{DASH}20:00" in text


@PROPERTY
@given(
    st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: at("2026-01-01T00:00Z") + timedelta(minutes=minutes)),
    st.integers(15, 240),
    st.sampled_from(["Europe/Kyiv", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Chatham"]),
)
def test_ft_09_what_is_said_of_a_span_leads_back_to_its_length(start: datetime, minutes: int, zone: str) -> None:
    end = start + timedelta(minutes=minutes)
    said = local_times.span(start, end, zone, "en")
    assert local_times.offset(start, zone) in said
    assert local_times.offset(end, zone) in said
    assert (local_times.offset(start, zone) == local_times.offset(end, zone)) == (said.count("UTC") == 1)


JOURNALED = {"started_at": "25T00:30", "ended_at": "25T01:15", "filed_at": "24T00:30"}


def test_ft_09_a_journal_says_the_offset_of_a_time_that_its_clock_shows_twice() -> None:
    row = {
        "started_at": at("2026-10-25T00:30Z"),
        "ended_at": at("2026-10-25T01:15Z"),
        "filed_at": at("2026-10-24T00:30Z"),
    }
    ((started, ended, filed),) = journal_tables.rows([row], ["started_at", "ended_at", "filed_at"], "uk", "Europe/Kyiv")
    assert (started, ended) == ("2026-10-25 03:30:00 (UTC+3)", "2026-10-25 03:15:00 (UTC+2)")
    assert filed == datetime(2026, 10, 24, 3, 30)  # noqa: DTZ001 - a cell shows a wall clock


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/Argentina/Buenos_Aires", "America/Indiana/Indianapolis"])
def test_ft_13_a_place_is_named_in_ukrainian_under_its_present_name(zone: str) -> None:
    assert not re.search("[A-Za-z/]", local_times.place(zone, "uk"))


@PROPERTY
@given(
    st.integers(0, 2 * 366 * 86_400).map(lambda seconds: at("2026-01-01T00:00Z") + timedelta(seconds=seconds)),
    st.sampled_from(["Europe/Kyiv", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.sampled_from(["uk", "en"]),
)
def test_words_that_are_kept_are_those_that_babel_gives_now(instant: datetime, zone: str, locale: str) -> None:
    wall = instant.astimezone(ZoneInfo(zone))
    words = catalogues.of(locale)
    place = words["zones"].get(zone) or dates.get_timezone_location(zone, words.formats, return_city=True)
    day = dates.format_date(wall.date(), "full", words.formats)
    for _ in range(2):
        said = local_times.moment(instant, zone, locale)
        assert said == f"{day}, {wall:%H:%M} ({place}, {local_times.offset(instant, zone)})"
