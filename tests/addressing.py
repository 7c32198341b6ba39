"""A person's address that somebody else changes: the scene, and what its tests do."""

# ruff: noqa: ANN401 - answers are JSON

from email import message_from_bytes, policy
from typing import Any

import httpx

import build
import flow
import letterbox
from integrations.runtime.world import World
from service.kernel import actor, outcomes
from world import TestClock

ANY = {"If-Match": "*"}
OLD, NEW, THIRD = "mentor.old@lille.example", "mentor.new@lille.example", "mentor.third@lille.example"


class Kept:
    """A mail server that takes everything, and keeps what went where."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        self.mails.append((recipient, message))
        return outcomes.Delivered(250)

    def with_link(self, path: str) -> list[str]:
        """The addresses that mails with such a link went to."""
        found = []
        for to, mail in self.mails:
            body = message_from_bytes(mail, policy=policy.default).get_body(("plain",))
            if body is not None and path in body.get_content():
                found.append(to)
        return found

    def calendars(self, recipient: str) -> list[bytes]:
        """The calendars that went to the address, in their order."""
        return [found[0] for to, mail in self.mails if to == recipient and (found := letterbox.calendar_octets(mail))]


async def set_up(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    world.outbox = Kept()  # type: ignore[assignment]
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    async with world.database.work(actor.TIMER) as w:
        made.people["second"] = await build.coordinator(w, made.lille)
    await made.rows("UPDATE person SET email = :old WHERE id = :id", old=OLD, id=made.people["mentor"].id)
    made.people["mentor"].email = OLD
    await flow.alone(made)
    return made


def post(scene: flow.Scene) -> Kept:
    found: Any = scene.world.outbox
    assert isinstance(found, Kept)
    return found


async def change(scene: flow.Scene, email: str = NEW, by: str = "partner", whose: str = "mentor") -> Any:
    path = f"/v1/people/{scene.people[whose].id}"
    return (await scene.call(by, "PATCH", path, {"email": email}, status=200, headers=ANY)).json()


async def confirm(scene: flow.Scene, by: str, whose: str = "mentor") -> int:
    path = f"/v1/people/{scene.people[whose].id}/address-confirmation"
    return (await scene.call(by, "POST", path)).status_code


async def page_of(scene: flow.Scene, purpose: str) -> str:
    """The path of the newest link of the purpose, as the mail has it."""
    (link, *_) = await scene.rows("SELECT id FROM link WHERE purpose = :purpose ORDER BY id DESC", purpose=purpose)
    return f"/a/address/{scene.world.keys.link_token(link.id, purpose)}"


async def told(scene: flow.Scene, template: str) -> list[str]:
    rows = await scene.rows("SELECT person_id FROM delivery WHERE payload ->> 'template' = :name", name=template)
    return sorted(scene.name(row.person_id) for row in rows)


def id_of(scene: flow.Scene, who: str = "mentor") -> object:
    return scene.people[who].id
