"""Remember of a consultation since when its clinician no longer works at its hospital."""

from alembic import op

revision = "2026_11_30_add_clinician_left"
down_revision = "2026_11_30_make_report_rollup"


def upgrade() -> None:
    """Have the column, without a value."""
    op.execute("ALTER TABLE consultation ADD COLUMN clinician_left_at TIMESTAMP WITH TIME ZONE")
