"""What a unit of work writes at its end, in one statement: the rows that an INSERT for each table writes, or none."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock, closing, fanout, queue
from service.kernel.work import Work
from service.outbox import deliveries, events

AT = datetime(2026, 11, 16, 8, 0, 0, 123456, tzinfo=UTC)
TEXTS = [
    "",
    "null",
    "NULL",
    "'); DROP TABLE event; --",
    'a "quoted" \\ one',
    "{}",
    "[1,2]",
    "Лікарня №5 ₴",
    "🩺\n\t\r",
    "$1",
]


@contextmanager
def heard(world: World) -> Iterator[list[str]]:
    """Give the statements that are sent meanwhile."""
    statements: list[str] = []

    def hear(_c: object, _k: object, statement: str, *_: object) -> None:
        statements.append(statement)

    sa.event.listen(world.engine.sync_engine, "before_cursor_execute", hear)
    yield statements
    sa.event.remove(world.engine.sync_engine, "before_cursor_execute", hear)


def rows_of_each_table(person: UUID, text: str) -> dict[type[SQLModel], dict[str, Any]]:
    """Give a row of each table that is written so, with a text wherever there may be any."""
    ids = [clock.new_id() for _ in range(3)]
    return {
        tables.Event: {
            "id": clock.new_id(), "position": None, "type": "consultation.opened", "subject_id": ids[0],
            "subject_version": 2**31 - 1, "programme_id": None, "memorandum_id": ids[1], "institution_ids": ids,
            "person_ids": [], "occurred_at": AT, "body": text,
        },
        tables.Link: {
            "id": clock.new_id(), "person_id": person, "purpose": "sign_in", "subject_id": None, "starts_at": None,
            "expires_at": AT.astimezone(timezone(timedelta(hours=5, minutes=45))), "created_at": AT,
        },
        tables.Delivery: {
            "id": clock.new_id(), "kind": "mail", "person_id": person, "next_attempt_at": AT, "created_at": AT,
            "payload": {text: [text, None, 1.5, {"a": True}]}, "sealed_address": bytes(range(256)),
            "useless_after": None, "request_id": text, "traceparent": None,
        },
        tables.Audit: {
            "id": clock.new_id(), "at": AT, "actor_kind": "timer", "person_id": None, "action": "read_case_text",
            "subject": text, "subject_id": ids[2], "request_id": None, "details": {"text": text, "n": 2**40},
        },
    }  # fmt: skip


async def _stored(w: Work, kind: type[SQLModel], row_id: UUID) -> Mapping[str, Any]:
    table: Any = sa.inspect(kind).local_table
    row = (await w.sql(sa.select(table).where(table.c.id == row_id))).one()
    return {name: value for name, value in row._asdict().items() if name != "id"}


@pytest.mark.parametrize("text", TEXTS)
async def test_the_rows_are_those_that_an_insert_for_each_table_writes(world: World, text: str) -> None:
    async with world.database.work(actor.TIMER) as w:
        person = (await build.person(w)).id
    here = rows_of_each_table(person, text)
    async with world.database.work(actor.TIMER) as w:
        for kind, row in here.items():
            w.write(kind, row)
    async with world.database.work(actor.TIMER) as w:
        for kind, row in here.items():
            by_insert = row | {"id": clock.new_id()} | ({"subject_id": clock.new_id()} if kind is tables.Event else {})
            await w.sql(sa.insert(sa.inspect(kind).local_table), by_insert)
            written, inserted = await _stored(w, kind, row["id"]), await _stored(w, kind, by_insert["id"])
            but = {"subject_id"} if kind is tables.Event else set()
            assert {k: v for k, v in written.items() if k not in but} == {
                k: v for k, v in inserted.items() if k not in but
            }


async def test_events_webhooks_mails_links_audit_and_jobs_are_one_statement(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        person = await build.person(w)
    with heard(world) as statements:
        async with world.database.work(actor.TIMER) as w:
            for kind, row in rows_of_each_table(person.id, "a").items():
                w.write(kind, row)
            w.jobs.append(queue.Job(clock.new_id(), 0, 0))
    assert len([each for each in statements if "SAVEPOINT" not in each]) == 1


@pytest.mark.parametrize("text", TEXTS)
async def test_new_rows_of_a_case_are_the_same_whether_the_session_knows_them_or_not(world: World, text: str) -> None:
    async with world.database.work(actor.TIMER) as w:
        place, other = await build.institution(w), await build.institution(w)
        clinician, mentor = await build.clinician(w, place), await build.mentor(w, other)
        like = await build.consultation(
            w, clinician, place, department=text, tags=[text, "a,b", '{"}'], consent_given_on=AT.date(),
            excluded_mentors=[clock.new_id()], note=bytes(range(256)),
        )  # fmt: skip
        terms = {"score": 0.1 + 0.2, text: [None, True]}
        memorandum = await build.memorandum(w, place, other)
        asked = await build.offer(w, like, mentor, memorandum, terms=terms, override_reason=b"")
    made = []
    for is_known in (False, True):
        case = tables.Consultation(**like.model_dump() | {"id": clock.new_id(), "number": None})
        offer = tables.Offer(**asked.model_dump() | {"id": clock.new_id(), "consultation_id": case.id})
        with heard(world) as statements:
            async with world.database.work(actor.TIMER) as w:
                w.add(case, offer)
                w.add(tables.ConsultationWindow(consultation_id=case.id, from_at=AT, until_at=AT + timedelta(hours=1)))
                if is_known:
                    await w.flush()
        made.append((case.id, offer.id, [each for each in statements if "INSERT" in each]))
    (case_id, offer_id, late), (other_case_id, other_offer_id, known) = made
    assert (len(late), len(known)) == (2, 3)
    async with world.database.work(actor.TIMER) as w:
        rows = [
            await _stored(w, tables.Consultation, case_id), await _stored(w, tables.Offer, offer_id),
            await _stored(w, tables.Consultation, other_case_id), await _stored(w, tables.Offer, other_offer_id),
        ]  # fmt: skip
        assert rows[0] == {**rows[2], "number": rows[0]["number"]}  # the database draws one for each
        assert rows[1] == {**rows[3], "consultation_id": case_id}
        assert (rows[1]["case_clinician_id"], rows[1]["case_department"]) == (clinician.id, text)
        windows = await w.sql(sa.text("SELECT from_at, until_at FROM consultation_window"))
        assert [tuple(row) for row in windows] == [(AT, AT + timedelta(hours=1))] * 2


async def test_thousands_of_rows_are_written_in_parts_and_each_once(world: World) -> None:
    count = closing.AT_ONCE + 1
    async with world.database.work(actor.TIMER) as w:
        place = await build.institution(w)
        endpoint = await _endpoint(w, place.id)
        person = await build.person(w)
    with heard(world) as statements:
        async with world.database.work(actor.TIMER) as w:
            for _ in range(count):
                _event(w, place.id)
                await deliveries.mail(w, template="receipt", person=person, values={})
    assert len([each for each in statements if each.startswith("WITH new_")]) == 4
    async with world.database.work(actor.TIMER) as w:
        told = await w.sql(sa.text("SELECT endpoint_id, event_id FROM delivery WHERE kind = 'webhook'"))
        assert Counter(row.endpoint_id for row in told) == {endpoint: count}
        mails = (await w.sql(sa.text("SELECT CAST(id AS text) FROM delivery WHERE kind = 'mail'"))).scalars().all()
        jobs = (await w.sql(sa.text("SELECT split_part(dedupe_key, ':', 1) FROM queue.pgqueuer"))).scalars().all()
        assert (len(mails), sorted(mails)) == (count, sorted(jobs))


def _event(w: Work, place: UUID) -> None:
    audience = events.Audience(institution_ids=(place,))
    events.record(w, "mentor.availability_changed", None, clock.new_id(), audience, state="active")


async def _endpoint(w: Work, place: UUID, **fields: Any) -> UUID:  # noqa: ANN401 - any column
    row = tables.WebhookEndpoint(
        id=clock.new_id(), created_at=w.now, institution_id=place, url="https://partner.test/hook", **fields
    )
    w.add(row)
    return row.id


@pytest.mark.races
async def test_the_workers_that_listen_are_told_of_each_endpoint_once_and_after_the_commit(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        place = await build.institution(w)
        told = {str(await _endpoint(w, place.id)) for _ in range(2)}
        await _endpoint(w, place.id, types=["offer.sent"])
        await _endpoint(w, place.id, deleted_at=w.now)
        await _endpoint(w, (await build.institution(w)).id)
    said: list[str] = []
    is_said = asyncio.Event()

    def hear(*notice: object) -> None:
        said.append(str(notice[-1]))
        if len(said) >= len(told):
            is_said.set()

    listening = await world.connector.connect({"application_name": "test"})
    await listening.add_listener(fanout.CHANNEL, hear)
    try:
        async with world.database.work(actor.TIMER) as w:
            for _ in range(3):
                _event(w, place.id)
            await w.finish()
            await listening.execute("SELECT 1")  # what was said by now has been heard
            assert said == []
        async with asyncio.timeout(60):
            await is_said.wait()
        await listening.execute("SELECT 1")
    finally:
        await listening.close()
    assert sorted(said) == sorted(told)


@pytest.mark.races
async def test_a_row_that_is_refused_takes_all_others_back(world: World) -> None:
    async def in_vain() -> None:
        async with world.database.work(actor.TIMER) as w:
            for kind, row in rows_of_each_table(clock.new_id(), "a").items():  # nobody with this id
                w.write(kind, row)
            w.jobs.append(queue.Job(clock.new_id(), 0, 0))

    with pytest.raises(sa.exc.IntegrityError):
        await in_vain()
    async with world.database.work(actor.TIMER) as w:
        for name in ("event", "link", "delivery", "audit", "queue.pgqueuer"):
            assert (await w.sql(sa.text(f"SELECT count(*) FROM {name}"))).scalar_one() == 0, name


@pytest.mark.races
async def test_a_job_that_is_in_the_queue_is_not_put_twice(world: World) -> None:
    job = clock.new_id()
    for attempt in (0, 0, 1):
        async with world.database.work(actor.TIMER) as w:
            w.jobs.append(queue.Job(job, attempt, 2))
    async with world.database.work(actor.TIMER) as w:
        rows = (await w.sql(sa.text("SELECT payload, priority, dedupe_key FROM queue.pgqueuer ORDER BY id"))).all()
    assert [tuple(row) for row in rows] == [(job.bytes, 2, f"{job}:0"), (job.bytes, 2, f"{job}:1")]


def test_what_has_no_form_in_a_row_is_refused() -> None:
    with pytest.raises(TypeError):
        json.dumps(object(), default=closing._text)
