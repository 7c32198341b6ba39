"""The one way in which a case changes its state."""

import pytest

from service import vocabulary
from service.care import casefile
from service.rules import lifecycle

STEPS = [
    (kind, before, state)
    for kind in ("consultation", "offer", "appointment")
    for before, following in lifecycle.TABLES[kind].items()
    for state in following
]


@pytest.mark.parametrize(("kind", "before", "state"), STEPS)
def test_every_step_of_the_lifecycle_has_an_event(kind: str, before: str, state: str) -> None:
    assert casefile.event_of(kind, before, state) in vocabulary.EVENT_TYPES
