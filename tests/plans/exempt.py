"""What may read more than it shows, and why. An exemption that nothing needs any more fails a test."""

import re
from collections.abc import Mapping

Why = Mapping[str, tuple[str, str]]
"""Reason -> (what the statement was for, how it begins or what stands in it): two patterns that are searched."""

REASONS: Why = {
    "a report counts its subject's period, which may be a large part of a table": (
        r"GET /v1/(memoranda|institutions|programmes)/\{id\}/report",
        r"^WITH (cohort|weekly)|^SELECT (side, is_useful|width_bucket|mode, outcome)",
    ),
    "the chain of a log is followed from its first entry": ("log/verification", "FROM log_entry"),
    "the housekeeper reads a table of rows that end, a batch at a time, every ten minutes": (
        "^housekeeping", r"FROM (event|refresh_token|delivery)\b",
    ),
}  # fmt: skip
TOLERATED: Why = {
    # As the planner likes, from one size of the past to the next.
    "a page of a journal is joined with the registry, and counts what comes before": (
        "/journal", "AS session_id|^SELECT count",
    ),
    # To be removed with what mends it.
    "a list is narrowed to a specialty among all that somebody was asked": (
        r"GET /v1/consultations\?specialty", "FROM consultation",
    ),
    "events are read by their positions, thirty days of them at most": (" GET /v1/events", "FROM event"),
    "a report's rows are read by their ids, whatever the subject": ("/report/rows", "ORDER BY"),
    "certificates look for the person among all participants": ("/m(e|ine)/certificates", "participants"),
    "a list is narrowed to a short number among all that somebody was asked": (
        r"GET /v1/consultations\?number", "FROM consultation",
    ),
    "whether an away link was used is looked for among all links of the person": ("GET /a/away", "purpose = 'away'"),
}  # fmt: skip


def reason(text: str, doing: str) -> str | None:
    """Give why this statement may; None when it may not."""
    for why, (purpose, part) in {**REASONS, **TOLERATED}.items():
        if re.search(purpose, doing) and re.search(part, text):
            return why
    return None
