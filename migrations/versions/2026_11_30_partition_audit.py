"""Have the audit as a table of parts: what was written so far is the first, each month from now on is one.

To programs it is the table that it was. The constraint of the versions before spares the database a look at the rows.
"""

from alembic import op

revision = "2026_11_30_partition_audit"
down_revision = "2026_11_30_validate_audit"


def upgrade() -> None:
    """Put a table of parts in the place of the table: for an instant, as nothing is read or moved."""
    for statement in (*_ASIDE, _TABLE, *_INDEXES, _TRIGGER, _ATTACH):
        op.execute(statement)


# A table of the old names takes their place in the same transaction, which is all that a client sees.
_ASIDE = (
    "-- squawk-ignore renaming-table\nALTER TABLE audit RENAME TO audit_past",
    "-- squawk-ignore renaming-object\nALTER TABLE audit_past RENAME CONSTRAINT pk_audit TO pk_audit_past",
    "-- squawk-ignore renaming-object\nALTER INDEX ix_audit_subject_id RENAME TO ix_audit_past_subject_id",
    "-- squawk-ignore renaming-object\nALTER INDEX ix_audit_person_id_at RENAME TO ix_audit_past_person_id_at",
)
# The constraints have their names, as the next free ones are not those of the table that was.
_TABLE = """\
CREATE TABLE audit (
    id UUID CONSTRAINT audit_id_not_null NOT NULL,
    at TIMESTAMP WITH TIME ZONE CONSTRAINT audit_at_not_null NOT NULL,
    actor_kind VARCHAR CONSTRAINT audit_actor_kind_not_null NOT NULL,
    person_id UUID,
    action VARCHAR CONSTRAINT audit_action_not_null NOT NULL,
    subject VARCHAR CONSTRAINT audit_subject_not_null NOT NULL,
    subject_id UUID,
    request_id VARCHAR,
    details JSONB DEFAULT '{}' CONSTRAINT audit_details_not_null NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (id)
) PARTITION BY RANGE (id)"""
_INDEXES = (
    "CREATE INDEX ix_audit_subject_id ON audit (subject_id)",
    "CREATE INDEX ix_audit_person_id_at ON audit (person_id, at)",
)
_TRIGGER = """\
CREATE TRIGGER tg_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"""
_ATTACH = """\
DO $$
DECLARE
    bound text := (SELECT substring(pg_get_constraintdef(oid) FROM '[0-9a-f-]{36}') FROM pg_constraint
                   WHERE conname = 'ck_audit_past' AND conrelid = CAST('audit_past' AS regclass));
BEGIN
    EXECUTE format('ALTER TABLE audit ATTACH PARTITION audit_past FOR VALUES FROM (MINVALUE) TO (%L)', bound);
    ALTER TABLE audit_past DROP CONSTRAINT ck_audit_past;
END
$$"""
