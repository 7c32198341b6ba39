"""Each choice of mentors that the service makes is recorded, and can be made again exactly from the rows."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import flow
from flow import Scene
from integrations.runtime.world import World
from service import housekeeping
from service.care import decisions
from service.kernel import actor
from service.people import privacy
from service.reporting import recorded_choices
from service.reporting.recorded_choices import Facts, StoredChoice
from service.rules.matching import records, replay
from world import TestClock

MENTORS = ("mentor", "rival", "third", "fourth", "fifth")


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up(MENTORS)
    return made


async def stored(scene: Scene) -> list[StoredChoice]:
    """Read all recorded choices, two at a time."""
    since, until = scene.clock.now() - timedelta(days=900), scene.clock.now() + timedelta(days=1)
    found: list[StoredChoice] = []
    async with scene.world.database.work(actor.TIMER) as w:
        facts = Facts()
        while True:
            after = (found[-1].at, found[-1].id) if found else None
            lot = await recorded_choices.load(w, scene.programme.id, since, until, facts, after=after, limit=2)
            if not lot:
                return found
            found += lot


async def differing(scene: Scene) -> dict[str, list[str]]:
    """Make every choice again; gives in what each of those that differ does, by its kind."""
    found: dict[str, list[str]] = {}
    for choice in await stored(scene):
        assert choice.recorded is not None
        what: list[str] = [*choice.changed, *replay.differences(choice.recorded)]
        if what:
            found[choice.kind] = what
    return found


async def a_few_weeks(scene: Scene) -> None:
    """File requests of all kinds, and let some be answered: waves, a choice by hand, and nobody."""
    tags = {"tags": ["rare", "seizure"]}
    wishes: list[dict[str, Any]] = [
        {},
        {"mode": "written"},
        {"mode": "either", "priority": "asap"},
        {"priority": "stat"},
        tags,
    ]
    for number, wish in enumerate(wishes):
        asked = await scene.request(**wish)
        scene.clock.forward(minutes=7)
        if number == 0:
            offer = (await scene.get("mentor", "/v1/offers?state=pending"))["items"]
            for each in offer:
                await scene.post("mentor", f"/v1/offers/{each['id']}/accept", {"starts_at": each["starts"][0]})
        (row,) = await scene.rows("SELECT next_wave_at FROM consultation WHERE id = :id", id=asked)
        scene.clock.set(max(row.next_wave_at or scene.clock.now(), scene.clock.now()))
        await scene.sweep()
    hand = await scene.request(priority="routine")
    (unasked,) = await scene.rows(
        "SELECT person_id AS id FROM mentor_profile WHERE person_id NOT IN"
        " (SELECT mentor_id FROM offer WHERE consultation_id = :id) ORDER BY person_id LIMIT 1",
        id=hand,
    )
    await scene.post("coordinator", f"/v1/consultations/{hand}/offers", {"mentor_id": str(unasked.id)}, 201)
    await flow.nobody(scene)
    await scene.request()


async def test_al_05_what_the_service_chose_is_chosen_again_exactly(scene: Scene) -> None:
    await a_few_weeks(scene)
    kinds = [row.kind for row in await scene.rows("SELECT kind FROM decision ORDER BY at, id")]
    assert set(kinds) == {"first", "wave", "hand", "nobody"}
    waves = [row.asked for row in await scene.rows("SELECT asked FROM decision WHERE kind <> 'nobody'")]
    (sent,) = await scene.rows("SELECT count(*) AS sent FROM offer")
    assert sum(waves) == sent.sent
    assert await differing(scene) == {}


CHANGES = {
    "UPDATE decision SET at = at + interval '1 second'": "record",
    "UPDATE decision SET body = overlay(body PLACING '\\x00' FROM 20)": "record",
    "UPDATE decision SET refs = overlay(refs PLACING '\\x00' FROM 2)": "record",
    "UPDATE decision SET digest = '\\x00'": "record",
    "UPDATE mentor_fact SET body = overlay(body PLACING '\\x00' FROM 9)": "facts",
    "UPDATE mentor_fact SET person_id = gen_random_uuid()": "facts",
    "UPDATE memoranda_fact SET body = '{}'": "facts",
    "UPDATE rulebook SET rules_version = 'other'": "facts",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_al_05_a_changed_row_of_history_is_named(scene: Scene, change: str) -> None:
    await scene.request()
    (choice,) = await stored(scene)
    assert (choice.recorded is None, choice.changed) == (False, ())
    await scene.rows(change)
    (choice,) = await stored(scene)
    assert choice.changed == (CHANGES[change],)


async def test_al_05_no_word_of_the_case_is_recorded(scene: Scene) -> None:
    await scene.request(question="canary question about a syndrome", tags=["canarytag"], department="canarydept")
    for table in ("decision", "mentor_fact", "memoranda_fact", "rulebook"):
        for row in await scene.rows(f"SELECT CAST(to_jsonb(t) AS text) AS text FROM {table} t"):
            assert "canary" not in row.text
    for row in await scene.rows("SELECT body FROM decision"):
        text = records.unpack(row.body)
        assert '"tags":1' in text
        assert "canary" not in text
        assert str(scene.people["clinician"].id) not in text


async def test_al_05_what_stands_is_stored_once_and_again_when_it_changes(scene: Scene) -> None:
    for _ in range(3):
        await scene.request()
    assert await _count(scene, "mentor_fact") == len(MENTORS)
    assert (await _count(scene, "rulebook"), await _count(scene, "memoranda_fact")) == (1, 1)
    await scene.rows("UPDATE mentor_profile SET notice_minutes = 45 WHERE person_id = :p", p=scene.people["third"].id)
    await scene.request()
    assert await _count(scene, "mentor_fact") == len(MENTORS) + 1
    scene.world.database.facts_seen.clear()  # another process
    await scene.request()
    assert await _count(scene, "mentor_fact") == len(MENTORS) + 1
    assert await differing(scene) == {}


async def test_al_05_a_fact_that_was_lost_leaves_a_choice_possible_and_not_exact(scene: Scene) -> None:
    await scene.request()
    await scene.rows("DELETE FROM mentor_fact")  # as in a database that was restored
    await scene.request()
    assert [choice.recorded for choice in await stored(scene)] == [None, None]
    scene.clock.forward(hours=25)
    await scene.request()
    assert all(choice.recorded for choice in await stored(scene))


async def test_al_05_whoever_is_erased_is_nobody_in_what_was_recorded(scene: Scene) -> None:
    await scene.request()
    who = scene.people["fifth"]
    await scene.rows("UPDATE offer SET state = 'withdrawn' WHERE mentor_id = :id", id=who.id)
    async with scene.world.database.work(actor.TIMER) as w:
        (facts,) = (await privacy.dossier(w, who.email))["recorded_as_mentor"]
        assert facts["body"]["zone"] == who.zone
        await privacy.erase(w, who.email)
    assert await scene.rows("SELECT 1 FROM mentor_fact WHERE person_id = :id", id=who.id) == []
    (left,) = await scene.rows("SELECT body FROM mentor_fact WHERE is_erased")
    assert left.body == b"", "hours and absences, beside a hospital and a specialty, tell who it was"
    (choice,) = await stored(scene)
    assert choice.recorded is None


async def test_al_05_after_400_days_only_counts_are_left(scene: Scene) -> None:
    await scene.request()
    kept = housekeeping.Kept(audit_days=1826)
    await housekeeping.run(scene.world.database, kept)
    assert len(await stored(scene)) == 1
    scene.clock.forward(days=401)
    await housekeeping.run(scene.world.database, kept)
    assert await stored(scene) == []
    (row,) = await scene.rows("SELECT to_jsonb(d) AS left FROM decision d")
    whole = {name for name, value in row.left.items() if value is not None}
    assert whole == {"id", "consultation_id", "programme_id", "at", "kind", "mentors", "eligible", "asked"}
    scene.clock.forward(days=3)
    await housekeeping.run(scene.world.database, kept)
    assert await _count(scene, "mentor_fact") + await _count(scene, "rulebook") == 0


async def _count(scene: Scene, table: str) -> int:
    (row,) = await scene.rows(f"SELECT count(*) AS count FROM {table}")
    return int(row.count)


def test_al_05_the_version_of_the_rules_is_of_all_their_files(tmp_path: Path) -> None:
    (tmp_path / "time").mkdir()
    for name in ("case.py", "time/cells.py"):
        (tmp_path / name).write_text("A = 1")
    (tmp_path / "notes.txt").write_text("not a rule")
    before = decisions.version_of(tmp_path)
    (tmp_path / "notes.txt").write_text("still none")
    assert decisions.version_of(tmp_path) == before
    (tmp_path / "time/cells.py").write_text("A = 2")
    assert decisions.version_of(tmp_path) != before
    assert decisions.rules_version() not in (before, decisions.version_of(tmp_path))
