"""Let timers and lists find the few offers that are late."""

from alembic import op

revision = "2026_11_30_index_late_offers"
down_revision = "2026_11_30_add_late_offers"


def upgrade() -> None:
    """Make the index while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        op.execute("SET statement_timeout = 0")  # of a large table it takes long
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_offer_late")
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_offer_late ON offer (mentor_id, id) WHERE is_late")
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")
