"""Files over the API: sent, checked, looked at, loaded; by whom, how large, and what survives a killed worker."""

import io
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from api.exchange import import_work as work
from integrations.documents import opened_files
from integrations.runtime.world import World
from service import housekeeping, tables
from service.kernel import actor
from service.people import privacy
from world import TestClock

HOSPITALS = "Код;Назва;Вид\r\nx-one;Перша лікарня;лікарня\r\nx-two;Друга лікарня;лікарня\r\n"


MISREAD = "Лікарня".encode().decode("cp1251")


class Office:
    """An admin, a coordinator and a clinician, and what they send."""

    def __init__(self, world: World, client: httpx.AsyncClient) -> None:
        self.world, self.client = world, client
        self.headers: dict[str, dict[str, str]] = {}

    async def open(self) -> "Office":
        async with self.world.database.work(actor.TIMER) as w:
            self.programme = await build.programme(w)
            self.place = await build.institution(w, code="ua-one")
            self.foreign = await build.institution(w, code="ua-two")
            self.stranger = await build.clinician(w, self.foreign)
            people = {
                "admin": await build.admin(w, self.programme),
                "coordinator": await build.coordinator(w, self.place),
                "clinician": await build.clinician(w, self.place),
            }
        self.people = people
        self.headers = {name: await build.bearer(self.world, person) for name, person in people.items()}
        return self

    async def send(self, who: str, kind: str, content: bytes, **form: str) -> httpx.Response:
        headers = self.headers[who] | {key: form.pop(key) for key in ("Idempotency-Key",) if key in form}
        files = {"file": ("x.csv", io.BytesIO(content))}
        return await self.client.post("/v1/imports", data={"kind": kind, **form}, files=files, headers=headers)

    async def checked(self, who: str, kind: str, content: bytes, **form: str) -> dict[str, Any]:
        """Send a file and let the worker see to it; gives what can be read then."""
        answer = await self.send(who, kind, content, **form)
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "checking"
        assert await work.once(self.world)
        return await self.read(who, answer.headers["Location"])

    async def read(self, who: str, path: str) -> dict[str, Any]:
        answer = await self.client.get(path, headers=self.headers[who])
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def load(self, who: str, found: dict[str, Any], **wish: bool) -> dict[str, Any]:
        path = f"/v1/imports/{found['id']}"
        answer = await self.client.post(f"{path}/load", json=wish, headers=self.headers[who])
        assert (answer.status_code, answer.json()["state"]) == (202, "loading"), answer.text
        assert await work.once(self.world)
        return await self.read(who, path)


@pytest.fixture
async def office(world: World, client: httpx.AsyncClient) -> Office:
    return await Office(world, client).open()


async def institutions(office: Office) -> set[str]:
    async with office.world.database.work(actor.TIMER) as w:
        return set((await w.sql(sa.text("SELECT code FROM institution WHERE code LIKE 'x-%'"))).scalars())


async def test_ft_24_a_file_is_checked_first_and_loaded_when_its_sender_says_so(office: Office) -> None:
    found = await office.checked("admin", "institutions", HOSPITALS.encode("cp1251"), lang="uk")
    assert (found["state"], found["rows_done"], found["rows_total"], found["faults"]) == ("checked", 2, 2, [])
    assert found["summary"] == {"added": 2, "changed": 0, "same": 0, "columns": [], "asks": []}
    assert found["warnings"] == [{"row": 1, "column": "", "letter": None, "reason": "прочитано в кодуванні cp1251"}]
    assert await institutions(office) == set()
    found = await office.load("admin", found)
    assert (found["state"], found["summary"]["added"]) == ("loaded", 2)
    assert await institutions(office) == {"x-one", "x-two"}
    async with office.world.database.work(actor.TIMER) as w:
        row = await w.read(tables.ImportFile, (await w.sql(sa.text("SELECT id FROM import_file"))).scalar_one())
        assert row.content is None
        by = (await w.sql(sa.text("SELECT person_id FROM audit WHERE action = 'imported'"))).scalars().all()
    assert by == [office.people["admin"].id]


async def test_ft_24_without_a_dry_run_a_file_without_questions_is_loaded_at_once(office: Office) -> None:
    found = await office.checked("admin", "institutions", HOSPITALS.encode(), dry_run="false")
    assert found["state"] == "loaded"
    assert await institutions(office) == {"x-one", "x-two"}


async def test_ft_24_a_refused_file_names_every_fault_with_row_and_letter(office: Office) -> None:
    text = HOSPITALS.replace("x-two", "x two").replace("лікарня\r\nx t", "\r\nx t")
    found = await office.checked("admin", "institutions", text.encode(), lang="uk", dry_run="false")
    assert (found["state"], found["summary"]) == ("refused", None)
    assert [(each["row"], each["letter"], each["column"]) for each in found["faults"]] == [
        (2, "C", "kind"),
        (3, "A", "code"),
    ]
    assert await institutions(office) == set()
    again = await office.client.post(f"/v1/imports/{found['id']}/load", json={}, headers=office.headers["admin"])
    assert again.status_code == 409


async def test_ft_25_what_has_to_be_confirmed_is_asked_and_then_done(office: Office) -> None:
    head, rows = "code,kind,name", [f"x-{place},hospital,00{place}" for place in range(5)]
    await office.checked("admin", "institutions", "\n".join([head, *rows]).encode(), dry_run="false")
    changed = "\n".join([head, *(row.replace(",00", ",") for row in rows)]).encode()
    found = await office.checked("admin", "institutions", changed, dry_run="false")
    assert (found["state"], found["summary"]["asks"]) == ("checked", ["changes_most"])
    assert found["summary"]["columns"][0]["examples"][0] == {"row": 2, "now": "0", "before": "000"}
    refused = await office.load("admin", found)
    assert refused["state"] == "refused"
    found = await office.checked("admin", "institutions", changed)
    assert (await office.load("admin", found, may_change_most=True))["state"] == "loaded"


async def test_ft_26_a_damaged_name_is_asked_about(office: Office) -> None:
    found = await office.checked(
        "admin", "institutions", f"code,kind,name\nx-d,hospital,{MISREAD}".encode(), dry_run="false"
    )
    assert (found["state"], found["summary"]["asks"]) == ("checked", ["looks_damaged"])
    assert (await office.load("admin", found, may_be_damaged=True))["state"] == "loaded"


async def test_a_mapping_comes_with_the_file_or_is_a_ready_one(office: Office) -> None:
    text = b"Code,Display Name,Section\nX1,A physician,Individual\n"
    assert (await office.checked("admin", "specialties", text, map="nucc"))["summary"]["added"] == 1
    own = 'kind = "specialties"\n[columns]\nCode = "code"\n[constants]\nname_en = "N"\nname_uk = "N"\n'
    assert (await office.checked("admin", "specialties", text, map=own))["summary"]["added"] == 1
    assert (await office.checked("admin", "specialties", text, map="ships"))["state"] == "refused"
    assert (await office.checked("admin", "people", text, map="nucc"))["state"] == "refused"


async def test_a_coordinator_sends_people_of_their_own_institution_only(office: Office) -> None:
    head = "email,display_name,zone,roles\n"
    own = f"{head}new@ua.example,Нова,Europe/Kyiv,clinician@ua-one\n"
    assert (await office.checked("coordinator", "people", own.encode(), dry_run="false"))["state"] == "loaded"
    for line in (
        "other@ua.example,X,Europe/Kyiv,clinician@ua-two",
        f"{office.stranger.email},X,Europe/Kyiv,clinician@ua-one",
        "boss@ua.example,X,Europe/Kyiv,programme_admin@ua-partnership",
    ):
        assert (await office.checked("coordinator", "people", (head + line).encode(), dry_run="false"))["state"] in (
            "refused",
            "failed",
        )
    assert (await office.send("coordinator", "institutions", HOSPITALS.encode())).status_code == 403
    assert (await office.send("clinician", "people", own.encode())).status_code == 403


async def test_rights_are_those_of_the_moment_in_which_it_is_loaded(office: Office) -> None:
    found = await office.checked("admin", "institutions", HOSPITALS.encode())
    path = f"/v1/imports/{found['id']}"
    await office.client.post(f"{path}/load", json={}, headers=office.headers["admin"])
    async with office.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("DELETE FROM role_grant WHERE role = 'programme_admin'"))
    assert await work.once(office.world)
    assert (await office.client.get(path, headers=office.headers["admin"])).status_code == 404
    async with office.world.database.work(actor.TIMER) as w:
        assert (await w.sql(sa.text("SELECT state FROM import_file"))).scalar_one() == "refused"
    assert await institutions(office) == set()


async def test_nobody_reads_or_loads_the_file_of_another(office: Office) -> None:
    found = await office.checked("admin", "institutions", HOSPITALS.encode())
    for answer in (
        await office.client.get(f"/v1/imports/{found['id']}", headers=office.headers["coordinator"]),
        await office.client.post(f"/v1/imports/{found['id']}/load", json={}, headers=office.headers["coordinator"]),
    ):
        assert answer.status_code == 404


async def test_a_file_sent_twice_under_one_key_is_one_file(office: Office) -> None:
    key = {"Idempotency-Key": "one"}
    first = await office.send("admin", "institutions", HOSPITALS.encode(), **key)
    second = await office.send("admin", "institutions", HOSPITALS.encode(), **key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert (await office.send("admin", "institutions", b"other", **key)).status_code == 422


async def test_a_file_that_is_too_large_is_refused(office: Office) -> None:
    assert (await office.send("admin", "people", b"x" * (opened_files.MOST_BYTES + 1))).status_code == 413
    assert (await office.send("admin", "people", b"x" * 11_000_000)).status_code == 413
    large = await office.client.post("/v1/people", content=b"x" * 2_000_000, headers=office.headers["admin"])
    assert large.status_code in (413, 415)


async def test_a_sixth_file_waits_outside(office: Office) -> None:
    answers = [(await office.send("admin", "people", b"x")).status_code for _ in range(6)]
    assert answers == [202] * 5 + [409]


async def test_a_file_whose_worker_was_killed_is_taken_again(office: Office) -> None:
    sent = await office.send("admin", "institutions", HOSPITALS.encode())
    async with office.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE import_file SET lease_until = clock_timestamp() + interval '1 minute'"))
    assert not await work.once(office.world)
    async with office.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE import_file SET lease_until = clock_timestamp() - interval '1 second'"))
    assert await work.once(office.world)
    assert (await office.read("admin", sent.headers["Location"]))["state"] == "checked"


async def test_of_an_erased_person_no_file_is_kept(office: Office) -> None:
    await office.checked("coordinator", "people", b"email,display_name\nx,y\n")
    async with office.world.database.work(actor.TIMER) as w:
        dossier = await privacy.dossier(w, office.people["coordinator"].email)
        assert [each["kind"] for each in dossier["files_sent"]] == ["people"]
        await privacy.erase(w, office.people["coordinator"].email)
        assert (await w.sql(sa.text("SELECT count(*) FROM import_file"))).scalar_one() == 0


async def test_after_a_day_nothing_of_the_file_is_kept(office: Office, test_clock: TestClock) -> None:
    found = await office.checked("admin", "institutions", HOSPITALS.encode())
    async with office.world.database.work(actor.TIMER) as w:
        row = (await w.sql(sa.text("SELECT content, result FROM import_file"))).one()
        assert "лікарня".encode() not in row.content + row.result
    test_clock.set(test_clock.now() + timedelta(hours=25))
    await housekeeping.run(office.world.database, housekeeping.Kept(365))
    async with office.world.database.work(actor.TIMER) as w:
        assert (await w.sql(sa.text("SELECT count(*) FROM import_file"))).scalar_one() == 0
    assert found["id"]
