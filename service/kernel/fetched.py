"""Rows as the driver gives them, for `Work.fetch`."""

from typing import Any

import asyncpg


class Fetched(asyncpg.Record):
    """A row whose columns are attributes."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the column holds
        """Give a column."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def _asdict(self) -> dict[str, Any]:
        """Give all columns by name, as a row of SQLAlchemy's does."""
        return dict(self.items())
