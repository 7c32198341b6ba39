"""What would help a request that nobody can take, in words: for the pages and the mails."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import babel

from integrations import local_times
from integrations.catalogues import Catalogue


def worded(changes: Sequence[Mapping[str, Any]], zone: str, words: Catalogue) -> str:
    """Word changes that help together; each has `kind`, and `code` or `until` (RFC 3339) where that kind has one.

    Raises KeyError for a kind that the catalogue lacks: a newer program's.
    """
    return words["help"]["and"].join(_change(change, zone, words) for change in changes)


def with_number(remedy: Mapping[str, Any], zone: str, words: Catalogue) -> str:
    """Word a remedy, and how many mentors it opens, as a line of a mail."""
    number = int(remedy["mentors"])
    opens = words.counted("help", "opens", number).format(number=number)
    return f"{worded(remedy['changes'], zone, words)} ({opens})"


def _change(change: Mapping[str, Any], zone: str, words: Catalogue) -> str:
    locale, code, until = babel.Locale.parse(words.locale), change.get("code"), change.get("until")
    names = locale.territories if change["kind"] == "country" else locale.languages
    name = local_times.moment(datetime.fromisoformat(until), zone, words.locale) if until else ""
    return words["help.changes"][change["kind"]].format(name=names.get(code, code) if code else name)
