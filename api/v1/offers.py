"""Offers: a mentor's inbox, their answers, and the requesting side's answers to a counter."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from api.edge import bodies, deps, problems, query, shapes
from api.edge.transactional import Transactional
from api.v1.appointments import AppointmentOut, appointment_out
from service import vocabulary
from service.care import answers, appointments, offers
from service.kernel import errors

router = APIRouter(route_class=Transactional, tags=["Offers"], dependencies=query.KNOWN_ONLY)

_CLOSED = (errors.Forbidden, errors.OfferClosed, errors.OfferExpired)


class OfferOut(shapes.Shape):
    """One mentor asked to take one consultation; `note`, of a decline, for the people of the case in the single one.

    While it waits, `starts` and `counter_starts` are the times that can still be taken.
    `mail`, of an open offer, tells whether the mail that brings it has left: until then the mentor's time does not run.
    From `answer_by` on others are asked, and it is `late`: an answer is taken all the same until `closes_at`. Then the
    question is hidden, until the mentor wishes to see it again (`shown_again_at`).
    """

    id: shapes.Id
    consultation_id: shapes.Id
    mentor_id: shapes.Id
    institution_id: shapes.Id
    state: vocabulary.OfferState
    kind: vocabulary.OfferKind
    specialty: str
    priority: str
    mode: str
    starts: list[shapes.Instant]
    counter_starts: list[shapes.Instant]
    sent_at: shapes.Instant
    answer_by: shapes.Instant
    closes_at: shapes.Instant | None
    shown_again_at: shapes.Instant | None
    ended_at: shapes.Instant | None
    advice_due_at: shapes.Instant | None
    decline_reason: str | None
    note: str | None
    memorandum_id: shapes.Id
    route: str
    wave: int
    warnings: list[shapes.WarningOut]
    mail: vocabulary.OfferMail | None
    version: int


class AcceptIn(shapes.Shape):
    """The chosen time: one of the offered starts, or another bookable one; none for written advice."""

    model_config = bodies.like({"starts_at": "2026-11-24T10:00:00Z"})

    starts_at: shapes.Instant | None = None


class WrittenOut(shapes.Shape):
    """A written consultation that was taken: advice is due."""

    consultation_id: shapes.Id
    state: str
    advice_due_at: shapes.Instant | None


class DeclineIn(shapes.Shape):
    """Why not; a note is case text."""

    model_config = bodies.like({"reason": "busy"})

    reason: vocabulary.DeclineReason
    note: shapes.Note | None = None
    confirmed_spans: shapes.Spans = []


class CounterIn(shapes.Shape):
    """Up to three other times."""

    model_config = bodies.like({"starts": ["2026-11-25T16:00:00Z"]})

    starts: Annotated[list[shapes.Instant], Field(min_length=1, max_length=3)]


class TakeIn(shapes.Shape):
    """Which of the mentor's times is taken."""

    model_config = bodies.like({"starts_at": "2026-11-24T09:00:00Z"})

    starts_at: shapes.Instant


_OF_ROW = OfferOut.model_fields.keys() - {"note", "state", "starts", "counter_starts"}


def offer_out(view: offers.OfferView, response: Response | None = None, note: str | None = None) -> OfferOut:
    """Show an offer, with its ETag."""
    row, consultation = view.row, view.consultation
    if response is not None:
        deps.etag(response, row.version)
    return OfferOut(
        **{name: getattr(row, name) for name in _OF_ROW if hasattr(row, name)},
        note=note,
        state=row.shown_state,
        closes_at=view.closes_at,
        starts=list(view.starts),
        counter_starts=list(view.counter_starts),
        warnings=shapes.warnings(view.warnings),
        mail=view.mail,
        specialty=consultation.specialty_code,
        priority=consultation.priority,
        mode=consultation.mode,
        advice_due_at=None if row.kind == "live" else consultation.answer_due_at,
    )


async def shown(w: deps.W, offer_id: shapes.Id, response: Response) -> OfferOut:
    """Show the offer as it is now."""
    await w.flush()
    view = await offers.read(w, offer_id)
    return offer_out(view, response, await offers.read_note(w, view.row))


@router.get("/v1/offers")
async def page(w: deps.R, paging: deps.Paging, state: vocabulary.OfferState | None = None) -> shapes.Listing[OfferOut]:
    """List the offers you see, oldest first: a mentor's inbox is `?state=pending`, and `?state=late`."""
    views = await offers.page(w, after=paging.after_id(), limit=paging.limit, state=state)
    items, following = paging.cut(views, lambda view: (view.row.id,))
    return shapes.Listing(items=[offer_out(view) for view in items], next=following)


@router.get("/v1/offers/{offer_id}")
async def read(offer_id: shapes.Id, w: deps.W, response: Response) -> OfferOut:
    """Read one offer; the question is in its consultation."""
    return await shown(w, offer_id, response)


async def _agreed(w: deps.W, accepted: answers.Accepted, response: Response) -> AppointmentOut | WrittenOut:
    await w.flush()
    consultation = accepted.consultation
    if accepted.appointment is not None:
        return appointment_out(await appointments.read(w, accepted.appointment.id), response)
    return WrittenOut(
        consultation_id=consultation.id, state=consultation.state, advice_due_at=consultation.advice_due_at
    )


@router.post(
    "/v1/offers/{offer_id}/accept",
    responses=problems.of(*_CLOSED, errors.SlotTaken, errors.GateRefused, errors.TimeNotBookable, errors.HoldExpired),
)
async def accept(offer_id: shapes.Id, body: AcceptIn, w: deps.W, response: Response) -> AppointmentOut | WrittenOut:
    """Take the consultation: the first acceptance books, the others are withdrawn. The same answer twice is one."""
    return await _agreed(w, await answers.accept(w, offer_id, body.starts_at), response)


@router.post("/v1/offers/{offer_id}/show", responses=problems.of(*_CLOSED, errors.GateRefused))
async def show_again(offer_id: shapes.Id, w: deps.W, response: Response) -> OfferOut:
    """Show the mentor of a late offer the question again, if every rule still lets them answer it."""
    await answers.show_again(w, offer_id)
    return await shown(w, offer_id, response)


@router.post("/v1/offers/{offer_id}/decline", responses=problems.of(*_CLOSED, errors.PersonalDataFound))
async def decline(offer_id: shapes.Id, body: DeclineIn, w: deps.W, response: Response) -> OfferOut:
    """Say no: a quick no costs nothing, and the next mentor is asked at once."""
    await answers.decline(w, offer_id, body.reason, body.note, shapes.confirmed(body.confirmed_spans))
    return await shown(w, offer_id, response)


@router.post("/v1/offers/{offer_id}/counter", responses=problems.of(*_CLOSED, errors.TimeNotBookable))
async def counter(offer_id: shapes.Id, body: CounterIn, w: deps.W, response: Response) -> OfferOut:
    """Propose other times; the requesting side takes one or declines, and meanwhile others are asked."""
    await answers.counter(w, offer_id, body.starts)
    return await shown(w, offer_id, response)


@router.post(
    "/v1/offers/{offer_id}/counter/accept",
    responses=problems.of(*_CLOSED, errors.SlotTaken, errors.GateRefused, errors.TimeNotBookable),
)
async def take(offer_id: shapes.Id, body: TakeIn, w: deps.W, response: Response) -> AppointmentOut | WrittenOut:
    """Take one of the mentor's times: it is booked."""
    return await _agreed(w, await answers.accept_counter(w, offer_id, body.starts_at), response)


@router.post("/v1/offers/{offer_id}/counter/decline", responses=problems.of(*_CLOSED))
async def decline_counter(offer_id: shapes.Id, w: deps.W, response: Response) -> OfferOut:
    """Want none of the mentor's times: the offer is open again until its time, else over."""
    await answers.decline_counter(w, offer_id)
    return await shown(w, offer_id, response)
