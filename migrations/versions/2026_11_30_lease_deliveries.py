"""Lease deliveries by the database's clock, apart from when they are due."""

from alembic import op

revision = "2026_11_30_lease_deliveries"
down_revision = "2026_11_30_partition_audit"


def upgrade() -> None:
    """Have the column: without a default, no row is read."""
    op.execute("ALTER TABLE delivery ADD COLUMN leased_until TIMESTAMP WITH TIME ZONE")
