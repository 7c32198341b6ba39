"""A mail server of this machine that is away for three hours and then answers with every published reply, once each."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

import build
import flow
import postoffice
from integrations.mail import smtp
from integrations.runtime import mail_delivery
from integrations.runtime.world import World
from replies import REPLIES, Published
from service.kernel import actor, clock
from service.outbox import deliveries
from service.rules.delivery import refusals
from world import TestClock

UNDER_A_MAIL = [row for row in REPLIES if row.phase in {"rcpt", "data"}]
WITHOUT_LOGIN = [row for row in REPLIES if row.phase in {"connect", "ehlo", "mail"}]
BEFORE_ANY = [row for row in WITHOUT_LOGIN if refusals.is_away(refusals.Reply(row.phase, row.code, row.text))]


@dataclasses.dataclass
class Server:
    """Answers each recipient of the table with their reply once, and takes the mail the next time; may fail whole."""

    by_address: dict[str, Published]
    whole: Published | None = None
    taken: list[str] = dataclasses.field(default_factory=list)
    answered: set[str] = dataclasses.field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk SMTP, as far as a client of ours needs it."""

        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        def failing(phase: str) -> str | None:
            return f"{self.whole.code} {self.whole.text}" if self.whole and self.whole.phase == phase else None

        recipient = ""
        await say(failing("connect") or "220 here")
        while line := (await reader.readline()).decode():
            word = line.split(":")[0].split()[0].lower()
            if word == "rcpt":
                recipient = line.split("<")[1].split(">")[0]
                await say(self._once(recipient, "rcpt") or "250 fine")
            elif word == "data":
                await say("354 go on")
                while (await reader.readline()) != b".\r\n":
                    pass
                refusal = self._once(recipient, "data")
                if refusal is None:
                    self.taken.append(recipient)
                await say(refusal or "250 taken")
            elif word == "quit":
                break
            else:
                await say(failing("ehlo" if word == "helo" else word) or "250 fine")
        writer.close()

    def _once(self, address: str, phase: str) -> str | None:
        reply = self.by_address.get(address)
        if reply is None or reply.phase != phase or (address in self.answered and reply.fault != "address"):
            return None
        self.answered.add(address)
        return f"{reply.code} {reply.text.format(to=address, **{'from': 'no-reply@pobratym.example'})}"


@contextlib.asynccontextmanager
async def listening(server: Server, port: int) -> AsyncIterator[int]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", port)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


async def readers(scene: flow.Scene) -> dict[str, Published]:
    """Have a clinician for each reply, with a mail to them; gives the replies by address."""
    by_address = {}
    for published in UNDER_A_MAIL:
        async with scene.world.database.work(actor.TIMER) as w:
            person = await build.clinician(w, scene.asking)
            link = deliveries.NewLink(clock.new_id(), person.id, "sign_in", w.now + timedelta(days=1), w.now)
            await deliveries.mail(w, template="sign_in", person=person, values={}, links={"sign_in": link})
        by_address[person.email] = published
    return by_address


async def live(scene: flow.Scene, seconds: int, step: int) -> None:
    for _ in range(0, seconds, step):
        scene.clock.forward(seconds=step)
        await scene.sweep(mail_leaves=False)
        await mail_delivery.look_for_server(scene.world)
        await postoffice.deliver_all(scene)


@pytest.mark.slow
async def test_ft_23_after_three_hours_everything_leaves_within_two_minutes_and_nobody_is_marked_by_mistake(
    scene: flow.Scene,
) -> None:
    server = Server(await readers(scene))
    async with listening(server, 0) as port:
        pass  # the port is known, and nobody listens
    async with contextlib.aclosing(smtp.SmtpOutbox(f"smtp://127.0.0.1:{port}")) as outbox:
        scene.world.outbox = outbox
        await scene.request(priority="urgent")
        await live(scene, 170 * 60, 10 * 60)
        async with listening(server, port):
            for server.whole in BEFORE_ANY:  # it answers again, and takes nothing yet
                await live(scene, 60, 60)
            assert server.taken == []
            assert await scene.rows("SELECT 1 FROM delivery_attempt") == []
            server.whole = None
            await live(scene, 120, 10)
    rows = await scene.rows(
        "SELECT d.state, p.email, p.mail_refused_at, d.payload ->> 'template' AS template, d.offer_id"
        " FROM delivery d JOIN person p ON p.id = d.person_id"
    )
    marked = {row.email for row in rows if row.mail_refused_at}
    assert marked == {address for address, reply in server.by_address.items() if reply.fault == "address"}
    lost = [row for row in rows if row.state not in {"delivered", "refused"} and row.offer_id is None]
    assert lost == []
    assert {row.email for row in rows if row.state == "refused"} == marked
    offers = await scene.rows("SELECT state, is_undelivered, answer_by FROM offer")
    assert all(offer.state == "pending" or offer.is_undelivered for offer in offers)
    pending = [offer for offer in offers if offer.state == "pending"]
    assert len(pending) == 2
    assert all(offer.answer_by > scene.clock.now() + timedelta(hours=3) for offer in pending)
    mentors = {scene.people[name].email for name in ("mentor", "rival")}
    assert mentors <= set(server.taken)


def test_ft_23_the_table_has_thirty_replies_of_every_fault() -> None:
    assert len(REPLIES) >= 30
    assert len(UNDER_A_MAIL) >= 30
    assert {row.fault for row in UNDER_A_MAIL} == {"address", "mailbox", "ours", "server"}
