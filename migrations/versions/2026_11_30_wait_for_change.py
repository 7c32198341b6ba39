"""Keep with a request that nobody can take what its refusals stand on: it is looked at again when that changes."""

from alembic import op

revision = "2026_11_30_wait_for_change"
down_revision = "2026_11_30_index_late_offers"


def upgrade() -> None:
    """Have the columns: a request from before is looked at by its clock, until it is."""
    op.execute("ALTER TABLE consultation ADD COLUMN waits_on UUID[] DEFAULT '{}' NOT NULL")
    op.execute("ALTER TABLE consultation ADD COLUMN waits_mark BIGINT")
