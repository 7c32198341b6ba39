"""A recorded choice of mentors made again: exactly as it was, or by other numbers at that same moment.

What came of another choice afterwards is not known here: that is an estimate, and needs a model of behaviour.
"""

import json
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from service import vocabulary
from service.rules.case import Mentor, Rulebook
from service.rules.matching import ranking, records, waves
from service.rules.matching.gate import Gate
from service.rules.matching.ranking import Ranking
from service.rules.matching.records import Inputs, Written
from service.rules.policy import Policy

_MILLION = 1_000_000
TERMS_AGREE = 1e-9
"""Terms are compared so closely and no closer: C libraries may differ in the last bit of an exponential."""
_SCORES_AGREE = 1
"""Scores are kept in millionths, and a last bit may turn one up or down."""


class Choice(NamedTuple):
    """What was chosen; mentors are named by their places in the roster.

    `invited` are those whom the rule asks, `chosen` those of them whose weekly cap no other request had reached
    meanwhile. `terms` are, one after the other, each chosen mentor's score and its terms. The digest is of everything
    that is no floating-point number: order, memoranda, modes, times, reasons.
    """

    eligible: int
    invited: tuple[int, ...]
    chosen: tuple[int, ...]
    scores: tuple[int, ...]  # of all candidates in their order, in millionths
    terms: tuple[float, ...]
    digest: bytes


def choose(inputs: Inputs) -> Choice:
    """Choose mentors for a wave, or nobody, as the service does."""
    case, roster, book, now, booked, _ = inputs
    per_wave = book.policy.pace(case.priority).per_wave
    ranked, case = ranking.rank_beside(case, booked, roster, now, book, limit=per_wave)
    decision = waves.decide(case, (), ranked, now, book, booked[0] if booked else None)
    return choice_of(inputs, ranked, decision.invitations if isinstance(decision, waves.Ask) else ())


def choice_of(inputs: Inputs, ranked: Ranking, invitations: Sequence[waves.Invitation]) -> Choice:
    """Give what a ranking and the rule of waves came to, as it is compared."""
    # By identity, as a ranking names the very mentors that it was given: an id of a person takes long to look up.
    places = {id(mentor): at for at, mentor in enumerate(inputs.roster)}
    invited = tuple(places[id(invitation.candidate.mentor)] for invitation in invitations)
    chosen = tuple(at for at in invited if not _is_full(inputs, at))
    candidates = ranked.candidates
    order = [places[id(each.mentor)] for each in candidates]
    at_invited = [[at, *_invitation(each)] for at, each in zip(invited, invitations, strict=True)]
    result = records.canonical([at_invited, _refusals(ranked, places)]).encode()
    terms: list[float] = []
    for at in chosen:
        candidate = candidates[order.index(at)]
        terms += (candidate.score, *candidate.terms.values())
    return Choice(
        len(candidates),
        invited,
        chosen,
        tuple([round(candidate.score * _MILLION) for candidate in candidates]),
        tuple(terms),
        records.digest(b"".join(map(_candidate, order, candidates)), result),
    )


def _candidate(at: int, candidate: ranking.Candidate) -> bytes:
    link, earliest = candidate.link.memorandum_id.bytes, records.instant(candidate.earliest)
    return _CANDIDATE.pack(at, candidate.is_live, candidate.knows_case, earliest, link)


_CANDIDATE = struct.Struct("<i??q16s")


def _refusals(ranked: Ranking, places: Mapping[int, int]) -> list[list[object]]:
    """Give the reasons of all who are left out: most have the same ones, so each set of them is named once."""
    by_reasons: dict[tuple[vocabulary.GateRefusal, ...], list[object]] = {}
    for mentor, reasons in ranked.excluded:
        by_reasons.setdefault(reasons, []).append(places[id(mentor)])
    return [[[reason.value for reason in reasons], at] for reasons, at in by_reasons.items()]


def _is_full(inputs: Inputs, at: int) -> bool:
    """Tell whether other requests had filled the mentor's week when they were locked: as far as that was counted."""
    cap = inputs.roster[at].offers_cap
    return cap is not None and inputs.full.get(at, 0) >= cap


def _invitation(invitation: waves.Invitation) -> list[int]:
    return [records.instant(invitation.answer_by), *map(records.instant, invitation.candidate.starts)]


def choose_by_hand(inputs: Inputs, starts: Sequence[datetime], overrides: Collection[str]) -> Choice:
    """Judge what a coordinator chose as the gate does: the one mentor of the roster, at these times or in writing."""
    (mentor,) = inputs.roster
    gate = Gate(inputs.case, inputs.book, overrides)
    bookable = ranking.propose(inputs.case, mentor, inputs.now, inputs.book, overrides)
    judged = []
    for start in starts or (None,):
        link = gate.choose_link(mentor.links, start or inputs.now)
        reasons = [reason.value for reason in gate.check(mentor, start, inputs.now)]
        judged.append([start and records.instant(start), link and str(link.memorandum_id), reasons])
    result = [[records.instant(start) for start in bookable], judged]
    is_eligible = not any(reasons for *_, reasons in judged)
    digest = records.digest(records.canonical(result).encode())
    return Choice(int(is_eligible), (0,), (0,), (), (), digest)


def as_json(choice: Choice, starts: Sequence[datetime] = (), overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Write a choice to be stored beside its inputs; floats as their shortest text, which is exact.

    Scores are written by how much each differs from the one before: they descend, so these are short.
    """
    return {
        "eligible": choice.eligible,
        "invited": choice.invited,
        "chosen": choice.chosen,
        "scores": [score - before for before, score in pairwise((0, *choice.scores))],
        "terms": choice.terms,
        "digest": choice.digest.hex(),
        "starts": [records.instant(start) for start in starts],
        "overrides": overrides,
    }


def read(
    written: Written, mentors: Sequence[Mentor], memoranda: Mapping[str, Any], book: Rulebook, *, is_by_hand: bool
) -> "Recorded":
    """Read what was stored: what `records.write` made of `as_json`."""
    stored = json.loads(written.text)
    choice = Choice(
        stored["eligible"],
        tuple(stored["invited"]),
        tuple(stored["chosen"]),
        tuple(accumulate(stored["scores"])),
        tuple(stored["terms"]),
        bytes.fromhex(stored["digest"]),
    )
    starts = tuple(map(records.read_instant, stored["starts"]))
    inputs = records.read(written, mentors, memoranda, book)
    return Recorded(inputs, choice, starts, tuple(stored["overrides"]), is_by_hand=is_by_hand)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A choice as it was recorded: what it was made of, and what was chosen."""

    inputs: Inputs
    choice: Choice
    starts: tuple[datetime, ...] = ()  # chosen by hand
    overrides: tuple[str, ...] = ()
    is_by_hand: bool = False


def differences(recorded: Recorded) -> list[vocabulary.ReplayDifference]:
    """Make the choice again, and name in what it differs from what was recorded: in nothing, if all is well."""
    again = (
        choose_by_hand(recorded.inputs, recorded.starts, recorded.overrides)
        if recorded.is_by_hand
        else choose(recorded.inputs)
    )
    was = recorded.choice
    differing: list[vocabulary.ReplayDifference] = []
    if was.digest != again.digest or was.eligible != again.eligible:
        differing.append("order")
    if not _agree(was.scores, again.scores, _SCORES_AGREE):
        differing.append("scores")
    if not _agree(was.terms, again.terms, TERMS_AGREE):
        differing.append("terms")
    if (was.invited, was.chosen) != (again.invited, again.chosen):
        differing.append("asked")
    return differing


def _agree(some: Sequence[float], others: Sequence[float], within: float) -> bool:
    return len(some) == len(others) and all(abs(one - other) <= within for one, other in zip(some, others, strict=True))


class Step(NamedTuple):
    """Whom other numbers would have asked at the moment of a recorded choice, beside whom it asked: by places."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def is_first_changed(self) -> bool:
        """Tell whether somebody else, or nobody, would have been asked first."""
        return self.before[:1] != self.after[:1]


def one_step(recorded: Recorded, numbers: Policy) -> Step:
    """Choose by other numbers at the moment of a wave.

    Of those who were not invited then, nobody counted the offers anew: for them the ranking's own count stands.
    """
    inputs = recorded.inputs
    book = inputs.book
    other = inputs._replace(book=type(book)(numbers, book.tree, book.basis))
    return Step(recorded.choice.chosen, choose(other).chosen)
