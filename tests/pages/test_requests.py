"""Filing a request by the form."""

import html
import re
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from api.pages import words
from pages.scene import Scene
from service.kernel import actor, clock

GOOD = {
    "specialty": "paediatrics",
    "priority": "urgent",
    "mode": "live",
    "question": "A child with a rare syndrome: which dose?",
    "languages": ["en", "uk"],
    "age_band": "child",
    "duration": "30",
    "consent": "general",
    "given_on": "2026-11-16",
}


async def send(browser: httpx.AsyncClient, **fields: object) -> httpx.Response:
    return await browser.post("/consultations/new", data={"key": str(clock.new_id())} | GOOD | fields)


async def filed(scene: Scene) -> list[sa.Row[Any]]:
    return list(await scene.rows("SELECT id, state, clinician_id, department, tags, languages FROM consultation"))


async def test_a_clinician_files_a_request(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        form = await browser.get("/consultations/new")
        answer = await send(browser, department="Дитяче", tags="Blast, burn")
    (row,) = await filed(scene)

    assert form.status_code == 200
    assert answer.headers["location"] == f"/consultations/{row.id}/sent"
    assert (row.state, row.clinician_id, row.department, row.tags) == (
        "offered", scene.clinician.id, "Дитяче", ["blast", "burn"],
    )  # fmt: skip


async def test_a_form_sent_twice_files_one_request(scene: Scene) -> None:
    key = str(clock.new_id())
    async with scene.browser(scene.clinician) as browser:
        answers = [await send(browser, key=key), await send(browser, key=key)]
        edited = await send(browser, key=key, priority="routine")

    assert answers[0].headers["location"] == answers[1].headers["location"]
    assert edited.status_code == 422
    assert len(await filed(scene)) == 1


async def test_without_consent_it_is_a_draft(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        await send(browser, consent="none", given_on="")

    assert (await filed(scene))[0].state == "draft"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("specialty", ""),
        ("specialty", "astrology"),
        ("specialty", "medicine\0"),
        ("priority", "now"),
        ("mode", "board"),
        ("question", "  "),
        ("question", "x" * 10_001),
        ("question", "nul \0 inside"),
        ("languages", []),
        ("languages", ["xx"]),
        ("age_band", "old"),
        ("duration", "31"),
        ("duration", "٣٠"),
        ("consent", ""),
        ("given_on", ""),
        ("given_on", "2026-12-24"),
        ("given_on", "24.12.2026"),
        ("tags", "<b>"),
        ("tags", ",".join(f"tag{number}" for number in range(11))),
        ("department", "x" * 201),
    ],
)
async def test_a_field_at_fault_is_told_beside_it_and_the_rest_is_kept(scene: Scene, field: str, value: object) -> None:
    key = str(clock.new_id())
    async with scene.browser(scene.clinician) as browser:
        answer = await send(browser, **{"key": key, "question": "Which dose? KEPT", field: value})
        first = await browser.get(f"/consultations/new/{key}/1")

    assert answer.status_code == 422
    assert answer.text.count('class="err"') == 1
    assert f'id="fault-{field}"' in answer.text
    is_refused_text = field in {"question", "tags", "department"}  # with which nothing is kept
    assert is_refused_text or "Which dose? KEPT" in first.text
    assert "<b>" not in answer.text
    assert await filed(scene) == []


@pytest.mark.parametrize(
    ("windows", "field"),
    [
        ({"from_1": "2027-03-28T03:30", "until_1": "2027-03-28T05:00"}, "from_1"),
        ({"from_2": "2026-11-18T10:00"}, "until_2"),
        ({"from_2": "2026-11-18T10:00", "until_2": "2026-11-18T09:00"}, "until_2"),
        ({"from_3": "2026-11-10T10:00", "until_3": "2026-11-10T12:00"}, "until_3"),
    ],
)
async def test_a_window_at_fault_is_told_beside_it(scene: Scene, windows: dict[str, str], field: str) -> None:
    async with scene.browser(scene.clinician) as browser:
        answer = await send(browser, **windows)

    assert answer.status_code == 422
    assert f'id="fault-{field}"' in answer.text


async def test_windows_are_read_by_the_clinicians_own_clock(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        await send(browser, from_1="2026-11-17T10:00", until_1="2026-11-17T12:00")
    (row,) = await scene.rows("SELECT from_at, until_at FROM consultation_window")

    assert (row.from_at.hour, row.until_at.hour) == (8, 10)


async def test_what_may_name_a_patient_is_marked_and_may_be_confirmed(scene: Scene) -> None:
    question = "Implant 1234567890123,\nphone +380 44 123 45 67"
    async with scene.browser(scene.clinician) as browser:
        shown = await send(browser, question=question)
        first, second = re.findall(r'type="checkbox" name="confirmed" value="([^"]+)"', shown.text)
        half = await send(browser, question=question, confirmed=[first])
        both = await send(browser, question=question.replace("\n", "\r\n"), confirmed=[first, second])

    assert [shown.status_code, half.status_code, both.status_code] == [422, 422, 303]
    assert "<mark>1234567890123</mark>" in shown.text
    assert shown.text.count("<mark>") == 2
    assert f'type="checkbox" name="confirmed" value="{second}"' in half.text
    assert "Позначка 1 (довгий номер)" in shown.text
    assert "Позначка 1 (номер телефону)" in half.text
    assert f'type="hidden" name="confirmed" value="{first}"' in half.text


async def test_a_tag_that_may_name_a_patient_is_marked_too(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        shown = await send(browser, tags="epilepsy, 0501234567")
        [span] = re.findall(r'type="checkbox" name="confirmed" value="([^"]+)"', shown.text)
        confirmed = await send(browser, tags="epilepsy, 0501234567", confirmed=[span])

    assert [shown.status_code, confirmed.status_code] == [422, 303]
    assert "<mark>0501234567</mark>" in shown.text


async def test_a_coordinator_files_for_a_clinician(scene: Scene) -> None:
    async with scene.browser(scene.coordinator) as browser:
        form = await step(browser, "2")
        await send(browser, clinician_id=str(scene.clinician.id))

    assert scene.clinician.display_name in form
    assert (await filed(scene))[0].clinician_id == scene.clinician.id


async def test_a_request_for_somebody_elses_clinician_is_refused_at_the_field(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.clinician(w, await build.institution(w))
    async with scene.browser(scene.coordinator) as browser:
        answer = await send(browser, clinician_id=str(other.id))

    assert answer.status_code == 422
    assert await filed(scene) == []


async def test_a_mentor_files_nothing(scene: Scene) -> None:
    async with scene.browser(scene.mentor) as browser:
        answers = [await browser.get("/consultations/new"), await send(browser)]

    assert [answer.status_code for answer in answers] == [403, 403]


async def test_a_body_that_is_no_form_is_refused(scene: Scene) -> None:
    bodies = [b"%FF%FE=%00", b"a=1&" * 1000, b"\xff" * 10]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with scene.browser(scene.clinician) as browser:
        answers = [await browser.post("/consultations/new", content=body, headers=headers) for body in bodies]
        answers.append(await browser.post("/consultations/new", json={"specialty": "paediatrics"}))

    assert [answer.status_code for answer in answers] == [422] * 4
    assert all(answer.headers["content-type"].startswith("text/html") for answer in answers)


def options(page: str, name: str) -> list[str]:
    """Give what a list of the form offers, in its order."""
    (listed,) = re.findall(rf'<select name="{name}".*?</select>', page, re.DOTALL)
    return [html.unescape(text) for text in re.findall(r'<option value="[^"]+">([^<]*)</option>', listed)]


async def step(browser: httpx.AsyncClient, number: str) -> str:
    """Give a step of the form, with those before it filled in."""
    key = str(clock.new_id())
    await browser.post("/consultations/new", data={"key": key, "step": "1", "to": "2"} | GOOD)
    await browser.post("/consultations/new", data={"key": key, "step": "2", "to": "3"} | GOOD)
    return (await browser.get(f"/consultations/new/{key}/{number}")).text


async def test_ft_12_doctors_are_listed_in_the_order_of_the_alphabet(scene: Scene) -> None:
    in_order = ["Андрієнко", "ґудзь", "Єрмак", "Іваненко", "Їжакевич", "О'Браєн", "O'Brien"]  # noqa: RUF001 - Ukrainian
    async with scene.world.database.work(actor.TIMER) as w:
        for name in sorted(in_order):
            await build.clinician(w, scene.asking, display_name=name)
    async with scene.browser(scene.coordinator) as browser:
        page = await step(browser, "2")
    assert [name for name in options(page, "clinician_id") if name in in_order] == in_order


@pytest.mark.parametrize(
    ("locale", "in_order"),
    [
        ("uk", ["Гнійна", "Ґрунтова", "Загальна", "Інтенсивна"]),
        ("en", ["Burns", "Cardiac", "Éclampsia", "Trauma"]),
    ],
)
async def test_ft_12_specialties_are_listed_by_the_name_that_is_read(
    scene: Scene, locale: str, in_order: list[str]
) -> None:
    names = [("Cardiac", "Ґрунтова"), ("Trauma", "Гнійна"), ("Éclampsia", "Інтенсивна"), ("Burns", "Загальна")]
    async with scene.world.database.work(actor.TIMER) as w:
        for number, (english, ukrainian) in enumerate(names):
            await build.specialty(w, f"x{number}", "paediatrics", name_en=english, name_uk=ukrainian)
    await scene.rows("UPDATE person SET locale = :locale RETURNING 1", locale=locale)
    async with scene.browser(scene.clinician) as browser:
        page = (await browser.get("/consultations/new")).text
    (datalist,) = re.findall(r'<datalist id="specialties">.*?</datalist>', page, re.DOTALL)
    listed = [html.unescape(name) for name in re.findall(r'<option value="([^"]+)">', datalist)]
    assert [name for name in listed if name in in_order] == in_order


async def test_ft_12_countries_are_listed_by_the_name_that_is_read(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        for country in ("DE", "HU", "AT"):
            await build.memorandum(w, scene.asking, await build.partner(w, country=country))
    async with scene.browser(scene.clinician) as browser:
        page = await step(browser, "3")
    listed = re.findall(r'name="countries" value="([A-Z]{2})"', page)
    assert [words.of("uk").country(code) for code in listed] == ["Австрія", "Німеччина", "Угорщина", "Франція"]
