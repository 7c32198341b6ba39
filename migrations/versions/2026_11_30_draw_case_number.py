"""Every case that is filed from now on has a short number, whatever program files it."""

from alembic import op

revision = "2026_11_30_draw_case_number"
down_revision = "2026_11_30_index_case_number"


def upgrade() -> None:
    """Have the trigger: an older program knows nothing of the column."""
    op.execute(
        """\
CREATE FUNCTION number_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.number := new_consultation_number();
    RETURN NEW;
END
$$"""
    )
    op.execute(
        """\
CREATE TRIGGER tg_consultation_number BEFORE INSERT ON consultation
FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION number_case()"""
    )
