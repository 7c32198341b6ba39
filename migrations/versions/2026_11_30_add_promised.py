"""Keep with a request for how many mentors it was open at its filing, and what could be promised then."""

from alembic import op

revision = "2026_11_30_add_promised"
down_revision = "2026_11_30_index_own_lists"


def upgrade() -> None:
    """Have the columns; of requests before nothing is known, and so nothing is learned."""
    op.execute("ALTER TABLE consultation ADD COLUMN eligible_mentors INTEGER")
    op.execute("ALTER TABLE consultation ADD COLUMN promised_chance DOUBLE PRECISION")
    op.execute("ALTER TABLE consultation ADD COLUMN promised_by TIMESTAMP WITH TIME ZONE")
