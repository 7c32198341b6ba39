"""Figures for Prometheus: requests by the template of their route, deliveries by kind and state."""

from collections.abc import Iterable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from integrations.runtime import health

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
DELIVERIES = Gauge("pobratym_deliveries", "Mails and webhooks by state", ("kind", "state"), registry=REGISTRY)
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


class _Attempts(Collector):
    """Attempts by kind and outcome: the database counts them for all processes."""

    def __init__(self) -> None:
        self.totals: Mapping[tuple[str, str], int] = {}

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily("pobratym_attempts", "Attempts to deliver", labels=("kind", "outcome"))
        for labels, total in sorted(self.totals.items()):
            family.add_metric(labels, total)
        return [family]


ATTEMPTS = _Attempts()
REGISTRY.register(ATTEMPTS)


def shown(backlog: health.Backlog) -> tuple[bytes, str]:
    """Give the figures in Prometheus's text form, and its media type."""
    DELIVERIES.clear()
    for (kind, state), count in backlog.deliveries.items():
        DELIVERIES.labels(kind, state).set(count)
    OLDEST_DUE.set(backlog.oldest_due_seconds)
    for kind, seconds in backlog.oldest_undelivered_seconds.items():
        OLDEST_UNDELIVERED.labels(kind).set(seconds)
    ATTEMPTS.totals = backlog.attempts
    server = backlog.mail_server
    MAIL_SERVER_AWAY.set((backlog.now - server.away_since).total_seconds() if server.away_since else 0)
    MAIL_HELD.set(server.held_at is not None)
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
