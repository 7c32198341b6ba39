"""What is chosen in a request: a specialty by a word for it, the hospital where a doctor has two."""

import re
from typing import Any

import pytest

import build
from pages.scene import Scene
from pages.test_request_steps import CONSENT, NEW, WHAT, WHO, at_fault, press, said, shown, step_of, ticked, walked
from service.kernel import actor


@pytest.fixture
async def named(scene: Scene) -> Scene:
    async with scene.world.database.work(actor.TIMER) as w:
        await build.specialty(w, "sur.burns", name_en="Burns care", name_uk="Комбустіологія")
        await build.specialty(w, "med.cardiology", name_en="Cardiology", name_uk="Кардіологія")
        await build.specialty(w, "ped.cardiology", name_en="Paediatric cardiology", name_uk="Дитяча кардіологія")
    return scene


@pytest.mark.parametrize("typed", ["опіки", "burn", "kombustiologiia", "Комбустіологія"])
async def test_a_specialty_is_chosen_by_a_word_for_it(named: Scene, typed: str) -> None:
    """In either language, by a synonym, in Latin letters; one that is meant alone needs no second press."""
    async with named.browser(named.clinician) as browser:
        third = await walked(browser, WHAT | {"specialty": "", "specialty_name": typed})
        await press(browser, "3", "send", **CONSENT)
    assert "Комбустіологія" in said(third.text)
    assert await named.rows("SELECT specialty_code FROM consultation") == [("sur.burns",)]


async def test_where_several_specialties_may_be_meant_they_are_offered(named: Scene) -> None:
    """By the button without a script, and by going on; the chosen one stays chosen."""
    word = WHAT | {"specialty": "", "specialty_name": "серце"}
    async with named.browser(named.clinician) as browser:
        found = await shown(browser, "1", "find", **word)
        told = await shown(browser, "1", "2", **word)
        second = await shown(browser, "1", "2", **word | {"specialty": "ped.cardiology"})
        first = await shown(browser, "2", "1", **WHO)
        nothing = await shown(browser, "1", "find", **word | {"specialty_name": "блабла"})
    for page in (found, told):
        assert re.findall(r'name="specialty" value="([^"]+)"', page.text) == ["med.cardiology", "ped.cardiology"]
        assert "KEPT" in page.text
        assert at_fault(page.text) == ["specialty"]
    assert step_of(second.text) == "2"
    assert ticked(first.text, "specialty") == ["ped.cardiology"]
    assert at_fault(nothing.text) == ["specialty"]


async def _listed(scene: Scene, typed: str) -> list[list[str]]:
    async with scene.browser(scene.clinician) as browser:
        found: list[list[str]] = (await browser.get("/specialties", params={"q": typed})).json()
    return found


async def test_the_script_is_told_what_may_be_meant(named: Scene) -> None:
    """Names in the reader's language; a mentor, who files nothing, is told nothing."""
    assert await _listed(named, "кардіолог") == [
        ["med.cardiology", "Кардіологія"], ["ped.cardiology", "Дитяча кардіологія"],
    ]  # fmt: skip
    assert await _listed(named, "") == []
    async with named.browser(named.mentor) as browser:
        assert (await browser.get("/specialties?q=heart")).status_code == 403
    async with named.browser() as stranger:
        told = await stranger.get("/specialties?q=heart")
    assert (told.status_code, told.json(), "wanted" in told.cookies) == (401, [], False)


async def test_the_latest_specialties_are_one_press_away(named: Scene) -> None:
    """The newest first, each once, three at most."""
    for specialty in ("sur.burns", "med.cardiology", "sur.burns"):
        await named.ask(specialty=specialty, consent=None)
    async with named.browser(named.clinician) as browser:
        page = (await browser.get(NEW)).text
    assert re.findall(r'name="specialty" value="([^"]+)"', page) == ["sur.burns", "med.cardiology"]


async def _second_hospital(scene: Scene) -> Any:  # noqa: ANN401 - a row
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.institution(w, name="Друга лікарня")
        await build.grant(w, scene.clinician, "clinician", other)
        await build.memorandum(w, other, scene.lille)
    return other


async def test_ft_05_a_doctor_of_two_hospitals_chooses_the_one(scene: Scene) -> None:
    """Where memoranda of both cover the case, who says nothing is asked; where there is one, nothing is asked."""
    async with scene.browser(scene.clinician) as browser:
        single = (await shown(browser, "1", "2", **WHAT)).text
    other = await _second_hospital(scene)
    async with scene.browser(scene.clinician) as browser:
        told = await walked(browser)
        third = await shown(browser, "2", "3", **WHO | {"institution_id": str(other.id)})
        await press(browser, "3", "send", **CONSENT)
    assert 'name="institution_id"' not in single
    assert (step_of(told.text), at_fault(told.text)) == ("2", ["institution_id"])
    assert "Друга лікарня" in said(third.text)
    (row,) = await scene.rows("SELECT institution_id FROM consultation")
    assert row.institution_id == other.id
