"""What the schema needs beyond tables: it runs before and after `metadata.create_all`, and in the first migration."""

from service.tables.delivery import APPEND_ONLY

BEFORE = ("CREATE EXTENSION IF NOT EXISTS btree_gist",)
"""An exclusion constraint compares a uuid in a GiST index."""

_REFUSE = """\
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit' AND current_setting('pobratym.retention', true) = 'over' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$"""

AFTER = (
    _REFUSE,
    *(
        f"CREATE TRIGGER tg_{table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in APPEND_ONLY
    ),
)
"""Rows of these tables are never changed, not by a bug, not by hand; audit rows end with their retention."""
