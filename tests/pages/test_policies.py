"""A programme's admin reads its numbers, tries others, looks at what came of it, and saves them; nobody else does."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

import build
from api.pages import policies
from integrations import catalogues
from integrations.runtime import rehearsing
from lab import behaviours, rehearse
from pages.scene import Scene
from service import tables, vocabulary
from service.kernel import actor
from service.rules import policy

BAND = {"mean": 1234.5, "low": 1.25, "high": 2.5}
LIKELY = {
    "shape": "published", "days": 91, "requests": 400, "seeds": 4, "behaviours": list(behaviours.MODELS),
    "figures": [
        {"behaviour": behaviour, "name": name, "now": BAND, "new": BAND, "change": BAND | {"mean": -0.001}}
        for behaviour in behaviours.MODELS for name in rehearse.SHOWN
    ],
}  # fmt: skip


@pytest.fixture
async def admin(scene: Scene) -> tables.Person:
    async with scene.world.database.work(actor.TIMER) as w:
        return await build.admin(w, locale="en")


async def programme(scene: Scene) -> Any:  # noqa: ANN401 - a row
    (row,) = await scene.rows("SELECT id, policy, version FROM programme")
    return row


def shown(html: str) -> dict[str, str]:
    """What the form would send as it stands."""
    sent = {}
    for tag in re.findall(r"<input [^>]*>", html.split('/rehearsals"', 1)[1]):
        (name,), (value,) = (re.findall(rf' {key}="([^"]*)"', tag) for key in ("name", "value"))
        if "checkbox" not in tag or " checked" in tag:
            sent[name] = value
    return sent


async def rehearsed(scene: Scene, browser: httpx.AsyncClient, **changes: str | None) -> str:
    """Send the form with these changes, have it rehearsed, and give the address of its page."""
    path = f"/programmes/{(await programme(scene)).id}/policy"
    form = shown((await browser.get(path)).text) | changes
    scene.clock.forward(minutes=1)
    answer = await browser.post(f"{path}/rehearsals", data={name: value for name, value in form.items() if value})
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]
    assert "0 of" in (await browser.get(location)).text

    async def likely(_: object) -> dict[str, object]:
        return LIKELY

    assert await rehearsing.once(scene.world, asyncio.Event(), likely)
    return str(location)


async def test_al_07_the_page_shows_each_number_and_sent_as_it_is_nothing_changes(
    scene: Scene, admin: tables.Person
) -> None:
    own = {"hold_minutes": 20, "priorities": {"urgent": {"per_wave": {"needed": 4}, "weights": {"load": 12.5}}}}
    await scene.rows("UPDATE programme SET policy = CAST(:own AS jsonb) RETURNING 1", own=json.dumps(own))
    async with scene.browser(admin) as browser:
        answer = await browser.get("/policy")
        assert answer.status_code == 303
        page = await browser.get(answer.headers["location"])
        sent = shown(page.text)
        in_force = policies.flat(policy.from_overrides(own))
        assert {name for name, value in in_force.items() if value is not False} == sent.keys() - {"from", "until"}
        assert (sent["hold_minutes"], sent["urgent.per_wave"], sent["urgent.weights.load"]) == ("20", "4", "12.5")
        assert (sent["urgent.as_needed"], sent["end_reminder_days"]) == ("yes", "90, 30, 7")
        assert "usual: 15" in page.text
        location = await rehearsed(scene, browser)
        done = (await browser.get(location)).text
    (row,) = await scene.rows("SELECT policy FROM rehearsal")
    assert row.policy == own
    assert "These numbers are in force." in done
    assert "Save these numbers" not in done


async def test_al_07_other_numbers_are_tried_then_saved_with_the_rehearsal_as_reason(
    scene: Scene, admin: tables.Person
) -> None:
    await scene.ask()
    async with scene.browser(admin) as browser:
        changes = {"urgent.per_wave": "3", "urgent.as_needed": "yes", "stat.any_hour": None, "known_case_share": "0,25"}
        location = await rehearsed(scene, browser, **changes)
        page = (await browser.get(location)).text
        assert "1. Exact" in page
        assert "2. Exact for one step" in page
        assert "3. An estimate" in page
        assert "1,234.5" in page
        assert "-0<" not in page
        version = re.findall(r'name="version" value="(\d+)"', page)[0]
        answer = await browser.post(f"{location}/save", data={"version": version})
        assert answer.status_code == 303
        saved = (await browser.get(answer.headers["location"])).text
        assert location in saved
        assert "These numbers are in force." in (await browser.get(location)).text
        again = await browser.post(f"{location}/save", data={"version": version})  # pressed twice
        assert again.status_code == 303
    row = await programme(scene)
    assert row.policy == {
        "known_case_share": 0.25,
        "priorities": {"urgent": {"per_wave": {"needed": 3}}, "stat": {"any_hour": False}},
    }
    versions = await scene.rows("SELECT CAST(rehearsal_id AS text) AS id FROM policy_version ORDER BY valid_from, id")
    assert [each.id for each in versions][1:] == [location.rpartition("/")[2]]


async def test_al_07_a_programme_that_has_changed_meanwhile_is_not_saved_over(
    scene: Scene, admin: tables.Person
) -> None:
    async with scene.browser(admin) as browser:
        location = await rehearsed(scene, browser, hold_minutes="25")
        await scene.rows("UPDATE programme SET policy = '{\"hold_minutes\": 40}', version = version + 1 RETURNING 1")
        page = await browser.get(location)
        assert "Other numbers were saved" in page.text
        answer = await browser.post(f"{location}/save", data={"version": "1"})
        assert answer.status_code == 412
        assert "Somebody has changed this meanwhile" in answer.text
    assert (await programme(scene)).policy == {"hold_minutes": 40}


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("hold_minutes", "soon"), ("hold_minutes", "0"), ("hold_minutes", ""), ("hold_minutes", "1.5"),
        ("urgent.wave_minutes", "-5"), ("urgent.weights.load", "1,2,3"), ("end_reminder_days", "90, x"),
        ("end_reminder_days", ", ".join(["5"] * 13)), ("known_case_share", "0"), ("from", "2026-13-01"), ("until", ""),
        ("from", "2027-05-01"), ("from", "0001-01-01"), ("until", "9999-12-31"), ("routine.per_wave", "9" * 30),
    ],
)  # fmt: skip
async def test_al_07_what_is_no_number_stands_beside_its_field_and_is_not_rehearsed(
    scene: Scene, admin: tables.Person, name: str, typed: str
) -> None:
    path = f"/programmes/{(await programme(scene)).id}/policy"
    async with scene.browser(admin) as browser:
        form = shown((await browser.get(path)).text) | {name: typed}
        answer = await browser.post(f"{path}/rehearsals", data=form)
    assert answer.status_code == 422
    wrong = "until" if (name, typed) == ("from", "2027-05-01") else name
    assert f'id="fault-{wrong}"' in answer.text
    assert await scene.rows("SELECT 1 FROM rehearsal") == []


async def test_al_07_what_speaks_against_a_rehearsal_is_said_on_the_page(scene: Scene, admin: tables.Person) -> None:
    await scene.ask()
    scene.clock.forward(minutes=1)
    path = f"/programmes/{(await programme(scene)).id}/policy"
    async with scene.browser(admin) as browser:
        form = shown((await browser.get(path)).text)
        first = await browser.post(f"{path}/rehearsals", data=form)
        second = await browser.post(f"{path}/rehearsals", data=form)  # pressed twice
        assert first.headers["location"] == second.headers["location"]
        other = await browser.post(f"{path}/rehearsals", data=form | {"hold_minutes": "25"})
        assert other.status_code == 409
        assert "A rehearsal is under way" in other.text
        assert 'value="25"' in other.text
        await scene.rows("DELETE FROM rehearsal RETURNING 1")
        await scene.rows("UPDATE rulebook SET rules_version = 'another' RETURNING 1")
        answer = await browser.post(f"{path}/rehearsals", data=form)
        assert answer.status_code == 409
        assert "Other rules made some of these choices" in answer.text


async def test_al_07_a_rehearsal_that_failed_says_what_to_do(scene: Scene, admin: tables.Person) -> None:
    row = await programme(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        kept = await w.read(tables.Programme, row.id)
        made = [
            await build.rehearsal(w, kept, state="failed", problem=problem) for problem in vocabulary.REHEARSAL_PROBLEMS
        ]
    async with scene.browser(admin) as browser:
        for each in made:
            page = await browser.get(f"/programmes/{row.id}/policy/rehearsals/{each.id}")
            assert page.status_code == 200
            assert 'class="notice warn"' in page.text
            assert "Save these numbers" not in page.text


async def test_al_07_a_differing_choice_is_named_in_both_languages(scene: Scene, admin: tables.Person) -> None:
    await scene.ask()
    await scene.rows("UPDATE decision SET at = at + interval '1 second' RETURNING 1")
    scene.clock.forward(minutes=1)
    (decision,) = await scene.rows("SELECT id FROM decision")
    async with scene.browser(admin) as browser:
        location = await rehearsed(scene, browser)
        english = (await browser.get(location)).text
        await scene.rows("UPDATE person SET locale = 'uk' WHERE id = :id RETURNING 1", id=admin.id)
        ukrainian = (await browser.get(location)).text
        numbers = (await browser.get(location.partition("/rehearsals")[0])).text
    assert "the record was changed" in english
    assert "змінено сам запис" in ukrainian
    assert str(decision.id) in english
    assert "Спершу перевірте ці числа" in numbers


async def test_al_07_nobody_but_its_admins_sees_a_programmes_numbers_or_rehearsals(
    scene: Scene, admin: tables.Person
) -> None:
    row = await programme(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        own = await build.rehearsal(w, await w.read(tables.Programme, row.id))
        elsewhere = await build.programme(w, code="elsewhere")
        theirs = await build.rehearsal(w, elsewhere)
        stranger = await build.admin(w, elsewhere)
    path = f"/programmes/{row.id}/policy"
    asked = [
        ("GET", "/policy"), ("GET", path), ("POST", f"{path}/rehearsals"), ("GET", f"{path}/rehearsals/{own.id}"),
        ("POST", f"{path}/rehearsals/{own.id}/save"),
    ]  # fmt: skip
    for who in (scene.clinician, scene.coordinator, scene.mentor, stranger):
        async with scene.browser(who) as browser:
            for method, address in asked[who is stranger :]:
                assert (await browser.request(method, address)).status_code == 403, (method, address)
    async with scene.browser() as browser:
        assert (await browser.get(path)).status_code == 401
    async with scene.browser(admin) as browser:
        assert (await browser.get(f"{path}/rehearsals/{theirs.id}")).status_code == 404
        assert (await browser.post(f"{path}/rehearsals/{theirs.id}/save")).status_code == 404
        assert (await browser.get(f"/programmes/{theirs.id}/policy")).status_code == 404
    assert await scene.rows("SELECT 1 FROM programme WHERE version > 1") == []


async def test_al_07_an_admin_of_two_programmes_chooses_one(scene: Scene, admin: tables.Person) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.programme(w, code="elsewhere")
        await build.grant(w, admin, "programme_admin", other)
    async with scene.browser(admin) as browser:
        page = await browser.get("/policy")
    assert page.status_code == 200
    assert f"/programmes/{other.id}/policy" in page.text


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
def test_al_07_every_number_and_figure_has_its_words(locale: str) -> None:
    words = catalogues.of(locale).contexts
    names = {name.partition(".")[2] or name for name in policies.flat(policy.DEFAULT)}
    assert words["page.policy.numbers"].keys() == {name for name in names if not name.startswith("weights.")}
    assert words["page.policy.terms"].keys() == set(vocabulary.SCORE_TERMS)
    assert words["page.rehearsal.figures"].keys() == set(rehearse.SHOWN)
    assert words["page.rehearsal.behaviours"].keys() == behaviours.MODELS.keys()


def test_al_07_the_page_offers_each_number_that_a_policy_can_have() -> None:
    written: Any = policy.as_overrides(policy.DEFAULT)
    paces = written.pop("priorities")
    count = len(written) + sum(len(pace) + len(pace["weights"]) for pace in paces.values())  # as_needed for weights
    assert len(policies.flat(policy.DEFAULT)) == count
    stat: Any = policies.flat(policy.DEFAULT)["stat.wave_minutes"]
    assert timedelta(minutes=1) * stat == policy.DEFAULT.pace("stat").wave
