"""Logs: one JSON object a line, made of named fields only.

What is not on the list does not leave the process: no case text, no address, no token, no path with an id or a token
in it (route templates instead), no message of an exception, because drivers quote the row in theirs (invariant D5).
"""

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import TextIO

import structlog

FIELDS = frozenset(
    {
        "addr_family",
        "attempt",
        "away_s",
        "client_id",
        "count",
        "delivery_id",
        "duration_ms",
        "endpoint_id",
        "error",
        "event",
        "event_id",
        "faults",
        "folder",
        "host",
        "job",
        "kind",
        "level",
        "logger",
        "loop",
        "method",
        "offset_s",
        "outcome",
        "person_id",
        "phase",
        "port",
        "programme",
        "reason",
        "request_id",
        "retry_after_s",
        "route",
        "sqlstate",
        "state",
        "status",
        "subject_id",
        "task",
        "timer",
        "timestamp",
        "traceparent",
        "version",
        "where",
        "worker_id",
    }
)

_FOREIGN = "library_message"
_TRUSTED = ("uvicorn.error",)  # says where it listens, or why it cannot; never quotes a request
_FRAMES = 12


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send this process's own logs and its libraries' to `stream` (default stderr), listed fields only."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    shared = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _hide_foreign_message],
            processors=[
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _name_error,
                _listed_only,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    logging.getLogger("alembic").setLevel(logging.WARNING)  # tells of every step that it looks at
    logging.getLogger("uvicorn.access").disabled = True  # its lines hold whole paths: links are in them
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _hide_foreign_message(_logger: object, _method: str, entry: MutableMapping[str, object]) -> Mapping[str, object]:
    """Replace a library's message, which may quote anything: its name and level say enough to look for it."""
    if entry.get("logger") not in _TRUSTED:
        entry["event"] = _FOREIGN
    return entry


def _name_error(_logger: object, _method: str, entry: MutableMapping[str, object]) -> Mapping[str, object]:
    """Say which error it was and where, never its message."""
    exc_info = entry.pop("exc_info", None)
    error = sys.exc_info()[1] if exc_info is True else exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        entry["error"] = f"{type(error).__module__}.{type(error).__qualname__}"
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        entry["where"] = [f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}" for frame in frames]
    return entry


def _listed_only(_logger: object, _method: str, entry: MutableMapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in entry.items() if name in FIELDS}
