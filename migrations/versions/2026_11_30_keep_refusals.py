"""Clients keep when and why a proof in their name was refused last."""

from alembic import op

revision = "2026_11_30_keep_refusals"
down_revision = "2026_11_30_index_left_cases"


def upgrade() -> None:
    """Make the columns; both are null, which reads no row."""
    op.execute("ALTER TABLE client ADD COLUMN refused_at timestamptz, ADD COLUMN refused_for varchar")
