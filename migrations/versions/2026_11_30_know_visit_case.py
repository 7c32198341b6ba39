"""Have each appointment say whose case it is of, as offers do; those from before are filled in later.

An older program writes none of the columns: the trigger does.
"""

from alembic import op

revision = "2026_11_30_know_visit_case"
down_revision = "2026_11_30_know_offer_case"


def upgrade() -> None:
    """Have the columns, and the trigger that fills them in."""
    op.execute(
        "ALTER TABLE appointment ADD COLUMN case_programme_id UUID, ADD COLUMN case_institution_id UUID,"
        " ADD COLUMN case_clinician_id UUID, ADD COLUMN case_department VARCHAR"
    )
    op.execute(
        "CREATE TRIGGER tg_appointment_case BEFORE INSERT OR UPDATE OF consultation_id ON appointment"
        " FOR EACH ROW EXECUTE FUNCTION copy_case()"
    )
