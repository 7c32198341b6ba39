"""Let lists of offers find what they show by the index of whoever asks."""

from alembic import op

revision = "2026_11_30_index_offer_lists"
down_revision = "2026_11_30_fill_cases"


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
    "ix_offer_mentor_id_id": "offer (mentor_id, id)",
    "ix_offer_institution_id_id": "offer (institution_id, id)",
    "ix_offer_case_programme_id_id": "offer (case_programme_id, id)",
    "ix_offer_case_institution_id_id": "offer (case_institution_id, id)",
    "ix_offer_case_clinician": "offer (case_institution_id, case_clinician_id, id)",
    "ix_offer_case_department": ("offer (case_institution_id, case_department, id) WHERE case_department IS NOT NULL"),
    "ix_offer_waiting_mentor": "offer (mentor_id, id) WHERE state IN ('pending', 'countered')",
    "ix_offer_waiting_institution": "offer (institution_id, id) WHERE state IN ('pending', 'countered')",
    "ix_offer_waiting_case_programme": "offer (case_programme_id, id) WHERE state IN ('pending', 'countered')",
    "ix_offer_waiting_case_institution": ("offer (case_institution_id, id) WHERE state IN ('pending', 'countered')"),
}
