"""Look through who did not come and who said so: the lists of 2026_11_30_remember_absence hold for all of them."""

from alembic import op

revision = "2026_11_30_validate_absence"
down_revision = "2026_11_30_make_address_change"


def upgrade() -> None:
    """Validate the constraints, while others read and write."""
    op.execute("ALTER TABLE appointment VALIDATE CONSTRAINT ck_appointment_absent_known")
    op.execute("ALTER TABLE appointment VALIDATE CONSTRAINT ck_appointment_absence_told_by_known")
