"""Let people's lists of their appointments, of what they were asked and of their own cases be in order by an index."""

from alembic import op

revision = "2026_11_30_index_own_lists"
down_revision = "2026_11_30_fill_starts"


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
    "ix_participant_person_id_starts_at": "participant (person_id, starts_at)",
    "ix_offer_asked": "offer (mentor_id, institution_id, consultation_id)",
    "ix_consultation_clinician_id_id": "consultation (clinician_id, id)",
}
