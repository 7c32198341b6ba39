"""Remember of a booked time that both sides were told that the membership it was booked through has ended."""

from alembic import op

revision = "2026_11_30_tell_unlinked_calls"
down_revision = "2026_11_30_tell_unlinked_offers"


def upgrade() -> None:
    """Have the column, without a value."""
    op.execute("ALTER TABLE appointment ADD COLUMN unlinked_at TIMESTAMP WITH TIME ZONE")
