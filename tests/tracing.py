"""Coverage's tracer, quicker: it asks at every call of any function in which greenlet it is."""

import weakref
from typing import Any
from unittest import mock

from coverage import collector
from coverage.types import TTraceFn
from greenlet import greenlet  # type: ignore[import-untyped] # no types of its own


class _Stacks(dict[Any, Any]):
    """The tracer's stack for each greenlet, in place of a WeakKeyDictionary, whose look-up is written in Python.

    A key is held for as long as its greenlet lives, and a little longer: the dead are put away by and by.
    """

    _full = 1_000

    def __setitem__(self, which: greenlet, stack: Any) -> None:  # noqa: ANN401 - the tracer's own
        if len(self) >= self._full:
            for dead in [known for known in self if known.dead]:
                del self[dead]
            self._full = 2 * len(self) + 1_000
        super().__setitem__(which, stack)


def quicken() -> None:
    """Give such a dictionary to every tracer that is started from now on: a third of what tracing costs is saved."""
    start = collector.Collector._start_tracer

    def started(self: collector.Collector) -> TTraceFn | None:
        with mock.patch.object(weakref, "WeakKeyDictionary", _Stacks):
            return start(self)

    collector.Collector._start_tracer = started  # type: ignore[method-assign]
