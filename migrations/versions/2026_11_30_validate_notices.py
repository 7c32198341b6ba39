"""Look through what people have switched on: the lists of 2026_11_30_choose_notices hold for all of them."""

from alembic import op

revision = "2026_11_30_validate_notices"
down_revision = "2026_11_30_choose_notices"


def upgrade() -> None:
    """Validate the constraints, while others read and write."""
    op.execute("ALTER TABLE person VALIDATE CONSTRAINT ck_person_notices_known")
    op.execute("ALTER TABLE person VALIDATE CONSTRAINT ck_person_phone_written")
    op.execute("ALTER TABLE person VALIDATE CONSTRAINT ck_person_phone_shown")
