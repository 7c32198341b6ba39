"""Logs: one JSON object a line, and nothing in it that is not on the list."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from integrations.runtime import logs

CANARY = "Петренко-canary"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level, access = root.handlers, root.level, logging.getLogger("uvicorn.access").disabled
    stream = io.StringIO()
    logs.configure("debug", stream)
    yield stream
    root.handlers, logging.getLogger("uvicorn.access").disabled = before, access
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_a_json_object_with_time_level_and_name(lines: io.StringIO) -> None:
    structlog.get_logger("here").info("delivery_sent", delivery_id="7", attempt=2)
    found = json.loads(lines.getvalue())
    assert found.pop("timestamp").endswith("Z")
    assert found == {"event": "delivery_sent", "level": "info", "logger": "here", "delivery_id": "7", "attempt": 2}


def test_a_field_that_is_not_listed_is_left_out(lines: io.StringIO) -> None:
    structlog.get_logger("here").info("consultation_opened", question=CANARY, person=CANARY)
    assert CANARY not in lines.getvalue()


def test_what_is_bound_to_the_context_is_filtered_too(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1", question=CANARY):
        structlog.get_logger("here").info("seen")
    assert json.loads(lines.getvalue())["request_id"] == "r1"
    assert CANARY not in lines.getvalue()


def test_an_error_is_named_without_its_message(lines: io.StringIO) -> None:
    try:
        raise LookupError(CANARY)  # noqa: TRY301 - an error with a traceback is what is needed
    except LookupError:
        structlog.get_logger("here").exception("failed")
    found = json.loads(lines.getvalue())
    assert found["error"] == "builtins.LookupError"
    assert found["where"][-1].startswith("runtime/test_logs.py:")
    assert CANARY not in lines.getvalue()


def test_an_error_of_a_library_is_named_without_its_message(lines: io.StringIO) -> None:
    try:
        raise LookupError(CANARY)  # noqa: TRY301 - as above
    except LookupError:
        logging.getLogger("sqlalchemy.pool").exception("row %s", CANARY, stack_info=True)
    assert json.loads(lines.getvalue())["error"] == "builtins.LookupError"
    assert CANARY not in lines.getvalue()


def test_requests_are_not_logged_by_the_server(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn.access").info('%s - "%s %s"', "127.0.0.1", "GET", f"/links/{CANARY}")
    assert lines.getvalue() == ""


def test_the_server_may_say_where_it_listens(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("running on %s", "http://127.0.0.1:8000")
    assert json.loads(lines.getvalue())["event"] == "running on http://127.0.0.1:8000"
