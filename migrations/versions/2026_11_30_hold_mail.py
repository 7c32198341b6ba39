"""Let an operator hold one mail back, and tie the mail of an offer to the offer."""

from alembic import op

revision = "2026_11_30_hold_mail"
down_revision = "2026_11_30_watch_mail_server"


def upgrade() -> None:
    """Have the columns: without a default, so no row is written anew."""
    op.execute("ALTER TABLE delivery ADD COLUMN held_at TIMESTAMP WITH TIME ZONE, ADD COLUMN offer_id UUID")
