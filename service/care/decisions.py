"""Each choice of mentors as a row, in the transaction of the choice: with all that is needed to make it again.

The rules say what belongs to it (`rules.matching.records`); this writes it, with the closing statement. What stands for
long is written only if this process has not seen it there (`_write_fact`). Only
`reporting.recorded_choices` reads it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any
from uuid import UUID

from sqlmodel import SQLModel

from service import tables, vocabulary
from service.care.admission import GateFacts
from service.care.candidates import Ranked
from service.care.casefile import CaseFile
from service.kernel import clock
from service.kernel.work import Work
from service.rules.case import Mentor, Rulebook
from service.rules.matching import records, replay, waves
from service.rules.matching.records import Inputs
from service.rules.matching.replay import Choice

_MOST_MENTORS = 20_000
_MOST_STANDING = 4_000
_MOST_SEEN = 100_000
_DAY = timedelta(days=1)
_STANDS = 1 + max(map(Mentor._fields.index, records.STANDING))  # of its fields the first so many have these


@cache
def rules_version() -> str:
    """Give the digest of the rules as this program has them: what other rules chose cannot be compared with these."""
    return version_of(resources.files("service.rules"))


def version_of(folder: Traversable) -> str:
    """Give the digest of all Python files in and below the folder, and of their names."""
    whole = hashlib.sha256()
    for name, text in sorted(_sources(folder, "")):
        whole.update(f"{name} {len(text)} ".encode())
        whole.update(text)
    return whole.hexdigest()[:16]


def _sources(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _sources(each, f"{path}{each.name}/")
        elif each.name.endswith(".py"):
            yield f"{path}{each.name}", each.read_bytes()


def record_wave(
    case: CaseFile,
    ranked: Ranked,
    decision: waves.Ask | waves.Nobody,
    offers_of_full: Mapping[UUID, int],
) -> None:
    """Record whom a wave asks, or that nobody can be asked; before the wave is counted.

    `offers_of_full` are the offers of a week of those invited who have a cap, as they were when they were locked.
    """
    inputs = ranked.inputs
    if offers_of_full:
        places = {mentor.person_id: at for at, mentor in enumerate(inputs.roster)}
        inputs = inputs._replace(full={places[mentor]: count for mentor, count in offers_of_full.items()})
    is_nobody = isinstance(decision, waves.Nobody)
    choice = replay.choice_of(
        inputs, ranked.ranking, () if isinstance(decision, waves.Nobody) else decision.invitations
    )
    kind: vocabulary.DecisionKind = "nobody" if is_nobody else "wave" if case.consultation.waves else "first"
    _write(case, kind, inputs, ranked.links, choice)


def record_hand(case: CaseFile, facts: GateFacts, starts: Sequence[datetime], override: str | None) -> None:
    """Record that a coordinator chose this mentor, for these times or, without any, in writing."""
    mentor = facts.mentor
    inputs = Inputs(facts.case, [mentor], facts.book, facts.now)
    choice = replay.choose_by_hand(inputs, starts, [override] if override else [])
    _write(case, "hand", inputs, {mentor.institution_id: mentor.links}, choice, starts, override)


def _write(
    case: CaseFile,
    kind: vocabulary.DecisionKind,
    inputs: Inputs,
    links: records.Linked,
    choice: Choice,
    starts: Sequence[datetime] = (),
    override: str | None = None,
) -> None:
    w, consultation = case.w, case.consultation
    text = records.write(inputs, replay.as_json(choice, starts, [override] if override else []))
    refs = b"".join([_mentor(w, mentor) for mentor in inputs.roster])
    written = records.Written(consultation.id, w.now, text, refs, _rulebook(w, inputs.book), _memoranda(w, links))
    row = {
        "id": clock.new_id(),
        "consultation_id": consultation.id,
        "programme_id": consultation.programme_id,
        "at": w.now,
        "kind": kind,
        "mentors": len(inputs.roster),
        "eligible": choice.eligible,
        "asked": len(choice.chosen),
        "rulebook_id": written.rulebook_id,
        "memoranda_id": written.memoranda_id,
        "refs": refs,
        "body": records.pack(text),
        "digest": written.digest,
    }
    w.write(tables.Decision, row)


# The facts that this process has named already. Mentors, rulebooks and memoranda are kept in memory under marks
# (decision 0021), and as long as they are, these are the very same objects: so they are compared at once, and a fact is
# put together only when something was loaded anew.
_mentors: dict[UUID, tuple[tuple[object, ...], UUID, bytes]] = {}
_named: dict[tuple[int, str], tuple[object, records.Fact]] = {}


def _mentor(w: Work, mentor: Mentor) -> bytes:
    standing = mentor[:_STANDS]
    known = _mentors.get(mentor.person_id)
    if known is None or known[0] != standing:
        _make_room(_mentors, _MOST_MENTORS)
        fact_id = records.fact(records.mentor_body(mentor), mentor.person_id).id
        known = _mentors[mentor.person_id] = (standing, fact_id, records.ref(fact_id))
    if not _is_written(w, known[1]):
        body = records.pack(records.canonical(records.mentor_body(mentor)))
        _write_fact(w, tables.MentorFact, known[1], {"person_id": mentor.person_id, "body": body})
    return known[2]


def _rulebook(w: Work, book: Rulebook) -> UUID:
    versions = {"rules_version": rules_version(), "tzdata_version": w.tzdata_version}
    fact = _name(book, w.tzdata_version, lambda: records.rulebook_body(book) | versions)
    if not _is_written(w, fact.id):
        _write_fact(w, tables.Rulebook, fact.id, {**fact.body, "transfer_version": book.basis.version})
    return fact.id


def _memoranda(w: Work, links: records.Linked) -> UUID:
    fact = _name(links, "", lambda: records.memoranda_body(links))
    if not _is_written(w, fact.id):
        _write_fact(w, tables.MemorandaFact, fact.id, {"body": fact.body})
    return fact.id


def _name(subject: object, version: str, body: Callable[[], Mapping[str, Any]]) -> records.Fact:
    """Give the fact of the very object, which is kept so that no other can have its identity."""
    known = _named.get((id(subject), version))
    if known is None:
        _make_room(_named, _MOST_STANDING)
        known = _named[id(subject), version] = (subject, records.fact(body()))
    return known[1]


def _is_written(w: Work, fact_id: UUID) -> bool:
    """Tell whether this process has written the fact within a day, or this unit of work has.

    So `seen_at` is right to a day, and most units of work write none. What is rolled back was not seen.
    """
    seen_at = w.facts_seen.get(fact_id)
    return (seen_at is not None and seen_at <= w.now < seen_at + _DAY) or fact_id in w.new_facts


def _write_fact(w: Work, kind: type[SQLModel], fact_id: UUID, values: Mapping[str, object]) -> None:
    _make_room(w.facts_seen, _MOST_SEEN)
    w.new_facts[fact_id] = w.now
    w.write(kind, {"id": fact_id, **values, "seen_at": w.now})


def _make_room(kept: dict[Any, Any], most: int) -> None:
    while len(kept) >= most:
        del kept[next(iter(kept))]
