"""The published facts are loaded as they were published: nothing is added, nothing is guessed."""

import json
from importlib import resources

import pytest
import sqlalchemy as sa

from service import tables
from service.kernel.work import Work
from service.registry import memorandum_log, published_facts
from service.rules.time import zone_names

TABLES = (
    "specialty",
    "specialty_parent",
    "programme",
    "institution",
    "membership",
    "memorandum",
    "memorandum_party",
    "memorandum_area",
    "memorandum_transition",
    "log_head",
    "activity",
    "activity_institution",
    "activity_specialty",
    "milestone",
    "statistic",
    "log_entry",
    "person",
    "role_grant",
    "mentor_profile",
    "mentor_specialty",
    "person_language",
    "weekly_hours",
    "event",
)


async def snapshot(w: Work) -> dict[str, list[str]]:
    await w.flush()
    rows = {name: (await w.sql(sa.text(f"SELECT t::text FROM {name} t ORDER BY 1"))).scalars().all() for name in TABLES}
    return {name: list(found) for name, found in rows.items()}


async def memorandum(w: Work, code: str) -> tables.Memorandum:
    return (await w.sql(sa.select(tables.Memorandum).where(tables.Memorandum.code == code))).scalar_one()  # type: ignore[arg-type,no-any-return]


async def test_loading_twice_gives_the_same_rows(w: Work) -> None:
    await published_facts.load(w)
    await published_facts.load_demo(w)
    before = await snapshot(w)
    await published_facts.load(w)
    await published_facts.load_demo(w)
    assert await snapshot(w) == before
    assert {
        name: len(before[name]) for name in ("programme", "institution", "memorandum", "activity", "milestone")
    } == {
        "programme": 2,
        "institution": 25,
        "memorandum": 11,
        "activity": 7,
        "milestone": 4,
    }


async def test_what_an_admin_changed_stays_changed(w: Work) -> None:
    await published_facts.load(w)
    row = await memorandum(w, "m-2025-mech-razom")
    row.note = "changed"
    await published_facts.load(w)
    assert (await memorandum(w, "m-2025-mech-razom")).note == "changed"


async def test_no_published_memorandum_is_active(w: Work) -> None:
    await published_facts.load(w)
    statuses = (await w.sql(sa.text("SELECT status, count(*) FROM memorandum GROUP BY 1"))).all()
    assert dict(statuses) == {"signed": 10, "draft": 1}


async def test_a_partnership_that_is_only_stated_is_a_draft_without_a_signature(w: Work) -> None:
    await published_facts.load(w)
    row = await memorandum(w, "m-mykolaiv-santaros")
    assert (row.status, row.signed_on, row.signed_precision) == ("draft", None, "unknown")
    assert "partnership_stated" in (row.note or "")


async def test_dates_keep_their_precision_and_no_validity_is_invented(w: Work) -> None:
    await published_facts.load(w)
    row = await memorandum(w, "m-2025-chern-lille")
    assert (str(row.signed_on), row.signed_precision) == ("2025-10-10", "by")
    unknown = (
        await w.sql(
            sa.text("SELECT count(*) FROM memorandum WHERE valid_from IS NOT NULL OR budget_minutes IS NOT NULL")
        )
    ).scalar_one()
    assert unknown == 0


async def test_a_national_memorandum_becomes_a_bilateral_one_of_the_second_programme(w: Work) -> None:
    await published_facts.load(w)
    row = await memorandum(w, "m-uz-aphp")
    programme = await w.read(tables.Programme, row.programme_id)
    assert (row.kind, programme.country, row.signed_precision) == ("bilateral", "UZ", "unknown")


async def test_the_side_in_the_programmes_country_asks(w: Work) -> None:
    await published_facts.load(w)
    sides = (
        await w.sql(
            sa.text(
                "SELECT m.code, i.code AS party, side FROM memorandum_party p JOIN memorandum m ON m.id = memorandum_id"
                " JOIN institution i ON i.id = institution_id"
            )
        )
    ).all()
    found = {(row.code, row.party): row.side for row in sides}
    assert found["m-2025-chern-lille", "ua-chernihiv-child"] == "requesting"
    assert found["m-2025-chern-lille", "fr-chu-lille"] == "partner"
    assert found["m-uz-aphp", "uz-minzdrav"] == "requesting"
    assert len(found) == 22


async def test_unknown_names_zones_and_cities_stay_unknown(w: Work) -> None:
    await published_facts.load(w)
    rows = await w.sql(sa.text("SELECT code, name, zone, city FROM institution"))
    found = {row.code: row for row in rows}
    assert found["ua-dnipro-obl-1"].name is None
    assert found["us-razom"].zone is None
    assert found["de-giz"].city is None


async def test_an_unknown_kind_of_activity_keeps_its_published_word(w: Work) -> None:
    await published_facts.load(w)
    rows = await w.sql(
        sa.text("SELECT code, kind, published_kind, people_count, people_op, memorandum_id FROM activity")
    )
    found = {row.code: row for row in rows}
    assert (found["a-2025-10-forum"].kind, found["a-2025-10-forum"].published_kind) == ("other", "forum")
    assert (found["a-2024-fr-onco"].people_op, found["a-2024-fr-onco"].people_count) == ("=", 12)
    assert found["a-2024-10-kr2-karolinska"].people_count is None
    assert sum(row.memorandum_id is None for row in found.values()) == 5


async def test_an_activity_that_names_a_memorandum_is_in_its_chain(w: Work) -> None:
    await published_facts.load(w)
    named = (await w.sql(sa.text("SELECT id, memorandum_id FROM activity WHERE memorandum_id IS NOT NULL"))).all()
    entries = (await w.sql(sa.text("SELECT id, memorandum_id FROM log_entry WHERE kind = 'activity'"))).all()
    assert sorted(named) == sorted(entries)
    assert len(named) == 2
    assert [found.ok for found in (await memorandum_log.verify_all(w)).values()] == [True] * 11


async def test_published_counts_keep_their_operators_and_name_who_said_so(w: Work) -> None:
    await published_facts.load(w)
    rows = (await w.sql(sa.text("SELECT * FROM statistic"))).all()
    found = {row.key: row for row in rows}
    trained = found["clinicians_trained_abroad"]
    assert (trained.op, trained.value, trained.as_of, trained.source) == (">", 700, "2025-10-10", "002")
    assert trained.citation.endswith("2025-10-10")
    assert (found["joint_operations"].op, found["joint_operations"].value) == ("~", 150)
    assert len(found) == len(published_facts.published()["statistics"])


async def test_no_membership_is_invented(w: Work) -> None:
    await published_facts.load(w)
    assert (await snapshot(w))["membership"] == []


@pytest.mark.parametrize("stem", ["Зеленськ", "Ляшк", "Власов", "Риженк", "Vlasov", "Ryzhenko", "Малішевськ"])
def test_nobody_real_is_named(stem: str) -> None:
    text = resources.files("service").joinpath("data", "facts.json").read_text(encoding="utf-8")
    assert stem.lower() not in text.lower()
    assert "people" not in json.loads(text)


async def test_every_zone_of_the_facts_is_canonical(w: Work) -> None:
    await published_facts.load(w)
    zones = (await w.sql(sa.text("SELECT zone FROM institution UNION SELECT zone FROM programme"))).scalars().all()
    assert {zone_names.canonical(zone) for zone in zones if zone} == set(filter(None, zones))


async def test_the_demo_activates_two_memoranda_by_a_step_that_is_marked(w: Work) -> None:
    await published_facts.load(w)
    await published_facts.load_demo(w)
    steps = (await w.sql(sa.select(tables.MemorandumTransition))).scalars().all()
    assert [(step.to_status, step.is_demo) for step in steps] == [("active", True)] * 2
    row = await memorandum(w, "m-2025-chern-lille")
    assert (row.status, row.valid_from) == ("active", steps[0].on_date)
    assert steps[0].on_date < w.now.date()


async def test_the_demo_people_are_those_of_the_contract(w: Work) -> None:
    await published_facts.load(w)
    await published_facts.load_demo(w)
    assert set((await w.sql(sa.text("SELECT email FROM person"))).scalars()) == {
        "admin@programme.example",
        "clinician@chernihiv.example",
        "coordinator@chernihiv.example",
        "clinician@mechnikov.example",
        "mentor@lille.example",
        "mentor2@lille.example",
        "coordinator@lille.example",
        "mentor@kaunas.example",
        "mentor@gustave-roussy.example",
    }
