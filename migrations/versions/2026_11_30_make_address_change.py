"""Keep an address that somebody else changed open until it is confirmed, and know which address the calendars have.

Columns with a constant default are added without reading a row; an older program writes none of them.
"""

from alembic import op

revision = "2026_11_30_make_address_change"
down_revision = "2026_11_30_tell_unlinked_calls"


def upgrade() -> None:
    """Have the table, its indexes and the columns."""
    for statement in (_TABLE, *_INDEXES, *_COLUMNS):
        op.execute(statement)


_TABLE = """\
CREATE TABLE address_change (
    id UUID NOT NULL,
    person_id UUID NOT NULL,
    number INTEGER NOT NULL,
    before BYTEA NOT NULL,
    after BYTEA NOT NULL,
    trusted BYTEA NOT NULL,
    changed_by UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    outcome VARCHAR,
    settled_at TIMESTAMP WITH TIME ZONE,
    settled_by UUID,
    CONSTRAINT pk_address_change PRIMARY KEY (id),
    CONSTRAINT ck_address_change_outcome_known CHECK (outcome IN ('confirmed', 'stopped', 'superseded', 'undone')),
    CONSTRAINT ck_address_change_settled_with_outcome CHECK ((outcome IS NULL) = (settled_at IS NULL)),
    CONSTRAINT fk_address_change_person_id_person FOREIGN KEY(person_id) REFERENCES person (id),
    CONSTRAINT fk_address_change_changed_by_person FOREIGN KEY(changed_by) REFERENCES person (id),
    CONSTRAINT fk_address_change_settled_by_person FOREIGN KEY(settled_by) REFERENCES person (id)
)"""
_INDEXES = (
    "CREATE UNIQUE INDEX uq_address_change_number ON address_change (person_id, number)",
    "CREATE UNIQUE INDEX uq_address_change_open ON address_change (person_id) WHERE outcome IS NULL",
    "CREATE INDEX ix_address_change_changed_by ON address_change (changed_by)",
    "CREATE INDEX ix_address_change_settled_by ON address_change (settled_by)",
)
_COLUMNS = (
    "ALTER TABLE person ADD COLUMN address_number INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE person ADD COLUMN address_unconfirmed_since TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE participant ADD COLUMN address_number INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE delivery ADD COLUMN sealed_address BYTEA",
)
