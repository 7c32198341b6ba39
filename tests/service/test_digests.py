"""The digest: once a day, at an hour of the reader's own clock, what waits for them, and only if something does."""

import email
import email.policy
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import world as simulated
from integrations.runtime import mail_delivery
from integrations.runtime.world import World
from pages.scene import Scene
from service import tables, timers
from service.care import answers
from service.kernel import actor
from service.kernel.work import Work
from service.outbox import deliveries
from service.people import people, preferences

ON = {"notices": ["digest.mail"], "digest_hour": 7}


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock) -> Scene:
    made = Scene(world, test_clock)
    await made.set_up()
    return made


async def choose(scene: Scene, who: tables.Person, **changes: Any) -> preferences.Preferences:  # noqa: ANN401 - choices
    async def chosen(w: Work) -> preferences.Preferences:
        return await preferences.change(w, await preferences.own(w, lock=True), changes)

    found: preferences.Preferences = await scene.act(who, chosen)
    return found


async def digests(scene: Scene) -> list[Any]:
    return await scene.rows(
        "SELECT id, person_id, payload, created_at, useless_after FROM delivery"
        " WHERE kind = 'mail' AND payload->>'template' = 'digest' ORDER BY id"
    )


async def sweep_at(scene: Scene, at: datetime) -> None:
    scene.clock.set(at)
    assert await timers.once(scene.world.database) == []


async def test_it_comes_at_the_hour_of_the_readers_clock_and_counts_by_kind(scene: Scene) -> None:
    await choose(scene, scene.mentor, **ON)
    await scene.ask(mode="written", priority="routine")
    await scene.ask(mode="written", priority="routine")
    await sweep_at(scene, datetime(2026, 11, 17, 5, 59, tzinfo=UTC))
    assert await digests(scene) == []
    await sweep_at(scene, datetime(2026, 11, 17, 6, 0, tzinfo=UTC))  # 07:00 in Paris
    (mail,) = await digests(scene)
    assert mail.person_id == scene.mentor.id
    assert mail.payload["values"]["waiting"] == {"offer": 2}
    assert mail.payload["values"].keys() == {"waiting", "first_due_at", "page", "zone"}
    assert mail.useless_after == datetime(2026, 11, 18, 6, 0, tzinfo=UTC)


async def test_no_mail_where_nothing_waits_nor_to_whoever_has_not_wished_it(scene: Scene) -> None:
    await choose(scene, scene.clinician, **ON)
    await scene.ask(mode="written", priority="routine")  # waits for the mentor, who has not wished it
    await sweep_at(scene, datetime(2026, 11, 17, 5, 0, tzinfo=UTC))
    assert await digests(scene) == []
    ((next_at,),) = await scene.rows("SELECT next_at FROM digest")
    assert next_at == datetime(2026, 11, 18, 5, 0, tzinfo=UTC)


async def test_two_sweeps_send_one_and_a_late_worker_none(scene: Scene) -> None:
    await choose(scene, scene.mentor, **ON)
    await scene.ask(mode="written", priority="routine")
    for minutes in (0, 1, 90):
        await sweep_at(scene, datetime(2026, 11, 17, 6, tzinfo=UTC) + timedelta(minutes=minutes))
    assert len(await digests(scene)) == 1
    await sweep_at(scene, datetime(2026, 11, 18, 9, 1, tzinfo=UTC))
    assert len(await digests(scene)) == 1
    ((next_at,),) = await scene.rows("SELECT next_at FROM digest")
    assert next_at == datetime(2026, 11, 19, 6, 0, tzinfo=UTC)


async def test_it_follows_the_readers_zone(scene: Scene) -> None:
    await choose(scene, scene.mentor, **ON)

    async def move(w: Work) -> None:
        person = await preferences.own(w, lock=True)
        await people.change(w, person, {"zone": "Europe/Kyiv"}, None)

    await scene.act(scene.mentor, move)
    ((next_at,),) = await scene.rows("SELECT next_at FROM digest")
    assert next_at == datetime(2026, 11, 17, 5, 0, tzinfo=UTC)


async def test_who_is_disabled_gets_none(scene: Scene) -> None:
    await choose(scene, scene.mentor, **ON)
    await scene.ask(mode="written", priority="routine")
    await scene.rows("UPDATE person SET state = 'disabled' WHERE id = :id RETURNING 1", id=scene.mentor.id)
    await sweep_at(scene, datetime(2026, 11, 17, 6, 0, tzinfo=UTC))
    assert await digests(scene) == []


async def sent(scene: Scene) -> email.message.EmailMessage:
    """The digest as its bytes are."""
    (row,) = await digests(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        claim = await deliveries.claim(w, row.id)
    assert claim is not None
    made = email.message_from_bytes(mail_delivery.compose(scene.world, claim), policy=email.policy.default)
    assert isinstance(made, email.message.EmailMessage)
    return made


@pytest.mark.parametrize("locale", ["uk", "en"])
async def test_it_says_no_case_and_ends_by_one_link_or_by_the_mail_programs_button(scene: Scene, locale: str) -> None:
    await choose(scene, scene.mentor, **ON)
    await scene.rows("UPDATE person SET locale = :locale RETURNING 1", locale=locale)
    asked = await scene.ask(mode="written", priority="routine")
    await sweep_at(scene, datetime(2026, 11, 17, 6, 0, tzinfo=UTC))
    mail = await sent(scene)
    body = mail.get_body(("plain",))
    text = body.get_content() if body else ""
    assert str(asked.id) not in text
    assert "CANARY" not in text
    stop = str(mail["List-Unsubscribe"]).strip("<>")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert stop in text
    path = re.sub(r"^https?://[^/]+", "", stop)
    async with scene.browser() as stranger:
        looked = await stranger.get(path)
        assert looked.status_code == 200
        assert (await scene.rows("SELECT notices FROM person WHERE id = :id", id=scene.mentor.id))[0][0]
        pressed = await stranger.post(path, data={"List-Unsubscribe": "One-Click"})
        again = await stranger.post(path)
    assert (pressed.status_code, again.status_code) == (200, 200)
    assert pressed.text == again.text != looked.text
    assert scene.mentor.display_name not in pressed.text
    assert await scene.rows("SELECT 1 FROM digest") == []
    assert (await scene.rows("SELECT notices FROM person WHERE id = :id", id=scene.mentor.id))[0][0] == []
    await sweep_at(scene, datetime(2026, 11, 18, 6, 0, tzinfo=UTC))
    assert len(await digests(scene)) == 1


async def test_a_foreign_link_switches_nothing_off(scene: Scene) -> None:
    await choose(scene, scene.mentor, **ON)
    await scene.ask()
    path, _ = await scene.link("offer.decline")
    token = path.rpartition("/")[2]
    async with scene.browser() as stranger:
        for wrong in (token, "x" * 48, "x"):
            assert (await stranger.post(f"/a/digest/{wrong}")).status_code == 404
    assert len(await scene.rows("SELECT 1 FROM digest")) == 1


async def test_it_is_made_again_of_what_waits_each_day(scene: Scene) -> None:
    await choose(scene, scene.mentor, **ON)
    await scene.ask(mode="written", priority="routine")
    await sweep_at(scene, datetime(2026, 11, 17, 6, 0, tzinfo=UTC))
    ((offer_id,),) = await scene.rows("SELECT id FROM offer")
    await scene.act(scene.mentor, answers.accept, offer_id, None)
    await sweep_at(scene, datetime(2026, 11, 18, 6, 0, tzinfo=UTC))
    assert [mail.payload["values"]["waiting"] for mail in await digests(scene)] == [{"offer": 1}, {"advice": 1}]
