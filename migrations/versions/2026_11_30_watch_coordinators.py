"""Remember of an institution whether anybody coordinated it when it was last looked at."""

from alembic import op

revision = "2026_11_30_watch_coordinators"
down_revision = "2026_11_30_keep_import_files"


def upgrade() -> None:
    """Have the column; the first sweep says where somebody coordinates."""
    op.execute("ALTER TABLE institution ADD COLUMN has_coordinator BOOLEAN DEFAULT false NOT NULL")
