"""The short number by which people name a case: there from its filing on, in all that is said of it."""

import json
import re

import httpx
import pytest

import flow
from integrations.mail import letters
from integrations.runtime.world import World
from service.kernel import clock
from service.rules import case_numbers
from world import TestClock

FORM = re.compile(rf"R-[{case_numbers.SYMBOLS}]{{4,}}")


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def test_a_filing_tells_the_number_and_every_later_answer_tells_the_same(scene: flow.Scene) -> None:
    """Also of a draft; and no two cases have one."""
    filed = await scene.post("clinician", "/v1/consultations", scene.wish(), 201)
    assert FORM.fullmatch(filed["number"])
    assert (await scene.get("mentor", f"/v1/consultations/{filed['id']}"))["number"] == filed["number"]
    draft = await scene.post("clinician", "/v1/consultations", scene.wish(consent=None), 201)
    listed = {item["id"]: item["number"] for item in (await scene.get("clinician", "/v1/consultations"))["items"]}
    assert listed == {filed["id"]: filed["number"], draft["id"]: draft["number"]}
    assert len(set(listed.values())) == 2


async def test_a_case_is_found_by_the_number_as_people_type_it(scene: flow.Scene) -> None:
    """And by those only who see it; a number that is none is refused, one that nobody has finds nothing."""
    number = (await scene.post("clinician", "/v1/consultations", scene.wish(), 201))["number"]
    await scene.request()
    signless = number.removeprefix("R-") if number[2] != "R" else number  # an R before four symbols is the sign
    for typed in (number, number.lower(), signless, f" {number.replace('-', ' ')}"):
        answer = await scene.call("clinician", "GET", f"/v1/consultations?number={typed}", status=200)
        assert [item["number"] for item in answer.json()["items"]] == [number], typed
    other = next(symbol for symbol in case_numbers.SYMBOLS if symbol != number[2])
    assert (await scene.get("clinician", f"/v1/consultations?number=R-{other * 8}"))["items"] == []
    assert (await scene.get("partner", f"/v1/consultations?number={number}"))["items"] == []
    refused = await scene.call("clinician", "GET", "/v1/consultations?number=R-OOOO")
    assert refused.status_code == 422, refused.text


async def test_each_event_of_a_case_names_its_number(scene: flow.Scene) -> None:
    """Whoever reads events reads what people say on the telephone."""
    booked = await flow.logged(scene)
    number = (await scene.get("clinician", f"/v1/consultations/{booked['consultation_id']}"))["number"]
    bodies = [json.loads(row.body) for row in await scene.rows("SELECT body FROM event")]
    named = {event["type"]: event["data"].get("consultation_number") for event in bodies}
    assert {"consultation.opened", "offer.sent", "appointment.booked", "session.logged"} <= named.keys()
    assert {name: told for name, told in named.items() if told != number} == {}


@pytest.mark.parametrize("locale", ["uk", "en"])
async def test_each_mail_of_a_case_has_the_number_in_its_subject_and_its_text(scene: flow.Scene, locale: str) -> None:
    """So do calendars; it is no case text."""
    booked = await flow.logged(scene)
    number = (await scene.get("clinician", f"/v1/consultations/{booked['consultation_id']}"))["number"]
    mails = await scene.rows("SELECT payload FROM delivery WHERE kind = 'mail' ORDER BY id")
    assert {"receipt", "offer", "booked", "feedback"} <= {mail.payload["template"] for mail in mails}
    for mail in mails:
        values = mail.payload["values"]
        letter = letters.write(mail.payload["template"], locale, "Somebody", values, {})
        assert letter.subject.endswith(f" [{number}]"), letter.subject
        assert number in letter.plain.partition("\n")[2], letter.plain
        if mail.payload.get("calendar"):
            assert number in letters.event_text(locale, values, {}).description


async def test_a_mail_that_an_older_program_made_says_no_number(scene: flow.Scene) -> None:
    """It waits without one, and is sent as it is."""
    await scene.request()
    (mail, *_) = await scene.rows("SELECT payload FROM delivery WHERE kind = 'mail'")
    values = {name: value for name, value in mail.payload["values"].items() if name != "number"}
    assert "[" not in letters.write(mail.payload["template"], "en", "Somebody", values, {}).subject


async def _filed_by_an_older_program(scene: flow.Scene) -> str:
    """Copy the case as a program files that knows nothing of numbers."""
    (row,) = await scene.rows(
        "INSERT INTO consultation (id, version, created_at, programme_id, institution_id, clinician_id,"
        " specialty_code, activity, priority, mode, state, age_band, duration_minutes, is_translated)"
        " SELECT :id, 1, created_at, programme_id, institution_id, clinician_id, specialty_code, activity, priority,"
        " mode, 'draft', age_band, duration_minutes, false FROM consultation LIMIT 1 RETURNING number",
        id=clock.new_id(),
    )
    return str(row.number)


async def test_a_case_that_an_older_program_files_has_a_number_too(scene: flow.Scene) -> None:
    """It runs beside this one on the same schema."""
    await scene.request()
    assert FORM.fullmatch(await _filed_by_an_older_program(scene))


async def test_numbers_are_longer_by_one_once_a_tenth_is_drawn(scene: flow.Scene) -> None:
    """A tenth of 31 to the fourth is 92,352."""
    await scene.rows("SELECT setval('consultation_numbers_drawn', 92351)")
    lengths = [len((await scene.post("clinician", "/v1/consultations", scene.wish(), 201))["number"]) for _ in range(2)]
    assert lengths == [len("R-7F3K"), len("R-7F3K2")]


async def test_a_number_that_is_taken_is_not_drawn_again(scene: flow.Scene) -> None:
    """Each draw looks at what is there."""
    await scene.request()
    numbers = {row.number for row in await scene.rows("SELECT number FROM consultation")}
    for _ in range(20):
        number = await _filed_by_an_older_program(scene)
        assert number not in numbers
        numbers.add(number)


async def test_the_text_has_one_of_the_languages_of_the_answer(scene: flow.Scene) -> None:
    """It is kept for readers aloud; another one is refused, since nobody who is asked may know it."""
    wish = scene.wish(languages=["en", "uk"], question_language="uk")
    filed = await scene.post("clinician", "/v1/consultations", wish, 201)
    assert filed["question_language"] == "uk"
    assert (await scene.get("mentor", f"/v1/consultations/{filed['id']}"))["question_language"] == "uk"
    refused = await scene.call("clinician", "POST", "/v1/consultations", wish | {"question_language": "pl"}, status=422)
    assert refused.json()["errors"][0]["pointer"] == "/question_language"
    untold = await scene.post("clinician", "/v1/consultations", scene.wish(), 201)
    assert untold["question_language"] is None
