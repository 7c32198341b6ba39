"""Remember of promised advice that both sides were told that its memorandum no longer reaches."""

from alembic import op

revision = "2026_11_30_tell_unlinked_offers"
down_revision = "2026_11_30_unite_codes"


def upgrade() -> None:
    """Have the column, without a value."""
    op.execute("ALTER TABLE offer ADD COLUMN unlinked_at TIMESTAMP WITH TIME ZONE")
