"""No two cases have the same short number."""

from alembic import op

revision = "2026_11_30_index_case_number"
down_revision = "2026_11_30_add_case_number"


def upgrade() -> None:
    """Make the index while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_consultation_number")
        op.execute("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uq_consultation_number ON consultation (number)")
        op.execute("SET lock_timeout = '100ms'")
