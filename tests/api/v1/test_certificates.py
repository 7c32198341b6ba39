"""Certificates of attendance: one's own, on paper in both languages, confirmed by a page that shows no name."""

import httpx
import pypdfium2
import pytest

import flow
import world as simulated
from flow import Scene
from integrations.runtime.world import World
from service.kernel import actor
from service.people import privacy

PAPER = {"Accept": "application/pdf"}


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> Scene:
    made = Scene(world, test_clock, client)
    await made.set_up()
    await made.rows("UPDATE person SET display_name = 'Ґалина Їжак' WHERE id = :id", id=made.people["mentor"].id)
    return made


async def session(scene: Scene, **changes: str) -> str:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    body = flow.happened(booked) | changes
    return str((await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", body, 201))["id"])


def text_of(document: bytes) -> str:
    return "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(document))


async def test_who_took_part_has_a_certificate_with_hours_and_topic_and_nothing_of_the_case(scene: Scene) -> None:
    path = f"/v1/sessions/{await session(scene)}/certificate"
    mine = await scene.get("mentor", path)
    theirs = await scene.get("clinician", path)
    assert (mine["role"], mine["minutes"], mine["name"]) == ("mentor", 20, "Ґалина Їжак")
    assert mine["topic"] == {"en": "Paediatrics", "uk": "paediatrics"}
    assert theirs["role"] == "clinician"
    assert theirs["code"] != mine["code"]
    assert flow.QUESTION not in str(mine)


@pytest.mark.parametrize(
    ("locale", "said"),
    [("uk", ["Сертифікат участі", "0,33 год (20 хв)", "Програма"]), ("en", ["Certificate", "0.33 h (20 min)"])],
)
async def test_the_paper_is_in_the_language_that_was_asked_for(scene: Scene, locale: str, said: list[str]) -> None:
    path = f"/v1/sessions/{await session(scene)}/certificate"
    mine = await scene.get("mentor", path)
    answer = await scene.call("mentor", "GET", f"{path}?locale={locale}", headers=PAPER, status=200)
    assert answer.headers["content-type"] == "application/pdf"
    text = text_of(answer.content)
    assert [word for word in [*said, "Ґалина Їжак", mine["code"]] if word not in text] == []


async def test_a_page_confirms_a_code_to_anybody_by_initials_only(scene: Scene) -> None:
    mine = await scene.get("mentor", f"/v1/sessions/{await session(scene)}/certificate")
    page = await scene.client.get(f"/certificates/{mine['code'].lower()}", headers={"Accept-Language": "uk"})
    assert page.status_code == 200
    assert "Ґ. Ї." in page.text
    assert "Сертифікат справжній" in page.text
    assert "Ґалина" not in page.text


async def test_no_row_holds_a_code(scene: Scene) -> None:
    mine = await scene.get("mentor", f"/v1/sessions/{await session(scene)}/certificate")
    code = mine["code"].replace("-", "")
    rows = await scene.rows(
        "SELECT CAST(s AS text) AS said FROM session s UNION ALL SELECT CAST(a AS text) FROM audit a"
    )
    assert not any(code in row.said or mine["code"] in row.said for row in rows)


async def test_a_code_with_another_letter_or_of_another_session_is_not_ours(scene: Scene) -> None:
    code = (await scene.get("mentor", f"/v1/sessions/{await session(scene)}/certificate"))["code"]
    swapped = code[:-1] + ("A" if code[-1] != "A" else "B")
    for wrong in (swapped, code[:-5], "x", "%00", "ґ" * 32, code + "-AAAA"):
        assert (await scene.client.get(f"/certificates/{wrong}")).status_code == 404, wrong


async def test_a_corrected_session_is_certified_anew_and_the_old_code_says_so(scene: Scene) -> None:
    booked = await scene.booked()
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    body = flow.happened(booked)
    old = (await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", body, 201))["id"]
    code = (await scene.get("mentor", f"/v1/sessions/{old}/certificate"))["code"]
    longer = body | {"ended_at": booked["ends_at"]}
    new = (await scene.post("mentor", f"/v1/sessions/{old}/corrections", longer, 201))["id"]
    await scene.call("mentor", "GET", f"/v1/sessions/{old}/certificate", status=409)
    assert (await scene.get("mentor", f"/v1/sessions/{new}/certificate"))["minutes"] == 30
    assert "has been replaced" in (await scene.client.get(f"/certificates/{code}")).text


async def test_who_did_not_take_part_or_did_not_come_has_none(scene: Scene) -> None:
    path = f"/v1/sessions/{await session(scene, outcome='no_show_clinician')}/certificate"
    await scene.call("mentor", "GET", path, status=409)
    await scene.call("coordinator", "GET", path, status=403)
    await scene.call("rival", "GET", path, status=404)


async def test_a_period_is_one_list_with_its_sum(scene: Scene) -> None:
    await session(scene)
    path = "/v1/me/certificates?from=2026-11-01&until=2026-12-01"
    (item,) = (await scene.get("mentor", path))["items"]
    text = text_of((await scene.call("mentor", "GET", f"{path}&locale=uk", headers=PAPER, status=200)).content)
    assert item["minutes"] == 20
    assert "Консультацій: 1, разом 0,33 год (20 хв)" in text
    assert (await scene.get("mentor", "/v1/me/certificates?from=2026-10-01&until=2026-11-01"))["items"] == []
    await scene.call("mentor", "GET", "/v1/me/certificates?from=2026-12-01&until=2026-11-01", status=422)


async def test_the_code_of_somebody_erased_still_holds_and_shows_no_initials(scene: Scene) -> None:
    mine = await scene.get("mentor", f"/v1/sessions/{await session(scene)}/certificate")
    scene.clock.forward(hours=2)
    async with scene.world.database.work(actor.TIMER) as w:
        await privacy.erase(w, scene.people["mentor"].email)
    page = await scene.client.get(f"/certificates/{mine['code']}")
    assert page.status_code == 200
    assert "Ґ." not in page.text
