"""A case has a short number that people can say, and its text a language."""

from alembic import op

revision = "2026_11_30_add_case_number"
down_revision = "2026_11_30_pack_decisions"


def upgrade() -> None:
    """Have the columns, and what draws a number: nothing calls it yet."""
    op.execute("ALTER TABLE consultation ADD COLUMN number VARCHAR")
    op.execute("ALTER TABLE consultation ADD COLUMN question_language VARCHAR")
    op.execute("CREATE SEQUENCE consultation_numbers_drawn")
    op.execute(_NEW_NUMBER)


_NEW_NUMBER = """\
CREATE FUNCTION new_consultation_number() RETURNS varchar LANGUAGE plpgsql AS $$
DECLARE
    symbols CONSTANT text := '23456789ABCDEFGHJKMNPQRSTUVWXYZ';
    drawn CONSTANT bigint := nextval('consultation_numbers_drawn');
    size int := 4;
    tries int := 0;
    candidate text;
BEGIN
    WHILE drawn * 10 > power(length(symbols), size) LOOP
        size := size + 1;
    END LOOP;
    LOOP
        SELECT 'R-' || string_agg(substr(symbols, 1 + CAST(floor(random() * length(symbols)) AS int), 1), '')
        INTO candidate FROM generate_series(1, size);
        EXIT WHEN NOT EXISTS (SELECT FROM consultation WHERE number = candidate);
        tries := tries + 1;
        IF tries % 20 = 0 THEN  -- more are used than were drawn here, as in a copy without its sequences
            size := size + 1;
        END IF;
    END LOOP;
    RETURN candidate;
END
$$"""
