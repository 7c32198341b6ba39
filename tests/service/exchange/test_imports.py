"""Files taken in: by the rules of the verbs, all or nothing, and the same file twice changes nothing."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa

import build
from api.exchange import record_tables
from service import tables, vocabulary
from service.exchange import exports, imports
from service.exchange.imports import Outcome
from service.kernel import clock
from service.kernel.work import Work
from service.people import privacy
from service.registry import memorandum_log
from service.rules.file_tables import CellFault

INSTITUTIONS = "code,name,kind,country,zone,working_weekdays,aliases,note"
MEMORANDA = "code,programme,kind,status,requesting,partners,areas,signed_date,signed_precision,valid_from,valid_until"
PEOPLE = "email,display_name,locale,zone,roles"
SESSIONS = (
    "memorandum,clinician,mentor,requesting_institution,partner_institution,specialty,mode,age_band,started_at,ended_at,"
    "outcome"
)
ACTIVITIES = "code,programme,memorandum,kind,on,people_op,people_count,specialties,to_institutions,note"


async def load(w: Work, kind: str, *lines: str) -> Outcome:
    found = record_tables.read(kind, "\n".join(lines).encode())
    if found.faults:
        raise imports.FileRefused(found.faults)
    loaded = await imports.load(w, kind, found.rows, lambda _: None)
    await w.finish()  # as the end of the transaction would
    return loaded


async def faults(w: Work, kind: str, *lines: str) -> list[CellFault]:
    with pytest.raises(imports.FileRefused) as caught:
        await load(w, kind, *lines)
    w.pending.clear()  # as the end of the transaction would
    return caught.value.faults


async def count(w: Work, table: str) -> int:
    return int((await w.sql(sa.text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def registry(w: Work) -> None:
    """Have a programme, two hospitals, their memorandum, a person on each side: all but the programme from files."""
    await build.programme(w, code="ua")
    await build.specialty(w, "paediatrics")
    await load(
        w,
        "institutions",
        INSTITUTIONS,
        'ua-one,"Лікарня, перша",hospital,UA,Europe/Kiev,mon; tue,=SUM(1); b\\;c,',
        "fr-one,,hospital,FR,Europe/Paris,,,seen",
    )
    await load(w, "memoranda", MEMORANDA, "m-one,ua,bilateral,active,ua-one,fr-one,paediatrics,,,2026-01-01,")
    await load(
        w,
        "people",
        PEOPLE,
        "a@ua.example,Лікар,uk,Europe/Kyiv,clinician@ua-one/icu",
        "b@fr.example,Mentor,en,Europe/Paris,mentor@fr-one; coordinator@fr-one",
    )


PAST = "m-one,a@ua.example,b@fr.example,ua-one,fr-one,paediatrics,live,child,2026-10-05T10:00:00Z,2026-10-05T10:30:00Z"


async def test_institutions_come_with_everything_that_their_row_says(w: Work) -> None:
    await registry(w)
    (one,) = (await w.sql(sa.select(tables.Institution).where(tables.Institution.code == "ua-one"))).scalars()  # type: ignore[arg-type]
    assert (one.name, one.zone, one.working_weekdays, one.aliases, one.note) == (
        "Лікарня, перша",
        "Europe/Kyiv",
        [0, 1],
        ["=SUM(1)", "b;c"],
        None,
    )


async def test_a_memorandum_is_taken_over_in_its_status_with_the_steps_that_lead_there(w: Work) -> None:
    await registry(w)
    (row,) = (await w.sql(sa.select(tables.Memorandum))).scalars()
    steps = (await w.sql(sa.text("SELECT from_status, to_status FROM memorandum_transition ORDER BY id"))).all()
    assert (row.status, row.signed_on, row.signed_precision) == ("active", None, "unknown")
    assert [tuple(step) for step in steps] == [("draft", "signed"), ("signed", "active")]
    assert (await w.sql(sa.text("SELECT type FROM event"))).scalars().all() == ["memorandum.activated"]


async def test_people_come_with_their_roles_and_a_mentor_is_unverified(w: Work) -> None:
    await registry(w)
    held = await w.sql(
        sa.text("SELECT email, role, department FROM role_grant JOIN person ON person.id = person_id ORDER BY 1, 2")
    )
    assert [tuple(row) for row in held] == [
        ("a@ua.example", "clinician", "icu"),
        ("b@fr.example", "coordinator", None),
        ("b@fr.example", "mentor", None),
    ]
    assert (await w.sql(sa.text("SELECT verified_until FROM mentor_profile"))).scalars().all() == [None]


async def test_a_past_session_is_an_entry_of_its_memorandums_chain(w: Work) -> None:
    await registry(w)
    await load(w, "sessions", SESSIONS, PAST + ",advice_given")
    (row,) = (await w.sql(sa.select(tables.Session))).scalars()
    assert (row.minutes, row.route, row.is_civil_for_requester, len(row.participants)) == (30, "direct", True, 2)
    (found,) = (await memorandum_log.verify_all(w)).values()
    assert (found.ok, found.entries) == (True, 1)
    (case,) = (await w.sql(sa.select(tables.Consultation))).scalars()
    assert (case.state, case.question, case.opened_at) == ("completed", None, None)
    assert await count(w, "delivery") == 0
    types = (await w.sql(sa.text("SELECT type FROM event ORDER BY id"))).scalars().all()
    assert types == ["memorandum.activated", "session.logged"]


async def test_a_case_nobody_came_to_was_not_completed(w: Work) -> None:
    await registry(w)
    await load(w, "sessions", SESSIONS, PAST + ",no_show_mentor")
    assert (await w.sql(sa.text("SELECT state FROM consultation"))).scalars().all() == ["cancelled"]


async def test_activities_of_a_memorandum_are_chained_and_keep_their_operator(w: Work) -> None:
    await registry(w)
    await load(
        w,
        "activities",
        ACTIVITIES,
        "v-1,ua,m-one,visit,2026-05-01,>,700,paediatrics,fr-one,A visit",
        "v-2,ua,,grant,,,,,,",
    )
    rows = (await w.sql(sa.text("SELECT code, people_op, people_count FROM activity ORDER BY code"))).all()
    assert [tuple(row) for row in rows] == [("v-1", ">", 700), ("v-2", None, None)]
    (found,) = (await memorandum_log.verify_all(w)).values()
    assert (found.ok, found.entries) == (True, 1)


SECOND: Mapping[str, tuple[str, ...]] = {
    "institutions": (INSTITUTIONS, 'ua-one,"Лікарня, перша",hospital,UA,Europe/Kyiv,tue; mon,b\\;c; =SUM(1),'),
    "memoranda": (MEMORANDA, "m-one,ua,bilateral,active,ua-one,fr-one,paediatrics,,,2026-01-01,"),
    "people": (PEOPLE, "A@UA.example,Лікар,uk,Europe/Kyiv,clinician@ua-one/icu"),
    "sessions": (SESSIONS, PAST + ",advice_given"),
    "activities": (ACTIVITIES, "v-1,ua,m-one,visit,2026-05-01,>,700,paediatrics,fr-one,A visit"),
}


@pytest.mark.parametrize("kind", SECOND)
async def test_the_same_rows_a_second_time_change_nothing(w: Work, kind: str) -> None:
    await registry(w)
    if kind in ("sessions", "activities"):
        await load(w, kind, *SECOND[kind])
    before = {table: await count(w, table) for table in ("event", "audit", "log_entry", "consultation")}
    assert await load(w, kind, *SECOND[kind]) == Outcome(0, 0, 1)
    assert {table: await count(w, table) for table in before} == before


async def test_a_row_that_differs_is_changed_where_a_verb_may_change_it(w: Work) -> None:
    await registry(w)
    assert await load(w, "institutions", "code,kind,city", "fr-one,hospital,Lille") == Outcome(0, 1, 0)
    assert await load(w, "people", "email,display_name,zone", "a@ua.example,Other,Europe/Kyiv") == Outcome(0, 1, 0)
    changed = await load(w, "memoranda", MEMORANDA, "m-one,ua,bilateral,suspended,ua-one,fr-one,,,,2026-01-01,")
    assert changed == Outcome(0, 1, 0)
    (row,) = await exports.rows(w, "memoranda")
    assert (row["status"], row["areas"]) == ("suspended", [])
    (french, _) = await exports.rows(w, "institutions")
    assert (french["city"], french["note"]) == ("Lille", "seen")


@pytest.mark.parametrize(
    ("kind", "lines", "expected"),
    [
        ("institutions", ("code,kind", "x,hospital", "x,hospital"), CellFault(3, "code", "row 2 is the same one")),
        (
            "institutions",
            ("code,kind", ",hospital"),
            CellFault(2, "code", "needs a value, or the row an id: else a second time adds it again"),
        ),
        (
            "institutions",
            ("code,kind,zone", "x,hospital,Kyiv"),
            CellFault(2, "zone", "must be a zone of the tz database, such as Europe/Kyiv"),
        ),
        (
            "memoranda",
            (MEMORANDA, "m-two,ua,bilateral,active,ua-one,fr-one,,,,,"),
            CellFault(2, "valid_from", "an active memorandum says since when"),
        ),
        (
            "memoranda",
            (MEMORANDA, "m-two,ua,bilateral,draft,ua-one,nowhere,,,,,"),
            CellFault(2, "partners", "names a institution that is not there"),
        ),
        (
            "memoranda",
            (MEMORANDA, "m-one,ua,multilateral,active,ua-one,fr-one,paediatrics,,,2026-01-01,"),
            CellFault(2, "kind", "is there with another value, which no file changes"),
        ),
        (
            "memoranda",
            (MEMORANDA, "m-one,ua,bilateral,draft,ua-one,fr-one,paediatrics,,,2026-01-01,"),
            CellFault(2, "status", "does not follow from active"),
        ),
        (
            "people",
            (PEOPLE, "c@ua.example,X,uk,Europe/Kyiv,king@ua-one"),
            CellFault(2, "roles", f"there are these roles only: {', '.join(vocabulary.ROLES)}"),
        ),
        (
            "people",
            (PEOPLE, "c@ua.example,X,ru,Europe/Kyiv,clinician@ua-one"),
            CellFault(2, "locale", "must be one of: uk, en"),
        ),
        (
            "sessions",
            (SESSIONS, PAST.replace("2026-10-05", "2027-10-05") + ",advice_given"),
            CellFault(2, "started_at", "this lies ahead of us"),
        ),
        (
            "sessions",
            (SESSIONS, PAST.replace("ua-one,fr-one", "fr-one,ua-one") + ",advice_given"),
            CellFault(2, "memorandum", "does not link the two institutions, or is a draft"),
        ),
        (
            "sessions",
            (SESSIONS + ",minutes", PAST + ",advice_given,29"),
            CellFault(2, "minutes", "does not follow from start and end"),
        ),
        (
            "activities",
            (ACTIVITIES, "v,ua,m-one,visit,2027-05-01,,,,,"),
            CellFault(2, "on", "an activity is logged once it has begun"),
        ),
        (
            "institutions",
            (INSTITUTIONS, 'ua-two,X,hospital,UA,Europe/Kyiv,,"a; +380 67 123 45 67",'),
            CellFault(2, "aliases", "looks like a phone"),
        ),
        (
            "institutions",
            ("code,kind,sources", "ua-two,hospital,told by ivan@ua.example"),
            CellFault(2, "sources", "looks like a email"),
        ),
        (
            "institutions",
            (INSTITUTIONS, "fr-one,,hospital,FR,Europe/Paris,,,+380 67 123 45 67"),
            CellFault(2, "note", "looks like a phone"),
        ),
        (
            "memoranda",
            (MEMORANDA + ",note", "m-two,ua,bilateral,draft,ua-one,fr-one,,,,,,+380 67 123 45 67"),
            CellFault(2, "note", "looks like a phone"),
        ),
        (
            "memoranda",
            (MEMORANDA + ",source", "m-one,ua,bilateral,active,ua-one,fr-one,paediatrics,,,2026-01-01,,a@b.example"),
            CellFault(2, "source", "looks like a email"),
        ),
        (
            "mentors",
            ("email,availability_zone,tags", "b@fr.example,Europe/Paris,blast;0501234567"),
            CellFault(2, "tags", "looks like a phone"),
        ),
        (
            "activities",
            (ACTIVITIES, "v,ua,m-one,visit,,,,,,+380 67 123 45 67"),
            CellFault(2, "note", "looks like a phone"),
        ),
    ],
)
async def test_every_fault_names_its_row_and_column(
    w: Work, kind: str, lines: tuple[str, ...], expected: CellFault
) -> None:
    await registry(w)
    assert await faults(w, kind, *lines) == [expected]


async def test_all_faults_are_told_at_once(w: Work) -> None:
    await registry(w)
    said = await faults(w, "people", PEOPLE, "nobody,X,uk,Europe/Kyiv,clinician@ua-one", ",,,Nowhere,a")
    assert [(fault.row, fault.column) for fault in said] == [
        (2, "email"),
        (3, "display_name"),
        (3, "email"),
        (3, "roles"),
        (3, "zone"),
    ]


async def test_ft_21_an_address_in_letters_of_its_country_is_the_same_row_in_either_form(w: Work) -> None:
    await registry(w)
    await load(w, "people", PEOPLE, "likar@лікарня.укр,X,uk,Europe/Kyiv,clinician@ua-one")
    again = await load(w, "people", PEOPLE, "likar@xn--80atcko5gyb.xn--j1amh,X,uk,Europe/Kyiv,clinician@ua-one")
    assert (again.added, again.changed) == (0, 0)
    written = record_tables.written("people", await exports.rows(w, "people"))
    assert "likar@лікарня.укр" in written
    again_read = record_tables.read("people", written.encode()).rows
    assert again_read[-1].values["email"].startswith("likar@xn--")


async def test_ft_20_letters_that_the_mail_server_does_not_carry_are_a_fault_of_their_row(w: Work) -> None:
    await registry(w)
    new = "лікар@hospital.ua,X,uk,Europe/Kyiv,clinician@ua-one"
    (fault,) = await faults(w, "people", PEOPLE, new)
    assert (fault.row, fault.column) == (2, "email")
    stored = (await exports.rows(w, "people"))[0]
    head = "id,email,display_name,locale,zone,roles"
    changed = f"{stored['id']},лікар@hospital.ua,{stored['display_name']},uk,Europe/Kyiv,clinician@ua-one"
    (fault,) = await faults(w, "people", head, changed)
    assert (fault.row, fault.column) == (2, "email")


async def test_ft_20_an_address_that_mail_cannot_carry_is_a_fault_of_its_row(w: Work) -> None:
    await registry(w)
    (fault,) = await faults(
        w, "people", PEOPLE, "\N{CYRILLIC SMALL LETTER O}.koval@hospital.ua,X,uk,Europe/Kyiv,clinician@ua-one"
    )
    assert (fault.row, fault.column) == (2, "email")
    assert "CYRILLIC SMALL LETTER O" in fault.reason


async def test_what_was_logged_with_other_values_is_not_changed_by_a_file(w: Work) -> None:
    await registry(w)
    await load(w, "sessions", SESSIONS, PAST + ",advice_given")
    said = await faults(w, "sessions", SESSIONS, PAST + ",referred")
    assert said == [CellFault(2, "outcome", "is there with another value, which no file changes")]


async def test_a_text_that_was_looked_at_may_look_as_if_it_named_somebody(w: Work) -> None:
    await registry(w)
    found = record_tables.read("activities", f"{ACTIVITIES}\nv,ua,m-one,visit,,,,,,Device 123456789".encode())
    assert await imports.load(w, "activities", found.rows, lambda _: None, is_confirmed=True) == Outcome(1, 0, 0)


async def test_texts_of_the_registry_that_were_looked_at_are_taken_in(w: Work) -> None:
    await registry(w)
    for kind, lines, done in (
        ("institutions", (INSTITUTIONS, "ua-two,X,hospital,UA,Europe/Kyiv,,B 123456789,Device 123456789"), (1, 0)),
        ("institutions", (INSTITUTIONS, "fr-one,,hospital,FR,Europe/Paris,,,Device 123456789"), (0, 1)),
        ("memoranda", (MEMORANDA + ",note", "m-two,ua,bilateral,draft,ua-one,fr-one,,,,,,Order 123456789"), (1, 0)),
        ("mentors", ("email,availability_zone,tags", "b@fr.example,Europe/Paris,blast;model.123456789"), (0, 1)),
    ):
        found = record_tables.read(kind, "\n".join(lines).encode())
        loaded = await imports.load(w, kind, found.rows, lambda _: None, is_confirmed=True)
        await w.finish()
        assert (loaded.added, loaded.changed) == done
        assert (await load(w, kind, *lines)).same == 1  # what is there already is not looked at again


async def test_no_fault_repeats_what_stands_in_the_file(w: Work) -> None:
    await registry(w)
    told: list[Any] = []
    for kind in record_tables.SHAPES:
        names = list(record_tables.columns(kind))
        told += await faults(w, kind, ",".join(names), ",".join(f"canary{place}" for place in range(len(names))))
    assert len(told) > len(record_tables.SHAPES)
    assert "canary" not in repr(told)


def test_the_kinds_of_file_are_the_same_everywhere() -> None:
    assert tuple(record_tables.SHAPES) == exports.KINDS == tuple(imports.KEYS)


async def test_memberships_of_one_programme_name_only_networks_that_are_given_out_too(w: Work) -> None:
    network, other, member = [await build.institution(w, code=code) for code in ("net", "other", "member")]
    await build.memorandum(w, network, await build.partner(w))
    for place in (network, other):
        row = tables.Membership(
            id=clock.new_id(), institution_id=member.id, network_id=place.id, from_on=date(2026, 1, 1)
        )
        await build.add(w, row)
    given = await exports.rows(w, "memberships", (await build.programme(w)).id)
    assert [(row["institution"], row["network"]) for row in given] == [("member", "net")]


async def test_an_old_file_does_not_bring_back_somebody_who_was_erased(w: Work) -> None:
    await registry(w)
    who = next(row["id"] for row in await exports.rows(w, "people") if row["email"] == "a@ua.example")
    await privacy.erase(w, "a@ua.example")
    said = await faults(w, "people", "id," + PEOPLE, f"{who},a@ua.example,Лікар,uk,Europe/Kyiv,clinician@ua-one")
    assert said == [CellFault(2, "id", "names somebody who was erased")]


async def test_who_is_no_mentor_any_more_is_not_given_out_as_one(w: Work) -> None:
    await registry(w)
    assert [row["email"] for row in await exports.rows(w, "mentors")] == ["b@fr.example"]
    await privacy.erase(w, "b@fr.example")
    assert await exports.rows(w, "mentors") == []


async def test_a_mentor_of_two_hospitals_is_at_the_one_that_the_file_says(w: Work) -> None:
    await registry(w)
    await load(w, "institutions", "code,kind", "fr-two,hospital")
    both = "b@fr.example,Mentor,en,Europe/Paris,mentor@fr-one; mentor@fr-two"
    await load(w, "people", PEOPLE, both)
    mentor = "email,availability_zone,institution"
    for place, outcome in (("fr-two", Outcome(0, 1, 0)), ("fr-two", Outcome(0, 0, 1)), ("", Outcome(0, 0, 1))):
        assert await load(w, "mentors", mentor, f"b@fr.example,Europe/Paris,{place}") == outcome
        assert [row["institution"] for row in await exports.rows(w, "mentors")] == ["fr-two"]
    said = await faults(w, "mentors", mentor, "b@fr.example,Europe/Paris,ua-one")
    assert said == [CellFault(2, "institution", "is no institution of this mentor")]


async def test_a_session_of_the_past_is_not_put_into_a_request_that_goes_on(w: Work) -> None:
    await registry(w)
    asked = await _request(w)
    lines = SESSIONS + ",consultation_id", f"{PAST},advice_given,{asked.id}"
    assert await faults(w, "sessions", *lines) == [
        CellFault(2, "consultation_id", "names a request that has not ended")
    ]
    assert asked.state == "open"
    asked.state, asked.closed_at = "cancelled", w.now
    await load(w, "sessions", *lines)
    assert (asked.state, asked.closed_at) == ("cancelled", w.now)


async def _request(w: Work) -> tables.Consultation:
    (who,) = (await w.sql(sa.select(tables.Person).where(tables.Person.email == "a@ua.example"))).scalars()  # type: ignore[arg-type]
    (at,) = (await w.sql(sa.select(tables.Institution).where(tables.Institution.code == "ua-one"))).scalars()  # type: ignore[arg-type]
    return await build.consultation(w, who, at, programme_id=(await build.programme(w, code="ua")).id)


async def test_a_correction_stays_with_the_case_and_keeps_who_and_what_it_was_about(w: Work) -> None:
    await registry(w)
    await build.specialty(w, "surgery")
    await load(w, "sessions", SESSIONS, PAST + ",advice_given")
    (old,) = (await w.sql(sa.text("SELECT id, consultation_id FROM session"))).all()
    columns = SESSIONS + ",corrects,consultation_id"
    other = PAST.replace("paediatrics,live", "surgery,written").replace("a@ua.example,b@fr", "b@fr.example,b@fr")
    said = await faults(w, "sessions", columns, f"{other},referred,{old.id},{clock.new_id()}")
    assert {(fault.column, fault.reason) for fault in said} == {
        (column, "is not that of the session that is corrected")
        for column in ("clinician", "specialty", "mode", "consultation_id")
    }
    again = PAST.replace("10:30:00Z", "10:45:00Z")
    line = f"{again},referred,{old.id},,{clock.new_id()}"
    assert await load(w, "sessions", columns + ",id", line) == Outcome(1, 0, 0)
    rows = (await w.sql(sa.text("SELECT consultation_id, is_corrected FROM session ORDER BY minutes"))).all()
    assert [tuple(row) for row in rows] == [(old.consultation_id, True), (old.consultation_id, False)]
    assert await count(w, "consultation") == 1


async def test_a_row_that_names_by_id_what_has_a_code_is_the_same_row(w: Work) -> None:
    await registry(w)
    await load(w, "sessions", SESSIONS, PAST + ",advice_given")
    text = "SELECT code, CAST(id AS text) FROM institution UNION SELECT code, CAST(id AS text) FROM memorandum"
    ids = {row[0]: row[1] for row in await w.sql(sa.text(text))}
    by_id = ",".join(ids.get(cell, cell) for cell in PAST.split(","))
    assert await load(w, "sessions", SESSIONS, by_id + ",advice_given") == Outcome(0, 0, 1)
    agreed = f"m-one,ua,bilateral,active,{ids['ua-one']},{ids['fr-one']},paediatrics,,,2026-01-01,"
    assert await load(w, "memoranda", MEMORANDA, agreed) == Outcome(0, 0, 1)
    role = f"clinician@{ids['ua-one']}/icu"
    assert await load(w, "people", PEOPLE, f"a@ua.example,Лікар,uk,Europe/Kyiv,{role}") == Outcome(0, 0, 1)


async def test_ft_29_codes_of_files_are_one_in_large_and_small_letters(w: Work) -> None:
    await registry(w)
    assert await load(w, "institutions", "code,kind", "FR-ONE,hospital") == Outcome(0, 0, 1)
    same = "M-ONE,UA,bilateral,active,UA-ONE,FR-One,PAEDIATRICS,,,2026-01-01,"
    assert await load(w, "memoranda", MEMORANDA, same) == Outcome(0, 0, 1)
    assert await load(w, "people", PEOPLE, "a@ua.example,Лікар,uk,Europe/Kyiv,clinician@UA-ONE/icu") == Outcome(0, 0, 1)
    await load(w, "sessions", SESSIONS, PAST.replace("m-one", "M-One").replace("ua-one", "UA-one") + ",advice_given")
    assert await load(w, "sessions", SESSIONS, PAST + ",advice_given") == Outcome(0, 0, 1)
    await load(w, "activities", ACTIVITIES, "v-1,UA,M-ONE,visit,2026-05-01,>,700,Paediatrics,FR-ONE,A visit")
    assert await load(w, "activities", *SECOND["activities"]) == Outcome(0, 0, 1)
    said = await faults(w, "institutions", "code,kind", "x,hospital", "X,hospital")
    assert said == [CellFault(3, "code", "row 2 is the same one")]
    specialty = "code,name_en,name_uk,parent"
    assert await load(w, "specialties", specialty, "Deep,N,N,PAEDIATRICS") == Outcome(1, 0, 0)
    assert (await exports.rows(w, "specialties"))[-1]["parent"] == "paediatrics"
    assert await load(w, "specialties", specialty, "DEEP,N,N,paediatrics") == Outcome(0, 0, 1)


async def test_ft_25_a_new_code_that_is_a_known_one_without_its_zeros_is_a_fault(w: Work) -> None:
    await load(w, "institutions", "code,kind", "002,hospital", "7,hospital")
    said = await faults(w, "institutions", "code,kind", "2,hospital", "07,hospital")
    assert said == [CellFault(2, "code", "is there as 002: a spreadsheet took the zeros away")]


async def test_ft_25_changes_are_summed_up_by_column_without_texts_about_others(w: Work) -> None:
    await registry(w)
    found = record_tables.read("institutions", b"code,kind,city\nfr-one,hospital,Lille")
    outcome = await imports.load(w, "institutions", found.rows, lambda _: None)
    assert outcome.columns["city"] == imports.ColumnChanges(1, [imports.Example(2, "Lille", shows_before=True)])
    found = record_tables.read("people", b"email,display_name,zone,locale\na@ua.example,Other,Europe/Kyiv,en")
    outcome = await imports.load(w, "people", found.rows, lambda _: None)
    assert [example.before for column in outcome.columns.values() for example in column.examples] == [None, None]
