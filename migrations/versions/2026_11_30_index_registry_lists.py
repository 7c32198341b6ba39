"""Let lists of people, mentors, memoranda and activities find what they show by the index of whoever asks."""

from alembic import op

revision = "2026_11_30_index_registry_lists"
down_revision = "2026_11_30_index_event_feeds"


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
    "ix_role_grant_role": "role_grant (role, person_id)",
    "ix_mentor_profile_institution_id_person_id": "mentor_profile (institution_id, person_id)",
    "ix_memorandum_programme_id_id": "memorandum (programme_id, id)",
    "ix_activity_memorandum_id_id": "activity (memorandum_id, id)",
    "ix_activity_without_memorandum": "activity (programme_id, id) WHERE memorandum_id IS NULL",
}
