"""What happened: sessions logged, corrected, answered for."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from service import tables, vocabulary
from service.care import sessions
from service.kernel import access, errors

router = APIRouter(route_class=Transactional, tags=["Sessions"], dependencies=query.KNOWN_ONLY)

EXAMPLE = {
    "started_at": "2026-11-20T10:02:00Z",
    "ended_at": "2026-11-20T10:31:00Z",
    "outcome": "advice_given",
    "conclusion": "Second drug agreed; control in two weeks.",
}


class SessionIn(shapes.Shape):
    """The actual times (never in the future), the outcome, and a conclusion, which is case text."""

    model_config = bodies.like(EXAMPLE)

    started_at: shapes.Instant
    ended_at: shapes.Instant
    outcome: vocabulary.SessionOutcome
    participants: Annotated[list[shapes.Id], Field(min_length=1, max_length=20)] | None = None
    conclusion: shapes.CaseText | None = None
    confirmed_spans: shapes.Spans = []


class SessionOut(shapes.Shape):
    """A session in the log; `conclusion` is there for the people of the case."""

    id: shapes.Id
    appointment_id: shapes.Id | None
    consultation_id: shapes.Id
    memorandum_id: shapes.Id
    route: str
    is_memorandum_chosen_anew: bool
    mode: vocabulary.SessionMode
    specialty: str
    priority: str
    requesting_institution_id: shapes.Id
    partner_institution_id: shapes.Id
    clinician_id: shapes.Id
    mentor_id: shapes.Id
    participants: list[shapes.Id]
    started_at: shapes.Instant
    ended_at: shapes.Instant
    minutes: int
    outcome: vocabulary.SessionOutcome
    is_corrected: bool
    conclusion: str | None


class FeedbackIn(shapes.Shape):
    """One side's answer: was it useful, how did the patient do; a note is case text."""

    model_config = bodies.like({"is_useful": True, "patient_outcome": "better"})

    is_useful: bool
    patient_outcome: vocabulary.PatientOutcome | None = None
    note: shapes.Note | None = None
    confirmed_spans: shapes.Spans = []


class FeedbackOut(shapes.Shape):
    """An answer that was kept; its note for the people of the case."""

    id: shapes.Id
    session_id: shapes.Id
    side: vocabulary.Side
    is_useful: bool
    patient_outcome: str | None
    note: str | None
    given_at: shapes.Instant


def _entry(body: SessionIn) -> sessions.SessionEntry:
    return sessions.SessionEntry(
        started_at=body.started_at,
        ended_at=body.ended_at,
        outcome=body.outcome,
        participants=tuple(body.participants) if body.participants is not None else None,
        conclusion=body.conclusion,
        confirmed_spans=shapes.confirmed(body.confirmed_spans),
    )


async def _shown(w: deps.W, row: tables.Session) -> SessionOut:
    await w.flush()
    conclusion = await sessions.read_conclusion(w, row)
    fields = {name: getattr(row, name) for name in SessionOut.model_fields if hasattr(row, name)}
    return SessionOut(**fields | {"conclusion": conclusion}, specialty=row.specialty_code)


@router.post(
    "/v1/appointments/{appointment_id}/session",
    status_code=201,
    responses=problems.of(
        errors.SessionInFuture,
        errors.AlreadyLogged,
        errors.IllegalTransition,
        errors.Forbidden,
        errors.PersonalDataFound,
    ),
)
async def log(appointment_id: shapes.Id, body: SessionIn, w: deps.W, response: Response) -> SessionOut:
    """Log what happened, by either side; the appointment is fulfilled, the consultation completed."""
    row = await sessions.log(w, appointment_id, _entry(body))
    response.headers["Location"] = f"/v1/sessions/{row.id}"
    return await _shown(w, row)


@router.get("/v1/sessions/{session_id}")
async def read(session_id: shapes.Id, w: deps.W) -> SessionOut:
    """Read one session of the log."""
    return await _shown(w, await access.visible_session(w, session_id))


@router.post(
    "/v1/sessions/{session_id}/corrections",
    status_code=201,
    responses=problems.of(errors.SessionInFuture, errors.Exists, errors.Forbidden, errors.PersonalDataFound),
)
async def correct(session_id: shapes.Id, body: SessionIn, w: deps.W, response: Response) -> SessionOut:
    """Correct an entry by a new one that names it; the old one stays. By its author or a coordinator."""
    row = await sessions.correct(w, session_id, _entry(body))
    response.headers["Location"] = f"/v1/sessions/{row.id}"
    return await _shown(w, row)


@router.post(
    "/v1/sessions/{session_id}/feedback",
    status_code=201,
    responses=problems.of(errors.AlreadyLogged, errors.Forbidden, errors.PersonalDataFound),
)
async def feedback(session_id: shapes.Id, body: FeedbackIn, w: deps.W) -> FeedbackOut:
    """Answer for your side, once: was it useful, how did the patient do. The other side sees it."""
    row = await sessions.give_feedback(
        w,
        session_id,
        is_useful=body.is_useful,
        patient_outcome=body.patient_outcome,
        note=body.note,
        confirmed=shapes.confirmed(body.confirmed_spans),
    )
    return _feedback_out(row, body.note)


@router.get("/v1/sessions/{session_id}/feedback")
async def read_feedback(session_id: shapes.Id, w: deps.W) -> shapes.Listing[FeedbackOut]:
    """Read both sides' answers; the people of the case read their notes, and each reading is remembered."""
    answers = await sessions.read_feedback(w, session_id)
    return shapes.Listing(items=[_feedback_out(row, note) for row, note in answers], next=None)


def _feedback_out(row: tables.Feedback, note: str | None) -> FeedbackOut:
    return FeedbackOut(**row.model_dump(include=set(FeedbackOut.model_fields) - {"note"}), note=note)
