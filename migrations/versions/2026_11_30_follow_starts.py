"""Have participants follow their appointment to another time."""

from alembic import op

revision = "2026_11_30_follow_starts"
down_revision = "2026_11_30_know_starts"


def upgrade() -> None:
    """Make the trigger: a table of its own, so a version of its own."""
    op.execute(_FOLLOW_START)
    op.execute(
        "CREATE TRIGGER tg_appointment_start AFTER UPDATE OF starts_at ON appointment"
        " FOR EACH ROW WHEN (OLD.starts_at IS DISTINCT FROM NEW.starts_at) EXECUTE FUNCTION follow_start()"
    )


_FOLLOW_START = """\
CREATE FUNCTION follow_start() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE participant SET starts_at = NEW.starts_at WHERE appointment_id = NEW.id;
    RETURN NULL;
END
$$"""
