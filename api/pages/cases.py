"""A consultation and an offer for signed-in people, and what each side does there: the same verbs as everywhere."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Response

from api.edge import invitations, problems, shapes
from api.pages import actions, fields, frame, remedies
from service import vocabulary
from service.care import advice, answers, appointments, consultations, sessions, widening
from service.kernel import access, errors
from service.kernel.work import Work
from service.rules import case_numbers, lifecycle
from service.rules.time import night
from service.rules.time.night import NightHours
from service.worklists import filing_choices, page_views, timelines

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
LONGEST_ADVICE_MINUTES = 1440
Again = Callable[[fields.Tried, int], Awaitable[Response]]
Night = Callable[[Work], Awaitable[Sequence[NightHours]]]


@router.get("/consultations/{id}")
async def case_page(visit: frame.Known, id: str) -> Response:  # noqa: A002 - the path's word
    """Show the consultation as far as the visitor may see it; the number that people say leads to it too."""
    if case_numbers.read(id) is None:
        return await _case(visit, fields.id_of(id))
    found = await visit.read(lambda w: consultations.find(w, id))
    if found is None:
        raise errors.NotFound
    return frame.see(f"/consultations/{found}")


@router.post("/consultations/{id}/cancel")
async def cancel(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Withdraw the request."""
    form = await fields.sent(visit.request)
    reason, note = form.one_of("reason", vocabulary.CANCEL_REASONS), form.words("note", "note", needed=False)
    return await _try(visit, "cancel", form, id, lambda w: consultations.cancel(w, id, reason, note, form.confirmed()))


@router.post("/consultations/{id}/assign")
async def assign(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Let a colleague take the consultation over."""
    form = await fields.sent(visit.request)
    page = await visit.do(lambda w: page_views.case(w, id))
    chosen = form.one_of("clinician_id", [str(person.id) for person in page.colleagues])
    return await _try(visit, "assign", form, id, lambda w: consultations.assign(w, id, UUID(chosen)))


@router.post("/consultations/{id}/consent")
async def consent(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Record the patient's consent; a draft is open then."""
    form = await fields.sent(visit.request)
    scope = form.one_of("consent", vocabulary.CONSENT_SCOPES)
    choices = await visit.read(filing_choices.choices)
    countries = form.some_of("countries", choices.countries, needed=scope == "countries")
    consent_given = consultations.ConsentGiven(scope, form.day("given_on") or visit.today, countries)
    return await _try(visit, "consent", form, id, lambda w: consultations.consent(w, id, consent_given))


@router.post("/consultations/{id}/widen")
async def widen(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Make the request wider, as a button under "what would help" says."""
    form = await fields.sent(visit.request)
    changes = remedies.read(form.all("change"))
    if changes is None:
        raise errors.Invalid("/changes", "the form cannot be read")
    given_on = form.day("given_on") if form.typed("given_on") else None
    return await _try(visit, "widen", form, id, lambda w: widening.widen(w, id, changes, given_on))


@router.post("/consultations/{id}/advice")
async def give_advice(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Give the written advice, once."""
    form = await fields.sent(visit.request)
    text, minutes = form.words("text", "text") or "", form.number("minutes", 1, LONGEST_ADVICE_MINUTES)
    return await _try(visit, "advice", form, id, lambda w: advice.give(w, id, text, minutes, form.confirmed()))


@router.get("/offers/{id}")
async def offer_page(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Show what is asked, and the answers there are."""
    return await _offer(visit, id)


@router.post("/offers/{id}/accept")
async def accept(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Take the consultation at one of the times, or in writing."""
    form = await fields.sent(visit.request)
    starts_at = None if form.has("starts_at", "written") else form.instant("starts_at")
    night = _night(page_views.night_of_offer, id, starts_at)
    return await _answer(visit, "accept", form, id, lambda w: answers.accept(w, id, starts_at), night)


@router.post("/offers/{id}/show")
async def show_again(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Show the question of a late offer again."""
    form = await fields.sent(visit.request)
    return await _answer(visit, "show", form, id, lambda w: answers.show_again(w, id))


@router.post("/offers/{id}/decline")
async def decline(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Say no, with a reason."""
    form = await fields.sent(visit.request)
    reason, note = form.one_of("reason", vocabulary.DECLINE_REASONS), form.words("note", "note", needed=False)
    return await _answer(visit, "decline", form, id, lambda w: answers.decline(w, id, reason, note, form.confirmed()))


@router.post("/offers/{id}/counter/accept")
async def accept_counter(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Take one of the mentor's times."""
    form = await fields.sent(visit.request)
    starts_at = form.instant("starts_at") or visit.world.clock.now()
    case_id = await _consultation_of(visit, id)
    night = _night(page_views.night_of_offer, id, starts_at)
    return await _try(visit, f"counter-{id}", form, case_id, lambda w: answers.accept_counter(w, id, starts_at), night)


@router.post("/offers/{id}/counter/decline")
async def decline_counter(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Decline all of the mentor's times."""
    form = await fields.sent(visit.request)
    case_id = await _consultation_of(visit, id)
    return await _try(visit, f"counter-{id}", form, case_id, lambda w: answers.decline_counter(w, id))


@router.get("/appointments/{id}")
async def appointment_page(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Lead to the consultation, whose page shows the appointment."""
    return frame.see(f"/consultations/{await _consultation_at(visit, id)}")


@router.post("/appointments/{id}/cancel")
async def cancel_appointment(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Call the appointment off."""
    form = await fields.sent(visit.request)
    reason, note = (
        form.one_of("reason", vocabulary.APPOINTMENT_CANCEL_REASONS),
        form.words("note", "note", needed=False),
    )
    case_id = await _consultation_at(visit, id)
    return await _try(
        visit, "call_off", form, case_id, lambda w: appointments.cancel(w, id, reason, note, form.confirmed())
    )


@router.post("/appointments/{id}/move")
async def move(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Move the appointment, or propose it to the other side; or take the time that the other side proposed."""
    form = await fields.sent(visit.request)
    is_proposed = bool(form.typed("starts_at"))
    chosen_at = form.instant("starts_at") if is_proposed else form.local("local", visit.zone, needed=True)
    starts_at = chosen_at or visit.world.clock.now()
    case_id = await _consultation_at(visit, id)
    verb = appointments.agree if is_proposed else appointments.move
    night = _night(page_views.night_of_appointment, id, starts_at)
    return await _try(visit, "move", form, case_id, lambda w: verb(w, id, starts_at), night)


@router.post("/appointments/{id}/move/decline")
async def decline_move(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Leave the appointment where it is."""
    form = await fields.sent(visit.request)
    declined_at = form.instant("starts_at") or visit.world.clock.now()
    case_id = await _consultation_at(visit, id)
    return await _try(visit, "move", form, case_id, lambda w: appointments.decline_move(w, id, declined_at))


@router.post("/appointments/{id}/session")
async def log_session(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Log what happened, in the visitor's own wall times."""
    form = await fields.sent(visit.request)
    now = visit.world.clock.now()
    entry = sessions.SessionEntry(
        started_at=form.local("started_at", visit.zone, needed=True) or now,
        ended_at=form.local("ended_at", visit.zone, needed=True) or now,
        outcome=form.one_of("held", vocabulary.PLAIN_OUTCOMES, needed=False)
        or form.one_of("outcome", vocabulary.SESSION_OUTCOMES),
        conclusion=form.words("conclusion", "text", needed=False),
        confirmed_spans=form.confirmed(),
    )
    case_id = await _consultation_at(visit, id)
    return await _try(visit, "session", form, case_id, lambda w: sessions.log(w, id, entry))


@router.get("/appointments/{id}/join")
async def join(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Enter the room, while it is open."""
    return await actions.enter(visit, id)


@router.get("/appointments/{id}/invite.ics")
async def invite(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Give the present invitation of one who takes part, for their calendar."""
    answer = invitations.invite(visit.world, await visit.do(lambda w: appointments.invitation(w, id)))
    answer.headers.update(frame.HEADERS)
    return answer


@router.post("/appointments/{id}/release")
async def release(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Let a held time go."""
    form = await fields.sent(visit.request)
    case_id = await _consultation_at(visit, id)
    return await _try(visit, "release", form, case_id, lambda w: appointments.release_hold(w, id))


@router.post("/sessions/{id}/feedback")
async def follow_up(visit: frame.Known, id: shapes.Id) -> Response:  # noqa: A002
    """Say what became of it, once for each side."""
    form = await fields.sent(visit.request)
    is_useful = form.one_of("useful", ("yes", "no")) == "yes"
    outcome = form.one_of("outcome", vocabulary.PATIENT_OUTCOMES, needed=False) or None
    note = form.words("note", "note", needed=False)
    session = await visit.read(lambda w: access.visible_session(w, id))
    return await _try(
        visit,
        "follow_up",
        form,
        session.consultation_id,
        lambda w: sessions.give_feedback(
            w, id, is_useful=is_useful, patient_outcome=outcome, note=note, confirmed=form.confirmed()
        ),
    )


def _night(
    of_subject: Callable[[Work, UUID, Sequence[datetime]], Awaitable[Sequence[NightHours]]],
    subject_id: UUID,
    *starts: datetime | None,
) -> Night:
    """Ask later which of these times are at night for somebody."""
    chosen = [start for start in starts if start is not None]
    return lambda w: of_subject(w, subject_id, chosen)


async def _try(
    visit: frame.Visit,
    name: str,
    form: fields.Fields,
    case_id: UUID,
    body: Callable[[Work], Awaitable[object]],
    night: Night | None = None,
) -> Response:
    """Do it and show the consultation; what fails is shown there, with what was typed."""

    async def again(tried: fields.Tried, status: int) -> Response:
        return await _case(visit, case_id, tried, status)

    return await _attempt(visit, name, form, f"/consultations/{case_id}", body, again, night)


async def _answer(
    visit: frame.Visit,
    name: str,
    form: fields.Fields,
    offer_id: UUID,
    body: Callable[[Work], Awaitable[object]],
    night: Night | None = None,
) -> Response:
    """Do it and show the offer; what fails is shown there."""

    async def again(tried: fields.Tried, status: int) -> Response:
        return await _offer(visit, offer_id, tried, status)

    return await _attempt(visit, name, form, f"/offers/{offer_id}", body, again, night)


async def _attempt(
    visit: frame.Visit,
    name: str,
    form: fields.Fields,
    path: str,
    body: Callable[[Work], Awaitable[object]],
    again: Again,
    night: Night | None = None,
) -> Response:
    if form.faults:
        return await again(fields.Tried(name, form), 422)
    if night and not form.has("sure", "yes"):
        warnings = await visit.read(night)
        if warnings:
            return await again(fields.Tried(name, form, night=warnings), 422)
    try:
        await visit.do(body)
    except (errors.Unauthenticated, errors.NotFound):
        raise
    except errors.PersonalDataFound as error:
        return await again(fields.named(name, form, error), 422)
    except errors.Invalid as error:
        faults = error.members["errors"]
        for fault in faults if isinstance(faults, list) else []:
            form.faults[_field(name, fault["pointer"])] = fault["detail"]
        return await again(fields.Tried(name, form), 422)
    except errors.DomainError as error:
        problem = frame.problem_words(visit.words, error)
        tried = fields.Tried(name, form, problem, next_starts=frame.next_starts(error))
        return await again(tried, problems.status_of(type(error)))
    return frame.see(path)


def _field(name: str, pointer: str) -> str:
    """Give the form's field for the pointer of a verb's fault."""
    renamed = {("move", "/starts_at"): "local", ("counter", "/starts"): actions.TIMES[0]}
    return renamed.get((name, pointer), pointer.removeprefix("/"))


async def _consultation_of(visit: frame.Visit, offer_id: UUID) -> UUID:
    offer = await visit.read(lambda w: access.visible_offer(w, offer_id))
    return offer.consultation_id


async def _consultation_at(visit: frame.Visit, appointment_id: UUID) -> UUID:
    return (await visit.read(lambda w: appointments.read(w, appointment_id))).row.consultation_id


async def _case(
    visit: frame.Visit, consultation_id: UUID, tried: fields.Tried | None = None, status: int = 200
) -> Response:
    case = await visit.do(lambda w: page_views.case(w, consultation_id))
    countries = (
        (await visit.read(filing_choices.choices)).countries if case.row.state == "draft" and case.is_requesting else []
    )
    stuck = await visit.read(lambda w: widening.if_stuck(w, case.row)) if case.is_requesting else None
    mine = [offer for offer in case.offers if visit.person and offer.mentor_id == visit.person.id]
    return visit.show(
        "case.html",
        status,
        case=case,
        tried=tried or fields.Tried("", fields.Fields([])),
        countries=visit.words.in_order(countries, visit.words.country),
        mine=mine,
        may_write=any(offer.state == "accepted" and offer.ended_at is None for offer in mine)
        and case.row.advice_due_at is not None
        and case.row.state == "scheduled",
        is_open=case.row.state not in vocabulary.CLOSED,
        cancel_reasons=vocabulary.CANCEL_REASONS,
        call_off_reasons=vocabulary.APPOINTMENT_CANCEL_REASONS,
        outcomes=vocabulary.SESSION_OUTCOMES,
        held=vocabulary.PLAIN_OUTCOMES,
        held_outcomes=[code for code in vocabulary.SESSION_OUTCOMES if code not in vocabulary.NOT_HELD],
        consents=vocabulary.CONSENT_SCOPES,
        local=visit.local,
        patient_outcomes=vocabulary.PATIENT_OUTCOMES,
        has_room=visit.world.settings.room_url is not None,
        steps=timelines.steps(case.told, visit.world.clock.now()),
        row=case.row,
        **remedies.of_stuck(stuck, visit.words, visit.zone, visit.today),
    )


async def _offer(visit: frame.Visit, offer_id: UUID, tried: fields.Tried | None = None, status: int = 200) -> Response:
    card, case = await visit.do(lambda w: page_views.offer_page(w, offer_id))
    offer = card.offer
    is_mine = visit.person is not None and offer.mentor_id == visit.person.id
    may_answer = is_mine or offer.institution_id in visit.actor.institutions("coordinator")
    now: datetime = visit.world.clock.now()
    closes_at = lifecycle.closes_at(offer.answer_by, card.consultation.state, card.consultation.answer_due_at)
    is_open = may_answer and offer.shown_state in {"pending", "late"} and closes_at > now
    next_starts = tried.next_starts if tried else ()
    if is_open and not card.starts and not next_starts:
        next_starts = await visit.read(lambda w: answers.next_starts(w, offer))
    starts = sorted({*card.starts, *next_starts})
    return visit.show(
        "offer.html",
        status,
        asked=card,
        offer=offer,
        is_mine=is_mine,
        case=case,
        tried=tried or fields.Tried("", fields.Fields([])),
        may_answer=is_open,
        late_until=closes_at if is_open and offer.answer_by <= now else None,
        starts=starts,
        at_night={each.at for each in night.warnings(starts, card.consultation.duration_minutes, card.zones)},
        is_taken=offer.kind != "written" and not card.starts,
        may_decline=is_open or (may_answer and offer.state == "countered"),
        zones=(visit.zone, card.mentor.zone, card.clinician.zone),
        reasons=vocabulary.DECLINE_REASONS,
        times=actions.TIMES,
    )
