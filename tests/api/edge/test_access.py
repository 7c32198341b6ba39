"""Who may do what with whose: every route, role and owner in one table, `access.csv` (invariant A2).

`own` is what the caller's side has a part in, `other` is the same thing of other institutions in another programme,
`missing` is an id that nothing has. The mentor, the partner's coordinator and the clinician's side share one case.
Of the systems one is the clinician's hospital's and one the mentor's, with every scope; `scopeless` is the latter, by a
token without any.
To add a route, write its rows; statuses are of a request that is right in itself.
"""

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from api import app
from api.edge import push_receivers
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock, visibility
from service.kernel.work import Work
from service.registry import activities, memorandum_log
from world import MONDAY

pytestmark = pytest.mark.load

Json = dict[str, Any]
PEOPLE = ("nobody", "clinician", "colleague", "mentor", "rival", "coordinator", "partner", "admin")
SYSTEMS = ("system", "mentors_system", "scopeless")
ROLES = PEOPLE + SYSTEMS
THINGS = ("own", "other", "missing")
TABLE = Path(__file__).with_name("access.csv")
DENIED = {401, 403, 404}
SOON = (MONDAY + timedelta(days=1, hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
PROFILE = {
    "specialties": ["paediatrics"],
    "languages": [{"code": "en", "level": "C1"}],
    "caps": {"sessions_per_week": 3, "offers_per_week": 5},
    "notice_minutes": 0,
    "buffer_minutes": 10,
    "treats_children": True,
    "opt_ins": [],
}
REQUEST = {
    "specialty": "paediatrics",
    "priority": "routine",
    "mode": "live",
    "question": "What next?",
    "languages": ["en"],
    "age_band": "child",
    "duration_minutes": 30,
}
NEW_PERSON = {"email": "new@hospital.example", "display_name": "New", "zone": "Europe/Kyiv"}
NEW_PROGRAMME = {"code": "new", "name": "Нова", "name_en": "New", "country": "MD", "zone": "Europe/Chisinau"}
SYSTEM = {"client_name": "System", "scope": "availability:write"}
REHEARSED = {"from": "2026-11-01T00:00:00Z", "until": "2026-11-15T00:00:00Z"}
HAPPENED = {"started_at": "2026-11-15T10:00:00Z", "ended_at": "2026-11-15T10:20:00Z", "outcome": "advice_given"}

OF_SYSTEMS: dict[str, Json] = {
    "PATCH /v1/clients/{}": {"scope": "reports:read"},
    "POST /v1/clients/{}/rotate-secret": {"overlap_hours": 0},
    "POST /v1/webhook-endpoints": {"url": "https://hospital.example/in"},
    "PATCH /v1/webhook-endpoints/{}": {"types": ["offer.sent"]},
    "POST /v1/webhook-endpoints/{}/recover": {"since": "2026-11-15T10:00:00Z"},
    "POST /v1/webhook-endpoints/{}/rotate-secret": {"overlap_hours": 1},
}

OF_SYSTEMS_AND_ONESELF = OF_SYSTEMS | {
    "PATCH /v1/me/account": {"display_name": "Changed", "languages": [{"code": "fr", "level": "B2"}]},
}

WRITES = sa.text(
    "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_xact_user_tables"
    " WHERE relname <> 'rate_limit'"
)


@dataclass(slots=True)
class Side:
    """What two linked institutions have, by the name of its collection."""

    ids: dict[str, str]
    people: dict[str, tables.Person | tables.Client]


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def routes() -> list[tuple[str, str]]:
    """Every operation of the described API."""
    paths = app.create().openapi()["paths"]
    return sorted((path, method.upper()) for path, operations in paths.items() for method in operations)


def _parties(ids: Mapping[str, str]) -> list[Json]:
    sides = {"institutions": "requesting", "networks": "partner"}
    return [{"institution_id": ids[name], "side": side} for name, side in sides.items()]


def bodies(side: Side) -> dict[str, Json]:
    """A body that is right in itself, for every operation that takes one."""
    ids = side.ids
    return {
        "POST /v1/appointments/{}/cancel": {"reason": "illness"},
        "POST /v1/appointments/{}/no-show": {"who": "mentor"},
        "POST /v1/appointments/{}/reschedule": {"starts_at": "2026-11-18T10:00:00Z"},
        "POST /v1/appointments/{}/session": HAPPENED,
        "POST /v1/auth/sign-in-links": {"email": "nobody@nowhere.example"},
        "POST /v1/auth/tokens": {"link_token": "bm90aGluZw"},
        "POST /v1/auth/tokens/refresh": {"refresh_token": "bm90aGluZw"},
        "POST /v1/auth/tokens/revoke": {"refresh_token": "bm90aGluZw"},
        "POST /v1/clients": SYSTEM | {"institution_id": ids["institutions"]},
        "POST /v1/consultations": REQUEST,
        "POST /v1/consultations/preview": {name: value for name, value in REQUEST.items() if name != "question"},
        "POST /v1/consultations/{}/widen": {"changes": [{"kind": "language", "code": "fr"}]},
        "POST /v1/consultations/{}/advice": {"text": "Wait and see.", "minutes": 10},
        "POST /v1/consultations/{}/assign": {"clinician_id": ids["clinicians"]},
        "POST /v1/consultations/{}/cancel": {"reason": "resolved_locally"},
        "POST /v1/consultations/{}/consent": {"scope": "general", "given_on": "2026-11-15"},
        "POST /v1/consultations/{}/holds": {"mentor_id": ids["mentors"], "starts_at": SOON},
        "POST /v1/consultations/{}/offers": {"mentor_id": ids["mentors"]},
        "POST /v1/imports/{}/load": {},
        "POST /v1/institutions": {"kind": "hospital"},
        "PATCH /v1/institutions/{}": {"city": "Lviv"},
        "POST /v1/me/push-subscriptions": {
            "endpoint": f"https://push.example/{side.ids['people']}",
            "keys": {"p256dh": push_receivers.EXAMPLE_POINT, "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
        },
        "PATCH /v1/me/preferences": {"notices": ["digest.mail"], "digest_hour": 6},
        "POST /v1/activities/{}/corrections": {"kind": "visit"},
        "POST /v1/memoranda/{}/activities": {"kind": "visit"},
        "POST /v1/programmes/{}/activities": {"kind": "visit"},
        "POST /v1/institutions/{}/memberships": {"network_id": ids["networks"], "from": "2026-01-01"},
        "POST /v1/institutions/{}/memberships/{}/end": {"until": "2026-12-01"},
        "POST /v1/memoranda": {"programme_id": ids["programmes"], "kind": "bilateral", "parties": _parties(ids)},
        "PATCH /v1/memoranda/{}": {"note": "changed"},
        "POST /v1/memoranda/{}/transitions": {"to": "suspended", "on": "2026-11-01"},
        "PUT /v1/mentors/{}/availability": {"zone": "Europe/Paris", "weekly": [], "exceptions": []},
        "PUT /v1/mentors/{}/profile": PROFILE,
        "POST /v1/offers/{}/accept": {"starts_at": SOON},
        "POST /v1/offers/{}/counter": {"starts": ["2026-11-18T10:00:00Z"]},
        "POST /v1/offers/{}/counter/accept": {"starts_at": "2026-11-18T10:00:00Z"},
        "POST /v1/offers/{}/decline": {"reason": "busy"},
        "POST /v1/people": NEW_PERSON | {"roles": [{"role": "clinician", "institution_id": ids["institutions"]}]},
        "PATCH /v1/people/{}": {"display_name": "Changed"},
        "POST /v1/people/{}/verification": {"until": "2027-12-31"},
        "POST /v1/programmes": NEW_PROGRAMME,
        "PATCH /v1/programmes/{}": {"name_en": "Changed"},
        "POST /v1/programmes/{}/rehearsals": {"policy": {}, **REHEARSED},
        "POST /v1/sessions/{}/corrections": HAPPENED,
        "POST /v1/sessions/{}/feedback": {"is_useful": True},
        **OF_SYSTEMS_AND_ONESELF,
        "POST /v1/specialties": {"code": "new", "name_en": "New", "name_uk": "Нова"},
        "PUT /demo/clock": {"now": None},
    }


FORMS: dict[str, Json] = {
    "POST /v1/imports": {"data": {"kind": "people"}, "files": {"file": ("people.csv", b"email,display_name\n")}},
}
"""What is sent as a form with a file."""
QUERIES = {
    "/v1/me/certificates": "?from=2026-11-01&until=2026-12-01",
    "/v1/mentors/{}/slots": "?from=2026-11-18T00:00:00Z&until=2026-11-19T00:00:00Z",
    "/v1/memoranda/{}/report": "?from=2026-11-01&until=2026-12-01",
    "/v1/programmes/{}/report": "?from=2026-11-01&until=2026-12-01",
    "/v1/institutions/{}/report": "?from=2026-11-01&until=2026-12-01",
    "/v1/memoranda/{}/report/rows": "?of=sessions",
    "/v1/programmes/{}/report/rows": "?of=sessions",
    "/v1/institutions/{}/report/rows": "?of=sessions",
}


def blank(path: str) -> str:
    """The path with its parameters unnamed."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


async def _side(w: Work, programme: tables.Programme) -> Side:
    """A case of each kind between a hospital and its partner."""
    asking, answering, network = await build.institution(w), await build.partner(w), await build.partner(w)
    people = {
        "clinician": await build.clinician(w, asking),
        "colleague": await build.clinician(w, asking, department="ward"),
        "mentor": await build.mentor(w, answering),
        "rival": await build.mentor(w, answering),
        "coordinator": await build.coordinator(w, asking),
        "partner": await build.coordinator(w, answering),
        "admin": await build.admin(w, programme),
    }
    systems = {"system": await build.system(w, asking), "mentors_system": await build.system(w, answering)}
    clinician, mentor = people["clinician"], people["mentor"]
    memorandum = await build.memorandum(w, asking, answering, programme_id=programme.id)
    of: dict[str, Any] = {"programme_id": programme.id, "department": "ward"}
    asked = await build.consultation(w, clinician, asking, state="offered", **of)
    offer = await build.offer(w, asked, mentor, memorandum)
    opened_at = w.now - timedelta(days=2)  # before what is logged
    booked = await build.consultation(w, clinician, asking, state="scheduled", opened_at=opened_at, **of)
    taken = await build.offer(w, booked, mentor, memorandum, state="accepted")
    start = w.now + timedelta(days=3)
    appointment = await build.appointment(w, booked, mentor, memorandum, starts_at=start, offer_id=taken.id)
    session = await _session(w, booked, memorandum, clinician, mentor, answering)
    membership = tables.Membership(
        id=clock.new_id(), institution_id=asking.id, network_id=network.id, from_on=date(2026, 1, 1)
    )
    await build.add(w, membership)
    activity = tables.Activity(
        id=clock.new_id(), programme_id=programme.id, memorandum_id=memorandum.id, kind="visit", created_at=w.now
    )
    await activities.add(w, activity, (), ())
    endpoint, delivery = await build.webhook(w, asking)
    found: dict[str, Any] = {
        "activities": activity,
        "webhook-endpoints": endpoint,
        "deliveries": delivery,
        "appointments": appointment,
        "consultations": asked,
        "imports": await _import(w, people["admin"]),
        "institutions": asking,
        "clients": systems["system"],
        "memberships": membership,
        "memoranda": memorandum,
        "mentors": mentor,
        "clinicians": people["colleague"],
        "networks": network,
        "offers": offer,
        "people": clinician,
        "programmes": programme,
        "rehearsals": await build.rehearsal(w, programme),
        "sessions": session,
        "sign-ins": await _sign_in(w, clinician),
        "push-subscriptions": await _subscription(w, clinician),
    }
    return Side({name: str(row.id) for name, row in found.items()}, {**people, **systems})


async def _sign_in(w: Work, who: tables.Person) -> tables.RefreshToken:
    """A program that holds a token."""
    ids: dict[str, Any] = {"id": clock.new_id(), "family_id": clock.new_id(), "person_id": who.id}
    return await build.add(w, tables.RefreshToken(**ids, created_at=w.now, expires_at=w.now + timedelta(days=1)))


async def _subscription(w: Work, who: tables.Person) -> tables.PushSubscription:
    """A device that is pushed to."""
    row_id = clock.new_id()
    ids: dict[str, Any] = {"id": row_id, "person_id": who.id, "endpoint_digest": row_id.bytes, "created_at": w.now}
    return await build.add(w, tables.PushSubscription(**ids, sealed=w.keys.encrypt("{}", row_id)))


async def _import(w: Work, sender: tables.Person) -> tables.ImportFile:
    """A file that was checked."""
    row_id = clock.new_id()
    content = w.seal('{"content": "", "mapping": null}', row_id)
    return await build.add(
        w,
        tables.ImportFile(
            id=row_id,
            kind="people",
            state="checked",
            is_dry=True,
            person_id=sender.id,
            lang="en",
            content=content,
            created_at=w.now,
        ),
    )


async def _session(
    w: Work,
    case: tables.Consultation,
    memorandum: tables.Memorandum,
    clinician: tables.Person,
    mentor: tables.Person,
    answering: tables.Institution,
) -> tables.Session:
    """A session of last week, with its entry in the log."""
    start = w.now - timedelta(days=7)
    row = tables.Session(
        id=clock.new_id(),
        consultation_id=case.id,
        memorandum_id=memorandum.id,
        programme_id=case.programme_id,
        route="direct",
        mode="live",
        specialty_code=case.specialty_code,
        priority=case.priority,
        requesting_institution_id=case.institution_id,
        partner_institution_id=answering.id,
        clinician_id=clinician.id,
        mentor_id=mentor.id,
        participants=[clinician.id, mentor.id],
        started_at=start,
        ended_at=start + timedelta(minutes=20),
        minutes=20,
        outcome="advice_given",
        is_civil_for_requester=True,
        is_civil_for_mentor=True,
    )
    await build.add(w, row)
    await memorandum_log.append(
        w, memorandum.id, [memorandum_log.EntryFacts("session", row.id, memorandum_log.facts(row))]
    )
    return row


class Courtroom:
    """Both sides, and the headers of everybody of the first one."""

    own: Side
    other: Side
    headers: dict[str, Json]
    written = 0


@pytest.fixture
async def court(world: World) -> Courtroom:
    found = Courtroom()
    async with world.database.work(actor.TIMER) as w:
        found.own = await _side(w, await build.programme(w))
        found.other = await _side(w, await build.programme(w, code="elsewhere"))
    found.headers = {name: await build.bearer(world, who) for name, who in found.own.people.items()}
    found.headers["scopeless"] = await build.bearer(world, found.own.people["mentors_system"], ())
    found.headers["nobody"] = {}
    connection: Any = world.database.engine
    found.written = (await connection.execute(WRITES)).scalar_one()
    return found


def _address(court: Courtroom, path: str, thing: str) -> str:
    """The path with the ids of the thing."""
    side = court.other if thing == "other" else court.own
    parts = blank(path).split("/")
    for place, part in enumerate(parts):
        if part == "{}":
            parts[place] = str(clock.new_id()) if thing == "missing" else side.ids[parts[place - 1]]
    return "/".join(parts) + QUERIES.get(blank(path), "")


async def _outcome(world: World, client: httpx.AsyncClient, court: Courtroom, case: Json, role: str) -> str:
    """Give the status of the request, which leaves nothing; a denied one that wrote is marked."""
    connection: Any = world.database.engine  # the test's one connection
    key = f"{case['method']} {blank(case['path'])}"
    sent = FORMS.get(key) or {"json": bodies(court.own).get(key)}
    thing = case["thing"] or "own"
    savepoint = await connection.begin_nested()
    answer = await client.request(
        case["method"],
        _address(court, case["path"], thing),
        headers=court.headers[role] | {"If-Match": "*"},
        **sent,
    )
    before, court.written = court.written, (await connection.execute(WRITES)).scalar_one()  # rolled back rows count
    written = court.written - before
    await savepoint.rollback()
    return f"{answer.status_code}{'+rows' if answer.status_code in DENIED and written else ''}"


def test_every_route_is_in_the_table() -> None:
    listed = {(blank(row["path"]), row["method"]) for row in rows()}
    assert sorted(listed) == sorted((blank(path), method) for path, method in routes())


def test_every_route_with_an_id_is_tried_on_own_other_and_missing_things() -> None:
    for (path, method), found in itertools.groupby(rows(), key=lambda row: (row["path"], row["method"])):
        things = [row["thing"] for row in found]
        assert things == (list(THINGS) if "{" in path else [""]), f"{method} {path}"


def _collections() -> list[str]:
    return sorted({"/".join(row["path"].split("/")[:3]) for row in rows()})


@pytest.mark.parametrize("collection", _collections())
async def test_nobody_passes_an_id_or_a_role_that_is_not_theirs(
    world: World, client: httpx.AsyncClient, court: Courtroom, collection: str
) -> None:
    wrong = []
    for case in rows():
        if "/".join(case["path"].split("/")[:3]) != collection:
            continue
        for role in ROLES:
            if role == "scopeless" and case["thing"] in {"other", "missing"}:
                continue  # the check is made before anything is looked up
            outcome = await _outcome(world, client, court, case, role)
            if outcome != case[role]:
                wrong.append(f"{case['method']} {case['path']} {case['thing']} {role}: {case[role]} -> {outcome}")
    assert wrong == []


def test_the_table_gives_nobody_what_is_somebody_elses() -> None:
    """What everybody signed in may read stands out by name; for the rest, `other` is as if it were missing."""
    public = ("/v1/institutions", "/v1/programmes")
    for other, missing in itertools.pairwise([row for row in rows() if row["thing"] in {"other", "missing"}]):
        if other["thing"] != "other" or other["path"].startswith(public):
            continue
        for role in ROLES:
            is_kept = other["path"].startswith(("/v1/people", "/v1/mentors", "/v1/clients")) and role == "admin"
            assert is_kept or other[role] == missing[role], f"{other['method']} {other['path']} {role}"
            assert is_kept or other[role] in {"401", "403", "404"}, f"{other['method']} {other['path']} {role}"


def _everything(*_: object) -> Sequence[visibility.Branch]:
    return [visibility.Branch()]


def _nothing(*_: object, **__: object) -> None:
    return None


async def _nothing_awaited(*_: object, **__: object) -> None:
    return None


@pytest.mark.drill
@pytest.mark.parametrize(
    ("check", "instead", "collection"),
    [
        ("kernel.visibility.RULES Consultation", visibility.Rule(_everything), "/v1/consultations"),
        ("kernel.visibility.RULES Offer", visibility.Rule(_everything), "/v1/offers"),
        ("kernel.visibility.RULES Appointment", visibility.Rule(_everything), "/v1/appointments"),
        ("kernel.visibility.RULES Session", visibility.Rule(_everything), "/v1/sessions"),
        ("kernel.visibility.RULES Memorandum", visibility.Rule(_everything), "/v1/memoranda"),
        ("kernel.visibility.RULES Person", visibility.Rule(_everything), "/v1/people"),
        ("kernel.visibility.RULES MentorProfile", visibility.Rule(_everything), "/v1/mentors"),
        ("kernel.visibility._of_requesting_side", _everything, "/v1/consultations"),
        ("kernel.visibility._of_requesting_side", _everything, "/v1/appointments"),
        ("kernel.access.requires_at", _nothing, "/v1/consultations"),
        ("kernel.access.requires_admin", _nothing, "/v1/institutions"),
        ("kernel.access.requires_admin", _nothing, "/v1/programmes"),
        ("kernel.access.requires_admin", _nothing, "/v1/memoranda"),
        ("kernel.access.requires_admin", _nothing, "/v1/specialties"),
        ("kernel.access.requires_mentors_side", _nothing, "/v1/offers"),
        ("kernel.access.requires_requesting_side", _nothing, "/v1/offers"),
        ("kernel.access.requires_requesting_side", _nothing, "/v1/consultations"),
        ("people.people._must_give", _nothing, "/v1/people"),
        ("people.mentors._requires_keeper", _nothing, "/v1/mentors"),
        ("kernel.access.requires_reader", _nothing_awaited, "/v1/memoranda"),
    ],
)
async def test_a_check_that_is_taken_away_is_missed(
    world: World,
    client: httpx.AsyncClient,
    court: Courtroom,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    instead: object,
    collection: str,
) -> None:
    """The table is worth something only if it notices: one check at a time is taken away."""
    if " " in check:
        monkeypatch.setitem(visibility.RULES, getattr(tables, check.split()[1]), instead)
    else:
        monkeypatch.setattr(f"service.{check}", instead)
    noticed = [
        f"{case['method']} {case['path']} {case['thing']} {role}"
        for case in rows()
        if "/".join(case["path"].split("/")[:3]) == collection
        for role in ROLES
        if await _outcome(world, client, court, case, role) != case[role]
    ]
    assert noticed
