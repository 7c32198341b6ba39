"""Find the consultations whose clinician has left by an index: each sweep asks whether their places are still empty."""

from alembic import op

revision = "2026_11_30_index_left_cases"
down_revision = "2026_11_30_trace_deliveries"


def upgrade() -> None:
    """Make the index while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        op.execute("SET statement_timeout = 0")  # of a large table it takes long
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_consultation_left")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_consultation_left ON consultation (clinician_left_at)"
            " WHERE clinician_left_at IS NOT NULL AND state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')"
        )
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")
