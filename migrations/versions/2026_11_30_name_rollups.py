"""Give each rollup of a report's past an id, by which a process knows what it has summed before."""

from alembic import op

revision = "2026_11_30_name_rollups"
down_revision = "2026_11_30_read_identity"


def upgrade() -> None:
    """Have the column; what was kept until now has none, and is counted anew by this version anyhow."""
    op.execute("ALTER TABLE report_rollup ADD COLUMN id uuid")
