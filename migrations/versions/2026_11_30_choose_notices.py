"""What a person has switched on, their telephone, and whether whoever they meet may see it: off until they say so."""

from alembic import op

revision = "2026_11_30_choose_notices"
down_revision = "2026_11_30_number_cases"


def upgrade() -> None:
    """Have the columns, empty, and the lists unchecked: they hold of nothing yet."""
    for statement in _STATEMENTS:
        op.execute(statement)


_STATEMENTS = (
    "ALTER TABLE person ADD COLUMN notices TEXT[] DEFAULT '{}' NOT NULL",
    "ALTER TABLE person ADD COLUMN phone VARCHAR",
    "ALTER TABLE person ADD COLUMN shows_phone BOOLEAN DEFAULT false NOT NULL",
    "ALTER TABLE person ADD CONSTRAINT ck_person_notices_known CHECK (notices <@ ARRAY['digest.mail']) NOT VALID",
    "ALTER TABLE person ADD CONSTRAINT ck_person_phone_written CHECK (phone ~ '^[+][1-9][0-9]{6,14}$') NOT VALID",
    "ALTER TABLE person ADD CONSTRAINT ck_person_phone_shown CHECK (NOT shows_phone OR phone IS NOT NULL) NOT VALID",
)
