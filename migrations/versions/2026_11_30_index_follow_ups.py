"""Let the questions about sessions that a person has still to answer be found by an index."""

from alembic import op

revision = "2026_11_30_index_follow_ups"
down_revision = "2026_11_30_make_digest"


def upgrade() -> None:
    """Make the index while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        op.execute("SET statement_timeout = 0")  # of a large table it takes long
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_link_follow_up")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_link_follow_up ON link (person_id, expires_at)"
            " WHERE purpose = 'feedback' AND used_at IS NULL"
        )
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")
