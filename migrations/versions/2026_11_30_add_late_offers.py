"""Let an offer be late: an answer is taken after its time (decision 0096).

An older program reads such an offer as the expired one that it would have made of it.
"""

from alembic import op

revision = "2026_11_30_add_late_offers"
down_revision = "2026_11_30_make_promise_record"


def upgrade() -> None:
    """Have the columns; nothing is rewritten."""
    op.execute(_COLUMNS)


_COLUMNS = """\
ALTER TABLE offer
    ADD COLUMN late_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN is_late BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN shown_again_at TIMESTAMP WITH TIME ZONE"""
