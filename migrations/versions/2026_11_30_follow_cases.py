"""Have offers and appointments follow a consultation that gets another clinician, department or hospital."""

from alembic import op

revision = "2026_11_30_follow_cases"
down_revision = "2026_11_30_know_visit_case"


def upgrade() -> None:
    """Have the trigger."""
    op.execute(_FOLLOW_CASE)
    op.execute(_CASE_CHANGED)


_FOLLOW_CASE = """\
CREATE FUNCTION follow_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE offer SET case_programme_id = NEW.programme_id, case_institution_id = NEW.institution_id,
        case_clinician_id = NEW.clinician_id, case_department = NEW.department WHERE consultation_id = NEW.id;
    UPDATE appointment SET case_programme_id = NEW.programme_id, case_institution_id = NEW.institution_id,
        case_clinician_id = NEW.clinician_id, case_department = NEW.department WHERE consultation_id = NEW.id;
    RETURN NULL;
END
$$"""
_CASE_CHANGED = """\
CREATE TRIGGER tg_consultation_case AFTER UPDATE OF programme_id, institution_id, clinician_id, department
ON consultation FOR EACH ROW WHEN (
    (OLD.programme_id, OLD.institution_id, OLD.clinician_id, OLD.department)
    IS DISTINCT FROM (NEW.programme_id, NEW.institution_id, NEW.clinician_id, NEW.department)
) EXECUTE FUNCTION follow_case()"""
