"""An address that somebody else changed: it waits to be confirmed, the former one is told, and calendars follow."""

# ruff: noqa: ANN401 - answers are JSON

from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import httpx
import pytest

import addressing
import build
import flow
import letterbox
import postoffice
from addressing import ANY, NEW, OLD, THIRD, change, confirm, id_of, page_of, post, told
from api.exchange import record_tables
from integrations.runtime.world import World
from service import housekeeping, tables
from service.exchange import imports
from service.kernel import actor
from service.people import logins, privacy
from world import TestClock


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    return await addressing.set_up(world, test_clock, client)


async def press(scene: flow.Scene, page: str, headers: dict[str, str]) -> httpx.Response:
    """Confirm the mentor's address as the page shows it."""
    number = page.partition('name="number" value="')[2].partition('"')[0]
    button = f"/people/{id_of(scene)}/address-confirmation"
    return await scene.client.post(button, data={"number": number}, headers=headers)


async def question(scene: flow.Scene, case: str) -> Any:
    return (await scene.get("mentor", f"/v1/consultations/{case}"))["question"]


async def test_sec_03_whoever_changed_a_mentors_address_reads_nothing_as_the_mentor(scene: flow.Scene) -> None:
    booked = await scene.booked()
    case = booked["consultation_id"]
    assert await question(scene, case) == flow.QUESTION
    assert (await change(scene))["address_confirmed"] is False
    assert await question(scene, case) is None
    assert (await scene.rows("SELECT 1 FROM audit WHERE action = 'address_changed'")) != []
    assert await confirm(scene, "second") == 200
    assert await question(scene, case) == flow.QUESTION


@pytest.mark.parametrize("whose", ["clinician", "coordinator"])
async def test_sec_03_nobody_else_reads_case_text_at_an_address_that_waits(scene: flow.Scene, whose: str) -> None:
    case = await scene.request()
    path = f"/v1/consultations/{case}"
    assert (await scene.get(whose, path))["question"] == flow.QUESTION
    await change(scene, "somebody@chernihiv.example", "admin", whose)
    assert (await scene.get(whose, path))["question"] is None
    scene.clock.forward(minutes=1)
    async with scene.world.database.work(actor.TIMER) as w:
        scene.people["other"] = await build.admin(w, scene.programme)
    assert await confirm(scene, "other", whose) == 403  # made for it
    await scene.rows("UPDATE role_grant SET created_at = created_at - interval '1 day'")
    assert await confirm(scene, "other", whose) == 200
    assert (await scene.get(whose, path))["question"] == flow.QUESTION


async def test_sec_03_a_mentor_at_an_address_that_waits_gets_no_offer_and_cannot_take_one(scene: flow.Scene) -> None:
    case = await scene.request()
    mine = await scene.offer()
    await change(scene)
    refused = await scene.call("mentor", "POST", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})
    assert refused.json()["reasons"] == ["mentor_unverified"]
    start, end = flow.instant(scene.clock.now()), flow.instant(scene.clock.now() + timedelta(days=7))
    slots = f"/v1/mentors/{mine['mentor_id']}/slots?from={start}&until={end}"
    assert (await scene.get("partner", slots))["items"] == []
    found = await scene.get("coordinator", f"/v1/consultations/{case}/candidates")
    assert [each["reasons"] for each in found["excluded"] if each["mentor"] == mine["mentor_id"]] == [
        ["mentor_unverified"]
    ]
    await confirm(scene, "admin")
    assert (await scene.get("partner", slots))["items"] != []


async def test_sec_03_the_former_address_is_told_and_stops_it(scene: flow.Scene) -> None:
    await change(scene)
    assert await told(scene, "address_changed") == ["mentor"]
    assert await told(scene, "address_waits") == ["second"]  # not whoever changed it
    await postoffice.deliver_all(scene)
    ((recipient, mail),) = [each for each in post(scene).mails if each[0] in {OLD, NEW}]
    assert recipient == OLD
    path = await page_of(scene, "address.stop")
    assert path in message_from_bytes(mail, policy=policy.default).get_body(("plain",)).get_content()  # type: ignore[union-attr]

    before = await scene.rows("SELECT email, version FROM person ORDER BY id")
    assert (await scene.client.get(path)).status_code == 200
    assert await scene.rows("SELECT email, version FROM person ORDER BY id") == before  # scanners open links

    pressed = await scene.client.post(path)
    assert (pressed.status_code, pressed.headers["location"]) == (303, path)
    (row,) = await scene.rows("SELECT email, address_unconfirmed_since FROM person WHERE id = :id", id=id_of(scene))
    assert (row.email, row.address_unconfirmed_since) == (OLD, None)
    assert (await scene.client.get(path)).status_code == 200
    assert (await scene.client.post(path)).status_code == 200  # it was done
    assert (await scene.client.post(await page_of(scene, "address.confirm"))).status_code == 410
    assert await told(scene, "address_stopped") == ["second"]


async def test_sec_03_a_stop_ends_the_sign_ins_of_the_new_address(scene: flow.Scene) -> None:
    await change(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        token = await logins.link_token(w, NEW, timedelta(minutes=15))
    signed_in = (await scene.client.post("/v1/auth/tokens", json={"link_token": token})).json()
    bearer = {"Authorization": f"Bearer {signed_in['access_token']}"}
    assert (await scene.client.get("/v1/me", headers=bearer)).status_code == 200
    await scene.client.post(await page_of(scene, "address.stop"))
    assert (await scene.client.get("/v1/me", headers=bearer)).status_code == 401
    again = await scene.client.post("/v1/auth/tokens/refresh", json={"refresh_token": signed_in["refresh_token"]})
    assert again.status_code == 401


async def test_sec_03_the_holder_confirms_from_the_former_address(scene: flow.Scene) -> None:
    await change(scene)
    path = await page_of(scene, "address.confirm")
    assert (await scene.client.get(path)).status_code == 200
    assert (await scene.get("partner", f"/v1/people/{id_of(scene)}"))["address_confirmed"] is False
    assert (await scene.client.post(path)).status_code == 303
    assert (await scene.get("partner", f"/v1/people/{id_of(scene)}"))["address_confirmed"] is True
    assert (await scene.client.post(await page_of(scene, "address.stop"))).status_code == 410
    assert await told(scene, "address_confirmed") == ["mentor", "mentor"]  # at both addresses


async def test_sec_03_only_a_second_person_confirms(scene: flow.Scene) -> None:
    await change(scene)
    assert await confirm(scene, "partner") == 403  # changed it
    assert await confirm(scene, "mentor") == 403  # may be whoever changed it
    assert await confirm(scene, "clinician") == 404
    assert await confirm(scene, "coordinator") == 404  # of another hospital
    await change(scene, "second.new@lille.example", "partner", "second")
    assert await confirm(scene, "second") == 403  # may be whoever changed it, again
    assert await confirm(scene, "admin") == 200
    assert await confirm(scene, "admin") == 409
    assert await told(scene, "address_waits") == ["admin", "second"]


async def test_sec_03_where_there_is_no_other_coordinator_the_admins_are_told(scene: flow.Scene) -> None:
    await change(scene, "new@chernihiv.example", "coordinator", "clinician")
    assert await told(scene, "address_waits") == ["admin"]
    assert await confirm(scene, "admin", "clinician") == 200


async def test_sec_03_a_refused_address_needs_the_second_person_too(scene: flow.Scene) -> None:
    await scene.rows("UPDATE person SET mail_refused_at = created_at WHERE id = :id", id=id_of(scene))
    changed = await change(scene)
    assert (changed["address_confirmed"], changed["mail_refused_at"]) == (False, None)


async def test_sec_03_the_former_address_is_that_before_the_first_change_however_many_follow(scene: flow.Scene) -> None:
    await change(scene)
    first = await page_of(scene, "address.stop")
    await change(scene, THIRD, "second")
    assert (await scene.client.post(first)).status_code == 410
    await postoffice.deliver_all(scene)
    assert [to for to, _ in post(scene).mails if to in {OLD, NEW, THIRD}] == [OLD, OLD]
    await scene.client.post(await page_of(scene, "address.stop"))
    (row,) = await scene.rows("SELECT email FROM person WHERE id = :id", id=id_of(scene))
    assert row.email == OLD


async def test_sec_03_an_address_that_is_given_back_needs_nobody(scene: flow.Scene) -> None:
    await change(scene)
    assert (await change(scene, OLD.upper(), "second"))["address_confirmed"] is True
    assert (await scene.client.get(await page_of(scene, "address.stop"))).status_code == 410
    assert await confirm(scene, "second") == 409


async def test_sec_03_the_same_address_in_other_letters_is_no_change(scene: flow.Scene) -> None:
    assert (await change(scene, OLD.upper()))["address_confirmed"] is True
    assert await told(scene, "address_changed") == []


async def test_sec_03_the_links_hold_for_fourteen_days(scene: flow.Scene) -> None:
    await change(scene)
    path = await page_of(scene, "address.stop")
    scene.clock.forward(days=14)
    assert (await scene.client.get(path)).status_code == 410
    assert (await scene.client.post(path)).status_code == 410
    assert (await scene.client.post("/a/address/bm90aGluZw")).status_code == 404
    assert await confirm(scene, "second") == 200


async def test_sec_03_addresses_are_kept_sealed_and_go_with_the_person(scene: flow.Scene) -> None:
    await change(scene)
    stop = await page_of(scene, "address.stop")
    for table in ("address_change", "audit", "delivery", "link"):
        rows = await scene.rows(f"SELECT CAST(t AS text) AS row FROM {table} t")
        assert [row for row in rows if OLD in row.row or NEW in row.row] == []
    async with scene.world.database.work(actor.TIMER) as w:
        (kept,) = (await privacy.dossier(w, NEW))["address_changes"]
    assert (kept["before"], kept["after"], kept["changed_by"]) == (OLD, NEW, scene.people["partner"].id)
    async with scene.world.database.work(actor.TIMER) as w:
        await privacy.erase(w, NEW)
    assert await scene.rows("SELECT 1 FROM address_change") == []
    assert await scene.rows("SELECT 1 FROM delivery WHERE sealed_address IS NOT NULL AND state <> 'dropped'") == []
    assert (await scene.client.post(stop)).status_code == 404


async def test_sec_03_a_file_that_changes_an_address_is_somebody_else_too(scene: flow.Scene) -> None:
    head = "id,email,display_name,locale,zone,roles"
    mentor = scene.people["mentor"]
    row = f"{mentor.id},{NEW},{mentor.display_name},{mentor.locale},{mentor.zone},mentor@{scene.lille.id}"
    async with scene.world.database.work(actor.TIMER) as w:
        await imports.load(w, "people", record_tables.read("people", f"{head}\n{row}".encode()).rows, lambda _: None)
    assert (await scene.get("partner", f"/v1/people/{mentor.id}"))["address_confirmed"] is False
    assert await told(scene, "address_changed") == ["mentor"]
    assert await told(scene, "address_waits") == ["partner", "second"]
    assert await confirm(scene, "partner") == 200


async def test_ft_04_a_sign_in_link_that_waits_goes_to_neither_address(scene: flow.Scene) -> None:
    await scene.client.post("/v1/auth/sign-in-links", json={"email": OLD})
    (link,) = await scene.rows("SELECT id FROM link WHERE purpose = 'sign_in'")
    await change(scene)
    await postoffice.deliver_all(scene)
    assert post(scene).with_link("/sign-in/") == []
    token = scene.world.keys.link_token(link.id, "sign_in")
    assert (await scene.client.post("/v1/auth/tokens", json={"link_token": token})).status_code == 401


async def _calendars_follow(scene: flow.Scene) -> None:
    await scene.sweep()
    await postoffice.deliver_all(scene)


async def test_ft_04_the_calendars_follow_a_new_address(scene: flow.Scene) -> None:
    made = await scene.booked()
    await postoffice.deliver_all(scene)
    (first,) = post(scene).calendars(OLD)
    post(scene).mails.clear()
    await change(scene)
    await _calendars_follow(scene)

    (removal,) = post(scene).calendars(OLD)
    (invite,) = post(scene).calendars(NEW)
    (others,) = post(scene).calendars(scene.people["clinician"].email)
    uid, sequence = letterbox.values(first, "UID"), int(letterbox.values(first, "SEQUENCE")[0])
    for ics in (removal, invite, others):
        assert letterbox.values(ics, "UID") == uid
        assert int(letterbox.values(ics, "SEQUENCE")[0]) > sequence
        assert letterbox.values(ics, "DTSTART") == letterbox.values(first, "DTSTART")
    assert letterbox.values(removal, "METHOD") == ["CANCEL"]
    assert letterbox.values(removal, "ATTENDEE") == [f"mailto:{OLD}"]
    assert letterbox.values(removal, "STATUS") == []
    for ics in (invite, others):
        assert letterbox.values(ics, "METHOD") == ["REQUEST"]
        assert letterbox.values(ics, "STATUS") == ["CONFIRMED"]
        assert f"mailto:{NEW}" in letterbox.values(ics, "ATTENDEE")
        assert f"mailto:{OLD}" not in letterbox.values(ics, "ATTENDEE")
    assert int(letterbox.values(invite, "SEQUENCE")[0]) > int(letterbox.values(removal, "SEQUENCE")[0])
    state = await scene.get("coordinator", f"/v1/appointments/{made['id']}")
    assert state["status"] == "booked"

    post(scene).mails.clear()
    await _calendars_follow(scene)
    assert post(scene).mails == []


async def test_ft_04_a_held_time_follows_the_clinician(scene: flow.Scene) -> None:
    await flow.held(scene)
    await postoffice.deliver_all(scene)
    post(scene).mails.clear()
    old = scene.people["clinician"].email
    await change(scene, "new@chernihiv.example", "coordinator", "clinician")
    await _calendars_follow(scene)
    assert [letterbox.values(ics, "METHOD") for ics in post(scene).calendars(old)] == [["CANCEL"]]
    (invite,) = post(scene).calendars("new@chernihiv.example")
    assert (letterbox.values(invite, "METHOD"), letterbox.values(invite, "STATUS")) == (["REQUEST"], ["TENTATIVE"])


async def test_ft_04_a_time_held_for_a_mentor_at_an_address_that_waits_is_let_go_in_every_calendar(
    scene: flow.Scene,
) -> None:
    await flow.held(scene)
    await postoffice.deliver_all(scene)
    post(scene).mails.clear()
    await change(scene)
    await _calendars_follow(scene)
    for address in (OLD, scene.people["clinician"].email):
        assert letterbox.values(post(scene).calendars(address)[-1], "METHOD") == ["CANCEL"]
    (row,) = await scene.rows("SELECT state FROM offer WHERE mentor_id = :id", id=id_of(scene))
    assert row.state == "withdrawn"


async def test_ft_04_what_is_called_off_before_the_calendars_followed_leaves_both(scene: flow.Scene) -> None:
    booked = await scene.booked()
    await postoffice.deliver_all(scene)
    post(scene).mails.clear()
    await change(scene)
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/cancel", {"reason": "no_longer_needed"})
    await _calendars_follow(scene)
    assert [letterbox.values(ics, "METHOD") for ics in post(scene).calendars(OLD)] == [["CANCEL"]]
    assert [letterbox.values(ics, "METHOD") for ics in post(scene).calendars(NEW)] == [["CANCEL"]]


async def test_ft_04_of_two_changes_in_a_row_the_calendars_see_the_last(scene: flow.Scene) -> None:
    await scene.booked()
    await postoffice.deliver_all(scene)
    post(scene).mails.clear()
    await change(scene)
    await change(scene, THIRD, "second")
    await _calendars_follow(scene)
    assert [letterbox.values(ics, "METHOD") for ics in post(scene).calendars(OLD)] == [["CANCEL"]]
    assert post(scene).calendars(NEW) == []
    assert [letterbox.values(ics, "METHOD") for ics in post(scene).calendars(THIRD)] == [["REQUEST"]]


async def test_ft_04_a_change_taken_back_within_a_minute_moves_nothing(scene: flow.Scene) -> None:
    await scene.booked()
    await postoffice.deliver_all(scene)
    post(scene).mails.clear()
    await change(scene)
    await change(scene, OLD, "second")
    await _calendars_follow(scene)
    assert [to for to, mail in post(scene).mails if letterbox.calendar_octets(mail)] == []


async def test_ft_04_a_stop_brings_the_calendars_back(scene: flow.Scene) -> None:
    await scene.booked()
    await postoffice.deliver_all(scene)
    await change(scene)
    await _calendars_follow(scene)
    post(scene).mails.clear()
    await scene.client.post(await page_of(scene, "address.stop"))
    await _calendars_follow(scene)
    assert [letterbox.values(ics, "METHOD") for ics in post(scene).calendars(NEW)] == [["CANCEL"]]
    assert [letterbox.values(ics, "METHOD") for ics in post(scene).calendars(OLD)] == [["REQUEST"]]


async def test_ft_04_a_removal_that_waits_is_sent_although_newer_mail_overtakes_the_rest(scene: flow.Scene) -> None:
    booked = await scene.booked()
    await postoffice.deliver_all(scene)
    post(scene).mails.clear()
    await change(scene)
    await scene.sweep()
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/cancel", {"reason": "no_longer_needed"})
    await postoffice.deliver_all(scene)
    assert [letterbox.values(ics, "METHOD") for ics in post(scene).calendars(OLD)] == [["CANCEL"]]
    assert [letterbox.values(ics, "METHOD") for ics in post(scene).calendars(NEW)] == [["CANCEL"]]


async def test_ft_04_what_is_over_is_left_as_it_is(scene: flow.Scene) -> None:
    booked = await scene.booked()
    await postoffice.deliver_all(scene)
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await change(scene)
    await scene.sweep()
    assert await told(scene, "address_left") == []


async def test_sec_03_a_coordinator_deals_with_it_on_a_page(scene: flow.Scene) -> None:
    await change(scene)
    await scene.rows("UPDATE person SET mail_refused_at = created_at WHERE id = :id", id=id_of(scene, "rival"))
    changer, other = await _signed_in(scene, "partner"), await _signed_in(scene, "second")
    assert 'href="/people"' in (await scene.client.get("/", headers=other)).text
    confirmation = f'action="/people/{id_of(scene)}/address-confirmation"'
    assert confirmation not in (await scene.client.get("/people", headers=changer)).text
    page = (await scene.client.get("/people", headers=other)).text
    assert confirmation in page
    assert NEW in page
    assert OLD in page
    assert str(id_of(scene, "rival")) in page
    answer = await press(scene, page, other)
    assert answer.status_code == 303
    wrong = {"email": "rival@lille..example"}
    at_fault = await scene.client.post(f"/people/{id_of(scene, 'rival')}/address", data=wrong, headers=other)
    assert (at_fault.status_code, 'class="err"' in at_fault.text) == (422, True)
    right = {"email": "rival@лікарня.укр"}
    changed = await scene.client.post(f"/people/{id_of(scene, 'rival')}/address", data=right, headers=other)
    assert changed.status_code == 303
    page = (await scene.client.get("/people", headers=changer)).text
    assert "rival@лікарня.укр" in page
    assert (await scene.client.get("/people", headers=await _signed_in(scene, "clinician"))).status_code == 200


async def _signed_in(scene: flow.Scene, who: str) -> dict[str, str]:
    """The cookie of a browser that is signed in as that person."""
    async with scene.world.database.work(actor.TIMER) as w:
        row: tables.Person = await w.read(tables.Person, scene.people[who].id)
        token = await logins.link_token(w, row.email, timedelta(minutes=15))
    answer = await scene.client.post(f"/sign-in/{token}")
    scene.client.cookies.clear()
    return {"Cookie": answer.headers["set-cookie"].split(";")[0]}


async def test_sec_03_disabling_the_person_silences_nobody(scene: flow.Scene) -> None:
    path = f"/v1/people/{id_of(scene)}"
    await scene.call("partner", "PATCH", path, {"email": NEW, "state": "disabled"}, status=200, headers=ANY)
    await housekeeping.run(scene.world.database, housekeeping.Kept(1_827))
    await postoffice.deliver_all(scene)
    assert OLD in [to for to, _ in post(scene).mails]
    assert (await scene.client.post(await page_of(scene, "address.stop"))).status_code == 303
    (row,) = await scene.rows("SELECT email FROM person WHERE id = :id", id=id_of(scene))
    assert row.email == OLD


async def test_sec_03_nobody_confirms_an_address_that_they_have_not_seen(scene: flow.Scene) -> None:
    await change(scene)
    path = f"/v1/people/{id_of(scene)}"
    as_seen = (await scene.call("second", "GET", path)).headers["etag"]
    other = await _signed_in(scene, "second")
    page = (await scene.client.get("/people", headers=other)).text
    await change(scene, "later@lille.example")
    api = await scene.call("second", "POST", f"{path}/address-confirmation", headers={"If-Match": as_seen})
    pressed = await press(scene, page, other)
    assert (api.status_code, pressed.status_code) == (412, 409)
    (row,) = await scene.rows("SELECT address_unconfirmed_since AS since FROM person WHERE id = :id", id=id_of(scene))
    assert row.since is not None


async def test_sec_03_links_that_went_to_an_address_in_between_act_no_more(scene: flow.Scene) -> None:
    await scene.booked()
    await change(scene, "typo@lille.example")
    await scene.sweep()
    await postoffice.deliver_all(scene)
    count = "SELECT count(*) AS n FROM link WHERE person_id = :id AND used_at IS NULL AND purpose = 'join'"
    (before,) = await scene.rows(count, id=id_of(scene))
    await change(scene, OLD, by="second")
    (after,) = await scene.rows(count, id=id_of(scene))
    assert (before.n > 0, after.n < before.n) == (True, True)
