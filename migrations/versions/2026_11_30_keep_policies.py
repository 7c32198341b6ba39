"""Keep each policy of a programme: what it is now becomes the first version, and a saved one is a new row."""

from alembic import op

revision = "2026_11_30_keep_policies"
down_revision = "2026_11_30_index_unclosed"


def upgrade() -> None:
    """Have the table, and a row for each of the few programmes: the table is new, so nobody waits."""
    op.execute(_TABLE)
    op.execute(_OF_PROGRAMME)
    op.execute(_OF_PERSON)
    op.execute(_FIRST)


_TABLE = """\
CREATE TABLE policy_version (
    id UUID NOT NULL,
    programme_id UUID NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    body JSONB DEFAULT '{}' NOT NULL,
    by UUID,
    rehearsal_id UUID,
    CONSTRAINT pk_policy_version PRIMARY KEY (id),
    CONSTRAINT fk_policy_version_programme_id_programme FOREIGN KEY (programme_id) REFERENCES programme (id),
    CONSTRAINT fk_policy_version_by_person FOREIGN KEY (by) REFERENCES person (id)
)"""
_OF_PROGRAMME = "CREATE INDEX ix_policy_version_programme_id_valid_from ON policy_version (programme_id, valid_from)"
_OF_PERSON = "CREATE INDEX ix_policy_version_by ON policy_version (by)"
_FIRST = """\
INSERT INTO policy_version (id, programme_id, valid_from, body)
SELECT gen_random_uuid(), id, created_at, policy FROM programme"""
