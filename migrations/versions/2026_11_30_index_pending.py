"""Count what waits to be delivered by an index: figures are asked for all the time."""

from alembic import op

revision = "2026_11_30_index_pending"
down_revision = "2026_11_30_make_housekeeping"


def upgrade() -> None:
    """Have the index while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        op.execute("SET statement_timeout = 0")  # of a large table it takes long
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_delivery_pending")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_delivery_pending ON delivery (kind, created_at)"
            " WHERE state = 'pending'"
        )
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")
