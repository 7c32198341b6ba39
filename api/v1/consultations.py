"""Consultations: filed, consented, assigned, withdrawn; whom to ask; written advice."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import Field

from api.edge import batches, bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from api.v1.appointments import AppointmentOut, appointment_out
from api.v1.offers import OfferOut, shown
from service import tables, vocabulary
from service.care import advice, appointments, consultations, manual_offers, promises
from service.kernel import access, errors
from service.outbox import events
from service.rules.matching import ranking
from service.rules.promise import Promise
from service.rules.time import availability

router = APIRouter(route_class=Transactional, tags=["Consultations"], dependencies=query.KNOWN_ONLY)


EXAMPLE_ID = "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"
EXAMPLE = {
    "specialty": "ped.general",
    "priority": "urgent",
    "mode": "live",
    "question": "A child of three with recurrent seizures after a fever; which second drug, and when?",
    "languages": ["en", "fr"],
    "age_band": "child",
    "duration_minutes": 30,
    "windows": [{"from": "2026-11-24T08:00:00Z", "until": "2026-11-24T14:00:00Z"}],
    "tags": [],
    "consent": {"scope": "general", "given_on": "2026-11-21"},
}


class Window(shapes.Shape):
    """A time in which the clinician can attend, half-open."""

    from_: Annotated[shapes.Instant, Field(alias="from")]
    until: shapes.Instant


class ConsentIn(shapes.Shape):
    """The patient's consent: to the general list of countries, or to the named ones besides."""

    model_config = bodies.like({"scope": "countries", "countries": ["IL"], "given_on": "2026-11-21"})

    scope: vocabulary.ConsentScope
    countries: Annotated[list[shapes.Country], Field(max_length=50)] = []
    given_on: shapes.Day


class ConsultationIn(shapes.Shape):
    """What is asked for. Without `consent` it stays a draft that nobody is asked about."""

    model_config = bodies.like(EXAMPLE)

    specialty: shapes.Code
    priority: vocabulary.Priority
    mode: vocabulary.Mode
    question: shapes.CaseText
    languages: Annotated[list[shapes.Language], Field(min_length=1, max_length=10)]
    age_band: vocabulary.AgeBand
    duration_minutes: Annotated[int, Field(ge=15, le=240, multiple_of=5)] = 30
    windows: Annotated[list[Window], Field(max_length=50)] = []
    department: shapes.Line | None = None
    tags: Annotated[list[shapes.Code], Field(max_length=20)] = []
    translation: bool = False
    excluded_mentors: Annotated[list[shapes.Id], Field(max_length=50)] = []
    clinician_id: shapes.Id | None = None
    institution_id: Annotated[
        shapes.Id | None,
        Field(
            description="For a clinician of several hospitals. Without it: the one whose memorandum covers the case"
            " now; 422 that names them when several do."
        ),
    ] = None
    follows_id: shapes.Id | None = None
    confirmed_spans: shapes.Spans = []
    question_language: Annotated[
        shapes.Language | None,
        Field(description="In which of `languages` the question is written, so that it is read aloud rightly."),
    ] = None
    consent: ConsentIn | None = None


class PromiseOut(shapes.Shape):
    """What is known at filing of requests like this one: same priority, mode and number of eligible mentors.

    `counted`: of so many `requests` whose time is over, `answered_in_time` were; half of all by `half_by`, counted
    from this one's filing (null: fewer than half had an answer by the target). `nobody_eligible`: by the rules nobody
    may or can take it as it is; the numbers are null.
    """

    kind: vocabulary.PromiseKind
    requests: int | None
    answered_in_time: int | None
    half_by: shapes.Instant | None


class ConsultationOut(shapes.Shape):
    """A consultation; `question`, and the `note` of its withdrawal, for the people of the case in the single one.

    `number`: what people call it by, in mails and on pages; unique, and at random. `needs_clinician`: its
    clinician has left the institution, and nobody was assigned yet. `first_wave_due`: it is open, and the first mentors
    are asked in a moment (see `Prefer`). `promise`: in the answer of the filing, or of the consent that opens it; else,
    and where too little is known to say anything, null.
    """

    id: shapes.Id
    number: str
    programme_id: shapes.Id
    state: vocabulary.ConsultationState
    specialty: str
    priority: vocabulary.Priority
    mode: str
    institution_id: shapes.Id
    clinician_id: shapes.Id
    needs_clinician: bool
    department: str | None
    age_band: str
    languages: list[str]
    duration_minutes: int
    windows: list[Window]
    tags: list[str]
    first_wave_due: bool
    answer_due_at: shapes.Instant | None
    advice_due_at: shapes.Instant | None
    question: str | None
    question_language: str | None
    memorandum_id: shapes.Id | None
    appointment_id: shapes.Id | None
    cancel_reason: str | None
    note: str | None
    promise: PromiseOut | None
    version: int


class ConsultationCancelIn(shapes.Shape):
    """Why the request is withdrawn; a note is case text."""

    model_config = bodies.like({"reason": "resolved_locally"})

    reason: vocabulary.CancelReason
    note: shapes.Note | None = None
    confirmed_spans: shapes.Spans = []


class AssignIn(shapes.Shape):
    """The colleague who takes over."""

    model_config = bodies.like({"clinician_id": EXAMPLE_ID})

    clinician_id: shapes.Id


class AdviceIn(shapes.Shape):
    """The written answer, and the minutes it took."""

    model_config = bodies.like({"text": "I would add levetiracetam at 20 mg/kg.", "minutes": 20})

    text: shapes.CaseText
    minutes: Annotated[int, Field(ge=1, le=480)]
    confirmed_spans: shapes.Spans = []


class AdviceOut(shapes.Shape):
    """The written answer, for the people of the case."""

    id: shapes.Id
    consultation_id: shapes.Id
    mentor_id: shapes.Id
    text: str
    minutes: int
    given_at: shapes.Instant


class Override(shapes.Shape):
    """A rule that a coordinator may set aside, with the reason that is kept."""

    rule: vocabulary.OverridableRule
    reason: shapes.Line


class OfferIn(shapes.Shape):
    """The mentor chosen by hand; without `starts` up to three times are proposed."""

    model_config = bodies.like({"mentor_id": EXAMPLE_ID, "starts": ["2026-11-24T09:00:00Z"]})

    mentor_id: shapes.Id
    starts: Annotated[list[shapes.Instant], Field(min_length=1, max_length=3)] | None = None
    override: Override | None = None
    confirmed_spans: shapes.Spans = []


class HoldIn(shapes.Shape):
    """The time to hold while the mentor is asked."""

    model_config = bodies.like({"mentor_id": EXAMPLE_ID, "starts_at": "2026-11-24T09:00:00Z"})

    mentor_id: shapes.Id
    starts_at: shapes.Instant


class SlotOut(shapes.Shape):
    """A bookable start, with both wall clocks."""

    starts_at: shapes.Instant
    requester_local: shapes.Wall
    mentor_local: shapes.Wall


class CandidateOut(shapes.Shape):
    """A mentor who may and can, with every term of the score (0..1)."""

    mentor: shapes.Id
    score: float
    terms: dict[str, float]
    memorandum: shapes.Id
    route: str
    slots: list[SlotOut]


class ExcludedOut(shapes.Shape):
    """A mentor who may not or cannot, with every rule that refuses."""

    mentor: shapes.Id
    reasons: list[str]


class CandidatesOut(shapes.Shape):
    """Who may and can answer, first to last, and who may not; a score is the sum of its terms times the weights."""

    weights: dict[str, float]
    candidates: list[CandidateOut]
    excluded: list[ExcludedOut]


def consultation_out(view: consultations.ConsultationView) -> ConsultationOut:
    """Show a consultation."""
    row = view.row
    return ConsultationOut(
        **{
            name: getattr(row, name)
            for name in ConsultationOut.model_fields
            if hasattr(row, name) and name not in {"question", "note"}
        },
        promise=promise_out(view.promise),
        specialty=row.specialty_code,
        windows=[Window(**{"from": from_at, "until": until_at}) for from_at, until_at in view.windows],
        question=view.question,
        note=view.note,
        needs_clinician=row.clinician_left_at is not None,
        first_wave_due=view.is_first_wave_due,
        memorandum_id=view.memorandum_id,
        appointment_id=view.appointment_id,
    )


def promise_out(promise: Promise | None) -> PromiseOut | None:
    """Show what is told of how soon such requests were answered."""
    if promise is None:
        return None
    return PromiseOut(
        kind=promise.kind, requests=promise.requests, answered_in_time=promise.in_time, half_by=promise.half_by
    )


def _consent(body: ConsentIn) -> consultations.ConsentGiven:
    return consultations.ConsentGiven(body.scope, body.given_on, tuple(body.countries))


def wish(body: ConsultationIn, *, is_one_of_many: bool) -> consultations.NewRequest:
    """Read the body of a request."""
    return consultations.NewRequest(
        **body.model_dump(include={"specialty", "priority", "mode", "question", "age_band", "duration_minutes"}),
        **body.model_dump(include={"department", "clinician_id", "institution_id", "follows_id", "question_language"}),
        languages=tuple(body.languages),
        windows=tuple((window.from_, window.until) for window in body.windows),
        tags=tuple(body.tags),
        is_translated=body.translation,
        excluded_mentors=tuple(body.excluded_mentors),
        consent=_consent(body.consent) if body.consent else None,
        confirmed_spans=shapes.confirmed(body.confirmed_spans),
        is_one_of_many=is_one_of_many,
    )


@router.post(
    "/v1/consultations",
    status_code=201,
    responses=problems.of(errors.PersonalDataFound, errors.ModeNotOffered, errors.Forbidden, errors.GateRefused),
)
async def request(
    body: ConsultationIn, w: deps.W, response: Response, is_one_of_many: batches.IsOneOfMany
) -> ConsultationOut:
    """File a request; with consent the first offers go out by themselves. Windows that overlap or touch are one.

    Free text that seems to name a person is refused, and says where. Whoever files many at once sends
    `Prefer: respond-async` with each.
    """
    filed = wish(body, is_one_of_many=is_one_of_many)
    row = await consultations.request(w, filed)
    response.headers["Location"] = f"/v1/consultations/{row.id}"
    deps.etag(response, row.version)
    view = await consultations.filed(w, row, filed)
    if is_one_of_many and view.is_first_wave_due:
        batches.honoured(response)
    return consultation_out(view)


@router.get("/v1/consultations")
async def page(
    w: deps.R,
    paging: deps.Paging,
    state: vocabulary.ConsultationState | None = None,
    priority: vocabulary.Priority | None = None,
    specialty: Annotated[shapes.Code | None, Query()] = None,
    number: Annotated[shapes.CaseNumber | None, Query()] = None,
) -> shapes.Listing[ConsultationOut]:
    """List the consultations you see, oldest first, without case text; the one that has this `number`.

    A number is read as people type it: in small letters, without its dash or its R.
    """
    views = await consultations.page(
        w,
        after=paging.after_id(),
        limit=paging.limit,
        state=state,
        priority=priority,
        specialty=specialty,
        number=number,
    )
    items, following = paging.cut(views, lambda view: (view.row.id,))
    return shapes.Listing(items=[consultation_out(view) for view in items], next=following)


@router.get("/v1/consultations/{consultation_id}")
async def read(consultation_id: shapes.Id, w: deps.W, response: Response) -> ConsultationOut:
    """Read one consultation; the people of the case read its texts, and each reading is remembered."""
    return await _shown(w, consultation_id, response)


async def _shown(w: deps.W, consultation_id: shapes.Id, response: Response) -> ConsultationOut:
    await w.flush()
    return await _answered(w, await access.visible_consultation(w, consultation_id), response)


async def _answered(w: deps.W, row: tables.Consultation, response: Response) -> ConsultationOut:
    view = await consultations.view(w, row)
    deps.etag(response, view.row.version)
    return consultation_out(view)


@router.get(
    "/v1/consultations/{consultation_id}/candidates",
    response_model=CandidatesOut,
    responses=problems.of(errors.Forbidden),
)
async def candidates(consultation_id: shapes.Id, w: deps.R) -> Response:
    """Rank who may and can answer, with every term; name who may not, with every reason."""
    ranking, case = await consultations.candidates_of(w, consultation_id)
    # Written as it is: a model of each of a thousand mentors took half of the answer's time.
    answer: dict[str, object] = {
        "weights": dict(ranking.weights),
        "candidates": [_candidate(candidate, case.zone) for candidate in ranking.candidates],
        "excluded": [{"mentor": mentor.person_id, "reasons": reasons} for mentor, reasons in ranking.excluded],
    }
    return Response(orjson.dumps(answer, default=str), media_type="application/json")  # str: the driver's own UUIDs


def _candidate(candidate: ranking.Candidate, requester_zone: str) -> dict[str, object]:
    return {
        "mentor": candidate.mentor.person_id,
        "score": candidate.score,
        "terms": candidate.terms,
        "memorandum": candidate.link.memorandum_id,
        "route": candidate.link.route,
        "slots": [_slot(start, requester_zone, candidate.mentor.zone) for start in candidate.starts],
    }


@lru_cache(maxsize=1024)  # the mentors of one ranking are proposed for much the same times
def _slot(start: datetime, requester_zone: str, mentor_zone: str) -> Mapping[str, str]:
    return {
        "starts_at": events.instant(start),
        "requester_local": shapes.wall(availability.to_wall(start, requester_zone)),
        "mentor_local": shapes.wall(availability.to_wall(start, mentor_zone)),
    }


@router.post(
    "/v1/consultations/{consultation_id}/offers",
    status_code=201,
    responses=problems.of(
        errors.Forbidden,
        errors.GateRefused,
        errors.TimeNotBookable,
        errors.Exists,
        errors.IllegalTransition,
        errors.PersonalDataFound,
    ),
)
async def ask(consultation_id: shapes.Id, body: OfferIn, w: deps.W, response: Response) -> OfferOut:
    """Ask this mentor: the requesting side's coordinator chooses by hand, and the gate still holds.

    On a scheduled consultation the acceptance replaces the mentor: the appointment keeps its id.
    """
    override = (body.override.rule, body.override.reason) if body.override else None
    offer = await manual_offers.choose(
        w, consultation_id, body.mentor_id, body.starts, override, shapes.confirmed(body.confirmed_spans)
    )
    response.headers["Location"] = f"/v1/offers/{offer.id}"
    return await shown(w, offer.id, response)


@router.post(
    "/v1/consultations/{consultation_id}/holds",
    status_code=201,
    responses=problems.of(
        errors.Forbidden, errors.GateRefused, errors.SlotTaken, errors.TimeNotBookable, errors.Exists
    ),
)
async def hold(consultation_id: shapes.Id, body: HoldIn, w: deps.W, response: Response) -> AppointmentOut:
    """Hold a time for 15 minutes while the mentor is asked; accepting within them books it."""
    row = await manual_offers.hold(w, consultation_id, body.mentor_id, body.starts_at)
    await w.flush()
    response.headers["Location"] = f"/v1/appointments/{row.id}"
    return appointment_out(await appointments.read(w, row.id), response)


@router.post(
    "/v1/consultations/{consultation_id}/cancel",
    responses=problems.of(errors.Forbidden, errors.IllegalTransition, errors.PersonalDataFound),
)
async def cancel(
    consultation_id: shapes.Id, body: ConsultationCancelIn, w: deps.W, response: Response
) -> ConsultationOut:
    """Withdraw the request: open offers are closed, a booked or held time is free at once."""
    await consultations.cancel(w, consultation_id, body.reason, body.note, shapes.confirmed(body.confirmed_spans))
    return await _shown(w, consultation_id, response)


@router.post(
    "/v1/consultations/{consultation_id}/consent", responses=problems.of(errors.Forbidden, errors.IllegalTransition)
)
async def consent(
    consultation_id: shapes.Id,
    body: ConsentIn,
    w: deps.W,
    response: Response,
    is_one_of_many: batches.IsOneOfMany,
) -> ConsultationOut:
    """Record the patient's consent; a draft is open from here, and its offers go out, or a moment later (`Prefer`)."""
    row = await consultations.consent(w, consultation_id, _consent(body), is_one_of_many=is_one_of_many)
    shown = await _shown(w, row.id, response)
    shown.promise = promise_out(await promises.told(w, row))
    if is_one_of_many and shown.first_wave_due:
        batches.honoured(response)
    return shown


@router.post("/v1/consultations/{consultation_id}/assign", responses=problems.of(errors.Forbidden, errors.SlotTaken))
async def assign(consultation_id: shapes.Id, body: AssignIn, w: deps.W, response: Response) -> ConsultationOut:
    """Let a colleague of the institution take the consultation over."""
    row = await consultations.assign(w, consultation_id, body.clinician_id)
    return await _answered(w, row, response)  # who hands it over to another department sees it no longer


@router.post(
    "/v1/consultations/{consultation_id}/advice",
    status_code=201,
    responses=problems.of(errors.Forbidden, errors.AlreadyLogged, errors.IllegalTransition, errors.PersonalDataFound),
)
async def give_advice(consultation_id: shapes.Id, body: AdviceIn, w: deps.W) -> AdviceOut:
    """Give the written answer: by the mentor who accepted. It completes the consultation."""
    row = await advice.give(w, consultation_id, body.text, body.minutes, shapes.confirmed(body.confirmed_spans))
    return AdviceOut(text=body.text, **row.model_dump(include=set(AdviceOut.model_fields) - {"text"}))


@router.get("/v1/consultations/{consultation_id}/advice")
async def read_advice(consultation_id: shapes.Id, w: deps.W) -> AdviceOut:
    """Read the written answer: the people of the case; each reading is remembered."""
    await access.visible_consultation(w, consultation_id)
    row_and_text = await advice.read(w, consultation_id)
    if row_and_text is None:
        raise errors.NotFound
    row, text = row_and_text
    return AdviceOut(text=text, **row.model_dump(include=set(AdviceOut.model_fields) - {"text"}))
