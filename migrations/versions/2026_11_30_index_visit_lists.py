"""Let lists of appointments find what they show by the index of whoever asks."""

from alembic import op

revision = "2026_11_30_index_visit_lists"
down_revision = "2026_11_30_index_offer_lists"


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
    "ix_appointment_case_programme_id": "appointment (case_programme_id, starts_at)",
    "ix_appointment_case_institution_id": "appointment (case_institution_id, starts_at)",
    "ix_appointment_case_clinician": "appointment (case_institution_id, case_clinician_id, starts_at, id)",
    "ix_appointment_case_department": (
        "appointment (case_institution_id, case_department, starts_at, id) WHERE case_department IS NOT NULL"
    ),
}
