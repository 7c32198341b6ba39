"""The link of every mail to a mentor by which they are away: what it does, what it does not, and when it ends."""

import re
from email import message_from_bytes, policy
from uuid import UUID

import pytest
import sqlalchemy as sa

import build
from integrations.runtime import mail_delivery
from pages.scene import QUESTION, Scene
from service import tables
from service.care import answers
from service.kernel import actor, clock
from service.outbox import deliveries
from service.people import action_links, address_changes, away_links

TOMORROW = {"until": "2026-11-17"}


async def mail_to(scene: Scene, who: tables.Person, template: str = "offer") -> UUID:
    rows = await scene.rows(
        "SELECT id FROM delivery WHERE person_id = :id AND payload->>'template' = :template ORDER BY id DESC LIMIT 1",
        id=who.id,
        template=template,
    )
    found: UUID = rows[0].id
    return found


def path_of(scene: Scene, mail_id: UUID) -> str:
    return f"/a/away/{scene.world.keys.link_token(mail_id, 'away')}"


async def body(scene: Scene, mail_id: UUID) -> str:
    """The mail as the worker would hand it over."""
    async with scene.world.database.work(actor.TIMER) as w:
        claim = await deliveries.claim(w, mail_id)
    assert claim
    part = message_from_bytes(mail_delivery.compose(scene.world, claim), policy=policy.default).get_body(("plain",))
    assert part
    text: str = part.get_content()
    return text


async def absences(scene: Scene) -> list[tuple[str, str]]:
    rows = await scene.rows("SELECT from_wall, until_wall FROM availability_exception ORDER BY 1")
    return [(row.from_wall.isoformat("T", "minutes"), row.until_wall.isoformat("T", "minutes")) for row in rows]


async def test_a_link_of_a_mail_is_looked_at_without_effect_and_pressed_once(scene: Scene) -> None:
    await scene.ask()
    path = path_of(scene, await mail_to(scene, scene.mentor))
    before = await scene.state()
    async with scene.browser() as browser:
        looked = await browser.get(path)
        headed = await browser.head(path)
        unchanged = await scene.state() == before
        pressed = [await browser.post(path, data=TOMORROW) for _ in range(2)]
        after = await browser.get(path)

    assert (looked.status_code, headed.status_code in {200, 405}, unchanged) == (200, True, True)
    assert [answer.status_code for answer in pressed] == [303, 200]
    assert "You are away" in after.text
    assert await absences(scene) == [("2026-11-16T09:00", "2026-11-17T00:00")]
    told = await scene.rows("SELECT person_id, payload FROM delivery WHERE payload->>'template' = 'away_set'")
    assert [row.person_id for row in told] == [scene.mentor.id], "told once"
    assert told[0].payload["values"]["away_until"] == "2026-11-16T23:00:00Z"


async def test_the_page_shows_nothing_of_the_mentor_or_their_days_to_whom_the_mail_was_forwarded(scene: Scene) -> None:
    await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer")
    accepted = await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    path = path_of(scene, await mail_to(scene, scene.mentor))
    async with scene.browser() as browser:
        pages = [await browser.get(path), await browser.post(path, data=TOMORROW), await browser.get(path)]
        signed_in = await browser.get("/hours")
    for page in pages:
        for word in (scene.mentor.display_name, QUESTION, str(offer.id), str(accepted.consultation.id)):
            assert word not in page.text
        assert not page.cookies
    assert signed_in.status_code == 401, "the link signs nobody in"
    assert [row[0] for row in await scene.rows("SELECT status FROM appointment")] == ["booked"]
    assert [row[0] for row in await scene.rows("SELECT state FROM offer")] == ["accepted"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"until": "2026-12-17"}, 303),  # 31 days but for some hours
        ({"away_from": "2026-11-16", "away_back": "2026-12-01"}, 303),
        ({"away_from": "2026-12-24", "away_back": "2027-01-03"}, 303),
        ({"until": "2026-12-19"}, 422),
        ({"away_from": "2026-11-16", "away_back": "2027-11-16"}, 422),
        ({"until": "2026-11-16"}, 422),
        ({"until": "soon"}, 422),
        ({}, 422),
    ],
)
async def test_a_link_lets_be_away_for_a_month_at_most_and_a_refused_press_does_not_use_it_up(
    scene: Scene, sent: dict[str, str], status: int
) -> None:
    await scene.ask()
    path = path_of(scene, await mail_to(scene, scene.mentor))
    async with scene.browser() as browser:
        answer = await browser.post(path, data=sent)
        again = await browser.post(path, data=TOMORROW)
    assert answer.status_code == status
    assert again.status_code == (200 if status == 303 else 303)
    assert len(await absences(scene)) == 1


async def test_one_use_revokes_the_links_of_all_mails_until_then_and_not_of_later_ones(scene: Scene) -> None:
    for _ in range(2):
        await scene.ask()
    mails = [row.id for row in await scene.rows("SELECT id FROM delivery WHERE offer_id IS NOT NULL ORDER BY id")]
    async with scene.browser() as browser:
        first = await browser.post(path_of(scene, mails[0]), data=TOMORROW)
        second = await browser.post(path_of(scene, mails[1]), data={"until": "2026-12-01"})
        scene.clock.forward(days=2)
        await scene.ask()
        later = await mail_to(scene, scene.mentor)
        third = await browser.post(path_of(scene, later), data={"until": "2026-11-20"})
    assert [first.status_code, second.status_code, third.status_code] == [303, 410, 303]
    assert len(await absences(scene)) == 2


async def test_a_link_ends_after_two_weeks(scene: Scene) -> None:
    await scene.ask()
    path = path_of(scene, await mail_to(scene, scene.mentor))
    scene.clock.forward(seconds=away_links.LIFE.total_seconds() - 1)
    async with scene.browser() as browser:
        assert (await browser.get(path)).status_code == 200
        scene.clock.forward(seconds=1)
        assert (await browser.get(path)).status_code == 410
        assert (await browser.post(path, data={"until": "2026-12-02"})).status_code == 410
    assert await absences(scene) == []


@pytest.mark.parametrize("what", ["disabled", "enabled again", "address", "no mentor any more"])
async def test_a_link_ends_with_what_it_was_mailed_to(scene: Scene, what: str) -> None:
    await scene.ask()
    path = path_of(scene, await mail_to(scene, scene.mentor))
    async with scene.world.database.work(actor.TIMER) as w:
        mentor = await w.read(tables.Person, scene.mentor.id)
        if what == "address":
            await address_changes.begin(w, mentor, "somebody.else@hospital.example")
        elif what == "no mentor any more":
            for table in ("weekly_hours", "mentor_specialty", "ranking_mark"):
                await w.sql(sa.text(f"DELETE FROM {table}"))
            await w.sql(sa.text("DELETE FROM mentor_profile"))
        else:
            await action_links.void_all(w, mentor.id)
            mentor.state = "disabled" if what == "disabled" else "active"
    async with scene.browser() as browser:
        assert (await browser.post(path, data=TOMORROW)).status_code == 410
    assert await absences(scene) == []


async def test_every_mail_to_a_mentor_has_the_link_and_no_other_mail(scene: Scene) -> None:
    await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer")
    await scene.act(scene.mentor, answers.accept, offer.id, offer.starts[0])
    for row in await scene.rows("SELECT id, person_id, payload FROM delivery WHERE state = 'pending'"):
        text = await body(scene, row.id)
        token = scene.world.keys.link_token(row.id, "away")
        assert (f"/a/away/{token}" in text) == (row.person_id == scene.mentor.id), row.payload["template"]


async def test_a_sign_in_link_and_a_mail_to_a_former_address_have_none(scene: Scene) -> None:
    async with scene.browser() as browser:
        await browser.post("/sign-in", data={"email": scene.mentor.email})
    async with scene.world.database.work(actor.TIMER) as w:
        await address_changes.begin(w, await w.read(tables.Person, scene.mentor.id), "new@hospital.example")
    for row in await scene.rows("SELECT id FROM delivery WHERE state = 'pending' AND kind = 'mail'"):
        assert "/a/away/" not in await body(scene, row.id)


@pytest.mark.parametrize("token", ["x", "A" * 48, "%00"])
async def test_what_is_no_link_of_ours_is_missing(scene: Scene, token: str) -> None:
    async with scene.browser() as browser:
        assert (await browser.get(f"/a/away/{token}")).status_code == 404
        assert (await browser.post(f"/a/away/{token}", data=TOMORROW)).status_code == 404


async def test_a_link_of_another_purpose_or_mail_is_none_of_these(scene: Scene) -> None:
    await scene.ask()
    clinicians = await mail_to(scene, scene.clinician, "receipt")
    decline, _ = await scene.link("offer.decline")
    async with scene.browser() as browser:
        assert (await browser.get(f"/a/away/{decline.rpartition('/')[2]}")).status_code == 404
        assert (await browser.get(path_of(scene, clock.new_id()))).status_code == 404
        assert (await browser.post(path_of(scene, clinicians), data=TOMORROW)).status_code == 410


async def test_the_token_is_in_no_row(scene: Scene) -> None:
    await scene.ask()
    token = path_of(scene, await mail_to(scene, scene.mentor)).rpartition("/")[2]
    async with scene.browser() as browser:
        await browser.post(f"/a/away/{token}", data=TOMORROW)
    for table in ("delivery", "link", "event", "audit"):
        texts = await scene.rows(f"SELECT t::text AS text FROM {table} t")
        assert not [row for row in texts if re.search(re.escape(token), row.text)], table


async def test_a_coordinator_of_the_mentor_has_no_such_link_by_being_one(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        coordinator = await build.coordinator(w, scene.lille)
        mail = await deliveries.mail(
            w, template="uncoordinated", person=coordinator, values={"depending": {}, "page": "/"}
        )
    assert mail
    assert "/a/away/" not in await body(scene, mail)
