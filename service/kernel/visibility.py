"""Who sees which rows: one table of branches for each kind of row, of which lists and single rows are made.

A branch is one relation of an actor to a row that shows it: the case is their own, of their department, of a hospital
that they coordinate, of a programme that they administer, one in which they were asked. A role at an institution
reaches what that institution takes part in and no further (invariant A2).

One row, or the few of one case, are looked at by all branches at once (`is_seen`). A list asks each branch by itself,
by an index of its own, for no more rows than the page has, and merges what they give (`keys`): of an OR over several
tables PostgreSQL can make no use of an index, and reads the whole history (decision 0071).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import SQLModel, col

from service import tables, vocabulary
from service.kernel.actor import Actor

Row = TypeVar("Row", bound=SQLModel)
Condition = sa.ColumnElement[bool]
KEEPERS_OF_ENDPOINTS = ("coordinator", "partner_system")
_ANSWERING = ("coordinator", "partner_system")  # who sees what a mentor of their institution is asked


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """The rows whose `column` is one of `values` (ids, or a query of ids), and of which all of `own` holds.

    The column is the kind's own, or that of the last table on a way from the row: each step of `way` is a column and
    the one of the next table that equals it, and all of `where` holds of these tables. No column: `own` alone decides.
    `copies` are columns of the way's first table that say what the kind's say, by their names: where a list's order is
    among them, an index that has them behind `column` gives the way in the list's order (decision 0093).
    """

    column: Any = None
    values: tuple[UUID, ...] | sa.Select[Any] = ()
    own: tuple[Condition, ...] = ()
    way: tuple[tuple[Any, Any], ...] = ()
    where: tuple[Condition, ...] = ()
    copies: Mapping[str, Any] = field(default_factory=dict)

    def shows(self, kind: type[SQLModel]) -> Condition:
        """Say of a row of the kind whether the branch shows it."""
        if self.column is None:
            return sa.and_(sa.true(), *self.own)
        if not self.way:
            return sa.and_(col(self.column).in_(self.values), *self.own)
        here, there = self.way[0]
        return sa.and_(sa.exists(self._far(sa.literal(1)).where(col(here) == col(there)).correlate(kind)), *self.own)

    def keys(self, page: "Page") -> Iterable[sa.Select[Any]]:
        """Give the queries of the keys that the branch has on the page: one for each value of a column of its own."""
        if self.column is None:
            yield page.of(*self.own)
        elif self.way and not self._is_ordered_as(page):
            here, there = self.way[0]
            yield page.of(is_among(here, self._far(col(there))), *self.own)
        elif isinstance(self.values, sa.Select):
            places = self.values.subquery()
            keys = self._of_value(page, places.c[0]).correlate(places).lateral()
            yield sa.select(*keys.c).join_from(places, keys, sa.true())
        else:
            for value in self.values:
                yield self._of_value(page, value)

    def _is_ordered_as(self, page: "Page") -> bool:
        return all(column.key in self.copies for column in page.order)

    def _of_value(self, page: "Page", value: Any) -> sa.Select[Any]:  # noqa: ANN401 - an id, or a column of ids
        """Give the query of the page's keys of the rows whose column has this value."""
        if not self.way:
            return page.of(col(self.column) == value, *self.own)
        order = [self.copies[column.key] for column in page.order]
        named = (column.label(its.key) for column, its in zip(order, page.order, strict=True))
        found = sa.select(*named).where(col(self.column) == value, *self.where, *page.bounds(order)).distinct()
        if conditions := (*self.own, *page.conditions):
            # Looked at one by one, in order, until the page is full: OFFSET leaves the planner no other way.
            here, there = self.way[0]
            row = sa.select(sa.literal(1)).where(col(here) == col(there), *conditions).offset(0)
            found = found.where(row.correlate(there.class_).exists())
        return page.cut(found, order)

    def _far(self, what: Any) -> sa.Select[Any]:  # noqa: ANN401 - a column or a value
        steps = (col(here) == col(there) for here, there in self.way[1:])
        return sa.select(what).where(*steps, col(self.column).in_(self.values), *self.where)


@dataclass(frozen=True, slots=True)
class Page:
    """What a list shows: the first `limit` rows that satisfy the conditions, by `order`, or from its end backwards.

    It begins behind the row that has the values `after` of the order's columns, and has what lies in [since, until) by
    the first of them.
    """

    order: tuple[Any, ...]
    conditions: tuple[Condition, ...]
    limit: int
    is_backwards: bool = False
    after: tuple[Any, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def of(self, *conditions: Condition) -> sa.Select[Any]:
        """Give the query of the keys of those that satisfy these conditions as well."""
        asked = (*conditions, *self.conditions, *self.bounds(self.order))
        return self.cut(sa.select(*self.order).where(*asked), self.order)

    def bounds(self, columns: Sequence[Any]) -> Iterable[Condition]:
        """Say where the page begins and ends, of columns that say the same as those of the order."""
        if self.after is not None:
            place = (sa.literal(value, column.type) for value, column in zip(self.after, columns, strict=True))
            yield sa.tuple_(*columns) > sa.tuple_(*place)
        if self.since is not None and (self.after is None or self.after[0] < self.since):
            yield columns[0] >= self.since
        if self.until is not None:
            yield columns[0] < self.until

    def cut(self, query: sa.Select[Any], order: Iterable[Any]) -> sa.Select[Any]:
        """Give the first rows of a query by these columns."""
        ordered = [sa.desc(column) if self.is_backwards else column for column in order]
        return query.order_by(*ordered).limit(self.limit)


@dataclass(frozen=True, slots=True)
class Rule:
    """Of a kind of row: which branches an actor has, and what holds for every row that anybody sees."""

    branches: Callable[[Actor], Sequence[Branch]]
    always: tuple[Condition, ...] = ()


def is_seen(kind: type[SQLModel], actor: Actor) -> Condition:
    """Say of a row that is at hand (by its id, or as one of a case) whether the actor sees it."""
    shown = [branch.shows(kind) for branch in _branches(kind, actor)]
    return sa.and_(sa.or_(sa.false(), *shown), *RULES[kind].always)


def keys(  # noqa: PLR0913 - what a list is asked for
    kind: type[SQLModel],
    actor: Actor,
    *conditions: Condition,
    order: Sequence[str],
    limit: int,
    is_backwards: bool = False,
    after: tuple[Any, ...] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> sa.Select[Any]:
    """Give the query of what a list shows: the columns `order`, the last of them unique, of its first `limit` rows.

    The conditions are the list's own, such as filters. `after` has a value of each column of the order, behind which
    the list begins; it shows what lies in [since, until) by the first of them.
    """
    columns = tuple(col(getattr(kind, name)) for name in order)
    page = Page(columns, (*conditions, *RULES[kind].always), limit, is_backwards, after, since, until)
    return _merged(page, _branches(kind, actor))


def keys_of_side(actor: Actor, *conditions: Condition, limit: int) -> sa.Select[Any]:
    """Give the query of the ids of the newest consultations of the actor's side that they see and that satisfy these.

    Their own, those of hospitals where they are clinician or coordinator, those of programmes that they administer.
    """
    row = tables.Consultation
    page = Page((col(row.id),), conditions, limit, is_backwards=True)
    return _merged(page, [branch for branch in _of_side(actor) if branch.values != ()])


def _merged(page: Page, branches: Sequence[Branch]) -> sa.Select[Any]:
    queries = [query for branch in branches for query in branch.keys(page)]
    if not queries:
        return page.of(sa.false())
    if len(queries) == 1:
        return queries[0]
    # Not UNION: each query gives its rows in order, so PostgreSQL merges them, and stops when the page is full.
    merged = sa.union_all(*queries).subquery()
    return page.cut(sa.select(*merged.c).distinct(), merged.c)


def is_among(column: Any, query: sa.Select[Any]) -> Condition:  # noqa: ANN401 - a table's attribute
    """Say that the column is one of what the query gives, which is asked first, and each of it is then looked up.

    With IN the planner would be free to walk through all rows there are, and ask of each whether the query gives it.
    """
    one_of = sa.func.array(query.scalar_subquery(), type_=ARRAY(query.selected_columns[0].type))
    return col(column) == sa.any_(one_of)


def case_text_is_read(actor: Actor) -> Condition:
    """Say of a consultation whether the actor reads its text: nobody at an address that waits to be confirmed."""
    if not (actor.is_timer or actor.is_address_confirmed):
        return sa.false()
    offer = tables.Offer
    is_reading = sa.or_(
        col(offer.state).in_(vocabulary.READING_OFFER),
        sa.and_(col(offer.is_late), col(offer.shown_again_at).is_not(None)),
    )
    is_still_theirs = (is_reading, col(offer.ended_at).is_(None))
    branches = _EVERYTHING if actor.is_timer else (*_of_requesting_side(actor, _CASE), *_asked(actor, *is_still_theirs))
    return sa.or_(sa.false(), *(branch.shows(tables.Consultation) for branch in branches))


def departments(actor: Actor) -> list[tuple[UUID, str]]:
    """Name the departments, with their institutions, whose cases the actor shares; a grant without one shares none."""
    grants = (grant for grant in actor.grants if grant.role == "clinician")
    return sorted((g.institution_id, g.department) for g in grants if g.institution_id and g.department is not None)


@dataclass(frozen=True, slots=True)
class Case:
    """The columns that say whose case a row is of: a consultation's own, or those copied from it (`tables.OfCase`)."""

    programme_id: Any
    institution_id: Any
    clinician_id: Any
    department: Any


def _case_of(kind: type[tables.OfCase]) -> Case:
    return Case(kind.case_programme_id, kind.case_institution_id, kind.case_clinician_id, kind.case_department)


_CASE = Case(
    tables.Consultation.programme_id,
    tables.Consultation.institution_id,
    tables.Consultation.clinician_id,
    tables.Consultation.department,
)


@lru_cache(maxsize=4000)  # the same actors call again
def _branches(kind: type[SQLModel], actor: Actor) -> Sequence[Branch]:
    branches = _EVERYTHING if actor.is_timer else RULES[kind].branches(actor)
    return [branch for branch in branches if branch.column is None or branch.values != ()]


def _by(column: Any, ids: Iterable[UUID | None], *where: Condition) -> Branch:  # noqa: ANN401 - a table's attribute
    return Branch(column, tuple(sorted(row_id for row_id in ids if row_id is not None)), where)


def _naming(column: Any, ids: Iterable[UUID | None]) -> Sequence[Branch]:  # noqa: ANN401 - a table's attribute
    """Give the branch of the rows whose list of ids has one of these, if there are any."""
    named = sorted(row_id for row_id in ids if row_id is not None)
    overlap = col(column).op("&&", is_comparison=True)(sa.bindparam(None, named, type_=ARRAY(PG_UUID)))
    return [Branch(own=(overlap,))] if named else []


def _through(here: Any, there: Any, branches: Iterable[Branch], *own: Condition) -> Sequence[Branch]:  # noqa: ANN401
    """Give the branches of another kind, whose column `there` equals `here`, as those of the kind of `here`."""
    return [
        replace(branch, own=own, way=((here, there), *branch.way), where=(*branch.where, *branch.own))
        for branch in branches
        if branch.values != ()
    ]


def _of_requesting_side(actor: Actor, case: Case) -> Sequence[Branch]:
    """The clinician while they work there, the clinicians of the same department, the coordinator."""
    is_own = col(case.clinician_id) == actor.person_id
    return [
        _by(case.institution_id, actor.institutions("clinician"), is_own),
        *(_by(case.institution_id, [place], col(case.department) == name) for place, name in departments(actor)),
        _by(case.institution_id, actor.institutions("coordinator")),
    ]


def _asked(actor: Actor, *where: Condition) -> Sequence[Branch]:
    """Those for whom the actor was asked as a mentor of an institution where they still are one."""
    offer = tables.Offer
    own = _by(offer.institution_id, actor.institutions("mentor"), col(offer.mentor_id) == actor.person_id, *where)
    asked = _through(tables.Consultation.id, offer.consultation_id, [own])
    return [replace(branch, copies={"id": offer.consultation_id}) for branch in asked]


def _beside_mentors(actor: Actor, case: Case) -> Sequence[Branch]:
    """The cases of which the actor sees offers, appointments and sessions too, whoever the mentors are."""
    return [
        *_of_requesting_side(actor, case),
        _by(case.institution_id, actor.institutions("partner_system")),
        _by(case.programme_id, actor.programmes("programme_admin")),
    ]


def _consultations(actor: Actor) -> Sequence[Branch]:
    return [*_beside_mentors(actor, _CASE), *_asked(actor)]


def _of_side(actor: Actor) -> Sequence[Branch]:
    """Of the consultations that the actor sees, those of their side, each relation by an index of its own."""
    row, places = tables.Consultation, actor.institutions("clinician")
    is_there = col(tables.Offer.case_institution_id).in_(sorted(places))
    return [
        _by(row.clinician_id, [actor.person_id], is_seen(row, actor)),
        *_of_requesting_side(actor, _CASE)[1:],
        _by(row.programme_id, actor.programmes("programme_admin")),
        *(_asked(actor, is_there) if places else ()),
    ]


def _offers(actor: Actor) -> Sequence[Branch]:
    """A rival mentor sees none."""
    row = tables.Offer
    return [
        _by(row.mentor_id, [actor.person_id]),
        _by(row.institution_id, actor.institutions(*_ANSWERING)),
        *_beside_mentors(actor, _case_of(row)),
    ]


def _appointments(actor: Actor) -> Sequence[Branch]:
    """A mentor's institution sees those in which the mentor takes part."""
    row, participant, profile = tables.Appointment, tables.Participant, tables.MentorProfile
    answering = actor.institutions(*_ANSWERING)
    mentors = sa.select(col(profile.person_id)).where(col(profile.institution_id).in_(sorted(answering)))
    of_mentors = Branch(participant.person_id, mentors if answering else (), (col(participant.role) == "mentor",))
    taking_part = [_by(participant.person_id, [actor.person_id]), of_mentors]
    copies = {"starts_at": participant.starts_at, "id": participant.appointment_id}
    return [
        *(replace(each, copies=copies) for each in _through(row.id, participant.appointment_id, taking_part)),
        *_beside_mentors(actor, _case_of(row)),
    ]


def _sessions(actor: Actor) -> Sequence[Branch]:
    row = tables.Session
    return [
        _by(row.mentor_id, [actor.person_id]),
        *_naming(row.participants, [actor.person_id]),
        _by(row.partner_institution_id, actor.institutions(*_ANSWERING)),
        *_through(row.consultation_id, tables.Consultation.id, _beside_mentors(actor, _CASE)),
    ]


def _memoranda(actor: Actor) -> Sequence[Branch]:
    """Those of their institutions, and of the networks that these belong to today."""
    row = tables.Memorandum
    return [
        *_signed(actor, actor.institutions(*vocabulary.INSTITUTION_ROLES)),
        _by(row.programme_id, actor.programmes("programme_admin")),
    ]


def _activities(actor: Actor) -> Sequence[Branch]:
    """Those of their memoranda; and those without a memorandum, in which their institutions took part."""
    row, place = tables.Activity, tables.ActivityInstitution
    took_part = [_by(place.institution_id, actor.institutions(*vocabulary.INSTITUTION_ROLES))]
    return [
        *_through(row.memorandum_id, tables.Memorandum.id, _memoranda(actor)),
        _by(row.programme_id, actor.programmes("programme_admin")),
        *_through(row.id, place.activity_id, took_part, col(row.memorandum_id).is_(None)),
    ]


def _webhook_endpoints(actor: Actor) -> Sequence[Branch]:
    return [_by(tables.WebhookEndpoint.institution_id, actor.institutions(*KEEPERS_OF_ENDPOINTS))]


def _events(actor: Actor) -> Sequence[Branch]:
    """Those that name them, and those that their institutions' webhooks are sent."""
    row, party = tables.Event, tables.MemorandumParty
    institution_ids = actor.institutions(*KEEPERS_OF_ENDPOINTS)
    memoranda = sa.select(col(party.memorandum_id)).where(col(party.institution_id).in_(sorted(institution_ids)))
    return [
        *_naming(row.person_ids, [actor.person_id]),
        *_naming(row.institution_ids, institution_ids),
        Branch(row.memorandum_id, memoranda.distinct() if institution_ids else ()),
        _by(row.programme_id, actor.programmes("programme_admin")),
    ]


def _rehearsals(actor: Actor) -> Sequence[Branch]:
    return [_by(tables.Rehearsal.programme_id, actor.programmes("programme_admin"))]


def _people(actor: Actor) -> Sequence[Branch]:
    row, grant = tables.Person, tables.RoleGrant
    if actor.programmes("programme_admin"):
        return _EVERYTHING
    colleagues = [_by(grant.institution_id, actor.institutions("coordinator"))]
    return [_by(row.id, [actor.person_id]), *_through(row.id, grant.person_id, colleagues)]


def _clients(actor: Actor) -> Sequence[Branch]:
    if actor.programmes("programme_admin"):
        return _EVERYTHING
    return [_by(tables.Client.institution_id, actor.institutions("coordinator"))]


def _mentors(actor: Actor) -> Sequence[Branch]:
    """Also those of institutions that an active memorandum links with theirs."""
    row = tables.MentorProfile
    if actor.programmes("programme_admin"):
        return _EVERYTHING
    requesting = actor.institutions("clinician", "coordinator")
    return [
        _by(row.person_id, [actor.person_id]),
        _by(row.institution_id, actor.institutions(*_ANSWERING)),
        Branch(row.institution_id, _linked_with(actor, requesting) if requesting else ()),
    ]


def _linked_with(actor: Actor, requesting: frozenset[UUID]) -> sa.Select[Any]:
    """Name the institutions (and members of networks) that are partners of these in an active memorandum."""
    agreed, party, membership = orm.aliased(tables.Memorandum), tables.MemorandumParty, tables.Membership
    own = tables.Memorandum
    signed = (sa.select(col(own.id)).where(branch.shows(own)) for branch in _signed(actor, requesting, "requesting"))
    parties = (
        sa.select(col(party.institution_id))
        .join(agreed, col(agreed.id) == col(party.memorandum_id))
        .where(col(agreed.status) == "active", col(party.side) == "partner")
        .where(col(agreed.id).in_(sa.union_all(*signed)))
    )
    members = (
        parties.with_only_columns(col(membership.institution_id))
        .join(membership, col(membership.network_id) == col(party.institution_id))
        .where(_holds_today(actor, agreed))
    )
    return sa.select(parties.union(members).subquery())


def _signed(actor: Actor, institutions: frozenset[UUID], *sides: str) -> Sequence[Branch]:
    """The memoranda signed by these institutions, or by a network or umbrella that they belong to today."""
    agreed, party, membership = orm.aliased(tables.Memorandum), tables.MemorandumParty, tables.Membership
    is_on_side, is_party = col(party.side).in_(sides or vocabulary.SIDES), col(agreed.id) == col(party.memorandum_id)
    members = [_by(membership.institution_id, institutions, _holds_today(actor, agreed))]
    signed = [
        _by(party.institution_id, institutions, is_on_side),
        *_through(party.institution_id, membership.network_id, members, is_on_side, is_party),
    ]
    return _through(tables.Memorandum.id, party.memorandum_id, signed)


def _holds_today(actor: Actor, agreed: type[tables.Memorandum]) -> Condition:
    """Say which memberships hold today, by the calendar of the memorandum's programme."""
    row, conditions = tables.Membership, []
    for day in sorted({day for day, _ in actor.days}):
        programmes = sorted(programme_id for today, programme_id in actor.days if today == day)
        holds = sa.and_(col(row.from_on) <= day, sa.or_(col(row.until_on).is_(None), col(row.until_on) > day))
        conditions.append(sa.and_(col(agreed.programme_id).in_(programmes), holds))
    return sa.or_(sa.false(), *conditions)


def _everybody(_: Actor) -> Sequence[Branch]:
    return _EVERYTHING


_EVERYTHING: Sequence[Branch] = (Branch(),)

RULES: Mapping[type[SQLModel], Rule] = {
    tables.Consultation: Rule(_consultations),
    tables.Offer: Rule(_offers),
    tables.Appointment: Rule(_appointments),
    tables.Session: Rule(_sessions),
    tables.Memorandum: Rule(_memoranda),
    tables.Activity: Rule(_activities),
    tables.Event: Rule(_events),
    tables.Rehearsal: Rule(_rehearsals),
    tables.Person: Rule(_people, (col(tables.Person.kind) == "person",)),  # no row that stands for a system
    tables.MentorProfile: Rule(_mentors),
    tables.Client: Rule(_clients),
    tables.WebhookEndpoint: Rule(_webhook_endpoints, (col(tables.WebhookEndpoint.deleted_at).is_(None),)),
    # The registry, which everybody who is signed in reads:
    tables.Programme: Rule(_everybody),
    tables.Institution: Rule(_everybody),
    tables.Membership: Rule(_everybody),
    tables.Specialty: Rule(_everybody),
}
"""Each kind of row that somebody reads by an id or in a list."""
