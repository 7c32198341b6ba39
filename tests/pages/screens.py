"""The pages in their states, to be looked at: each leads a browser to one. A page that is added has a line here."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import build
from pages.scene import QUESTION, Scene
from service import tables, vocabulary
from service.care import advice, answers, appointments, consultations, sessions
from service.kernel import actor, clock
from service.people import own_address, people, unfinished_forms
from service.reporting import certificates

WHAT = {"specialty": "paediatrics", "question": QUESTION, "age_band": "child"}
WHO = {"priority": "urgent", "mode": "either", "duration": "30", "languages": "en"}


@dataclass(frozen=True, slots=True)
class Screen:
    """One page in one state: who looks (an attribute of the scene; nobody, if None), where, and what they have sent."""

    name: str
    who: str | None
    path: str
    form: dict[str, str] | None = None  # sent to the path, instead of looking
    is_ended: bool = False  # their visit had ended meanwhile


async def staged(scene: Scene) -> list[Screen]:
    """Have cases in all of their states; list what there is to see."""
    await scene.rows("UPDATE mentor_profile SET sessions_per_week = 100, offers_per_week = 100 RETURNING 1")
    before = await _yesterday(scene)
    links = await _links(scene, before)
    return [
        *await _of_strangers(scene, links),
        *await _of_cases(scene, before),
        *_first_pages(),
        *await _of_steps(scene),
        *_of_mentors(scene),
        *await _of_admins(scene),
        Screen("people", "coordinator", "/people"),
        Screen("profile", "mentor", "/profile"),
        Screen("profile-zones", "clinician", "/profile", {"display_name": "X", "locale": "uk", "zone": "Spain"}),
        Screen("profile-faults", "clinician", "/profile", {"display_name": "", "locale": "uk", "zone": "nowhere"}),
        Screen("kept-nothing", "mentor", "/kept"),
        # What is kept is told on each further page of theirs: so the last ones.
        Screen("ended", "clinician", "/consultations/new", {"question": f"{QUESTION} 9", "key": _KEY}, is_ended=True),
        Screen("kept", "clinician", "/kept"),
    ]


_KEY = "01890000-0000-7000-8000-000000000009"


@dataclass(frozen=True, slots=True)
class _Before:
    """What was before: a session that is logged and one that somebody has answered, a call that nobody has logged."""

    logged: tables.Session
    answered: tables.Session
    unlogged: tables.Appointment


async def _yesterday(scene: Scene) -> _Before:
    """Live through a day, so that sessions are behind us."""
    logged, answered = [await _logged(scene) for _ in range(2)]
    told = {"is_useful": True, "patient_outcome": "better", "note": "The child is well again."}

    async def tell(w: Any) -> None:  # noqa: ANN401 - a unit of work
        await sessions.give_feedback(w, answered.id, **told)  # type: ignore[arg-type]

    await scene.act(scene.clinician, tell)
    _, call = await booked(scene)
    scene.clock.set(call.ends_at + timedelta(minutes=5))
    async with scene.world.database.work(actor.TIMER) as w:
        for who in (scene.clinician, scene.mentor):
            asked: dict[str, Any] = {
                "purpose": "feedback",
                "expires_at": w.now + timedelta(days=14),
                "created_at": w.now,
            }
            await build.add(w, tables.Link(id=clock.new_id(), person_id=who.id, subject_id=logged.id, **asked))
    return _Before(logged, answered, call)


async def booked(scene: Scene, **fields: object) -> tuple[tables.Consultation, Any]:
    """A case whose offer the mentor has taken, and its appointment."""
    asked = await scene.ask(**fields)
    offer_id, starts = await _offer_of(scene, asked)
    accepted = await scene.act(scene.mentor, answers.accept, offer_id, starts[0])
    return asked, accepted.appointment


async def _logged(scene: Scene) -> tables.Session:
    _, call = await booked(scene)
    scene.clock.set(call.starts_at + timedelta(hours=1))
    entry = sessions.SessionEntry(
        started_at=call.starts_at, ended_at=call.ends_at, outcome="advice_given", conclusion="Go on as before."
    )
    session: tables.Session = await scene.act(scene.clinician, sessions.log, call.id, entry)
    return session


async def _links(scene: Scene, before: _Before) -> dict[str, str]:
    """Give the paths of links, by what they are for."""
    _, offered = await _asked(scene, question=f"{QUESTION} link")
    paths = {}
    for purpose in ("offer.accept", "offer.decline", "offer.counter"):
        (row, *_) = await scene.rows(
            "SELECT id FROM link WHERE purpose = :purpose AND subject_id = :id ORDER BY starts_at, id",
            purpose=purpose, id=offered,
        )  # fmt: skip
        paths[purpose] = f"/a/{scene.world.keys.link_token(row.id, purpose)}"
    done, _ = await scene.link("offer.accept", scene.mentor)
    feedback = await scene.rows(
        "SELECT id FROM link WHERE purpose = 'feedback' AND person_id = :id", id=scene.clinician.id
    )
    mails = await scene.rows("SELECT id FROM delivery WHERE person_id = :id LIMIT 1", id=scene.mentor.id)
    join, _ = await scene.link("join", scene.mentor)
    paper = await scene.act(scene.mentor, certificates.of_session, before.logged.id)
    async with scene.world.database.work(actor.TIMER) as w:
        asked: dict[str, Any] = {
            "purpose": vocabulary.STOP_DIGEST,
            "expires_at": w.now + timedelta(days=14),
            "created_at": w.now,
        }
        digest = await build.add(w, tables.Link(id=clock.new_id(), person_id=scene.mentor.id, **asked))
    await scene.act(scene.mentor, own_address.ask, "another@lille.example")
    (wish,) = await scene.rows("SELECT id FROM link WHERE purpose = :purpose", purpose=vocabulary.OWN_ADDRESS)

    async def move(w: Any) -> None:  # noqa: ANN401 - a unit of work
        await people.change(w, await w.read(tables.Person, second.id), {"email": "other@hospital.example"}, None)

    async with scene.world.database.work(actor.TIMER) as w:
        second = await build.clinician(w, scene.asking)
    await scene.act(scene.coordinator, move)
    addresses = {
        row.purpose: f"/a/address/{scene.world.keys.link_token(row.id, row.purpose)}"
        for row in await scene.rows("SELECT id, purpose FROM link WHERE person_id = :id", id=second.id)
        if row.purpose in vocabulary.ADDRESS_PURPOSES
    }
    return paths | addresses | {
        "done": done,
        "join": join,
        "feedback": f"/a/{scene.world.keys.link_token(feedback[0].id, 'feedback')}",
        "away": f"/a/away/{scene.world.keys.link_token(mails[0].id, 'away')}",
        "own-address": f"/a/own-address/{scene.world.keys.link_token(wish.id, vocabulary.OWN_ADDRESS)}",
        "digest": f"/a/digest/{scene.world.keys.link_token(digest.id, vocabulary.STOP_DIGEST)}",
        "paper": f"/certificates/{paper.code}",
    }  # fmt: skip


async def _of_strangers(scene: Scene, links: dict[str, str]) -> list[Screen]:
    return [
        Screen("welcome", None, "/"),
        Screen("welcome-fault", None, "/sign-in", {"email": "лікар@hospital.ua"}),
        Screen("welcome-sent", None, "/sign-in", {"email": "nobody@hospital.example"}),
        Screen("sign-in", None, await scene.sign_in_path(scene.mentor)),
        Screen("sign-in-unknown", None, "/sign-in/nothing"),
        Screen("link-unknown", None, "/a/nothing"),
        Screen("link-done", None, links["done"]),
        Screen("link-accept", None, links["offer.accept"]),
        Screen("link-decline", None, links["offer.decline"]),
        Screen("link-decline-fault", None, links["offer.decline"], {}),
        Screen("link-counter", None, links["offer.counter"]),
        Screen("link-counter-fault", None, links["offer.counter"], {"time_1": "2020-01-01T10:00"}),
        Screen("link-feedback", None, links["feedback"]),
        Screen("link-feedback-fault", None, links["feedback"], {}),
        *(
            Screen(f"link-{purpose}", None, links[purpose])
            for purpose in vocabulary.ADDRESS_PURPOSES
            if purpose in links
        ),
        Screen("link-join", None, links["join"]),
        Screen("link-digest", None, links["digest"]),
        Screen("link-own-address", None, links["own-address"]),
        Screen("away", None, links["away"]),
        Screen("away-fault", None, links["away"], {"away_back": "2020-01-01", "away_from": "2020-01-01"}),
        Screen("certificate", None, links["paper"]),
        Screen("certificate-unknown", None, "/certificates/AAAA"),
        Screen("wanted", None, "/consultations/new"),
        Screen("missing", None, "/nowhere"),
        Screen("offline", None, "/offline"),
    ]


async def _of_cases(scene: Scene, before: _Before) -> list[Screen]:
    case, tomorrow = "/consultations", (scene.clock.now() + timedelta(days=1)).replace(hour=9, minute=0)
    agreed, call = await booked(scene)
    countered, second = await _asked(scene, question=f"{QUESTION} 2")
    await scene.act(scene.mentor, answers.counter, second, [tomorrow, tomorrow.replace(hour=3)])
    moved, other_call = await booked(scene, question=f"{QUESTION} 5")
    await scene.act(scene.mentor, appointments.move, other_call.id, tomorrow + timedelta(days=1, hours=3))
    promised, written = await _asked(scene, mode="written", question=f"{QUESTION} 6")
    await scene.act(scene.mentor, answers.accept, written, None)
    advised, told = await _asked(scene, mode="written", question=f"{QUESTION} 7")
    await scene.act(scene.mentor, answers.accept, told, None)
    await scene.act(scene.mentor, advice.give, advised.id, "Twenty milligrams a kilogram, and ask again.", 15)
    declined, refused = await _asked(scene, question=f"{QUESTION} 8")
    await scene.act(scene.mentor, answers.decline, refused, "busy", "Not this week.")
    off, gone_call = await booked(scene, question=f"{QUESTION} 10")
    await scene.act(scene.mentor, appointments.cancel, gone_call.id, "other", "A train that does not run.")
    unmatched = await scene.ask(languages=("lt",), question=f"{QUESTION} 11")
    draft = await scene.ask(consent=None, question=f"{QUESTION} 12")
    withdrawn = await scene.ask(question=f"{QUESTION} 13")
    await scene.act(scene.clinician, consultations.cancel, withdrawn.id, "resolved_locally", "The child is well.")
    asked, third = await _asked(scene, mode="either", priority="asap", question=f"{QUESTION} 3")
    (first,) = await scene.rows("SELECT id FROM offer WHERE consultation_id = :id AND state = 'accepted'", id=agreed.id)
    logged, answered = before.logged.consultation_id, before.answered.consultation_id
    unlogged = before.unlogged
    return [
        Screen("case-booked", "clinician", f"{case}/{agreed.id}"),
        Screen("case-booked-mentor", "mentor", f"{case}/{agreed.id}"),
        Screen("case-join-early", "mentor", f"/appointments/{call.id}/join"),
        Screen("case-call-off-fault", "mentor", f"/appointments/{call.id}/cancel", {"note": "x"}),
        Screen("case-move-night", "clinician", f"/appointments/{call.id}/move", {"local": scene.wall(2, 3)}),
        Screen("case-moved", "clinician", f"{case}/{moved.id}"),
        Screen("case-countered", "clinician", f"{case}/{countered.id}"),
        Screen("case-asked", "clinician", f"{case}/{asked.id}"),
        Screen("case-cancel-fault", "clinician", f"{case}/{asked.id}/cancel", {}),
        Screen("case-to-log", "clinician", f"{case}/{unlogged.consultation_id}"),
        Screen("case-log-fault", "mentor", f"/appointments/{unlogged.id}/session", {"conclusion": "x"}),
        Screen("case-logged", "clinician", f"{case}/{logged}"),
        Screen("case-logged-mentor", "mentor", f"{case}/{logged}"),
        Screen("case-feedback-fault", "clinician", f"/sessions/{before.logged.id}/feedback", {"outcome": "better"}),
        Screen("case-answered", "mentor", f"{case}/{answered}"),
        Screen("case-to-write", "mentor", f"{case}/{promised.id}"),
        Screen(
            "case-write-fault", "mentor", f"{case}/{promised.id}/advice", {"text": "+380 44 123 45 67", "minutes": "5"}
        ),
        Screen("case-promised", "clinician", f"{case}/{promised.id}"),
        Screen("case-advised", "clinician", f"{case}/{advised.id}"),
        Screen("case-declined", "clinician", f"{case}/{declined.id}"),
        Screen("case-called-off", "clinician", f"{case}/{off.id}"),
        Screen("case-unmatched", "clinician", f"{case}/{unmatched.id}"),
        Screen("case-draft", "clinician", f"{case}/{draft.id}"),
        Screen("case-withdrawn", "clinician", f"{case}/{withdrawn.id}"),
        Screen("case-coordinator", "coordinator", f"{case}/{asked.id}"),
        Screen("case-missing", "clinician", f"{case}/{clock.new_id()}"),
        *_of_offers(scene, third, second, first.id, refused),
    ]


def _first_pages() -> list[Screen]:
    return [
        Screen("home-clinician", "clinician", "/"),
        Screen("home-coordinator", "coordinator", "/"),
        Screen("home-mentor", "mentor", "/"),
        Screen("home-nothing", "newcomer", "/"),
        Screen("new", "clinician", "/consultations/new"),
        Screen("new-faults", "clinician", "/consultations/new", {"question": f"{QUESTION}, +380 44 123 45 67"}),
        Screen("new-forbidden", "mentor", "/consultations/new"),
    ]


def _of_offers(scene: Scene, third: UUID, second: UUID, first: UUID, refused: UUID) -> list[Screen]:
    return [
        Screen("offer", "mentor", f"/offers/{third}"),
        Screen("offer-fault", "mentor", f"/offers/{third}/accept", {}),
        Screen("offer-decline-fault", "mentor", f"/offers/{third}/decline", {"note": "x"}),
        Screen("offer-countered", "mentor", f"/offers/{second}"),
        Screen("offer-accepted", "mentor", f"/offers/{first}"),
        Screen("offer-declined", "mentor", f"/offers/{refused}"),
        Screen("counter", "mentor", f"/offers/{third}/counter"),
        Screen("counter-fault", "mentor", f"/offers/{third}/counter", {}),
        Screen("counter-night", "mentor", f"/offers/{third}/counter", {"time_1": scene.wall(1, 3)}),
        Screen("counter-again", "mentor", f"/offers/{second}/counter"),
    ]


def _of_mentors(scene: Scene) -> list[Screen]:
    today = scene.clock.now().date()
    away = {"away_from": today.isoformat(), "away_back": (today + timedelta(days=30)).isoformat()}
    stale = {"version": "0", "max_sessions": "3", "max_offers": "3", "notice": "24", "buffer": "5"}
    stale |= {"quiet_from": "22", "quiet_until": "7"}
    return [
        Screen("hours", "mentor", "/hours"),
        Screen("hours-faults", "mentor", "/hours", {"day_1": "mon", "from_1": "25:10", "notice": "soon"}),
        Screen("hours-stale", "mentor", "/hours", stale),
        Screen("hours-covered", "mentor", "/hours/absences", away),
        Screen("hours-none", "clinician", "/hours"),
        Screen("consultations", "coordinator", "/consultations"),
        Screen("consultations-none-such", "clinician", "/consultations?number=R-ZZZZ"),
        Screen("mine", "mentor", "/mine"),
        Screen("mine-none", "clinician", "/mine"),
    ]  # fmt: skip


async def _of_steps(scene: Scene) -> list[Screen]:
    """Have requests that are filled in so far, one that was sent, and one that nobody can take."""
    case, now = "/consultations", scene.clock.now()
    path = f"{case}/new"
    stuck = await scene.ask(languages=("pl",), question=f"{QUESTION} 14", windows=((now, now + timedelta(days=1)),))
    sent = await scene.ask(question=f"{QUESTION} 15")
    key = await _begun(scene, WHAT | WHO)
    empty, half = await _begun(scene, {"question": QUESTION}), await _begun(scene, WHAT)
    polish = await _begun(scene, WHAT | WHO | {"languages": "pl"})
    return [
        *[Screen(f"new-{step}", "clinician", f"{path}/{key}/{step}") for step in "123"],
        Screen("new-1-faults", "clinician", f"{path}/{empty}/1?check=all"),
        Screen("new-2-faults", "clinician", f"{path}/{half}/2?check=all"),
        Screen("new-3-nobody", "clinician", f"{path}/{polish}/3"),
        Screen("new-3-faults", "clinician", path, {"key": str(key), "step": "3", "to": "send"}),
        Screen("new-sent", "clinician", f"{case}/{sent.id}/sent"),
        Screen("new-sent-nobody", "clinician", f"{case}/{stuck.id}/sent"),
        Screen("case-nobody", "clinician", f"{case}/{stuck.id}"),
    ]


async def _begun(scene: Scene, filled: dict[str, str]) -> UUID:
    """Have a request whose form is filled in so far, under a key of its own."""
    key = clock.new_id()
    await scene.act(scene.clinician, unfinished_forms.save, "/consultations/new", key, urlencode(filled))
    return key


async def _of_admins(scene: Scene) -> list[Screen]:
    async with scene.world.database.work(actor.TIMER) as w:
        programme = await build.programme(w)
        scene.admin = await build.admin(w)
        other = await build.programme(w, code="second", name="Друга програма", name_en="Another programme")
        await build.grant(w, scene.admin, "programme_admin", other)
        done = await build.rehearsal(w, programme)
        waiting = await build.rehearsal(w, programme, state="waiting", settled_at=None)
        scene.newcomer = await build.clinician(w, scene.asking)
    path = f"/programmes/{programme.id}/policy"
    return [
        Screen("policies", "admin", "/policy"),
        Screen("policy", "admin", path),
        Screen("policy-faults", "admin", f"{path}/rehearsals", {"hold_minutes": "soon"}),
        Screen("rehearsal", "admin", f"{path}/rehearsals/{done.id}"),
        Screen("rehearsal-waiting", "admin", f"{path}/rehearsals/{waiting.id}"),
        Screen("operations", "admin", "/operations"),
        Screen("home-admin", "admin", "/"),
        Screen("people-fault", "coordinator", f"/people/{scene.clinician.id}/address", {"email": "nothing"}),
    ]


async def _asked(scene: Scene, **fields: object) -> tuple[tables.Consultation, UUID]:
    asked = await scene.ask(**fields)
    return asked, (await _offer_of(scene, asked))[0]


async def _offer_of(scene: Scene, asked: tables.Consultation) -> tuple[UUID, Any]:
    (row, *_) = await scene.rows("SELECT id, starts FROM offer WHERE consultation_id = :id", id=asked.id)
    return row.id, row.starts
