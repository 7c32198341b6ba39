"""Let an offer's time to answer run from when its mail left, and tell an offer that nobody ever got."""

from alembic import op

revision = "2026_11_30_time_offers"
down_revision = "2026_11_30_hold_mail"


def upgrade() -> None:
    """Have the columns: a constant default needs no rewriting."""
    op.execute(
        "ALTER TABLE offer ADD COLUMN timed_from TIMESTAMP WITH TIME ZONE,"
        " ADD COLUMN is_undelivered BOOLEAN DEFAULT false NOT NULL"
    )
