"""Have each offer say whose case it is of, so that lists find it by an index; those from before are filled in later.

An older program writes none of the columns: the trigger does.
"""

from alembic import op

revision = "2026_11_30_know_offer_case"
down_revision = "2026_11_30_index_case_lists"


def upgrade() -> None:
    """Have the columns, and the trigger that fills them in."""
    op.execute(
        "ALTER TABLE offer ADD COLUMN case_programme_id UUID, ADD COLUMN case_institution_id UUID,"
        " ADD COLUMN case_clinician_id UUID, ADD COLUMN case_department VARCHAR"
    )
    op.execute(_COPY_CASE)
    op.execute(
        "CREATE TRIGGER tg_offer_case BEFORE INSERT OR UPDATE OF consultation_id ON offer"
        " FOR EACH ROW EXECUTE FUNCTION copy_case()"
    )


_COPY_CASE = """\
CREATE FUNCTION copy_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT programme_id, institution_id, clinician_id, department
    INTO NEW.case_programme_id, NEW.case_institution_id, NEW.case_clinician_id, NEW.case_department
    FROM consultation WHERE id = NEW.consultation_id FOR SHARE;
    RETURN NEW;
END
$$"""
