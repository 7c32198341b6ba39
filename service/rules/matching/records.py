"""What a choice of mentors was made of, as plain values that JSON has, and back: so that it can be made again exactly.

What stands for long (a mentor's profile, the memoranda of a hospital, a rulebook) is a fact of its own, named by its
digest and stored once. What else was read is written with each choice, of mentors by their places in the roster.
Nothing of it is case text: of tags, which are words of the clinician, it says only how many each mentor shares.
Instants are whole microseconds since 1970, in UTC.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from service.rules import policy
from service.rules.case import Case, MemorandumLink, Mentor, Rulebook
from service.rules.specialties import Tree
from service.rules.time.availability import DatedHours, Hours, Weekly
from service.rules.time.intervals import Interval
from service.rules.transfer import Consent, TransferBasis

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
ID_BYTES = 16
REF_BYTES = 8
"""So much of a fact's id names it in a choice: of a million facts two are alike in one database of forty million."""
COUNTERS = ("offers_7d", "offers_30d", "asked_180d", "offers_180d", "answered_in_time_180d", "answered_late_180d")
"""The fields of a mentor that only count; each choice has each of them of its whole roster, 0 for nothing but zeros."""
STANDING = (
    "person_id", "institution_id", "country", "zone", "specialties", "languages", "hours", "verified_until",
    "treats_children", "opt_ins", "quiet", "notice_minutes", "buffer_minutes", "working_weekdays", "sessions_cap",
    "offers_cap",
)  # fmt: skip
"""The fields of a mentor that are in their fact."""
_counters = attrgetter(*COUNTERS)
_SHARED_TAG = "tag {}"  # the name that a case's tags get when they are read back
_NIL = UUID(int=0)
_NO_FEED = "no_feed"
_MOST_TEXTS = 20_000  # of appointments, half a kilobyte each

# What is stored is JSON, deflated beside words that nearly all of it has: half as many bytes, and no slower. Rows need
# these very words to be read (a test knows their checksum): other ones would need a number in front of the bytes.
_WORDS = (
    b'"tags":{"1":1},"power":{"1":"autonomous"},"used":{"minutes_left":{"excluded":[0],"knowing":[1],"full":{"0":1},'
    b'"hours_zone":"Europe/Paris","institution_id":"","languages":{"de":"C2","en":"C1","fr":"B2","uk":"native"},'
    b'"notice_minutes":720,"offers_cap":5,"opt_ins":["asap","stat"],"quiet":[1320,420],"sessions_cap":3,"specialties":'
    b'["ped.","sur."],"treats_children":false,"treats_children":true,"verified_until":1790000000000000,"weekly":[[0,540,'
    b'1020],[1,540,1020],[2,540,1020],[3,540,1020],[4,540,1020]],"working_weekdays":[0,1,2,3,4],"zone":"Europe/Berlin"}'
    b'{"buffer_minutes":10,"country":"FR","exceptions":[["away","2026-07-01T00:00:00","2026-07-15T00:00:00"]],'
    b'"busy":{"1":[[1767594670000000,1767597070000000],[1767]],"weeks":{"0":[[2026,2027,1,2,3]]},"continuity":{"1":'
    b'"hospital","4":"clinician","7":"case"},"country":"UA","zone":"Europe/Kyiv","specialty":"priority":"urgent",'
    b'"priority":"routine","mode":"live","mode":"written","mode":"either","languages":["en","uk"'
    b'],"minutes":30,'
    b'"opened_at":1767,"answer_due_at":1767,"age_band":"adult","age_band":"child","activity":"teleconsultation","tags":0,'
    b'"translation":false,"interpreter":false,"windows":[],"busy":[],"buffer_minutes":10,"consent":["general",[]],'
    b'"booked":null},"roster":{"busy":{"0":[[17,"counters":[[0,0,0,0,1,0,0,2,0,0],[0,1,1,0],0],"eligible":3,"invited":'
    b'[0,1],"chosen":[0,1],"scores":[7000000,-100,-200],"terms":[70.0,1.0,1.0,0.5,1.0,0.0],"digest":"0123456789abcdef",'
    b'"starts":[],"overrides":[]}{"case":{"institution_id":"'
)
_EFFORT, _WINDOW_BITS, _MEMORY = 3, 12, 5  # of zlib: for so short texts as small as its usual ones, and sooner there


class Fact(NamedTuple):
    """Something that stands, named by the digest of what it says."""

    id: UUID
    body: Mapping[str, Any]


class Inputs(NamedTuple):
    """What one choice was made of: a case, the mentors who could be asked, the rules of the programme, an instant.

    `booked` is a time that the case has without a mentor. `full` says of invited mentors with a cap, by their place in
    the roster, how many offers they had when they were locked.
    """

    case: Case
    roster: Sequence[Mentor]
    book: Rulebook
    now: datetime
    booked: Interval | None = None
    full: Mapping[int, int] = {}


def canonical(value: object) -> str:
    """Write a value as JSON in the one way that a digest is taken of: whatever a database did to the order of keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _dense(value: object) -> str:
    """Write a value as JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def digest(*parts: bytes) -> bytes:
    """Give 16 bytes of the SHA-256 of the parts, each with its length."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(struct.pack("<q", len(part)))
        whole.update(part)
    return whole.digest()[:ID_BYTES]


def fact(body: Mapping[str, Any], subject_id: UUID = _NIL) -> Fact:
    """Name what stands of a subject by its digest; the subject is a mentor, and nobody for what is of no person."""
    return Fact(UUID(bytes=digest(subject_id.bytes, canonical(body).encode())), body)


def pack(text: str) -> bytes:
    """Make text small, as it is stored."""
    squeezing = zlib.compressobj(_EFFORT, zlib.DEFLATED, -_WINDOW_BITS, _MEMORY, zdict=_WORDS)
    return squeezing.compress(text.encode()) + squeezing.flush()


def unpack(packed: bytes) -> str:
    """Read what `pack` made; raises ValueError for anything else that can be told from it."""
    reading = zlib.decompressobj(-_WINDOW_BITS, zdict=_WORDS)
    try:
        text = reading.decompress(packed)
    except zlib.error as error:
        raise ValueError(*error.args) from error
    if not reading.eof:
        raise ValueError
    return text.decode()


def ref(fact_id: UUID) -> bytes:
    """Give what names a mentor's fact in a choice: the beginning of its id."""
    return fact_id.bytes[:REF_BYTES]


def refs_of(joined: bytes) -> list[bytes]:
    """Give the `ref` of each mentor of the roster, from all of them one behind the other."""
    return [joined[at : at + REF_BYTES] for at in range(0, len(joined), REF_BYTES)]


def instant(at: datetime) -> int:
    """Write an instant."""
    return (at - _EPOCH) // _MICROSECOND


def read_instant(microseconds: int) -> datetime:
    """Read an instant."""
    return _EPOCH + microseconds * _MICROSECOND


def _maybe(at: datetime | None) -> int | None:
    return None if at is None else instant(at)


def _read_maybe(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else read_instant(microseconds)


def _spans(intervals: Sequence[Interval]) -> list[list[int]]:
    return [[instant(since), instant(until)] for since, until in intervals]


def _read_spans(written: Sequence[Sequence[int]]) -> tuple[Interval, ...]:
    return tuple((read_instant(since), read_instant(until)) for since, until in written)


# What stands.


def mentor_body(mentor: Mentor) -> dict[str, Any]:
    """Write what stands of a mentor; not who it is."""
    hours = mentor.hours
    return {
        "institution_id": str(mentor.institution_id),
        "country": mentor.country,
        "zone": mentor.zone,
        "specialties": sorted(mentor.specialties),
        "languages": dict(mentor.languages),
        "hours_zone": hours.zone,
        "weekly": [list(each) for each in hours.weekly],
        "exceptions": [[e.kind, e.from_wall.isoformat(), e.until_wall.isoformat()] for e in hours.exceptions],
        "verified_until": _maybe(mentor.verified_until),
        "treats_children": mentor.treats_children,
        "opt_ins": sorted(mentor.opt_ins),
        "quiet": mentor.quiet and list(mentor.quiet),
        "notice_minutes": mentor.notice_minutes,
        "buffer_minutes": mentor.buffer_minutes,
        "working_weekdays": list(mentor.working_weekdays),
        "sessions_cap": mentor.sessions_cap,
        "offers_cap": mentor.offers_cap,
    }


def read_mentor(person_id: UUID, body: Mapping[str, Any]) -> Mentor:
    """Read a mentor as they stood, without what is written with each choice."""
    exceptions = [
        DatedHours(kind, datetime.fromisoformat(since), datetime.fromisoformat(until))
        for kind, since, until in body["exceptions"]
    ]
    weekly = tuple(Weekly(*each) for each in body["weekly"])
    return Mentor(
        person_id=person_id,
        institution_id=UUID(body["institution_id"]),
        country=body["country"],
        zone=body["zone"],
        specialties=frozenset(body["specialties"]),
        languages=dict(body["languages"]),
        hours=Hours(body["hours_zone"], weekly, tuple(exceptions)),
        verified_until=_read_maybe(body["verified_until"]),
        treats_children=body["treats_children"],
        opt_ins=frozenset(body["opt_ins"]),
        quiet=body["quiet"] and (body["quiet"][0], body["quiet"][1]),
        notice_minutes=body["notice_minutes"],
        buffer_minutes=body["buffer_minutes"],
        working_weekdays=tuple(body["working_weekdays"]),
        sessions_cap=body["sessions_cap"],
        offers_cap=body["offers_cap"],
    )


Linked = Mapping[UUID, Sequence[MemorandumLink]]
"""By partner, the memoranda that link a hospital with it."""


def memoranda_body(links: Linked) -> dict[str, Any]:
    """Write which memoranda link a hospital with its partners; what is left of their budgets is not in it."""
    return {str(partner): [_link(link) for link in linked] for partner, linked in links.items()}


def _link(link: MemorandumLink) -> dict[str, Any]:
    return {
        "id": str(link.memorandum_id),
        "route": link.route,
        "status": link.status,
        "from": _maybe(link.valid_from),
        "until": _maybe(link.valid_until),
        "areas": sorted(link.areas),
        "activities": sorted(link.activities),
        "signed_on": link.signed_on and link.signed_on.isoformat(),
    }


def _read_links(body: Mapping[str, Any], minutes_left: Mapping[str, int]) -> dict[UUID, tuple[MemorandumLink, ...]]:
    return {
        UUID(partner): tuple(_read_link(link, minutes_left.get(link["id"])) for link in linked)
        for partner, linked in body.items()
    }


def _read_link(link: Mapping[str, Any], minutes_left: int | None) -> MemorandumLink:
    return MemorandumLink(
        memorandum_id=UUID(link["id"]),
        route=link["route"],
        status=link["status"],
        valid_from=_read_maybe(link["from"]),
        valid_until=_read_maybe(link["until"]),
        areas=frozenset(link["areas"]),
        activities=frozenset(link["activities"]),
        minutes_left=minutes_left,
        signed_on=link["signed_on"] and date.fromisoformat(link["signed_on"]),
    )


def rulebook_body(book: Rulebook) -> dict[str, Any]:
    """Write by what a programme decided: all its numbers, its specialties, the list of countries."""
    return {
        "policy": policy.as_overrides(book.policy),
        "tree": [[code, parent, sorted(others)] for code, parent, others in book.tree.rows()],
        "transfer": {"version": book.basis.version, "general": sorted(book.basis.general)},
    }


def read_rulebook(body: Mapping[str, Any]) -> Rulebook:
    """Read a rulebook."""
    basis = TransferBasis(body["transfer"]["version"], frozenset(body["transfer"]["general"]))
    return Rulebook(policy.from_overrides(body["policy"]), Tree(body["tree"]), basis)


# What is written with each choice.


def case_body(inputs: Inputs) -> dict[str, Any]:
    """Write the case: codes and times, no words, no person."""
    case = inputs.case
    return {
        "institution_id": str(case.institution_id),
        "country": case.country,
        "zone": case.zone,
        "specialty": case.specialty,
        "priority": case.priority,
        "mode": case.mode,
        "languages": sorted(case.languages),
        "minutes": case.minutes,
        "opened_at": instant(case.opened_at),
        "answer_due_at": instant(case.answer_due_at),
        "age_band": case.age_band,
        "activity": case.activity,
        "tags": len(case.tags),
        "translation": case.translation,
        "interpreter": case.interpreter,
        "windows": _spans(case.windows),
        "busy": _spans(case.busy),
        "buffer_minutes": case.buffer_minutes,
        "consent": case.consent and [case.consent.scope, sorted(case.consent.countries)],
        "booked": inputs.booked and _spans([inputs.booked])[0],
    }


def counters(roster: Sequence[Mentor]) -> list[tuple[int, ...] | int]:
    """Write what only counts of each mentor, by counter; 0 where it is nothing of anybody."""
    return [counts if any(counts) else 0 for counts in zip(*map(_counters, roster), strict=True)]


def roster_body(inputs: Inputs) -> dict[str, Any]:
    """Write what else the choice read of its mentors, but for `_ahead`; what is nothing is left out."""
    case, tags = inputs.case, inputs.case.tags
    excluded = case.excluded_mentors | {case.requester_id}
    body: dict[str, Any] = {name: {} for name in ("continuity", "tags", "power")}
    links: dict[int, Sequence[MemorandumLink]] = {}  # by identity: the mentors of a hospital share theirs
    used: dict[UUID, int] = {}
    for at, mentor in enumerate(inputs.roster):
        if mentor.continuity:
            body["continuity"][at] = mentor.continuity
        if tags and tags & mentor.tags:
            body["tags"][at] = len(tags & mentor.tags)
        if mentor.power != _NO_FEED:
            body["power"][at] = mentor.power
        if id(mentor.links) not in links:
            links[id(mentor.links)] = mentor.links
        if mentor.institution_sessions_90d and mentor.institution_id not in used:
            used[mentor.institution_id] = mentor.institution_sessions_90d
    body["used"] = {str(institution_id): sessions for institution_id, sessions in used.items()}
    body["excluded"] = [at for at, mentor in enumerate(inputs.roster) if mentor.person_id in excluded]
    if known := case.case_mentor_ids:
        body["knowing"] = [at for at, mentor in enumerate(inputs.roster) if mentor.person_id in known]
    each = [link for shared in links.values() for link in shared if link.minutes_left is not None]
    body["minutes_left"] = {str(link.memorandum_id): link.minutes_left for link in each}
    body["full"] = inputs.full
    return {name: value for name, value in body.items() if value}


def _ahead(roster: Sequence[Mentor]) -> list[str]:
    """Write the mentors' appointments and sessions by week, by their places, as parts of a JSON object.

    This is most of a choice, and of a mentor the same from choice to choice: so its text is kept. The hashes of the
    instants in it are kept by Python, so it is found sooner than written.
    """
    busy = [f'"{at}":{_spans_text(mentor.busy)}' for at, mentor in enumerate(roster) if mentor.busy]
    weeks = [
        f'"{at}":{_weeks_text(tuple(mentor.sessions_by_week.items()))}'
        for at, mentor in enumerate(roster)
        if mentor.sessions_by_week
    ]
    return [f'"{name}":{{{",".join(texts)}}}' for name, texts in (("busy", busy), ("weeks", weeks)) if texts]


@lru_cache(maxsize=_MOST_TEXTS)
def _spans_text(intervals: tuple[Interval, ...]) -> str:
    return _dense(_spans(intervals))


@lru_cache(maxsize=_MOST_TEXTS)
def _weeks_text(weeks: tuple[tuple[tuple[int, int], int], ...]) -> str:
    return _dense(sorted([*week, count] for week, count in weeks))


class Written(NamedTuple):
    """A choice as it is stored: JSON with its inputs, which become `Inputs`, and with what was chosen.

    `refs` name the facts of the mentors in the order of the roster.
    """

    consultation_id: UUID
    now: datetime
    text: str
    refs: bytes
    rulebook_id: UUID
    memoranda_id: UUID

    @property
    def digest(self) -> bytes:
        """Give a digest of everything: whoever changes a value of a stored choice changes it."""
        ids = self.consultation_id.bytes + self.rulebook_id.bytes + self.memoranda_id.bytes
        return digest(ids, self.refs, str(instant(self.now)).encode(), self.text.encode())


def write(inputs: Inputs, chosen: Mapping[str, Any]) -> str:
    """Write a choice's inputs, and beside them what was `chosen`."""
    whole = _dense({"case": case_body(inputs), "counters": counters(inputs.roster), **chosen})
    parts = (_dense(roster_body(inputs))[1:-1], *_ahead(inputs.roster))
    return f'{whole[:-1]},"roster":{{{",".join(part for part in parts if part)}}}}}'


def read(written: Written, mentors: Sequence[Mentor], memoranda: Mapping[str, Any], book: Rulebook) -> Inputs:
    """Read a choice's inputs; `mentors` as they stood, in the order of the roster."""
    made_of = json.loads(written.text)
    body, roster_body = made_of["case"], made_of["roster"]
    links = _read_links(memoranda, roster_body.get("minutes_left", {}))
    roster = _read_roster(made_of, mentors, links)
    consent = body["consent"]
    case = Case(
        consultation_id=written.consultation_id,
        requester_id=_NIL,
        institution_id=UUID(body["institution_id"]),
        country=body["country"],
        zone=body["zone"],
        specialty=body["specialty"],
        priority=body["priority"],
        mode=body["mode"],
        languages=frozenset(body["languages"]),
        minutes=body["minutes"],
        opened_at=read_instant(body["opened_at"]),
        answer_due_at=read_instant(body["answer_due_at"]),
        age_band=body["age_band"],
        activity=body["activity"],
        tags=_tags(body["tags"]),
        translation=body["translation"],
        interpreter=body["interpreter"],
        windows=_read_spans(body["windows"]),
        busy=_read_spans(body["busy"]),
        buffer_minutes=body["buffer_minutes"],
        consent=Consent(consent[0], frozenset(consent[1])) if consent else None,
        excluded_mentors=frozenset(roster[at].person_id for at in roster_body.get("excluded", ())),
        case_mentor_ids=frozenset(roster[at].person_id for at in roster_body.get("knowing", ())),
    )
    booked = _read_spans([body["booked"]])[0] if body["booked"] else None
    full = {int(at): offers for at, offers in roster_body.get("full", {}).items()}
    return Inputs(case, roster, book, written.now, booked, full)


def _tags(count: int) -> frozenset[str]:
    return frozenset(_SHARED_TAG.format(number) for number in range(count))


def _read_roster(
    made_of: Mapping[str, Any], mentors: Sequence[Mentor], links: Mapping[UUID, tuple[MemorandumLink, ...]]
) -> list[Mentor]:
    body, nothing = made_of["roster"], (0,) * len(mentors)
    counters_of = zip(*(counts or nothing for counts in made_of["counters"]), strict=True)
    busy, weeks, tags, used = (body.get(name, {}) for name in ("busy", "weeks", "tags", "used"))
    continuity, power = body.get("continuity", {}), body.get("power", {})
    roster = []
    for at, (mentor, own_counters) in enumerate(zip(mentors, counters_of, strict=True)):
        key = str(at)
        counts: dict[str, Any] = dict(zip(COUNTERS, own_counters, strict=True))
        roster.append(
            mentor._replace(
                tags=_tags(tags.get(key, 0)),
                sessions_by_week={(year, week): count for year, week, count in weeks.get(key, ())},
                busy=_read_spans(busy.get(key, ())),
                links=links.get(mentor.institution_id, ()),
                continuity=continuity.get(key),
                institution_sessions_90d=used.get(str(mentor.institution_id), 0),
                power=power.get(key, _NO_FEED),
                **counts,
            )
        )
    return roster
