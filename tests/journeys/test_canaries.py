"""No case text leaves the building: strings put into every free-text field, over the whole flow and its errors.

They are looked for in every mail, log line, event, metric, problem document and row: what is kept is sealed.
"""

import dataclasses
import io
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

import build
import flow
import letterbox
import world as simulated
from flow import Scene
from integrations.mail import maildir
from integrations.runtime import logs, mail_delivery
from integrations.runtime.world import World

pytestmark = pytest.mark.races

SEALED = (
    "question",
    "cancelnote",
    "withdrawnote",
    "declinenote",
    "overridereason",
    "advice",
    "conclusion",
    "corrected",
    "feedbacknote",
)
NOTES = ("cancelnote", "withdrawnote", "declinenote")
"""Those of the sealed ones that the requesting side reads again."""
PLAIN = {"department": ("consultation", "offer", "appointment")}
"""What is no case text but leaves the building as little: kept readable, in those tables only (decision 0072)."""
REFUSED = ("unknownfield", "toolong", "phone", "badjson", "path", "query", "header", "late", "broken")


def canary(field: str) -> str:
    """Give a word that stands nowhere else, and names nobody."""
    return f"canary{field}zebra"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that is logged, at the lowest level."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    stream = io.StringIO()
    logs.configure("debug", stream)
    yield stream
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()
    logs.configure("critical")


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient, tmp_path: Path) -> Scene:
    settings = world.settings.model_copy(update={"data_dir": tmp_path})
    own = dataclasses.replace(world, settings=settings, outbox=maildir.MaildirOutbox(settings.mail_dir))
    made = Scene(own, test_clock, client)
    await made.set_up()
    return made


async def the_flow(scene: Scene) -> list[httpx.Response]:
    """Walk every step that takes free text; give what the strangers of the case are answered."""
    case = scene.wish(question=canary("question"), department=canary("department"))
    key = {"Idempotency-Key": "canary"}
    asked = (await scene.call("clinician", "POST", "/v1/consultations", case, status=201, headers=key)).json()["id"]
    theirs = await scene.offer("rival")
    declined = {"reason": "busy", "note": canary("declinenote")}
    await scene.call("rival", "POST", f"/v1/offers/{theirs['id']}/decline", declined, status=200)
    mine = await scene.offer()
    booked = await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})
    cancel = {"reason": "illness", "note": canary("cancelnote")}
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/cancel", cancel)
    await scene.post(
        "clinician",
        f"/v1/consultations/{asked}/cancel",
        {"reason": "other", "note": canary("withdrawnote")},
    )
    paths = [f"/v1/consultations/{asked}", f"/v1/offers/{theirs['id']}", f"/v1/appointments/{booked['id']}"]
    lists = ["/v1/consultations", "/v1/offers", "/v1/appointments"]
    strangers = [
        await scene.call(who, "GET", path)
        for who in ("admin", "partner", "rival", "mentor")
        for path in (*paths, *lists)
    ]
    strangers += [await scene.call("clinician", "GET", path) for path in lists]
    own = [await scene.call("clinician", "GET", path, status=200) for path in paths]
    said = "".join(answer.text for answer in own)
    assert [field for field in NOTES if canary(field) not in said] == []
    await written(scene)
    strangers += await spoken(scene)
    await by_hand(scene)
    return strangers


async def written(scene: Scene) -> None:
    asked = await scene.request(mode="written", question=canary("question"))
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept")
    body = {"text": canary("advice"), "minutes": 20}
    await scene.post("mentor", f"/v1/consultations/{asked}/advice", body, 201)
    body = {"text": canary("late"), "minutes": 20}
    await scene.call("mentor", "POST", f"/v1/consultations/{asked}/advice", body, status=409)


async def spoken(scene: Scene) -> list[httpx.Response]:
    booked = await scene.booked()
    start = flow.read_instant(booked["starts_at"])
    scene.clock.set(start + timedelta(hours=1))
    body = {
        "started_at": flow.instant(start),
        "ended_at": flow.instant(start + timedelta(minutes=20)),
        "outcome": "advice_given",
        "conclusion": canary("conclusion"),
    }
    logged = await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", body, 201)
    await scene.post(
        "mentor", f"/v1/sessions/{logged['id']}/corrections", body | {"conclusion": canary("corrected")}, 201
    )
    feedback = {"is_useful": True, "note": canary("feedbacknote")}
    path = f"/v1/sessions/{logged['id']}/feedback"
    answer = await scene.call("clinician", "POST", path, feedback)
    assert answer.is_success, answer.text
    assert canary("feedbacknote") in (await scene.call("mentor", "GET", path, status=200)).text
    return [await scene.call(who, "GET", path) for who in ("admin", "partner", "rival")]


async def by_hand(scene: Scene) -> None:
    await scene.rows("UPDATE memorandum SET budget_minutes = 1, budget_per = 'total' RETURNING 1")
    asked = await scene.request(question=canary("question"))
    body = {
        "mentor_id": str(scene.people["mentor"].id),
        "override": {"rule": "budget_spent", "reason": canary("overridereason")},
    }
    await scene.post("coordinator", f"/v1/consultations/{asked}/offers", body, 201)


async def the_errors(scene: Scene) -> list[httpx.Response]:
    """Make every kind of refusal that has seen free text, and one failure that nobody foresaw."""
    path, wish = "/v1/consultations", scene.wish()
    call = scene.call
    answers = [
        await call("clinician", "POST", path, wish | {"unknown": canary("unknownfield")}),
        await call("clinician", "POST", path, wish | {"question": canary("toolong") * 10_000}),
        await call("clinician", "POST", path, wish | {"question": f"{canary('phone')} +380 67 123 45 67"}),
        await call("clinician", "GET", f"{path}/{canary('path')}"),
        await call("clinician", "GET", f"{path}?state={canary('query')}"),
        await call("clinician", "POST", path, wish, headers={"Idempotency-Key": canary("header") * 30}),
    ]
    bearer = await build.bearer(scene.world, scene.people["clinician"])
    headers = {"Content-Type": "application/json"} | bearer
    answers.append(
        await scene.client.post(path, content=b'{"question": "' + canary("badjson").encode(), headers=headers)
    )
    await scene.rows("ALTER TABLE consultation ADD CONSTRAINT surprise CHECK (department IS NULL) NOT VALID")
    broken = wish | {"question": canary("broken"), "department": canary("broken")}
    answers.append(await call("clinician", "POST", path, broken))
    await scene.rows("ALTER TABLE consultation DROP CONSTRAINT surprise")
    return answers


async def everything_kept(scene: Scene) -> dict[str, str]:
    """Give the text of all rows by table, octets as hexadecimal."""
    tables = await scene.rows(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    kept = {}
    for table in tables:
        rows = await scene.rows(f'SELECT CAST(t AS text) AS said FROM "{table.schemaname}"."{table.tablename}" AS t')
        kept[table.tablename] = "\n".join(row.said for row in rows)
    return kept


def traces(text: str, words: list[str]) -> list[str]:
    """Name the words that stand in the text, plain, as hexadecimal octets, or as base64."""
    return [word for word in words if word in text or word.encode().hex() in text]


WORDS = [canary(field) for field in (*SEALED, *PLAIN, *REFUSED)]


async def deliver_all(scene: Scene) -> None:
    for row in await scene.rows("SELECT id FROM delivery WHERE state = 'pending'"):
        await mail_delivery.deliver(scene.world, row.id)


async def test_no_case_text_in_any_row_mail_log_metric_or_strangers_answer(scene: Scene, lines: io.StringIO) -> None:
    strangers = await the_flow(scene)
    await scene.sweep()
    await deliver_all(scene)
    kept = await everything_kept(scene)
    assert [row.n for row in await scene.rows("SELECT count(*) AS n FROM consultation WHERE question IS NOT NULL")] != [
        0
    ]
    for field, table in ((field, table) for field, readable_in in PLAIN.items() for table in readable_in):
        assert canary(field) in kept[table]
        kept[table] = kept[table].replace(canary(field), "")
    assert {table: traces(text, WORDS) for table, text in kept.items() if traces(text, WORDS)} == {}
    mails = [letter(path) for path in (scene.world.settings.mail_dir / "new").iterdir()]
    assert len(mails) > 10
    assert traces("\n".join(mails), WORDS) == []
    metrics = await scene.client.get("/metrics")
    assert metrics.status_code == 200
    assert traces(metrics.text + lines.getvalue(), WORDS) == []
    assert traces("\n".join(answer.text for answer in strangers), [canary(field) for field in SEALED]) == []
    assert lines.getvalue() != ""


async def test_no_case_text_in_any_problem_document_or_what_is_logged_of_it(scene: Scene, lines: io.StringIO) -> None:
    answers = await the_errors(scene)
    assert {answer.status_code for answer in answers} == {400, 404, 422, 500}
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert traces("\n".join(answer.text for answer in answers), WORDS) == []
    assert traces(lines.getvalue(), WORDS) == []
    assert "error" in lines.getvalue()


async def test_a_trace_would_be_found(scene: Scene) -> None:
    await scene.rows("UPDATE person SET display_name = :word RETURNING 1", word=canary("question"))
    await scene.rows("UPDATE consultation SET note = :octets RETURNING 1", octets=canary("advice").encode())
    await scene.request()
    await scene.rows("UPDATE consultation SET note = :octets RETURNING 1", octets=canary("advice").encode())
    kept = await everything_kept(scene)
    assert traces(kept["person"], WORDS) == [canary("question")]
    assert traces(kept["consultation"], WORDS) == [canary("advice")]


def letter(path: Path) -> str:
    """Read a mail with all its parts decoded, and as it lies there."""
    message = path.read_bytes()
    parts: list[Any] = [part.get_payload(decode=True) for part in letterbox.parts(message)]
    return message.decode() + "".join(part.decode() for part in parts if part)
