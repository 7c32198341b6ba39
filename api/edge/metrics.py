"""Figures for Prometheus: requests by the template of their route, deliveries by kind and state."""

from collections.abc import Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, Histogram, generate_latest

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REGISTRY = CollectorRegistry()
REQUESTS = Histogram(
    "pobratym_http_request_seconds", "Time to answer", ("method", "route", "status"), registry=REGISTRY
)
DELIVERIES = Gauge("pobratym_deliveries", "Mails and webhooks by state", ("kind", "state"), registry=REGISTRY)
OLDEST_DUE = Gauge("pobratym_oldest_due_seconds", "Age of the oldest delivery that waits", registry=REGISTRY)


def shown(deliveries: Mapping[tuple[str, str], int], oldest_due_seconds: float) -> tuple[bytes, str]:
    """Give the figures in Prometheus's text form, and its media type."""
    DELIVERIES.clear()
    for (kind, state), count in deliveries.items():
        DELIVERIES.labels(kind, state).set(count)
    OLDEST_DUE.set(oldest_due_seconds)
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
