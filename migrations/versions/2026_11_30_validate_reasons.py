"""Look through the reasons why appointments were called off: the longer list holds for all of them."""

from alembic import op

revision = "2026_11_30_validate_reasons"
down_revision = "2026_11_30_widen_reasons"


def upgrade() -> None:
    """Validate the constraint, while others read and write."""
    op.execute("ALTER TABLE appointment VALIDATE CONSTRAINT ck_appointment_cancel_reason_known")
