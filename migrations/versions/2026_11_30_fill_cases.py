"""Fill in whose case the offers and appointments from before are of.

A lot at a time, each committed by itself, while others read and write; what was cut off is done again from the start.
Also what says something else than its consultation is set right: an older program that hands a case over between the
versions before this one leaves such rows. The cases of a lot are locked first, as by whoever hands one over.
"""

from alembic import op

revision = "2026_11_30_fill_cases"
down_revision = "2026_11_30_follow_cases"


def upgrade() -> None:
    """Fill in the columns, in the order of the ids."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # a lot waits for whoever is changing one of its rows
        op.execute("SET statement_timeout = 0")  # all lots are one statement, of which each commits
        for table in ("offer", "appointment"):
            op.execute(_FILL.format(table=table))
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")


_FILL = """\
DO $$
DECLARE
    reached uuid := '00000000-0000-0000-0000-000000000000';
    ending uuid;
BEGIN
    LOOP
        SELECT id INTO ending FROM (SELECT id FROM {table} WHERE id > reached ORDER BY id LIMIT 2000) lot
        ORDER BY id DESC LIMIT 1;
        EXIT WHEN ending IS NULL;
        PERFORM FROM consultation WHERE id IN (
            SELECT consultation_id FROM {table} WHERE id > reached AND id <= ending
        ) ORDER BY id FOR SHARE;
        UPDATE {table} SET case_programme_id = c.programme_id, case_institution_id = c.institution_id,
            case_clinician_id = c.clinician_id, case_department = c.department
        FROM consultation c
        WHERE c.id = {table}.consultation_id AND {table}.id > reached AND {table}.id <= ending
          AND (case_programme_id, case_institution_id, case_clinician_id, case_department)
              IS DISTINCT FROM (c.programme_id, c.institution_id, c.clinician_id, c.department);
        COMMIT;
        reached := ending;
    END LOOP;
END
$$"""
