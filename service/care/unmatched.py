"""A request for which nobody is left to be asked: its state, and who is told of it, with why and what would help."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from service import tables
from service.care import candidates
from service.care.casefile import CaseFile
from service.outbox import hearers, notices
from service.outbox.events import instant
from service.rules.matching.remedies import Remedy

MOST_TOLD = 5
"""So many remedies are named in a mail: its page has the others."""


async def nobody_left(case: CaseFile, asked: Collection[UUID]) -> Sequence[Remedy]:
    """The request is unmatched, and its coordinators are mailed why; gives what would help.

    `asked` are the mentors who are asked no more: no change of the request brings them back.
    """
    w, consultation = case.w, case.consultation
    with w.holding():
        ranked = await candidates.ranked(w, consultation, near=True, new_windows=case.new_windows)
    excluded = ranked.ranking.excluded
    refusals = Counter(reason.value for _, reasons in excluded for reason in reasons)
    others = [mentor for mentor, _ in excluded if mentor.person_id not in asked]
    helping = (await candidates.what_would_help(ranked.inputs, others))[:MOST_TOLD]
    case.become(consultation, "unmatched")
    receivers = await hearers.coordinators(w, [consultation.institution_id], consultation.programme_id)
    latest = {offer.mentor_id: _outcome(offer) for offer in case.offers}  # each mentor once
    outcomes = Counter(latest.values())
    values = {"counts": refusals, "asked": outcomes, "would_help": [plain(remedy) for remedy in helping]}
    await notices.to_people(w, "unmatched", consultation, receivers, **values)
    return helping


def plain(remedy: Remedy) -> Mapping[str, Any]:
    """Give what would help as the plain value of a mail."""
    changes = [
        {"kind": change.kind, "code": change.code, "until": change.until and instant(change.until)}
        for change in remedy.changes
    ]
    return {"mentors": remedy.mentors, "changes": changes}


def _outcome(offer: tables.Offer) -> str:
    """Say in a word what became of an offer that is over; `undelivered` asked nobody."""
    return "undelivered" if offer.is_undelivered else "ended" if offer.ended_at else offer.state
