"""Let the feed of events find what it shows by the index of whoever asks."""

from alembic import op

revision = "2026_11_30_index_event_feeds"
down_revision = "2026_11_30_index_visit_lists"


def upgrade() -> None:
    """Make the indexes while others write."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        op.execute("SET statement_timeout = 0")  # of a large table it takes long
        for name, rows in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {rows}")
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")


_INDEXES = {
    "ix_event_programme_id_position": "event (programme_id, position)",
    "ix_event_memorandum_id_position": "event (memorandum_id, position)",
    "ix_event_person_ids": "event USING gin (person_ids)",
    "ix_event_institution_ids": "event USING gin (institution_ids)",
}
