"""Find the requests that wait for a change without reading the others."""

from alembic import op

revision = "2026_11_30_index_waits"
down_revision = "2026_11_30_wait_for_change"


def upgrade() -> None:
    """Make it outside of a transaction: it waits for nobody's."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_consultation_waits")
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_consultation_waits ON consultation (id)"
            " WHERE waits_mark IS NOT NULL AND state = 'unmatched'"
        )
        op.execute("SET lock_timeout = '100ms'")
