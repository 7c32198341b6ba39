"""Fill in when the appointments of the participants from before start.

A lot at a time, each committed by itself, while others read and write; what was cut off is done again from the start.
The appointments of a lot are locked first, as by whoever moves one.
"""

from alembic import op

revision = "2026_11_30_fill_starts"
down_revision = "2026_11_30_follow_starts"


def upgrade() -> None:
    """Fill in the column, in the order of the ids."""
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
        SELECT id INTO ending FROM (SELECT id FROM appointment WHERE id > reached ORDER BY id LIMIT 2000) lot
        ORDER BY id DESC LIMIT 1;
        EXIT WHEN ending IS NULL;
        PERFORM FROM appointment WHERE id > reached AND id <= ending ORDER BY id FOR SHARE;
        UPDATE participant SET starts_at = a.starts_at
        FROM appointment a
        WHERE a.id = participant.appointment_id AND a.id > reached AND a.id <= ending
          AND participant.starts_at IS DISTINCT FROM a.starts_at;
        COMMIT;
        reached := ending;
    END LOOP;
END
$$"""
