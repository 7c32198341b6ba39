"""Remember which request brought a mail or webhook about."""

from alembic import op

revision = "2026_11_30_trace_deliveries"
down_revision = "2026_11_30_lease_deliveries"


def upgrade() -> None:
    """Have the columns: they are empty, so no row is written anew."""
    op.execute("ALTER TABLE delivery ADD COLUMN request_id VARCHAR, ADD COLUMN traceparent VARCHAR")
