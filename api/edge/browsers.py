"""Who asks: a browser that shows pages to a person, or a program that reads documents."""

from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers

_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_DOCUMENTS = frozenset({"application/json", "application/problem+json"})
_MOST_RANGES = 20


def want_page(scope: Mapping[str, Any]) -> bool:
    """Tell whether a problem is answered by a page.

    At an address of the API a page goes to a browser only that navigates there; what its scripts ask for are documents.
    """
    headers = Headers(raw=scope.get("headers", []))
    if scope.get("path", "").startswith("/v1/"):
        return headers.get("sec-fetch-mode") == "navigate"
    return prefers_page(headers.get("accept", ""))


def prefers_page(accept: str) -> bool:
    """Tell whether `Accept` names pages, and none of our documents before them; `*/*` alone names neither."""
    best: dict[bool, tuple[float, int]] = {}
    for place, item in enumerate(accept.split(",")[:_MOST_RANGES]):
        media_type, *parameters = (part.strip().lower() for part in item.split(";"))
        if media_type in _PAGES | _DOCUMENTS:
            rank = (-_weight(parameters), place)
            is_page = media_type in _PAGES
            best[is_page] = min(best.get(is_page, rank), rank)
    return True in best and best[True][0] < 0 and best[True] < best.get(False, (0.0, 0))


def _weight(parameters: list[str]) -> float:
    """Give the `q` of a range; 1 if it has none, 0 for one that is no number."""
    given = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return float(given)
    except ValueError:
        return 0.0
