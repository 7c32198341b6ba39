"""Programmes, specialties, institutions, memberships and memoranda from files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.exchange.imports.desk import Desk, FileRow
from service.kernel import errors
from service.registry import institutions, memoranda, programmes
from service.rules import lifecycle

Tell = Callable[[int], None]


async def add_programmes(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Add the programmes."""
    for row in rows:
        try:
            await programmes.create_programme(desk.w, _with_id(row, dict(row.values)))
        except errors.Invalid as error:
            desk.refuse_error(row, error)
        tell(1)


async def change_programme(desk: Desk, row: FileRow, existing: Mapping[str, Any], differing: frozenset[str]) -> None:
    """Change the programme to what the row says."""
    programme = await desk.w.read(tables.Programme, existing["id"])
    await programmes.change_programme(desk.w, programme, {name: row.values[name] for name in differing})


async def add_specialties(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Add the specialties, each after its parents, wherever these are in the file."""
    codes = set(desk.names["specialty"])
    waiting = list(rows)
    while waiting:
        ready = [row for row in waiting if codes.issuperset(_parents(row))] or waiting
        waiting = [row for row in waiting if row not in ready]
        for row in ready:
            await _add_specialty(desk, row)
            codes.add(row.values["code"].lower())
            tell(1)


async def _add_specialty(desk: Desk, row: FileRow) -> None:
    fields = {name: row.values[name] for name in ("code", "name_en", "name_uk", "snomed_ct", "is_bookable")}
    fields["parent_code"] = row.values["parent"]
    try:
        await programmes.create_specialty(desk.w, fields, row.values["also_parents"])
        await desk.w.flush()
    except (errors.Invalid, errors.Exists) as error:
        desk.refuse_error(row, error)


def _parents(row: FileRow) -> set[str]:
    return {code.lower() for code in (row.values["parent"], *row.values["also_parents"]) if code is not None}


async def add_institutions(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Add the institutions."""
    for row in rows:
        try:
            await institutions.create_institution(desk.w, _with_id(row, _institution(row.values)), desk.confirmed)
        except errors.PersonalDataFound as error:
            desk.refuse_error(row, error)
        tell(1)


async def change_institution(desk: Desk, row: FileRow, existing: Mapping[str, Any], differing: frozenset[str]) -> None:
    """Change the institution to what the row says."""
    institution = await desk.w.read(tables.Institution, existing["id"])
    changes = _institution({name: row.values[name] for name in differing})
    await institutions.change_institution(desk.w, institution, changes, desk.confirmed)


async def add_memberships(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Add the memberships."""
    for row in rows:
        institution_id = desk.find(row, "institution", "institution")
        network_id = desk.find(row, "network", "institution")
        if institution_id and network_id:
            member = await desk.w.read(tables.Institution, institution_id)
            values = row.values
            try:
                await institutions.join(desk.w, member, network_id, values["from"], values["until"], values["id"])
            except errors.Invalid as error:
                desk.refuse_error(row, error)
        tell(1)


async def end_membership(desk: Desk, row: FileRow, existing: Mapping[str, Any], _differing: frozenset[str]) -> None:
    """End the membership on the day of the row."""
    if row.values["until"] is None:
        desk.refuse(row, "until", "has ended: a new time in the network is a row of its own")
        return
    member = await desk.w.read(tables.Institution, desk.names["institution"][existing["institution"].lower()])
    await institutions.leave(desk.w, member, existing["id"], row.values["until"])


async def add_memoranda(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Add the memoranda with their status; one that renews another may be anywhere in the file."""
    added: list[tuple[FileRow, tables.Memorandum]] = []
    names = dict(desk.names["memorandum"])
    for row in rows:
        memorandum = _add_memorandum(desk, row)
        if memorandum is not None:
            added.append((row, memorandum))
            names |= {str(memorandum.id): memorandum.id}
            names |= {memorandum.code.lower(): memorandum.id} if memorandum.code else {}
        tell(1)
    renewed = [(row, memorandum) for row, memorandum in added if row.values["renewed_by"] is not None]
    for row, memorandum in renewed:
        newer = names.get(row.values["renewed_by"].lower())
        if newer is None:
            desk.refuse(row, "renewed_by", "names a {kind} that is not there", kind="memorandum")
        elif not desk.faults:
            statement = sa.update(tables.Memorandum).where(col(tables.Memorandum.id) == memorandum.id)
            await desk.w.sql(statement.values(renewed_by=newer))


def _add_memorandum(desk: Desk, row: FileRow) -> tables.Memorandum | None:
    programme_id = desk.find(row, "programme", "programme")
    sides: Mapping[str, vocabulary.Side] = {"requesting": "requesting", "partners": "partner"}
    parties = [
        memoranda.Party(institution_id, side)
        for column, side in sides.items()
        for institution_id in desk.find_all(row, column, "institution")
    ]
    areas = desk.find_all(row, "areas", "specialty")
    if programme_id is None or len(parties) < sum(len(row.values[column]) for column in sides):
        return None
    draft = memoranda.Draft(
        programme_id=programme_id,
        kind=row.values["kind"],
        parties=parties,
        fields=_with_id(row, _memorandum(row.values) | {"areas": areas}),
    )
    try:
        return memoranda.take_over(desk.w, draft, row.values["status"], desk.today(programme_id), desk.confirmed)
    except (errors.Invalid, errors.PersonalDataFound) as error:
        desk.refuse_error(row, error)
        return None


async def change_memorandum(desk: Desk, row: FileRow, existing: Mapping[str, Any], differing: frozenset[str]) -> None:
    """Change the memorandum to what the row says; a new status is reached by the steps to it, as of today."""
    memorandum = await desk.w.read(tables.Memorandum, existing["id"])
    if "status" in differing:
        try:
            steps = lifecycle.path("memorandum", memorandum.status, row.values["status"])
        except lifecycle.IllegalTransition:
            desk.refuse(row, "status", "does not follow from {status}", status=memorandum.status)
            return
        for to in steps:
            await memoranda.transition(desk.w, memorandum, to, desk.today(memorandum.programme_id), "by a file")
    signature = {"signed_date", "signed_precision"}
    names = differing | signature if differing & signature else differing
    changes = _memorandum({name: row.values[name] for name in names})
    if "areas" in differing:
        changes["areas"] = desk.find_all(row, "areas", "specialty")
    if "renewed_by" in differing:
        name = row.values["renewed_by"]
        changes["renewed_by"] = None if name is None else desk.find(row, "renewed_by", "memorandum")
    if changes:
        await memoranda.change(desk.w, memorandum, changes, desk.confirmed)


def _memorandum(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the columns of the table; references are looked up elsewhere."""
    columns = ("code", "valid_from", "valid_until", "activities", "budget_minutes", "budget_per", "source", "note")
    fields = {name: values[name] for name in columns if name in values}
    if "signed_date" in values:
        fields |= {"signed_on": values["signed_date"], "signed_precision": values["signed_precision"]}
    return fields


def _institution(values: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in values.items() if name != "id"}
    if "working_weekdays" in fields:
        fields["working_weekdays"] = sorted({vocabulary.WEEKDAYS.index(day) for day in fields["working_weekdays"]})
    return fields


def _with_id(row: FileRow, fields: dict[str, Any]) -> dict[str, Any]:
    """Give the fields with the id of the file, or without an id if the file has none."""
    return fields | {"id": row.values["id"]} if row.values["id"] else {k: v for k, v in fields.items() if k != "id"}
