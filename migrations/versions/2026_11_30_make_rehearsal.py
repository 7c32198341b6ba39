"""Rehearsals: what a programme's recorded choices of mentors come to under other numbers."""

from alembic import op

revision = "2026_11_30_make_rehearsal"
down_revision = "2026_11_30_record_decisions"


def upgrade() -> None:
    """Have the table: it is new, so nobody waits."""
    for statement in (_TABLE, _BY, _OF_PROGRAMME, _GOING):
        op.execute(statement)


_TABLE = """\
CREATE TABLE rehearsal (
    id UUID NOT NULL,
    programme_id UUID NOT NULL,
    by UUID,
    policy JSONB DEFAULT '{}' NOT NULL,
    compared_with JSONB DEFAULT '{}' NOT NULL,
    from_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state VARCHAR NOT NULL,
    problem VARCHAR,
    decisions INTEGER NOT NULL,
    decisions_done INTEGER DEFAULT 0 NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    result JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_rehearsal PRIMARY KEY (id),
    CONSTRAINT ck_rehearsal_state_known CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    CONSTRAINT ck_rehearsal_problem_known
        CHECK (problem IN ('our_failure', 'worker_lost', 'other_rules', 'not_estimated')),
    CONSTRAINT fk_rehearsal_programme_id_programme FOREIGN KEY (programme_id) REFERENCES programme (id),
    CONSTRAINT fk_rehearsal_by_person FOREIGN KEY (by) REFERENCES person (id)
)"""
_BY = "CREATE INDEX ix_rehearsal_by ON rehearsal (by)"
_OF_PROGRAMME = "CREATE INDEX ix_rehearsal_programme_id_id ON rehearsal (programme_id, id)"
_GOING = "CREATE UNIQUE INDEX uq_rehearsal_going ON rehearsal (programme_id) WHERE state IN ('waiting', 'running')"
