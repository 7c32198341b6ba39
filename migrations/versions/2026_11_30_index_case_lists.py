"""Let lists of consultations find what they show by the index of whoever asks, and by what they filter."""

from alembic import op

revision = "2026_11_30_index_case_lists"
down_revision = "2026_11_30_name_rollups"


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
    "ix_consultation_clinician": "consultation (institution_id, clinician_id, id)",
    "ix_consultation_programme_id_id": "consultation (programme_id, id)",
    "ix_consultation_department": "consultation (institution_id, department, id) WHERE department IS NOT NULL",
    "ix_consultation_programme_id_state": "consultation (programme_id, state, id) WHERE state <> 'completed'",
    "ix_consultation_institution_id_state": "consultation (institution_id, state, id) WHERE state <> 'completed'",
    "ix_consultation_programme_id_specialty": "consultation (programme_id, specialty_code, id)",
    "ix_consultation_institution_id_specialty": "consultation (institution_id, specialty_code, id)",
}
