"""Files that are sent over the API wait in rows for the worker, and are erased after a day."""

from alembic import op

revision = "2026_11_30_keep_import_files"
down_revision = "2026_11_30_validate_absence"


def upgrade() -> None:
    """Have the table."""
    for statement in (_TABLE, _OF_PERSON, _WAITING):
        op.execute(statement)


_TABLE = """\
CREATE TABLE import_file (
    id UUID NOT NULL,
    kind VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    is_dry BOOLEAN NOT NULL,
    person_id UUID NOT NULL,
    lang VARCHAR NOT NULL,
    content BYTEA,
    result BYTEA,
    is_confirmed BOOLEAN DEFAULT false NOT NULL,
    may_change_most BOOLEAN DEFAULT false NOT NULL,
    may_be_damaged BOOLEAN DEFAULT false NOT NULL,
    rows_done INTEGER DEFAULT 0 NOT NULL,
    rows_total INTEGER DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_import_file PRIMARY KEY (id),
    CONSTRAINT ck_import_file_state_known
        CHECK (state IN ('checking', 'checked', 'refused', 'loading', 'loaded', 'failed')),
    CONSTRAINT fk_import_file_person_id_person FOREIGN KEY(person_id) REFERENCES person (id)
)"""
_OF_PERSON = "CREATE INDEX ix_import_file_person_id ON import_file (person_id)"
_WAITING = "CREATE INDEX ix_import_file_waiting ON import_file (id) WHERE state IN ('checking', 'loading')"
