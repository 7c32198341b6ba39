"""Keep what is counted of the past apart by the digest of what counted it.

The first release reads every row of `report_piece`, so what this one counts gets a table of its own beside it. Both
take the same marks: a trigger voids what either kept under them.
"""

from alembic import op

revision = "2026_11_30_make_report_rollup"
down_revision = "2026_11_22_make_schema"


def upgrade() -> None:
    """Have the table, and the trigger last: it needs a lock that whoever writes a mark holds."""
    for statement in (_TABLE, _FUNCTION, _TRIGGER):
        op.execute(statement)


_TABLE = """\
CREATE TABLE report_rollup (
    programme_id UUID NOT NULL,
    digest VARCHAR NOT NULL,
    from_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until_at TIMESTAMP WITH TIME ZONE NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    counted VARCHAR NOT NULL,
    hours BYTEA NOT NULL,
    asked_mentors BYTEA NOT NULL,
    mentors BYTEA NOT NULL,
    minutes BYTEA NOT NULL,
    CONSTRAINT pk_report_rollup PRIMARY KEY (programme_id, digest, from_at, until_at),
    CONSTRAINT fk_report_rollup_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id)
)"""
_FUNCTION = """\
CREATE FUNCTION void_marked_rollups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM report_rollup r
    USING (SELECT programme_id, min(at) AS first_at, max(at) AS last_at FROM taken GROUP BY programme_id) t
    WHERE r.programme_id = t.programme_id AND r.from_at <= t.last_at AND r.until_at > t.first_at;
    DELETE FROM report_piece p
    USING (SELECT programme_id, min(at) AS first_at, max(at) AS last_at FROM taken GROUP BY programme_id) t
    WHERE p.programme_id = t.programme_id AND p.from_at <= t.last_at AND p.until_at > t.first_at;
    RETURN NULL;
END
$$"""
_TRIGGER = """\
CREATE TRIGGER tg_report_mark_taken AFTER DELETE ON report_mark REFERENCING OLD TABLE AS taken
FOR EACH STATEMENT EXECUTE FUNCTION void_marked_rollups()"""
