"""Fill in whose case the offers and appointments from before are of.

A lot at a time, each committed by itself, while others read and write; what was cut off is done again from the start,
and passes over what is filled in.
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
        SELECT id INTO ending FROM (SELECT id FROM {table} WHERE id > reached ORDER BY id LIMIT 5000) lot
        ORDER BY id DESC LIMIT 1;
        EXIT WHEN ending IS NULL;
        UPDATE {table} SET case_programme_id = c.programme_id, case_institution_id = c.institution_id,
            case_clinician_id = c.clinician_id, case_department = c.department
        FROM consultation c
        WHERE c.id = {table}.consultation_id AND {table}.id > reached AND {table}.id <= ending
          AND {table}.case_programme_id IS NULL;
        COMMIT;
        reached := ending;
    END LOOP;
END
$$"""
