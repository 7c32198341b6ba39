"""Keep a form of several steps between them, beside the forms that came too late.

An older program shows such a form on its page of those that were not sent: to its own person, with one button.
"""

from alembic import op

revision = "2026_12_01_keep_steps"
down_revision = "2026_12_01_wish_address"


def upgrade() -> None:
    """Tell the one kind from the other."""
    op.execute("ALTER TABLE kept_post ADD COLUMN is_unfinished BOOLEAN DEFAULT false NOT NULL")
