"""Written answers: the field's main mode, not a fallback."""

from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.care import casefile, sessions
from service.kernel import access, clock, deidentification, errors
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.outbox import events, hearers, notices


async def give(
    w: Work, consultation_id: UUID, text: str, minutes: int, confirmed: tuple[ConfirmedSpan, ...] = ()
) -> tables.Advice:
    """The mentor's written answer is there and logged, the consultation completed; a second raises AlreadyLogged."""
    await access.visible_consultation(w, consultation_id)
    await deidentification.check_long(w, {"text": text}, confirmed)
    case = await casefile.open_case(w, consultation_id)
    consultation = case.consultation
    offer = next((offer for offer in case.standing_offers if offer.mentor_id == w.actor.person_id), None)
    if offer is None:
        raise errors.Forbidden
    if await _given(w, consultation_id):
        raise errors.AlreadyLogged
    if consultation.state != "scheduled" or consultation.advice_due_at is None:
        raise errors.IllegalTransition("consultation", consultation.state, "completed")
    row_id = clock.new_id()
    advice = tables.Advice(
        id=row_id,
        consultation_id=consultation.id,
        offer_id=offer.id,
        mentor_id=offer.mentor_id,
        text=w.seal(text, row_id),
        minutes=minutes,
        given_at=w.now,
    )
    w.add(advice)
    events.record(
        w,
        "advice.given",
        None,
        advice.id,
        case.audience(offer),
        state="given",
        consultation_id=consultation.id,
        consultation_number=consultation.number,
    )
    await notices.to_people(w, "advice_ready", consultation, await hearers.clinicians(w, consultation))
    await sessions.log_advice(case, offer, minutes)
    return advice


async def read(w: Work, consultation_id: UUID) -> tuple[tables.Advice, str] | None:
    """Give the advice and its text to the people of the case, and log that it was read; None if there is none."""
    consultation = await access.visible_consultation(w, consultation_id)
    advice = await _given(w, consultation_id)
    if advice is None:
        return None
    (text,) = await access.read_case_text(w, consultation.id, advice, advice.text)
    return (advice, text) if text is not None else None


async def overdue(w: Work, consultation_id: UUID) -> None:
    """The coordinator is told that the promised advice has not come."""
    consultation = (await casefile.open_case(w, consultation_id)).consultation
    is_due = consultation.advice_due_at is not None and consultation.advice_due_at <= w.now
    if consultation.state == "scheduled" and is_due and not consultation.is_advice_overdue_told:
        consultation.is_advice_overdue_told = True
        receivers = await hearers.coordinators(w, [consultation.institution_id], consultation.programme_id)
        await notices.to_people(w, "advice_overdue", consultation, receivers)


async def _given(w: Work, consultation_id: UUID) -> tables.Advice | None:
    rows = await w.sql(sa.select(tables.Advice).where(col(tables.Advice.consultation_id) == consultation_id))
    return rows.scalar_one_or_none()
