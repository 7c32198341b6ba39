"""What ends: rows that nobody can use any more, and what of the past is summed up instead.

One worker of the installation does it at a time, and each task is due ten minutes after it was done. A task goes in
batches, each in a transaction of its own, so that no lock and no statement lasts long; one that fails stops no other.
What was done last, and what failed, is in `housekeeping`. What is old is told by the database's clock: a host's that
jumps ahead must end nothing, and a worker whose clock is a minute off leaves all of it to others.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import actor, clock, database_clock, database_errors, errors, installation, partitions
from service.kernel.work import Database, Work
from service.outbox import push_subscriptions, subscriptions
from service.reporting import rollups

KEPT = timedelta(days=30)
"""How long events, settled webhooks and links that ended are kept (events: invariant W3)."""

DECISIONS_KEPT = timedelta(days=400)
"""How long a choice of mentors can be made again; then only its counts stay."""
_FACTS_KEPT = DECISIONS_KEPT + timedelta(days=2)  # a fact's `seen_at` is right to a day
ATTEMPTS_KEPT = timedelta(days=90)
QUEUE_LOG_KEPT = timedelta(days=7)
PAUSE = timedelta(minutes=10)
LATE = timedelta(hours=1)
"""A task that was not done for this long is told to the operator."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How long is kept what the operator decides about, in days; and how many rows a batch takes."""

    audit_days: int
    mail_days: int = 400
    at_once: int = 10_000


@dataclass(frozen=True, slots=True)
class Task:
    """Deals with what has ended in `table`: a batch of it, and gives how many rows it had."""

    name: str
    table: str
    batch: Callable[[Work, Kept], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that could not be done: it is tried again when it is due, and must not stop the others."""

    task: str
    error: Exception


def _saying(name: str, statement: str, table: str | None = None) -> Task:
    """Have a task of one statement, which takes at most :at_once rows."""
    text = sa.text(statement)

    async def batch(w: Work, kept: Kept) -> int:
        known = _values(w, kept, await database_clock.now(w))
        return _count(await w.sql(text, {name: value for name, value in known.items() if f":{name}" in statement}))

    return Task(name, table or name, batch)


def _deleting(table: str, ended: str) -> Task:
    """Have a task that deletes the rows that have ended."""
    statement = f"DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {ended} LIMIT :at_once))"  # noqa: S608 - our own words
    return _saying(table.rpartition(".")[2], statement, table)


def _count(result: sa.Result[*tuple[object, ...]]) -> int:
    return int(result.rowcount)  # type: ignore[attr-defined]


def _values(w: Work, kept: Kept, wall: datetime) -> dict[str, object]:
    """Give every bound by the database's clock `wall`, which the domain's may be ahead of in a demo."""
    now = w.now - clock.wall() + wall
    return {
        "now": now,
        "day_ago": now - timedelta(days=1),
        "month_ago": now - KEPT,
        "decisions_until": now - DECISIONS_KEPT,
        "facts_until": now - _FACTS_KEPT,
        "recoverable": now - subscriptions.RECOVERABLE,
        "wall": wall,
        "queue_log_until": wall - QUEUE_LOG_KEPT,
        # Ids are made by the system's clock, and grow: what is old is at the beginning of the primary key.
        "mails_until": clock.least_id(wall - timedelta(days=kept.mail_days)),
        "attempts_until": clock.least_id(wall - ATTEMPTS_KEPT),
        "at_once": kept.at_once,
    }


_END_AUDIT = sa.text("""
DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < :audit_until ORDER BY id LIMIT :at_once)
""")


async def _end_audit(w: Work, kept: Kept) -> int:
    """Delete what is too old of the part that was there before months had parts of their own."""
    await w.sql(sa.text("SELECT set_config('pobratym.retention', 'over', true)"))
    first, *_ = await partitions.parts(w, "audit")
    until = clock.least_id(await _end_of_audit(w, kept))
    return _count(await w.sql(_END_AUDIT, {"audit_until": min(until, first.until), "at_once": kept.at_once}))


async def _end_of_audit(w: Work, kept: Kept) -> datetime:
    return await database_clock.now(w) - timedelta(days=kept.audit_days)


async def _next_months_of_audit(w: Work, _: Kept) -> int:
    return await partitions.make_next(w, "audit")


async def _drop_month_of_audit(w: Work, kept: Kept) -> int:
    return await partitions.drop_oldest(w, "audit", await _end_of_audit(w, kept))


# Attempts go with their delivery, in the same statement, as they refer to it.
_WITH_ATTEMPTS = """
WITH old AS (SELECT id FROM delivery WHERE {ended} LIMIT :at_once),
tried AS (DELETE FROM delivery_attempt t USING old WHERE t.delivery_id = old.id)
DELETE FROM delivery d USING old WHERE d.id = old.id
"""

TASKS = (
    _deleting("process", "beat_at < clock_timestamp() - interval '1 day'"),
    _deleting("idempotency_key", "created_at < :day_ago"),
    _deleting("import_file", "created_at < :day_ago"),
    _deleting("revoked_token", "expires_at < :now"),
    _saying(
        "links_of_the_disabled",
        # Whoever changes an address and disables its person silences nobody.
        """UPDATE link SET expires_at = :now WHERE id IN (
           SELECT link.id FROM link JOIN person ON person.id = link.person_id AND person.state = 'disabled'
           WHERE used_at IS NULL AND expires_at > :now AND purpose NOT LIKE 'address.%' LIMIT :at_once)""",
        "link",
    ),
    _deleting("link", "expires_at < :month_ago"),
    _saying(
        "kept_posts_over",
        """UPDATE kept_post SET body = NULL WHERE id IN (
           SELECT id FROM kept_post WHERE until <= :now AND body IS NOT NULL LIMIT :at_once)""",
        "kept_post",
    ),
    _deleting("kept_post", "until < :month_ago"),
    _deleting("address_wish", "expires_at < :now"),
    _deleting("refresh_token", "expires_at < :month_ago"),
    _deleting("rate_limit", "arrives_at < :day_ago"),
    _deleting("client_secret", "expires_at < :month_ago"),
    _deleting("webhook_secret", "expires_at < :month_ago"),
    _deleting("used_assertion", "expires_at < :wall"),
    _saying(
        "webhooks_given_up",
        # What waits for an endpoint that is not active is dropped once it is too old to be recovered.
        """UPDATE delivery SET state = 'dropped', next_attempt_at = NULL, settled_at = :now WHERE id IN (
           SELECT d.id FROM delivery d JOIN webhook_endpoint p ON p.id = d.endpoint_id AND p.state <> 'active'
           WHERE d.kind = 'webhook' AND d.state = 'pending' AND d.created_at < :recoverable LIMIT :at_once)""",
        "delivery",
    ),
    _saying(
        "webhooks", _WITH_ATTEMPTS.format(ended="kind = 'webhook' AND settled_at < :month_ago"), "delivery"
    ),
    _saying(
        "news", _WITH_ATTEMPTS.format(ended="kind IN ('push', 'sms') AND settled_at < :month_ago"), "delivery"
    ),
    _deleting(
        "push_subscription",
        f"id NOT IN (SELECT s.id FROM push_subscription s WHERE {push_subscriptions.LIVES})",  # noqa: S608 - our own words
    ),
    _saying(
        "mails",
        _WITH_ATTEMPTS.format(ended="kind = 'mail' AND id < :mails_until AND state <> 'pending' ORDER BY id"),
        "delivery",
    ),
    _saying(
        "delivery_attempt",
        """DELETE FROM delivery_attempt WHERE ctid = ANY (ARRAY(SELECT ctid FROM delivery_attempt
           WHERE delivery_id < :attempts_until ORDER BY delivery_id LIMIT :at_once))""",
    ),
    _saying(
        "ranking_mark",
        # Many marks of one subject become one of the same value: their exclusive or.
        """WITH taken AS (
             DELETE FROM ranking_mark WHERE subject_id IN (
               SELECT subject_id FROM ranking_mark GROUP BY subject_id HAVING count(*) > 4 LIMIT :at_once)
             RETURNING subject_id, value
           )
           INSERT INTO ranking_mark (subject_id, value)
           SELECT subject_id, bit_xor(value) FROM taken GROUP BY subject_id""",
    ),
    _saying(
        "event",
        # The last event is never deleted: the next position follows from it.
        """DELETE FROM event WHERE id IN (SELECT e.id FROM event e WHERE e.occurred_at < :month_ago
           AND e.position < (SELECT max(position) FROM event)
           AND NOT EXISTS (SELECT FROM delivery d WHERE d.event_id = e.id) ORDER BY e.position LIMIT :at_once)""",
    ),
    _saying(
        "decision",
        """UPDATE decision SET rulebook_id = NULL, memoranda_id = NULL, refs = NULL, body = NULL, digest = NULL
           WHERE id IN (SELECT id FROM decision WHERE at < :decisions_until AND body IS NOT NULL
                        ORDER BY at LIMIT :at_once)""",
    ),
    _deleting(  # as long as what it was made of, and for ever where it is the reason of a policy
        "rehearsal",
        """created_at < :decisions_until AND settled_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM policy_version p WHERE p.rehearsal_id = rehearsal.id)""",
    ),
    *(_deleting(table, "seen_at < :facts_until") for table in ("mentor_fact", "memoranda_fact", "rulebook")),
    # Apart, each in its own transaction: who keeps a month from being dropped must not keep the next from being made.
    Task("audit_next_months", "audit", _next_months_of_audit),
    Task("audit_months", "audit", _drop_month_of_audit),
    Task("audit", "audit", _end_audit),
    _deleting("queue.pgqueuer_log", "created < :queue_log_until"),
)  # fmt: skip
ROLLUPS = "report_rollup"
NAMES = (*(task.name for task in TASKS), ROLLUPS)


async def run(database: Database, kept: Kept) -> list[Failure]:
    """Do every task, due or not, unless another worker is at it; gives what failed."""
    return await _run(database, kept, timedelta())


async def run_due(database: Database, kept: Kept) -> list[Failure]:
    """Do every task that was last done more than `PAUSE` ago by whichever worker; gives what failed."""
    async with database.apart() as w:  # one look at all of them, as nearly always none is due
        done = {row.name for row in await w.fetch(_ALL_DONE, {"pause": PAUSE})}
    return await _run(database, kept, PAUSE, done)


async def _run(database: Database, kept: Kept, pause: timedelta, done: Collection[str] = ()) -> list[Failure]:
    failures = []
    for name, work in (*((task.name, _batches(task, kept)) for task in TASKS), (ROLLUPS, _fold)):
        if name in done:
            continue
        try:
            await work(database, pause)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other tasks go on
            failures.append(Failure(name, error))
            async with database.work(actor.TIMER) as w:
                await w.sql(_FAILED, {"name": name, "error": _named(error)})
    return failures


_Doing = Callable[[Database, timedelta], Awaitable[None]]


def _batches(task: Task, kept: Kept) -> _Doing:
    async def do(database: Database, pause: timedelta) -> None:
        progress, is_more = _Progress(task.name), True
        while is_more:
            async with database.work(actor.TIMER) as w:
                if not await _is_ours(w, task.name, pause):
                    return
                count = await task.batch(w, kept)
                is_more = count >= kept.at_once
                progress.rows += count
                if not is_more:
                    await w.sql(_DONE, progress.values())

    return do


async def _fold(database: Database, pause: timedelta) -> None:
    """Have rollups of the past, in the transactions that they need: who is at it keeps the others out by locks."""
    async with database.work(actor.TIMER) as w:
        if not await _is_ours(w, ROLLUPS, pause):
            return
    progress = _Progress(ROLLUPS)
    progress.rows = await rollups.fold(database)
    async with database.work(actor.TIMER) as w:
        await w.sql(_DONE, progress.values())


@dataclass(slots=True)
class _Progress:
    name: str
    rows: int = 0
    began: float = field(default_factory=clock.monotonic)

    def values(self) -> dict[str, object]:
        return {"name": self.name, "rows": self.rows, "ms": round((clock.monotonic() - self.began) * 1000)}


async def _is_ours(w: Work, name: str, pause: timedelta) -> bool:
    """Tell whether no other worker keeps house now, and the task is due; nobody else begins until this commits.

    Nothing ends in a restored database that nobody has released: somebody may compare it with what was lost. Nor is it
    ours while this process's clock is far off, which `presence` tells.
    """
    if await database_clock.is_far_off(w) or not (await w.sql(_TRY)).scalar_one():
        return False
    return (await w.sql(_IS_DONE, {"name": name, "pause": pause})).one_or_none() is None


def _named(error: Exception) -> str:
    """Give the kind of an error, and the database's code for it: its words may quote a row."""
    cause = database_errors.driver_error(error.__cause__ or error)
    state = getattr(cause, "sqlstate", None)
    return " ".join(filter(None, (type(cause or error).__name__, state)))


_TRY = sa.text(f"SELECT NOT {installation.HELD} AND pg_try_advisory_xact_lock(hashtext('pobratym housekeeping'))")
# By the database's clock, which is one for all workers.
_IS_DONE = sa.text("SELECT 1 FROM housekeeping WHERE name = :name AND ran_at > clock_timestamp() - :pause").bindparams(
    sa.bindparam("pause", type_=sa.Interval)
)
_ALL_DONE = sa.text("SELECT name FROM housekeeping WHERE ran_at > clock_timestamp() - CAST(:pause AS interval)")
_DONE = sa.text("""
INSERT INTO housekeeping (name, ran_at, rows, ms) VALUES (:name, clock_timestamp(), :rows, :ms)
ON CONFLICT (name) DO UPDATE
SET ran_at = excluded.ran_at, rows = excluded.rows, ms = excluded.ms, failed_at = NULL, error = NULL
""")
_ANCHORED = "log anchor"
_FAILED = sa.text("""
INSERT INTO housekeeping (name, failed_at, error) VALUES (:name, clock_timestamp(), :error)
ON CONFLICT (name) DO UPDATE SET failed_at = excluded.failed_at, error = excluded.error
""")


@dataclass(frozen=True, slots=True)
class Standing:
    """How long ago each task was last done, by the database's clock, and what went wrong since.

    `age_seconds` is that of the task that waits longest, None when one was never done.
    """

    age_seconds: float | None
    ran_at: float | None  # the same as an instant: seconds since 1970
    failing: dict[str, str]  # task -> what its last try failed with
    anchored_at: float | None = None  # when an operator last wrote down where the logs end, as `ran_at`

    @property
    def is_late(self) -> bool:
        """Tell whether a task waits for so long that no worker can be there for it."""
        return self.age_seconds is not None and self.age_seconds > LATE.total_seconds()


async def tasks(w: Work) -> Sequence[tables.Housekeeping]:
    """Give what each task last did, by name; for admins. Raises Forbidden."""
    if not (w.actor.is_timer or w.actor.holds("programme_admin")):
        raise errors.Forbidden
    table = tables.Housekeeping
    rows = (await w.sql(sa.select(table).where(col(table.name).in_(NAMES)))).scalars()
    return sorted(rows, key=lambda row: row.name)


_STANDING = sa.text("""
SELECT n.name, h.error, CAST(extract(epoch FROM h.ran_at) AS float8) AS ran_at,
       CAST(extract(epoch FROM clock_timestamp() - h.ran_at) AS float8) AS age
FROM unnest(:names) AS n (name) LEFT JOIN housekeeping h ON h.name = n.name ORDER BY n.name
""").bindparams(sa.bindparam("names", type_=sa.ARRAY(sa.Text)))


async def standing(w: Work) -> Standing:
    """Tell how the house is kept."""
    rows = (await w.sql(_STANDING, {"names": [*NAMES, _ANCHORED]})).all()
    (anchored_at,) = [row.ran_at for row in rows if row.name == _ANCHORED]
    rows = [row for row in rows if row.name != _ANCHORED]
    failing = {row.name: row.error for row in rows if row.error}
    if any(row.ran_at is None for row in rows):
        return Standing(None, None, failing, anchored_at)
    return Standing(max(row.age for row in rows), min(row.ran_at for row in rows), failing, anchored_at)


async def note_anchor(w: Work) -> None:
    """Keep that somebody has written down where every log ends: it is theirs to do, and this tells when they forget."""
    await w.sql(_DONE, {"name": _ANCHORED, "rows": None, "ms": None})
