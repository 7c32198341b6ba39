"""Figures for Prometheus: requests by the template of their route, deliveries by kind and state."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from integrations.runtime import health
from service import vocabulary
from service.kernel import processes

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REGISTRY = CollectorRegistry()
REQUESTS = Histogram(
    "pobratym_http_request_seconds", "Time to answer", ("method", "route", "status"), registry=REGISTRY
)
CONNECTIONS_ENDED = Counter(
    "pobratym_connections_ended",
    "Connections that we ended before a request was whole, or before its answer was read",
    ("reason",),
    registry=REGISTRY,
)
DELIVERIES = Gauge(
    "pobratym_deliveries", "Mails, webhooks, pushes and text messages by state", ("kind", "state"), registry=REGISTRY
)
OLDEST_DUE = Gauge("pobratym_oldest_due_seconds", "Age of the oldest delivery that waits", registry=REGISTRY)
OLDEST_UNDELIVERED = Gauge(
    "pobratym_oldest_undelivered_seconds",
    "Age of the oldest that has not left, since it was recorded",
    ("kind",),
    registry=REGISTRY,
)
MAIL_SERVER_AWAY = Gauge(
    "pobratym_mail_server_away_seconds", "For how long the mail server is away; 0 when it is there", registry=REGISTRY
)
MAIL_HELD = Gauge("pobratym_mail_held", "1 while an operator holds all mail back", registry=REGISTRY)
RESTORE_HELD = Gauge(
    "pobratym_restore_held", "1 while nothing leaves, as the database was restored and not released", registry=REGISTRY
)
POOL_IN_USE = Gauge("pobratym_pool_in_use", "Database connections of this process at work", registry=REGISTRY)
POOL_WAITING = Gauge("pobratym_pool_waiting", "Who waits in this process for a database connection", registry=REGISTRY)
STREAMS = Gauge("pobratym_streams", "Browsers that follow what changes from this process", registry=REGISTRY)
UNMATCHED = Gauge("pobratym_unmatched", "Consultations for which nobody is left to be asked", registry=REGISTRY)
PROMISE_OFF = Gauge(
    "pobratym_promise_off",
    "1 for each programme in which nothing is promised at filing, as the promises proved wrong",
    ("programme",),
    registry=REGISTRY,
)
HOUSEKEEPING = Gauge(
    "pobratym_housekeeping_timestamp_seconds",
    "When the housekeeper's task that waits longest was last done; 0 when one never was",
    registry=REGISTRY,
)
HOUSEKEEPING_FAILING = Gauge(
    "pobratym_housekeeping_failing",
    "1 for each task of it that failed since",
    ("task",),
    registry=REGISTRY,
)
WORKER_BEAT = Gauge(
    "pobratym_worker_beat_timestamp_seconds",
    "When a worker last said that it lives; 0 when none did for a day",
    registry=REGISTRY,
)
LOOP = Gauge("pobratym_loop_seconds", "For how long a worker's loop has not moved", ("host", "loop"), registry=REGISTRY)
LOOP_FAILING = Gauge(
    "pobratym_loop_failing", "1 for each loop that fails, or stands still", ("host", "loop"), registry=REGISTRY
)
CLOCK_OFFSET = Gauge(
    "pobratym_clock_offset_seconds", "The clock of a process less the database's", ("host", "kind"), registry=REGISTRY
)
ANCHOR = Gauge(
    "pobratym_anchor_timestamp_seconds",
    "When `pobratym log anchor` last wrote down where every log ends; 0 when it never did",
    registry=REGISTRY,
)


REPLICA_LAG = Gauge(
    "pobratym_replica_lag_seconds",
    "How late the replica for reports is; 0 if none is named, +Inf if it cannot be read",
    registry=REGISTRY,
)
PARTITION_ENDS = Gauge(
    "pobratym_partition_ends_timestamp_seconds",
    "When the last part of a table that is parted by month ends: it takes no row from then on",
    ("table",),
    registry=REGISTRY,
)


class _Totals(Collector):
    """A counter that is kept elsewhere: totals by the values of its labels."""

    def __init__(self, name: str, told: str, *labels: str) -> None:
        self.totals: Mapping[Any, int] = {}  # by tuples of as many values as there are labels
        self._described = (name, told, labels)
        REGISTRY.register(self)

    def collect(self) -> Iterable[CounterMetricFamily]:
        name, told, labels = self._described
        family = CounterMetricFamily(name, told, labels=labels)
        for values, total in sorted(self.totals.items()):
            family.add_metric(values, total)
        return [family]


ATTEMPTS = _Totals("pobratym_attempts", "Attempts to deliver: the database counts them", "kind", "outcome")
_NO_ATTEMPTS: Mapping[Any, int] = dict.fromkeys(
    itertools.product(vocabulary.DELIVERY_KINDS, vocabulary.ATTEMPT_OUTCOMES), 0
)
"""What is counted from its first one on cannot be seen to grow by it."""
SWEEP_ACTED = _Totals("pobratym_sweep_acted", "Rows that this process dealt with when they were due", "timer")
DATABASE_ERRORS = _Totals("pobratym_database_errors", "What the database refused this process", "sqlstate")
REPLICA_FALLBACKS = _Totals(
    "pobratym_replica_fallbacks", "Reports that this process read on the primary in the replica's place", "reason"
)
WAVES = _Totals("pobratym_waves", "Times that this process asked mentors about a consultation")


def shown(backlog: health.Backlog) -> tuple[bytes, str]:
    """Give the figures in Prometheus's text form, and its media type."""
    DELIVERIES.clear()
    for (kind, state), count in backlog.deliveries.items():
        DELIVERIES.labels(kind, state).set(count)
    OLDEST_DUE.set(backlog.oldest_due_seconds)
    for kind, seconds in backlog.oldest_undelivered_seconds.items():
        OLDEST_UNDELIVERED.labels(kind).set(seconds)
    ATTEMPTS.totals = {**_NO_ATTEMPTS, **backlog.attempts}
    server = backlog.mail_server
    MAIL_SERVER_AWAY.set((backlog.now - server.away_since).total_seconds() if server.away_since else 0)
    MAIL_HELD.set(server.held_at is not None)
    UNMATCHED.set(backlog.unmatched)
    PROMISE_OFF.clear()
    for programme in backlog.promises_off:
        PROMISE_OFF.labels(programme).set(1)
    HOUSEKEEPING.set(backlog.house.ran_at or 0)
    ANCHOR.set(backlog.house.anchored_at or 0)
    HOUSEKEEPING_FAILING.clear()
    for task in backlog.house.failing:
        HOUSEKEEPING_FAILING.labels(task).set(1)
    for table, at in backlog.partition_ends.items():
        PARTITION_ENDS.labels(table).set(at.timestamp())
    _show_process(backlog.process)
    _show_running(backlog.running)
    REPLICA_LAG.set(backlog.replica_lag_seconds)
    RESTORE_HELD.set(backlog.is_restore_held)
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


def _show_process(process: health.Process) -> None:
    STREAMS.set(process.streams)
    POOL_IN_USE.set(process.pool_in_use)
    POOL_WAITING.set(process.pool_waiting)
    SWEEP_ACTED.totals = {(kind,): n for (what, kind), n in process.counted.items() if what == "sweep_acted"}
    DATABASE_ERRORS.totals = {(kind,): n for (what, kind), n in process.counted.items() if what == "database_errors"}
    REPLICA_FALLBACKS.totals = {
        (reason,): process.counted["replica_fallbacks", reason] for reason in vocabulary.REPLICA_FALLBACKS
    }
    WAVES.totals = {(): process.counted["waves", ""]}


def _show_running(running: Sequence[processes.Running]) -> None:
    """Show what every live process says of itself: of two of a kind on one host, the one that fares worse."""
    WORKER_BEAT.set(
        max((one.row.beat_at.timestamp() for one in running if one.row.kind in vocabulary.WORKING_KINDS), default=0)
    )
    live = [one for one in running if one.is_live]
    for gauge in (LOOP, LOOP_FAILING, CLOCK_OFFSET):
        gauge.clear()
    for one in sorted(live, key=lambda one: abs(one.row.clock_offset_ms or 0)):
        CLOCK_OFFSET.labels(one.row.host, one.row.kind).set((one.row.clock_offset_ms or 0) / 1000)
    loops = [(one.row.host, name, loop["moved_s"]) for one in live for name, loop in one.row.loops.items()]
    for host, name, seconds in sorted(loops, key=lambda loop: loop[2]):
        LOOP.labels(host, name).set(seconds)
        LOOP_FAILING.labels(host, name).set(0)
    for one in live:
        for name in one.failing:
            LOOP_FAILING.labels(one.row.host, name).set(1)
