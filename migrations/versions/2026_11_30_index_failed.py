"""Count what was given up or refused by an index, as figures and `doctor` do."""

from alembic import op

revision = "2026_11_30_index_failed"
down_revision = "2026_11_30_index_pending"


def upgrade() -> None:
    """Have the index while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        op.execute("SET statement_timeout = 0")  # of a large table it takes long
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_delivery_failed")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_delivery_failed ON delivery (kind, state, settled_at)"
            " WHERE state = 'dead' OR state = 'refused'"
        )
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")
