"""A request in three steps: what, who and when, consent and check; what was typed is found again, whatever happens."""

import html
import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

import build
from pages.scene import QUESTION, Scene
from pages.test_requests import GOOD, filed
from service.kernel import actor, clock
from service.people import browser_sessions, kept_posts, privacy, unfinished_forms

NEW = "/consultations/new"
KEY = str(clock.new_id())
WHAT = {"specialty": "paediatrics", "question": "Which dose? KEPT", "age_band": "child"}
WHO = {"priority": "urgent", "mode": "live", "duration": "30", "languages": ["en"]}
CONSENT = {"consent": "general", "given_on": "2026-11-16"}


async def press(browser: httpx.AsyncClient, step: str, to: str, **fields: Any) -> httpx.Response:  # noqa: ANN401
    """Press a button of a step, with what its page would send."""
    return await browser.post(NEW, data={"key": KEY, "step": step, "to": to} | fields)


async def shown(browser: httpx.AsyncClient, step: str, to: str, **fields: Any) -> httpx.Response:  # noqa: ANN401
    """Press, and go where that leads."""
    answer = await press(browser, step, to, **fields)
    while answer.status_code == 303:
        answer = await browser.get(answer.headers["location"])
    return answer


async def walked(browser: httpx.AsyncClient, what: Any = WHAT, who: Any = WHO) -> httpx.Response:  # noqa: ANN401
    """Give the last step, with the first two filled in."""
    await press(browser, "1", "2", **what)
    return await shown(browser, "2", "3", **who)


def step_of(page: str) -> str:
    (step,) = re.findall(r'<input type="hidden" name="step" value="([^"]+)">', page)
    return str(step)


def chosen(page: str) -> set[str]:
    """The names of all radio buttons and boxes that are ticked."""
    return set(re.findall(r'<input type="(?:radio|checkbox)" name="([^"]+)"[^>]*checked', page))


def ticked(page: str, name: str) -> list[str]:
    return re.findall(rf'<input type="(?:radio|checkbox)" name="{name}"[^>]*value="([^"]+)"[^>]*checked', page)


def at_fault(page: str) -> list[str]:
    """The fields that the summary leads to."""
    summary = re.search(r'<div class="faults".*?</div>', page, re.DOTALL)
    return sorted(re.findall(r'<a href="#([^"]+)"', summary[0])) if summary else []


def said(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page)))


async def test_nothing_clinical_is_preset_and_what_is_known_is(scene: Scene) -> None:
    """Age, urgency and consent are the doctor's to say; languages are from the profile, the length is usual."""
    await scene.rows(
        "INSERT INTO person_language (person_id, code, level) VALUES (:p, 'uk', 'native'), (:p, 'en', 'B2'),"
        " (:p, 'de', 'A2') RETURNING 1",
        p=scene.clinician.id,
    )
    async with scene.browser(scene.clinician) as browser:
        first = (await browser.get(NEW)).text
        second = (await shown(browser, "1", "2", **WHAT)).text
        third = (await shown(browser, "2", "3", **WHO)).text
    assert [chosen(first), chosen(second), chosen(third)] == [set(), {"mode", "languages"}, set()]
    assert ticked(second, "languages") == ["uk", "en"]
    assert [step_of(page) for page in (first, second, third)] == ["1", "2", "3"]


async def test_what_each_step_has_sent_is_kept_until_the_request_is_filed_once(scene: Scene) -> None:
    """Forward, back, forward again, a reload of each page, another device; nothing of it is a request before."""
    before = await scene.rows("SELECT count(*) FROM consultation")
    async with scene.browser(scene.clinician) as browser:
        third = await walked(browser)
        back = await shown(browser, "3", "1", **CONSENT)
        await press(browser, "1", "3", **WHAT)
        pages = [(await browser.get(f"{NEW}/{KEY}/{step}")).text for step in "123"]
    assert "KEPT" in back.text.partition("<textarea")[2]
    assert (ticked(pages[0], "age_band"), ticked(pages[1], "priority")) == (["child"], ["urgent"])
    assert ticked(pages[2], "consent") == ["general"]
    assert "Which dose? KEPT" in said(third.text)
    assert await scene.rows("SELECT count(*) FROM consultation") == before
    (kept,) = await scene.rows("SELECT body, person_id FROM kept_post")
    assert b"KEPT" not in bytes(kept.body)
    async with scene.browser(scene.clinician) as browser:
        begun = (await browser.get(NEW)).text
        answers = [await press(browser, "3", "send", **CONSENT) for _ in range(2)]
        later = await shown(browser, "1", "2", **{"key": str(clock.new_id())} | WHAT)
    assert "KEPT" in begun
    (row,) = await filed(scene)
    assert {answer.headers["location"] for answer in answers} == {f"/consultations/{row.id}/sent"}
    assert step_of(later.text) == "2"
    assert await scene.rows("SELECT count(*) FROM kept_post WHERE id = :id", id=KEY) == [(0,)]


async def test_back_after_the_request_was_filed_says_so(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        await walked(browser)
        await press(browser, "3", "send", **CONSENT)
        gone = await browser.get(f"{NEW}/{KEY}/3")
        told = await browser.get(gone.headers["location"])
        changed = await press(browser, "3", "send", **CONSENT | {"consent": "none"})
        other = await press(browser, "3", "send", **CONSENT | {"key": str(clock.new_id())})
    assert (gone.status_code, gone.headers["location"]) == (303, NEW)
    assert "Цю форму вже надіслано" in said(told.text)
    assert (changed.status_code, other.headers["location"]) == (422, NEW)
    assert len(await filed(scene)) == 1


async def test_a_request_that_was_begun_goes_on_or_is_thrown_away_or_another_is_begun(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        await press(browser, "1", "2", **WHAT)
        begun = (await browser.get(NEW)).text
        another = (await browser.get(f"{NEW}?another=yes")).text
        await press(browser, "1", "drop")
        empty = (await browser.get(NEW)).text
    assert "KEPT" in begun
    assert "Ось запит, який ви почали" in said(begun)
    assert f'name="key" value="{KEY}"' in begun
    assert "KEPT" not in another
    assert f'name="key" value="{KEY}"' not in another
    assert "KEPT" not in empty
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(0,)]


async def test_nobody_else_sees_what_was_begun_and_nobody_takes_its_place(scene: Scene) -> None:
    """Not by its address, not by sending its key; five of a person are kept, for a day."""
    async with scene.browser(scene.clinician) as browser:
        await press(browser, "1", "2", **WHAT)
        async with scene.browser(scene.coordinator) as other:
            seen = await other.get(f"{NEW}/{KEY}/1")
            listed = (await other.get(NEW)).text
            await press(other, "1", "2", **WHAT | {"question": "Mine"})
            await press(other, "1", "drop")
        assert "KEPT" in (await browser.get(f"{NEW}/{KEY}/1")).text
        for number in range(unfinished_forms.MOST):
            key = {"key": str(clock.new_id())}
            await press(browser, "1", "2", **WHAT | key | {"question": f"Another, {number}"})
        assert (await browser.get(f"{NEW}/{KEY}/1")).status_code == 303
        scene.clock.set(scene.clock.now() + kept_posts.KEPT)
    async with scene.browser(scene.clinician) as browser:
        assert "Another" not in (await browser.get(NEW)).text
        missing = [await browser.get(f"{NEW}/{each}") for each in (f"{KEY}/4", "nothing/1")]
    assert (seen.status_code, "KEPT" in listed) == (303, False)
    assert [answer.status_code for answer in missing] == [404, 404]


async def test_a_visit_that_ends_in_the_middle_loses_nothing(scene: Scene) -> None:
    """What the first steps had sent is there; the step that came too late goes on from where it was sent."""
    async with scene.browser(scene.clinician) as browser:
        await press(browser, "1", "2", **WHAT)
        scene.clock.set(scene.clock.now() + browser_sessions.IDLE)
        late = await press(browser, "2", "3", **WHO | {"department": "Дитяче"})
        answer = await browser.post(await scene.sign_in_path(scene.clinician))
        check = await browser.get(answer.headers["location"])
        third = await shown(browser, "2", "3", **WHO | {"department": "Дитяче"})
    assert late.status_code == 401
    assert "Дитяче" in check.text
    assert f'name="key" value="{KEY}"' in check.text
    assert re.search(r'<button class="big">Далі</button>', check.text)
    assert step_of(third.text) == "3"
    assert all(text in said(third.text) for text in ("Which dose? KEPT", "Дитяче"))
    assert await scene.rows("SELECT is_unfinished FROM kept_post") == [(True,)]


async def test_what_was_begun_is_given_with_ones_data(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        await press(browser, "1", "2", **WHAT)
    async with scene.world.database.work(actor.TIMER) as w:
        dossier = await privacy.dossier(w, scene.clinician.email)
    (given,) = dossier["forms_kept"]
    assert "KEPT" in given["body"]


@pytest.mark.parametrize(
    ("step", "to", "sent", "found", "fields"),
    [
        ("1", "2", {}, "1", ["age_band", "question", "specialty"]),
        ("1", "2", WHAT | {"age_band": ""}, "1", ["age_band"]),
        ("2", "3", {}, "2", ["languages", "mode", "priority"]),
        ("2", "3", WHO | {"from_1": "2026-11-18T10:00"}, "2", ["until_1"]),
        ("2", "3", WHO | {"from_1": "2026-11-18T10:00", "until_1": "2026-11-18T10:10"}, "2", ["until_1"]),
        ("2", "3", WHO | {"question_language": "uk"}, "2", ["question_language"]),
    ],
)
async def test_who_goes_on_is_told_what_is_wrong_so_far_and_led_to_it(
    scene: Scene, step: str, to: str, sent: dict[str, Any], found: str, fields: list[str]
) -> None:
    """A summary with a link to each field, and only what this step asks; by a page that "back" comes to."""
    async with scene.browser(scene.clinician) as browser:
        if step == "2":
            await press(browser, "1", "2", **WHAT)
        answer = await press(browser, step, to, **{"duration": "30"} | sent)
        led = await browser.get(answer.headers["location"])
        page = (await browser.get(led.headers["location"])).text
        again = (await browser.get(f"{NEW}/{KEY}/{found}")).text
    assert (answer.status_code, led.status_code) == (303, 303)
    assert step_of(page) == found
    assert at_fault(page) == fields
    assert all(f'id="{name}"' in page and f'id="fault-{name}"' in page for name in fields)
    assert at_fault(again) == []
    assert await filed(scene) == []


async def test_who_is_ahead_of_what_is_filled_in_is_led_back(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        await press(browser, "2", "2", **WHO)
        answer = await browser.get(f"{NEW}/{KEY}/3")
    assert answer.headers["location"] == f"{NEW}/{KEY}/1?check=all"


@pytest.mark.parametrize(
    ("sent", "fields"), [({"given_on": ""}, ["consent"]), (CONSENT | {"consent": "countries"}, ["countries"]),
                         (CONSENT | {"given_on": "2026-12-24"}, ["given_on"])]
)  # fmt: skip
async def test_a_fault_at_the_end_keeps_everything(scene: Scene, sent: dict[str, Any], fields: list[str]) -> None:
    async with scene.browser(scene.clinician) as browser:
        await walked(browser)
        answer = await press(browser, "3", "send", **sent)
        first = (await browser.get(f"{NEW}/{KEY}/1")).text
        mended = await press(browser, "3", "send", **CONSENT)
    assert (answer.status_code, at_fault(answer.text)) == (422, fields)
    assert "KEPT" in first
    assert mended.status_code == 303


async def test_who_goes_back_is_not_told_what_is_missing(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        await press(browser, "1", "2", question="Half a thought")
        answer = await shown(browser, "2", "1", department="Дитяче")
    assert at_fault(answer.text) == []
    assert "Half a thought" in answer.text


async def test_what_may_name_a_patient_is_told_when_its_own_step_is_left_and_not_kept_before(scene: Scene) -> None:
    """It is confirmed there, once for all steps."""
    question = "Child of three, tel. 067 123 45 67"
    async with scene.browser(scene.clinician) as browser:
        told = await press(browser, "1", "2", **WHAT | {"question": question})
        assert await scene.rows("SELECT count(*) FROM kept_post") == [(0,)]
        [span] = re.findall(r'type="checkbox" name="confirmed" value="([^"]+)"', told.text)
        third = await walked(browser, WHAT | {"question": question, "confirmed": [span]})
        first = await shown(browser, "3", "1", **CONSENT)
        [again] = re.findall(r'type="hidden" name="confirmed" value="([^"]+)"', first.text)
        both = {"question": question, "confirmed": span, "tags": "0501234567"}
        tagged = await press(browser, "1", "2", **WHAT | both)
        left = await press(browser, "2", "1", department="Петренко Оксана Іванівна")
        sent = await press(browser, "3", "send", **CONSENT)
    assert (told.status_code, step_of(told.text), at_fault(told.text)) == (422, "1", ["question"])
    assert "<mark>067 123 45 67</mark>" in told.text
    assert (step_of(third.text), again, sent.status_code) == ("3", span, 303)
    assert (tagged.status_code, at_fault(tagged.text)) == (422, ["tags"])
    assert (left.status_code, at_fault(left.text)) == (422, ["department"])


@pytest.mark.parametrize(
    ("question", "is_kept"), [("Яка доза? " * 1000 + "x", False), ("nul \0 inside", False), ("Яка доза? " * 999, True)]
)
async def test_a_question_that_is_too_long_stays_on_its_page(scene: Scene, question: str, *, is_kept: bool) -> None:
    async with scene.browser(scene.clinician) as browser:
        answer = await press(browser, "1", "2", **WHAT | {"question": question})
    if is_kept:
        assert answer.status_code == 303
        return
    assert (answer.status_code, step_of(answer.text), at_fault(answer.text)) == (422, "1", ["question"])
    assert html.escape(question.strip("\0"), quote=True)[:9000] in answer.text
    assert ticked(answer.text, "age_band") == ["child"]


async def test_the_check_says_how_many_can_be_asked_and_one_press_adds_what_would_help(scene: Scene) -> None:
    """Nobody speaks Polish; with English somebody can be asked. Nobody is named, and it may be sent all the same."""
    async with scene.browser(scene.clinician) as browser:
        third = (await walked(browser, who=WHO | {"languages": ["pl"]})).text
        (value,) = re.findall(r'<button class="second" name="add" value="(language:en)"', third)[:1]
        answer = await browser.post(NEW, data={"key": KEY, "step": "3", "add": value} | CONSENT)
        wider = (await browser.get(answer.headers["location"])).text
        second = (await browser.get(f"{NEW}/{KEY}/2")).text
    assert "жоден ментор" in said(third)
    assert scene.mentor.display_name not in said(third + wider)
    assert (ticked(second, "languages"), ticked(wider, "consent")) == (["en", "pl"], ["general"])
    assert "можна запитати 1 ментора" in said(wider)
    assert "жоден ментор" not in said(wider)


@pytest.mark.parametrize(
    ("who", "value"),
    [({"mode": "written"}, "either:"), ({"from_1": "2026-11-17T02:00", "until_1": "2026-11-17T03:00"}, "hours:")],
)
async def test_each_change_before_filing_is_one_press(scene: Scene, who: dict[str, str], value: str) -> None:
    async with scene.browser(scene.clinician) as browser:
        await walked(browser, who=WHO | who)
        answer = await browser.post(NEW, data={"key": KEY, "step": "3", "add": f"{value} translation:"} | CONSENT)
        await browser.get(answer.headers["location"])
        await press(browser, "3", "send", **CONSENT)
    (row,) = await scene.rows(
        "SELECT mode, is_translated, (SELECT count(*) FROM consultation_window) AS windows FROM consultation"
    )
    assert row.is_translated
    assert row.mode == ("either" if value == "either:" else "live")
    assert row.windows == 0


async def test_a_language_that_would_help_is_named_where_languages_are_chosen(scene: Scene) -> None:
    await scene.rows(
        "INSERT INTO person_language (person_id, code, level) VALUES (:p, 'pl', 'C1') RETURNING 1",
        p=scene.clinician.id,
    )
    async with scene.browser(scene.clinician) as browser:
        second = await shown(browser, "1", "2", **WHAT)
    assert "Якщо додати ще одну мову (англійська), зможе відповісти ще 1 ментор." in said(second.text)


async def test_a_memorandum_that_ends_between_the_steps_is_told_and_nothing_is_lost(scene: Scene) -> None:
    """Nobody can be asked any more: the check says so; the draft is filed all the same, or kept for its day."""
    async with scene.browser(scene.clinician) as browser:
        await walked(browser)
        await scene.rows("UPDATE memorandum SET status = 'suspended' RETURNING 1")
        third = await browser.get(f"{NEW}/{KEY}/3")
        answer = await press(browser, "3", "send", **CONSENT)
        first = await browser.get(f"{NEW}/{KEY}/1") if answer.status_code != 303 else None
    assert third.status_code == 200
    assert step_of(third.text) == "3"
    assert "жоден ментор" in said(third.text)
    assert answer.status_code == 303 or (first is not None and "KEPT" in first.text)


async def test_a_hospital_whose_memoranda_are_gone_is_told_at_the_end_and_nothing_is_lost(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        await walked(browser)
        await scene.rows("DELETE FROM memorandum_party WHERE side = 'requesting' RETURNING 1")
        third = await browser.get(f"{NEW}/{KEY}/3")
        answer = await press(browser, "3", "send", **CONSENT)
        first = await browser.get(f"{NEW}/{KEY}/1")
    assert (third.status_code, step_of(third.text)) == (200, "3")
    assert 'role="alert"' in third.text
    assert (answer.status_code, step_of(answer.text)) == (403, "3")
    assert "KEPT" in first.text


@pytest.mark.parametrize(("question", "language", "is_told"), [("Яка доза?", None, True), ("Which dose?", "en", False)])
async def test_a_question_in_a_language_that_is_not_ticked_is_told(
    scene: Scene, question: str, language: str | None, *, is_told: bool
) -> None:
    """It may be sent all the same; a language that is ticked is kept with the text."""
    async with scene.browser(scene.clinician) as browser:
        third = await walked(browser, WHAT | {"question": question})
        await press(browser, "3", "send", **CONSENT)
        (row,) = await scene.rows("SELECT id, question_language FROM consultation")
        case = (await browser.get(f"/consultations/{row.id}")).text
    assert ("Додати: українська" in said(third.text)) is is_told
    assert row.question_language == language
    assert ('<div class="text" dir="auto" lang="en">' in case) is (language == "en")


async def test_after_the_request_its_number_stands_there_and_what_happens_next(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        sent = await browser.post(NEW, data={"key": KEY} | GOOD)
        page = (await browser.get(sent.headers["location"])).text
        async with scene.browser(scene.mentor) as mentor:
            foreign = await mentor.get(sent.headers["location"])
    (row,) = await scene.rows("SELECT number FROM consultation")
    told = said(page)
    assert row.number in told
    assert "запитано 1 ментора" in told
    assert "чекаємо на відповіді" in told
    assert "повідомимо вашого координатора" in told
    assert "строк відповіді" in told
    assert foreign.status_code == 403


async def test_the_number_in_an_address_leads_to_the_case(scene: Scene) -> None:
    """As people type it, and for those only who see the case."""
    asked = await scene.ask()
    (row,) = await scene.rows("SELECT number FROM consultation")
    async with scene.browser(scene.clinician) as browser:
        found = [await browser.get(f"/consultations/{name}") for name in (row.number, row.number.lower())]
        lost = [await browser.get(f"/consultations/{name}") for name in ("R-22222222", "nothing", "R-")]
    async with scene.world.database.work(actor.TIMER) as w:
        stranger = await build.clinician(w, await build.institution(w))
    async with scene.browser(stranger) as browser:
        lost.append(await browser.get(f"/consultations/{row.number}"))
    assert [answer.headers["location"] for answer in found] == [f"/consultations/{asked.id}"] * 2
    assert [answer.status_code for answer in lost] == [404] * 4


async def test_a_draft_is_kept_and_says_what_it_waits_for(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        sent = await browser.post(NEW, data={"key": KEY} | GOOD | {"consent": "none"})
        told = said((await browser.get(sent.headers["location"])).text)
    assert "Вашу чернетку збережено" in told
    assert "Бракує згоди пацієнта" in told


async def test_a_coordinator_files_for_a_colleague_whose_languages_are_not_theirs(scene: Scene) -> None:
    await scene.rows(
        "INSERT INTO person_language (person_id, code, level) VALUES (:p, 'pl', 'C1') RETURNING 1",
        p=scene.coordinator.id,
    )
    async with scene.browser(scene.coordinator) as browser:
        second = (await shown(browser, "1", "2", **WHAT)).text
        await press(browser, "2", "3", **WHO | {"clinician_id": str(scene.clinician.id)})
        await press(browser, "3", "send", **CONSENT)
    assert chosen(second) == {"mode"}
    (row,) = await filed(scene)
    assert row.clinician_id == scene.clinician.id


async def test_hostile_words_are_shown_as_they_are(scene: Scene) -> None:
    """In every step, and in the check."""
    question = "<script>alert(1)</script> \"'&lt; " + "W" * 200 + " {{ 7 * 7 }}"
    async with scene.browser(scene.clinician) as browser:
        third = await walked(browser, WHAT | {"question": question}, WHO | {"department": "<b>x</b>"})
        first = await browser.get(f"{NEW}/{KEY}/1")
    for page in (first.text, third.text):
        assert "<script>alert" not in page
        assert "{{ 7 * 7 }}" in page
    assert "&lt;b&gt;x" in third.text
    assert QUESTION not in third.text


async def test_double_presses_keep_one_form(scene: Scene) -> None:
    async with scene.browser(scene.clinician) as browser:
        for _ in range(2):
            await press(browser, "1", "2", **WHAT)
        scene.clock.set(scene.clock.now() + timedelta(minutes=3))
        await press(browser, "1", "2", **WHAT | {"question": "Changed"})
    assert await scene.rows("SELECT count(*) FROM kept_post") == [(1,)]
