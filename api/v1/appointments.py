"""Appointments: read, moved, called off, missed, joined; their calendar object."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse

from api.edge import bodies, deps, invitations, problems, query, shapes
from api.edge.transactional import Transactional
from integrations import video
from service import vocabulary
from service.care import appointments
from service.kernel import errors

router = APIRouter(route_class=Transactional, tags=["Appointments"], dependencies=query.KNOWN_ONLY)

_OVER = (errors.Forbidden, errors.IllegalTransition, errors.TooLate)


class ParticipantOut(shapes.Shape):
    """Who takes part, and their answer."""

    person_id: shapes.Id
    institution_id: shapes.Id
    role: vocabulary.ParticipantRole
    status: vocabulary.ParticipantStatus
    local: shapes.Wall
    zone: str


class AppointmentOut(shapes.Shape):
    """One agreed or held time. Its id never changes, and is the stem of the calendar's UID.

    `note`, of a cancellation, is there for the people of the case, in the single resource only. `needs_mentor`: the
    time stands, its mentor has left, and another one is sought; there is no call unless one is found.
    """

    id: shapes.Id
    consultation_id: shapes.Id
    memorandum_id: shapes.Id
    route: str
    status: vocabulary.AppointmentStatus
    starts_at: shapes.Instant
    ends_at: shapes.Instant
    participants: list[ParticipantOut]
    needs_mentor: bool
    held_until: shapes.Instant | None
    proposed_starts: list[shapes.Instant]
    proposed_by: shapes.Id | None
    cancel_reason: str | None
    absent: vocabulary.AbsentParty | None
    note: str | None
    warnings: list[shapes.WarningOut]
    sequence: int
    version: int


class MoveIn(shapes.Shape):
    """The new time: bookable, it is booked; else it is proposed to the other side."""

    model_config = bodies.like({"starts_at": "2026-11-25T10:00:00Z"})

    starts_at: shapes.Instant


class AppointmentCancelIn(shapes.Shape):
    """Why it is called off; a note is case text."""

    model_config = bodies.like({"reason": "power"})

    reason: vocabulary.AppointmentCancelReason
    note: shapes.Note | None = None
    confirmed_spans: shapes.Spans = []


class NoShowIn(shapes.Shape):
    """Who did not come."""

    model_config = bodies.like({"who": "mentor"})

    who: vocabulary.AbsentParty


def appointment_out(
    view: appointments.AppointmentView, response: Response | None = None, note: str | None = None
) -> AppointmentOut:
    """Show an appointment, with its ETag; a hold's end is the Expires header too."""
    row = view.row
    if response is not None:
        deps.etag(response, row.version)
        if row.held_until is not None:
            response.headers["Expires"] = row.held_until.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return AppointmentOut(
        **{name: getattr(row, name) for name in AppointmentOut.model_fields if hasattr(row, name) and name != "note"},
        note=note,
        needs_mentor=view.needs_mentor,
        warnings=shapes.warnings(view.warnings),
        participants=[
            ParticipantOut(
                **{
                    name: getattr(participant, name)
                    for name in ("person_id", "institution_id", "role", "status", "zone")
                },
                local=participant.wall,
            )
            for participant in view.participants
        ],
    )


async def _shown(w: deps.W, appointment_id: shapes.Id, response: Response) -> AppointmentOut:
    await w.flush()
    view = await appointments.read(w, appointment_id)
    return appointment_out(view, response, await appointments.read_note(w, view.row))


@router.get("/v1/appointments")
async def page(
    w: deps.R,
    paging: deps.Paging,
    from_: Annotated[shapes.Instant | None, Query(alias="from")] = None,
    until: Annotated[shapes.Instant | None, Query()] = None,
) -> shapes.Listing[AppointmentOut]:
    """List the appointments you see by their start, in [from, until)."""
    views = await appointments.page(w, after=paging.after_at(), limit=paging.limit, from_at=from_, until_at=until)
    items, following = paging.cut(views, lambda view: (view.row.starts_at, view.row.id))
    return shapes.Listing(items=[appointment_out(view) for view in items], next=following)


@router.get("/v1/appointments/{appointment_id}")
async def read(appointment_id: shapes.Id, w: deps.W, response: Response) -> AppointmentOut:
    """Read one appointment."""
    return await _shown(w, appointment_id, response)


@router.get(
    "/v1/appointments/{appointment_id}/invite.ics",
    response_class=Response,
    responses={200: {"content": {"text/calendar": {}}}},
)
async def invite(appointment_id: shapes.Id, w: deps.W, world: deps.TheWorld) -> Response:
    """Give the present invitation of one who takes part, as an iCalendar object."""
    return invitations.invite(world, await appointments.invitation(w, appointment_id))


@router.post(
    "/v1/appointments/{appointment_id}/reschedule",
    responses=problems.of(*_OVER, errors.SlotTaken, errors.GateRefused, errors.TimeNotBookable),
)
async def reschedule(appointment_id: shapes.Id, body: MoveIn, w: deps.W, response: Response) -> AppointmentOut:
    """Move it: to a bookable time at once; any other time is proposed, and the other side may agree by the same call.

    From the start on every other time is proposed only, until 24 hours after the end. Agreeing is possible until the
    proposed time begins.
    A failed move leaves everything as it was.
    """
    await appointments.move(w, appointment_id, body.starts_at)
    return await _shown(w, appointment_id, response)


@router.post("/v1/appointments/{appointment_id}/cancel", responses=problems.of(*_OVER, errors.PersonalDataFound))
async def cancel(appointment_id: shapes.Id, body: AppointmentCancelIn, w: deps.W, response: Response) -> AppointmentOut:
    """Call it off: the time is free at once. By the mentor's side the consultation is open again, else it ends.

    From the end on this is 409 `too-late`: log what happened instead.
    """
    await appointments.cancel(w, appointment_id, body.reason, body.note, shapes.confirmed(body.confirmed_spans))
    return await _shown(w, appointment_id, response)


@router.post(
    "/v1/appointments/{appointment_id}/no-show", responses=problems.of(*_OVER, errors.TooEarly, errors.Disputed)
)
async def no_show(appointment_id: shapes.Id, body: NoShowIn, w: deps.W, response: Response) -> AppointmentOut:
    """Report who did not come, once they were waited for: ten minutes after the start, unless the programme says else.

    If the other side has said otherwise, this is 409 `disputed`, and the coordinators of both sides are told. An
    air-raid alert is no absence: log the session as `interrupted_alert`.
    """
    await appointments.report_no_show(w, appointment_id, body.who)
    return await _shown(w, appointment_id, response)


@router.delete("/v1/appointments/{appointment_id}/hold", responses=problems.of(*_OVER))
async def release(appointment_id: shapes.Id, w: deps.W, response: Response) -> AppointmentOut:
    """Let a held time go; doing so twice is doing it once."""
    await appointments.release_hold(w, appointment_id)
    return await _shown(w, appointment_id, response)


@router.get(
    "/v1/appointments/{appointment_id}/join",
    status_code=303,
    response_class=RedirectResponse,
    responses=problems.of(errors.Forbidden, errors.JoinNotOpen),
)
async def join(appointment_id: shapes.Id, w: deps.W, world: deps.TheWorld) -> RedirectResponse:
    """Go to the video room: from ten minutes before the start until an hour after the end."""
    row = await appointments.room(w, appointment_id)
    address = video.room_address(world.settings, row.id)
    if address is None:
        raise errors.NotFound("No video room is configured.")
    return RedirectResponse(address, 303)
