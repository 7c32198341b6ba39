"""Who reads case text (invariant D1), that each read is remembered, and that ids in bodies and filters open nothing."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import access, actor

Json = dict[str, Any]
QUESTION = "Which second drug, and when?"


class Case:
    """A consultation of a department, whose mentor was asked."""

    asking: tables.Institution
    answering: tables.Institution
    memorandum: tables.Memorandum
    clinician: tables.Person
    coordinator: tables.Person
    mentor: tables.Person
    row: tables.Consultation
    offer: tables.Offer
    path: str


@pytest.fixture
async def case(world: World) -> Case:
    found = Case()
    async with world.database.work(actor.TIMER) as w:
        found.asking, found.answering = await build.institution(w), await build.partner(w)
        found.memorandum = await build.memorandum(w, found.asking, found.answering)
        found.clinician = await build.clinician(w, found.asking)
        found.coordinator = await build.coordinator(w, found.asking)
        found.mentor = await build.mentor(w, found.answering)
        found.row = await build.consultation(
            w, found.clinician, found.asking, question=QUESTION, department="neonatology", state="offered"
        )
        found.offer = await build.offer(w, found.row, found.mentor, found.memorandum)
    found.path = f"/v1/consultations/{found.row.id}"
    return found


async def question(
    world: World, client: httpx.AsyncClient, case: Case, who: tables.Person | tables.Client
) -> str | None:
    """What the person reads; raises KeyError when they do not see the consultation at all."""
    answer = await client.get(case.path, headers=await build.bearer(world, who))
    found: str | None = answer.json()["question"]
    return found


async def reads(world: World) -> list[tuple[object, object]]:
    async with world.database.work(actor.TIMER) as w:
        rows = await w.sql(sa.select(tables.Audit).where(sa.text("action = 'read_case_text'")))
        return [(row.person_id, row.subject_id) for row in rows.scalars()]


async def test_the_clinician_and_the_coordinator_read_the_question(
    world: World, client: httpx.AsyncClient, case: Case
) -> None:
    assert await question(world, client, case, case.clinician) == QUESTION
    assert await question(world, client, case, case.coordinator) == QUESTION


async def test_a_colleague_reads_it_in_the_same_department_only(
    world: World, client: httpx.AsyncClient, case: Case
) -> None:
    people = {}
    async with world.database.work(actor.TIMER) as w:
        for department in ("neonatology", "surgery", None):
            people[department] = await build.person(w)
            await build.grant(w, people[department], "clinician", case.asking)
            await w.sql(
                sa.update(tables.RoleGrant)
                .where(sa.text("person_id = :id").bindparams(id=people[department].id))
                .values(department=department)
            )
    assert await question(world, client, case, people["neonatology"]) == QUESTION
    for department in ("surgery", None):
        answer = await client.get(case.path, headers=await build.bearer(world, people[department]))
        assert answer.status_code == 404


async def test_where_no_department_is_recorded_it_is_nobodys_and_not_everybodys(
    world: World, client: httpx.AsyncClient, case: Case
) -> None:
    async with world.database.work(actor.TIMER) as w:
        colleague = await build.clinician(w, case.asking)
        (await w.read(tables.Consultation, case.row.id)).department = None
    as_colleague = await build.bearer(world, colleague)
    assert (await client.get(case.path, headers=as_colleague)).status_code == 404
    assert (await client.get("/v1/consultations", headers=as_colleague)).json()["items"] == []
    cancelled = await client.post(f"{case.path}/cancel", json={"reason": "other"}, headers=as_colleague)
    assert cancelled.status_code == 404
    assert await question(world, client, case, case.clinician) == QUESTION
    assert await question(world, client, case, case.coordinator) == QUESTION
    assert [person for person, _ in await reads(world)] == [case.clinician.id, case.coordinator.id]


async def test_who_hands_a_case_over_reads_it_no_longer(world: World, client: httpx.AsyncClient, case: Case) -> None:
    async with world.database.work(actor.TIMER) as w:
        colleague = await build.clinician(w, case.asking)
    as_clinician = await build.bearer(world, case.clinician)
    body = {"clinician_id": str(colleague.id)}
    answer = await client.post(f"{case.path}/assign", json=body, headers=as_clinician)
    assert (answer.status_code, answer.json()["question"]) == (200, None)
    assert (await client.get(case.path, headers=as_clinician)).status_code == 404
    assert await question(world, client, case, colleague) == QUESTION


async def test_the_verbs_take_no_unknown_department_for_the_same(world: World, case: Case) -> None:
    async with world.database.work(actor.TIMER) as w:
        colleague = await build.clinician(w, case.asking)
        case.row.department = None
        who = {person.id: await build.actor(w, person) for person in (colleague, case.clinician, case.coordinator)}
    sides = {}
    for person_id, acting in who.items():
        async with world.database.work(acting) as w:
            sides[person_id] = access.is_requesting_side(w, case.row)
    assert sides == {colleague.id: False, case.clinician.id: True, case.coordinator.id: True}


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("pending", QUESTION),
        ("countered", QUESTION),
        ("accepted", QUESTION),
        ("declined", None),
        ("expired", None),
        ("withdrawn", None),
    ],
)
async def test_a_mentor_reads_it_while_the_offer_is_theirs(
    world: World, client: httpx.AsyncClient, case: Case, state: str, text: str | None
) -> None:
    async with world.database.work(actor.TIMER) as w:
        (await w.read(tables.Offer, case.offer.id)).state = state
    assert await question(world, client, case, case.mentor) == text


async def test_admins_and_systems_see_the_case_without_its_text(
    world: World, client: httpx.AsyncClient, case: Case
) -> None:
    async with world.database.work(actor.TIMER) as w:
        admin, system = await build.admin(w), await build.system(w, case.asking)
    assert await question(world, client, case, admin) is None
    assert await question(world, client, case, system) is None
    assert await reads(world) == []


async def test_the_other_sides_coordinator_sees_the_offer_and_not_the_case(
    world: World, client: httpx.AsyncClient, case: Case
) -> None:
    async with world.database.work(actor.TIMER) as w:
        partner = await build.bearer(world, await build.coordinator(w, case.answering))
    assert (await client.get(case.path, headers=partner)).status_code == 404
    offer = await client.get(f"/v1/offers/{case.offer.id}", headers=partner)
    assert offer.status_code == 200
    assert QUESTION not in offer.text


async def test_each_read_is_remembered(world: World, client: httpx.AsyncClient, case: Case) -> None:
    await question(world, client, case, case.clinician)
    await question(world, client, case, case.mentor)
    assert await reads(world) == [(case.clinician.id, case.row.id), (case.mentor.id, case.row.id)]


async def test_lists_hold_no_case_text(world: World, client: httpx.AsyncClient, case: Case) -> None:
    headers = await build.bearer(world, case.clinician)
    for path in ("/v1/consultations", "/v1/offers", "/v1/appointments"):
        answer = await client.get(path, headers=headers)
        assert answer.status_code == 200
        assert QUESTION not in answer.text
    assert await reads(world) == []


async def test_audit_rows_cannot_be_changed(world: World, client: httpx.AsyncClient, case: Case) -> None:
    await question(world, client, case, case.clinician)
    for change in ("UPDATE audit SET action = 'nothing'", "DELETE FROM audit"):
        with pytest.raises(sa.exc.DBAPIError):
            async with world.database.work(actor.TIMER) as w, w.savepoint():
                await w.sql(sa.text(change))


def _wish(**fields: object) -> Json:
    wish = {"specialty": "paediatrics", "priority": "routine", "mode": "live", "question": QUESTION}
    return wish | {"languages": ["en"], "age_band": "child", "duration_minutes": 30} | fields


async def test_a_coordinator_files_for_no_clinician_of_another_institution(
    world: World, client: httpx.AsyncClient, case: Case
) -> None:
    async with world.database.work(actor.TIMER) as w:
        stranger = await build.clinician(w, await build.institution(w))
    headers = await build.bearer(world, case.coordinator)
    nobody = str(case.offer.id)
    answers = [
        await client.post("/v1/consultations", json=_wish(clinician_id=clinician_id), headers=headers)
        for clinician_id in (str(stranger.id), nobody)
    ]
    assert answers[0].status_code in {404, 422}
    assert _anonymous(answers[0]) == _anonymous(answers[1])


async def test_a_case_is_handed_to_no_clinician_of_another_institution(
    world: World, client: httpx.AsyncClient, case: Case
) -> None:
    async with world.database.work(actor.TIMER) as w:
        stranger = await build.clinician(w, await build.institution(w))
    headers = await build.bearer(world, case.coordinator)
    answers = [
        await client.post(f"{case.path}/assign", json={"clinician_id": clinician_id}, headers=headers)
        for clinician_id in (str(stranger.id), str(case.offer.id))
    ]
    assert answers[0].status_code in {404, 422}
    assert _anonymous(answers[0]) == _anonymous(answers[1])


async def test_a_case_follows_no_case_of_another_institution(
    world: World, client: httpx.AsyncClient, case: Case
) -> None:
    async with world.database.work(actor.TIMER) as w:
        elsewhere = await build.institution(w)
        other = await build.consultation(w, await build.clinician(w, elsewhere), elsewhere)
    headers = await build.bearer(world, case.clinician)
    answers = [
        await client.post("/v1/consultations", json=_wish(follows_id=follows_id), headers=headers)
        for follows_id in (str(other.id), str(case.offer.id))
    ]
    assert answers[0].status_code in {404, 422}
    assert _anonymous(answers[0]) == _anonymous(answers[1])


@pytest.mark.parametrize("verb", ["offers", "holds"])
async def test_a_mentor_whom_no_memorandum_reaches_is_asked_by_nobody(
    world: World, client: httpx.AsyncClient, case: Case, verb: str
) -> None:
    async with world.database.work(actor.TIMER) as w:
        stranger = await build.mentor(w)
        clinician = await build.clinician(w, case.asking)
    headers = await build.bearer(world, case.coordinator)
    extra = {"starts_at": "2026-11-18T10:00:00Z"} if verb == "holds" else {}
    for mentor_id in (stranger.id, clinician.id, case.offer.id):
        body = {"mentor_id": str(mentor_id)} | extra
        answer = await client.post(f"{case.path}/{verb}", json=body, headers=headers)
        assert answer.status_code in {403, 404, 422}, answer.text
    async with world.database.work(actor.TIMER) as w:
        assert (await w.sql(sa.text("SELECT count(*) FROM offer"))).scalar_one() == 1


def _anonymous(answer: httpx.Response) -> Json:
    return {name: value for name, value in answer.json().items() if name != "instance"}
