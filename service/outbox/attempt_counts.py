"""How many attempts ended how, ever: for the operators' figures, whose counters may only grow."""

from collections import Counter
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from service import vocabulary
from service.kernel import clock, outcomes
from service.kernel.work import Work

SHARDS = 8
"""Rows for each outcome: all workers count, and would wait for each other at one row."""

_ADD = sa.text("""
INSERT INTO attempt_count (kind, outcome, shard, attempts) VALUES (:kind, :outcome, :shard, :attempts)
ON CONFLICT (kind, outcome, shard) DO UPDATE SET attempts = attempt_count.attempts + :attempts
""")
_TOTALS = sa.text("SELECT kind, outcome, CAST(sum(attempts) AS bigint) AS attempts FROM attempt_count GROUP BY 1, 2")


async def add(w: Work, kind: vocabulary.DeliveryKind, ended: Iterable[outcomes.Outcome]) -> None:
    """Count these attempts, in one order whatever they are: two transactions must not wait for each other."""
    shard = int(clock.jitter() * SHARDS)
    for outcome, attempts in sorted(Counter(map(outcomes.word, ended)).items()):
        await w.sql(_ADD, {"kind": kind, "outcome": outcome, "shard": shard, "attempts": attempts})


async def totals(w: Work) -> Mapping[tuple[str, str], int]:
    """Give the number of attempts by kind and outcome."""
    return {(row.kind, row.outcome): row.attempts for row in await w.sql(_TOTALS)}
