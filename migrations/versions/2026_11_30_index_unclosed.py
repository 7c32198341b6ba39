"""Let a home find the few cases that are not closed among all of a hospital or a programme."""

from alembic import op

revision = "2026_11_30_index_unclosed"
down_revision = "2026_11_30_index_registry_lists"


def upgrade() -> None:
    """Make the indexes while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        for name, rows in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {rows}")
        op.execute("SET lock_timeout = '100ms'")


_INDEXES = {
    "ix_consultation_programme_id_unclosed": "consultation (programme_id, id) WHERE closed_at IS NULL",
    "ix_consultation_institution_id_unclosed": "consultation (institution_id, id) WHERE closed_at IS NULL",
}
