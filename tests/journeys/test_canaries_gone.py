"""Forty words, written into every text over the whole flow: after the erasure and after a role's end nobody finds one.

They are looked for in every row, opened with the keys, in the answers that are stored or told again, in waiting mails
and in the bytes of those that still leave, in exports, logs and metrics, and in what every route shows to who has lost
their role.
"""

import io
import json
import re
from email import message_from_bytes, policy

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.dialects.postgresql import BYTEA

import build
import postoffice
import targets
import world as simulated
from addressing import Kept
from api.edge import openapi
from integrations.runtime import logs
from integrations.runtime.world import World
from repeating import OF_THE_REGISTRY, PUBLIC, Repeating, the_story
from service import tables
from service.exchange import exports
from service.kernel import actor, crypto
from service.people import privacy

pytestmark = pytest.mark.races
FORTY = 40
OF_A_CALENDAR = ("canaryname", "canarymail")
"""A call that was booked is called off with the names that its invitation had; of the case's texts no mail has any."""


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> Repeating:
    """Everybody has a rare name and address, and everything was done that can be done."""
    made = Repeating(world, test_clock, client)
    await made.set_up()
    for who, person in made.people.items():
        person.display_name, person.email = f"Canaryname{who} Zebra", f"canarymail{who}@zebra.example"
        await made.rows(
            "UPDATE person SET display_name = :name, email = :email WHERE id = :id RETURNING 1",
            id=person.id,
            name=person.display_name,
            email=person.email,
        )
    return made


def words(text: str) -> list[str]:
    """Name the canaries that stand in the text, names and addresses of people among them."""
    kept = "|".join(OF_THE_REGISTRY)
    return sorted({word for word in re.findall(r"canary\w+", text.lower()) if not re.match(f"canary({kept})", word)})


async def close_everything(scene: Repeating) -> None:
    """Call off what is open: nobody is erased while something waits for them."""
    for row in await scene.rows(
        "SELECT id FROM consultation WHERE state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')"
    ):
        await scene.call("coordinator", "POST", f"/v1/consultations/{row.id}/cancel", {"reason": "other"})
    scene.clock.forward(days=1)
    await scene.sweep()


async def sent(scene: Repeating) -> list[tuple[str, str]]:
    """Let every mail that waits leave; gives whom they went to, and all that stands in them."""
    scene.world.outbox = kept = Kept()  # type: ignore[assignment]
    await scene.sweep(mail_leaves=False)
    await postoffice.deliver_all(scene)
    return [(recipient, _read(mail)) for recipient, mail in kept.mails]


def _read(mail: bytes) -> str:
    parts = message_from_bytes(mail, policy=policy.default).walk()
    texts = [part.get_payload(decode=True) for part in parts if not part.is_multipart()]
    return mail.decode() + "".join(text.decode() for text in texts if isinstance(text, bytes))


async def everything(scene: Repeating) -> str:
    """Give the text of every row of every table, with every sealed value opened."""
    texts = []
    async with scene.world.database.work(actor.TIMER) as w:
        for table in tables.metadata.sorted_tables:
            texts += list((await w.sql(sa.text(f'SELECT CAST(t AS text) FROM "{table.name}" t'))).scalars())
            for column in table.columns:
                if isinstance(column.type, BYTEA) and "id" in table.columns:
                    rows = await w.sql(sa.select(table.c.id, column).where(column.is_not(None)))
                    texts += [_opened(scene, row[1], row[0]) for row in rows]
        for kind in exports.RECORDS:
            texts.append(json.dumps(await exports.records(w, kind), default=str))
    return "\n".join(texts)


def _opened(scene: Repeating, value: bytes, row_id: object) -> str:
    try:
        return scene.world.keys.decrypt(value, row_id)  # type: ignore[arg-type]
    except (crypto.CannotDecrypt, IndexError, UnicodeDecodeError):
        return value.decode(errors="replace")


async def test_sec_02_after_the_erasure_forty_canaries_are_found_nowhere(scene: Repeating) -> None:
    stream = io.StringIO()
    logs.configure("debug", stream)
    try:
        await the_story(scene)
        await close_everything(scene)
        assert len(words(await everything(scene))) >= FORTY
        async with scene.world.database.work(actor.TIMER) as w:
            for address in [*(person.email for person in scene.people.values()), "canary.doctor@zebra2.example"]:
                await privacy.erase(w, address)
        mails = await sent(scene)
        metrics = (await scene.client.get("/metrics")).text
    finally:
        logs.configure("critical")

    assert words(await everything(scene)) == []
    assert words(metrics + stream.getvalue()) == []
    assert words(str(mails)) == []
    assert stream.getvalue() != ""


@pytest.mark.parametrize("who", ["clinician", "mentor", "rival", "coordinator", "partner", "admin"])
async def test_sec_02_who_lost_their_role_finds_no_canary_on_any_route(
    scene: Repeating, application: FastAPI, who: str
) -> None:
    await the_story(scene)
    await close_everything(scene)
    mine = scene.people[who]
    waiting = await scene.rows("SELECT id FROM delivery WHERE person_id = :id AND state = 'pending'", id=mine.id)
    assert waiting or who == "partner"  # mails that were written while they had the role: a partner gets none
    await scene.rows("DELETE FROM role_grant WHERE person_id = :id RETURNING 1", id=mine.id)
    await scene.rows("UPDATE person SET version = version + 1 WHERE id = :id RETURNING 1", id=mine.id)
    bearer = await build.bearer(scene.world, mine)
    kinds = ("consultation", "offer", "appointment", "session", "memorandum", "activity", "person", "client")
    ids = {kind: [str(row.id) for row in await scene.rows(f"SELECT id FROM {kind}")] for kind in kinds}

    shown = ""
    for path, operations in openapi.describe(application)["paths"].items():
        if "get" in operations and not path.startswith(PUBLIC):
            for address in addresses(path, ids):
                shown += (await scene.client.get(address, headers=bearer)).text
    for call in scene.told:
        if call.who == who and not call.path.startswith(PUBLIC):
            shown += (await scene.again(call)).text
    own = {mine.email.lower().split("@")[0], mine.display_name.lower().split()[0]}
    assert [word for word in words(shown) if word not in own] == []
    mails = "".join(text for recipient, text in await sent(scene) if recipient == mine.email)
    assert [word for word in words(mails) if not word.startswith(OF_A_CALENDAR)] == []


def addresses(path: str, ids: dict[str, list[str]]) -> list[str]:
    """Give the route's addresses: one for each row that it may be about, or the list's own."""
    names = re.findall(r"\{(\w+)\}", path)
    if not names:
        return [path]
    kind = path.split("/")[2]
    singular = {"people": "person", "mentors": "person", "activities": "activity", "memoranda": "memorandum"}
    rows = ids.get(singular.get(kind, kind.removesuffix("s")), [])
    return [targets.at({f"/v1/{kind}/": row}, path) for row in rows]
