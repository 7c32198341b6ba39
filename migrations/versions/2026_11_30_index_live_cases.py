"""Find the consultations that are not closed by an index: each sweep asks whether their clinicians are still there."""

from alembic import op

revision = "2026_11_30_index_live_cases"
down_revision = "2026_11_30_add_clinician_left"


def upgrade() -> None:
    """Make the index while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        op.execute("SET statement_timeout = 0")  # of a large table it takes long
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_consultation_live")
        op.execute(_INDEX)
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")


_INDEX = """\
CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_consultation_live ON consultation (clinician_id)
WHERE state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')"""
