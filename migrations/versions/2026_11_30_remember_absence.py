"""Who did not come to an appointment, which side says so, when coordinators heard that the sides disagree."""

from alembic import op

revision = "2026_11_30_remember_absence"
down_revision = "2026_11_30_index_offer_mails"


def upgrade() -> None:
    """Have the columns, empty: what an older program reports says nothing of them."""
    for statement in _STATEMENTS:
        op.execute(statement)


_STATEMENTS = (
    "ALTER TABLE appointment ADD COLUMN absent VARCHAR",
    "ALTER TABLE appointment ADD COLUMN absence_told_by VARCHAR",
    "ALTER TABLE appointment ADD COLUMN disputed_at TIMESTAMP WITH TIME ZONE",
    """ALTER TABLE appointment ADD CONSTRAINT ck_appointment_absent_known
       CHECK (absent IN ('mentor', 'clinician')) NOT VALID""",
    """ALTER TABLE appointment ADD CONSTRAINT ck_appointment_absence_told_by_known
       CHECK (absence_told_by IN ('requesting', 'partner')) NOT VALID""",
)
