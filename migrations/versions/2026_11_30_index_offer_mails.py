"""Find the mails of an offer by the offer."""

from alembic import op

revision = "2026_11_30_index_offer_mails"
down_revision = "2026_11_30_time_offers"


def upgrade() -> None:
    """Have the index while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        op.execute("SET statement_timeout = 0")  # of a large table it takes long
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_delivery_offer_id")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_delivery_offer_id ON delivery (offer_id)"
            " WHERE offer_id IS NOT NULL"
        )
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")
