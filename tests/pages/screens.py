"""The pages in their states, to be looked at: each leads a browser to one. A page that is added has a line here."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from pages.scene import QUESTION, Scene
from service import tables
from service.care import answers
from service.kernel import clock


@dataclass(frozen=True, slots=True)
class Screen:
    """One page in one state: who looks (an attribute of the scene; nobody, if None), where, and what they have sent."""

    name: str
    who: str | None
    path: str
    form: dict[str, str] | None = None  # sent to the path, instead of looking


async def staged(scene: Scene) -> list[Screen]:
    """Have a case that is asked for, one with a counter, one that is booked; list what there is to see."""
    now = scene.clock.now()
    booked = await scene.ask()
    (first,) = await scene.rows("SELECT id, starts FROM offer")
    await scene.act(scene.mentor, answers.accept, first.id, first.starts[0])
    countered = await scene.ask(question=f"{QUESTION} 2")
    second = await _offer_of(scene, countered)
    await scene.act(scene.mentor, answers.counter, second, [(now + timedelta(days=1)).replace(hour=9)])
    asked = await scene.ask(mode="either", priority="asap", question=f"{QUESTION} 3")
    third = await _offer_of(scene, asked)
    accept, _ = await scene.link("offer.accept", scene.mentor)
    mails = await scene.rows("SELECT id FROM delivery WHERE person_id = :id LIMIT 1", id=scene.mentor.id)
    away = f"/a/away/{scene.world.keys.link_token(mails[0].id, 'away')}"
    sign_in = await scene.sign_in_path(scene.mentor)
    case = "/consultations"
    return [
        Screen("welcome", None, "/"),
        Screen("welcome-fault", None, "/sign-in", {"email": "лікар@hospital.ua"}),
        Screen("welcome-sent", None, "/sign-in", {"email": "nobody@hospital.example"}),
        Screen("sign-in", None, sign_in),
        Screen("sign-in-unknown", None, "/sign-in/nothing"),
        Screen("link-unknown", None, "/a/nothing"),
        Screen("link-done", None, accept),
        Screen("wanted", None, f"{case}/new"),
        Screen("missing", None, "/nowhere"),
        Screen("offline", None, "/offline"),
        Screen("home-clinician", "clinician", "/"),
        Screen("home-coordinator", "coordinator", "/"),
        Screen("home-mentor", "mentor", "/"),
        Screen("new", "clinician", f"{case}/new"),
        Screen("new-faults", "clinician", f"{case}/new", {"question": f"{QUESTION}, +380 44 123 45 67"}),
        Screen("new-forbidden", "mentor", f"{case}/new"),
        Screen("case-booked", "clinician", f"{case}/{booked.id}"),
        Screen("case-booked-mentor", "mentor", f"{case}/{booked.id}"),
        Screen("case-countered", "clinician", f"{case}/{countered.id}"),
        Screen("case-asked", "clinician", f"{case}/{asked.id}"),
        Screen("case-cancel-fault", "clinician", f"{case}/{asked.id}/cancel", {}),
        Screen("case-coordinator", "coordinator", f"{case}/{asked.id}"),
        Screen("case-missing", "clinician", f"{case}/{clock.new_id()}"),
        Screen("offer", "mentor", f"/offers/{third}"),
        Screen("offer-fault", "mentor", f"/offers/{third}/accept", {}),
        Screen("offer-countered", "mentor", f"/offers/{second}"),
        Screen("offer-accepted", "mentor", f"/offers/{first.id}"),
        Screen("people", "coordinator", "/people"),
        Screen("hours", "mentor", "/hours"),
        Screen("hours-faults", "mentor", "/hours", {"day_1": "mon", "from_1": "25:10", "notice": "soon"}),
        Screen("hours-covered", "mentor", "/hours/absences", {"away_from": "2026-11-16", "away_back": "2026-12-16"}),
        Screen("hours-none", "clinician", "/hours"),
        Screen("mine", "mentor", "/mine"),
        Screen("profile", "mentor", "/profile"),
        Screen("profile-zones", "clinician", "/profile", {"display_name": "X", "locale": "uk", "zone": "Spain"}),
        Screen("counter", "mentor", f"/offers/{third}/counter"),
        Screen("counter-again", "mentor", f"/offers/{second}/counter"),
        Screen("away", None, away),
        Screen("kept-nothing", "clinician", "/kept"),
    ]


async def _offer_of(scene: Scene, asked: tables.Consultation) -> UUID:
    rows = await scene.rows("SELECT id FROM offer WHERE consultation_id = :id", id=asked.id)
    offer_id: UUID = rows[0].id
    return offer_id
