"""Remember when each task of the housekeeper was last done, for all workers."""

from alembic import op

revision = "2026_11_30_make_housekeeping"
down_revision = "2026_11_30_watch_coordinators"


def upgrade() -> None:
    """Have the table: it is new, so nobody waits."""
    op.execute(_TABLE)


_TABLE = """\
CREATE TABLE housekeeping (
    name VARCHAR NOT NULL,
    ran_at TIMESTAMP WITH TIME ZONE,
    rows BIGINT,
    ms INTEGER,
    failed_at TIMESTAMP WITH TIME ZONE,
    error VARCHAR,
    CONSTRAINT pk_housekeeping PRIMARY KEY (name)
)"""
