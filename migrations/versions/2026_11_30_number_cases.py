"""Every case from before has a short number too.

A lot at a time, each committed by itself, while others read and write; what was cut off goes on where it was.
"""

from alembic import op

revision = "2026_11_30_number_cases"
down_revision = "2026_11_30_draw_case_number"


def upgrade() -> None:
    """Draw the numbers, in the order of the ids: the numbers do not tell it."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # a lot waits for whoever is changing one of its rows
        op.execute("SET statement_timeout = 0")  # all lots are one statement, of which each commits
        op.execute(_FILL)
        op.execute("SET statement_timeout = '10min'")
        op.execute("SET lock_timeout = '100ms'")


_FILL = """\
DO $$
DECLARE
    reached uuid := '00000000-0000-0000-0000-000000000000';
    ending uuid;
BEGIN
    LOOP
        SELECT id INTO ending FROM (SELECT id FROM consultation WHERE id > reached ORDER BY id LIMIT 2000) lot
        ORDER BY id DESC LIMIT 1;
        EXIT WHEN ending IS NULL;
        PERFORM FROM consultation WHERE id > reached AND id <= ending AND number IS NULL
        ORDER BY id FOR NO KEY UPDATE;
        UPDATE consultation SET number = new_consultation_number()
        WHERE id > reached AND id <= ending AND number IS NULL;
        COMMIT;
        reached := ending;
    END LOOP;
END
$$"""
