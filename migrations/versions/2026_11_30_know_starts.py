"""Have each participant say when their appointment starts; those from before are filled in later.

An older program does not write the column: the trigger does.
"""

from alembic import op

revision = "2026_11_30_know_starts"
down_revision = "2026_11_30_keep_policies"


def upgrade() -> None:
    """Have the column, and the trigger that fills it in."""
    op.execute("ALTER TABLE participant ADD COLUMN starts_at TIMESTAMP WITH TIME ZONE")
    op.execute(_COPY_START)
    op.execute(
        "CREATE TRIGGER tg_participant_start BEFORE INSERT OR UPDATE OF appointment_id ON participant"
        " FOR EACH ROW EXECUTE FUNCTION copy_start()"
    )


_COPY_START = """\
CREATE FUNCTION copy_start() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT starts_at INTO NEW.starts_at FROM appointment WHERE id = NEW.appointment_id FOR SHARE;
    RETURN NEW;
END
$$"""
