"""One's own address (SEC-03): taken by a click from the new one, told to the old one, which may stop it."""

import pytest

from pages.scene import Scene
from service import tables
from service.kernel import actor
from service.people import people

NEW = "new.mentor@hospital.example"


async def asked(scene: Scene, email: str = NEW, who: tables.Person | None = None) -> str:
    """Ask for the address on the profile, and give the link of the mail to it."""
    async with scene.browser(who or scene.mentor) as browser:
        answer = await browser.post("/profile/address", data={"email": email})
        assert answer.status_code == 303, answer.text
        assert email in (await browser.get("/profile")).text
    (row,) = await scene.rows("SELECT id FROM link WHERE purpose = 'own_address' ORDER BY id DESC LIMIT 1")
    return f"/a/own-address/{scene.world.keys.link_token(row.id, 'own_address')}"


async def address(scene: Scene) -> str:
    ((email,),) = await scene.rows("SELECT email FROM person WHERE id = :id", id=scene.mentor.id)
    return str(email)


async def mails(scene: Scene) -> list[tuple[str, str]]:
    """Name the mails about it, with the address that each goes to."""
    rows = await scene.rows("SELECT id, payload, sealed_address, person_id FROM delivery ORDER BY id")
    async with scene.world.database.work(actor.TIMER) as w:
        return [
            (row.payload["template"], w.unseal(row.sealed_address, row.id) or "own")
            for row in rows
            if row.payload.get("template", "").startswith("address_")
        ]


async def test_sec_03_ones_own_address_is_taken_by_a_click_from_the_new_one_and_told_to_the_old_one(
    scene: Scene,
) -> None:
    before = scene.mentor.email
    path = await asked(scene)
    assert await address(scene) == before
    assert await mails(scene) == [("address_wished", NEW), ("address_asked", "own")]
    async with scene.browser(scene.mentor) as signed_in, scene.browser() as browser:
        looked = await browser.get(path)
        assert (looked.status_code, NEW in looked.text) == (200, True)
        assert await address(scene) == before, "looking changes nothing"
        pressed = [(await browser.post(path)).status_code for _ in range(2)]
        after = await browser.get(path)
        ended = await signed_in.get("/profile")
    assert pressed == [303, 200]
    assert (after.status_code, "It is yours" in after.text) == (200, True)
    assert ended.status_code == 401, "every sign-in has ended"
    assert await address(scene) == NEW
    assert (await mails(scene))[2:] == [("address_taken", before)]
    rows = await scene.rows("SELECT outcome FROM address_change")
    assert [row.outcome for row in rows] == ["confirmed"]


async def test_sec_03_the_former_address_stops_it_and_an_admin_finds_out(scene: Scene) -> None:
    path = await asked(scene)
    async with scene.browser() as browser:
        await browser.post(path)
        stop, _ = await scene.link("address.stop")
        stop = stop.replace("/a/", "/a/address/")
        assert (await browser.get(stop)).status_code == 200
        assert [(await browser.post(stop)).status_code for _ in range(2)] == [303, 200]
    ((since,),) = await scene.rows("SELECT address_unconfirmed_since FROM person WHERE id = :id", id=scene.mentor.id)
    assert since == scene.clock.now(), "no case text is read until it is found out"


async def test_sec_03_a_link_that_is_over_or_somebody_elses_does_nothing(scene: Scene) -> None:
    before = scene.mentor.email
    path = await asked(scene)
    async with scene.browser(scene.clinician) as other:
        assert [(await other.get(path)).status_code, (await other.post(path)).status_code] == [404, 404]
    later = await asked(scene, "third@hospital.example")
    async with scene.browser() as browser:
        assert (await browser.post(path)).status_code == 410, "a later wish replaces it"
        assert (await browser.get("/a/own-address/bm90aGluZw")).status_code == 404
        scene.clock.forward(hours=24)
        assert [(await browser.get(later)).status_code, (await browser.post(later)).status_code] == [410, 410]
    assert await address(scene) == before


@pytest.mark.parametrize("meanwhile", ["changed", "disabled"])
async def test_sec_03_another_change_meanwhile_voids_the_wish(scene: Scene, meanwhile: str) -> None:
    path = await asked(scene)
    changes = {"changed": {"email": "by.keeper@hospital.example"}, "disabled": {"state": "disabled"}}
    async with scene.world.database.work(actor.TIMER) as w:
        await people.change(w, await w.read(tables.Person, scene.mentor.id), changes[meanwhile], None)
    async with scene.browser() as browser:
        assert (await browser.post(path)).status_code == 410
    assert await address(scene) != NEW


async def test_sec_03_somebody_elses_address_is_told_only_behind_the_link(scene: Scene) -> None:
    path = await asked(scene, scene.clinician.email)
    async with scene.browser() as browser:
        pressed = await browser.post(path)
    assert pressed.status_code == 409
    assert await address(scene) == scene.mentor.email


async def test_sec_03_what_is_no_address_or_ones_own_is_told_beside_the_field_and_there_are_five_a_day(
    scene: Scene,
) -> None:
    async with scene.browser(scene.mentor) as browser:
        for typed in ("", "no address", scene.mentor.email.upper()):
            assert (await browser.post("/profile/address", data={"email": typed})).status_code == 422, typed
        statuses = [
            (await browser.post("/profile/address", data={"email": f"m{number}@hospital.example"})).status_code
            for number in range(6)
        ]
    assert statuses == [303] * 5 + [429]
