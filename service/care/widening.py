"""What would help a request that nobody can take, and the request made wider, so that more mentors can answer.

`rules.matching.remedies` says which changes there are and whom each opens; this loads, asks it, and writes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.care import candidates, casefile, consultations, offers, promises
from service.care.casefile import CaseFile
from service.care.consultations import ConsentGiven, NewRequest
from service.kernel import access, errors
from service.kernel.work import Work
from service.rules import lifecycle, policy
from service.rules.matching import remedies, waves
from service.rules.matching.remedies import Change, Remedy
from service.rules.promise import Promise
from service.rules.time import intervals

MOST_REMEDIES = 10
"""So many are told: the best of them, single changes first."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """How many mentors can answer and were not asked yet; why the others cannot, counted; what would help."""

    may_be_asked: int
    reasons: Mapping[str, int]
    remedies: Sequence[Remedy]


async def preview(w: Work, wish: NewRequest) -> tuple[Outlook, Promise | None]:
    """Say what would become of the request if it were filed now: it names nobody, and nothing is stored."""
    consultation = await consultations.draft_of(w, wish)
    programme_id, consent = consultation.programme_id, wish.consent
    book = await candidates.rulebook(w, programme_id)
    consultation.consent_scope = consent.scope if consent else None
    consultation.consent_countries = list(consent.countries) if consent else []
    consultation.opened_at = w.now
    consultation.answer_due_at = policy.answer_due_at(book.policy, wish.priority, w.now)
    case = CaseFile(w, consultation, new_windows=tuple(intervals.merge(wish.windows)))
    found = await _outlook(case)
    promise = await promises.of_request(w, programme_id, wish.priority, wish.mode, found.may_be_asked, w.now)
    return found, promise


async def outlook(w: Work, consultation_id: UUID) -> Outlook:
    """Say who is left to be asked about a request that seeks its mentor, and what would help; its side only."""
    consultation = await access.visible_consultation(w, consultation_id)
    access.requires_requesting_side(w, consultation)
    if consultation.state not in lifecycle.SEEKING:
        raise errors.IllegalTransition("consultation", consultation.state, "offered")
    return await _outlook(await _as_it_is(w, consultation))


async def if_stuck(w: Work, consultation: tables.Consultation) -> Outlook | None:
    """Give the outlook of a request that nobody can take; None for any other, and once somebody can be asked again."""
    if consultation.state != "unmatched":
        return None
    found = await _outlook(await _as_it_is(w, consultation))
    return None if found.may_be_asked else found


async def _as_it_is(w: Work, consultation: tables.Consultation) -> CaseFile:
    """Give the case to be read: nothing is locked."""
    rows = await w.sql(sa.select(tables.Offer).where(col(tables.Offer.consultation_id) == consultation.id))
    return CaseFile(w, consultation, list(rows.scalars()))


async def _outlook(case: CaseFile) -> Outlook:
    but = waves.not_again(await offers.asked_so_far(case))
    ranked = await candidates.ranked(
        case.w, case.consultation, but=but, near=True, limit=0, new_windows=case.new_windows
    )
    order, inputs = ranked.ranking, ranked.inputs
    excluded = [mentor for mentor, _ in order.excluded]
    found = await candidates.what_would_help(inputs, excluded)
    reasons = Counter(reason.value for _, refusals in order.excluded for reason in refusals)
    return Outlook(len(order.candidates), reasons, found[:MOST_REMEDIES])


async def widen(
    w: Work, consultation_id: UUID, changes: Sequence[Change], given_on: date | None = None
) -> tables.Consultation:
    """The request is changed so that more mentors can answer; one that nobody could take is looked at again at once.

    A wider consent is the patient's, and has a day on which it was given. What is there already changes nothing.
    """
    access.requires_requesting_side(w, await access.visible_consultation(w, consultation_id))
    case = await casefile.open_case(w, consultation_id)
    consultation = case.consultation
    if consultation.state not in lifecycle.SEEKING:
        raise errors.IllegalTransition("consultation", consultation.state, "offered")
    case.must_not_be_due("widen")
    latest = max(consultation.answer_due_at or w.now, w.now) + remedies.MORE_TIME  # however often it is in the list
    for number, change in enumerate(changes):
        if change.until is not None and change.until > latest:
            raise errors.Invalid(f"/changes/{number}/until", "at most twelve hours more at once")
        await _change(case, change, given_on)
    w.touch(consultation)
    if consultation.state == "unmatched":
        await offers.make_wave(case)
    else:
        consultation.next_wave_at = w.now
    return consultation


async def _change(case: CaseFile, change: Change, given_on: date | None) -> None:
    w, consultation = case.w, case.consultation
    if change.kind == "language" and change.code not in consultation.languages:
        consultation.languages = [*consultation.languages, str(change.code)]
    elif change.kind == "translation":
        consultation.is_translated = True
    elif change.kind == "either":
        consultation.mode = "either"
    elif change.kind == "time":
        due = consultation.answer_due_at or w.now
        consultation.answer_due_at = max(due, change.until or due)
    elif change.kind == "hours":
        window = tables.ConsultationWindow
        await w.sql(sa.delete(window).where(col(window.consultation_id) == consultation.id))
    elif change.kind in {"consent", "country"}:
        if given_on is None:
            raise errors.Invalid("/given_on", "a wider consent has a day on which the patient gave it")
        scope = "general" if change.kind == "consent" else consultation.consent_scope or "countries"
        countries = {*consultation.consent_countries, *([change.code] if change.code else [])}
        await consultations.record_consent(w, consultation, ConsentGiven(scope, given_on, tuple(countries)))
