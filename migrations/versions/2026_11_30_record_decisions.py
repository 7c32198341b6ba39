"""Record each choice of mentors, and the facts that it was made of."""

from alembic import op

revision = "2026_11_30_record_decisions"
down_revision = "2026_11_30_index_waits"


def upgrade() -> None:
    """Have the tables: they are new, so nobody waits."""
    for statement in _STATEMENTS:
        op.execute(statement)


_STATEMENTS = (
    """\
CREATE TABLE rulebook (
    id UUID NOT NULL,
    policy JSONB DEFAULT '{}' NOT NULL,
    tree JSONB NOT NULL,
    transfer JSONB DEFAULT '{}' NOT NULL,
    transfer_version VARCHAR NOT NULL,
    tzdata_version VARCHAR NOT NULL,
    rules_version VARCHAR NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_rulebook PRIMARY KEY (id)
)""",
    "CREATE INDEX ix_rulebook_seen_at ON rulebook (seen_at)",
    """\
CREATE TABLE mentor_fact (
    id UUID NOT NULL,
    person_id UUID NOT NULL,
    body JSONB DEFAULT '{}' NOT NULL,
    is_erased BOOLEAN DEFAULT false NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_mentor_fact PRIMARY KEY (id)
)""",
    "CREATE INDEX ix_mentor_fact_person_id ON mentor_fact (person_id)",
    "CREATE INDEX ix_mentor_fact_seen_at ON mentor_fact (seen_at)",
    """\
CREATE TABLE memoranda_fact (
    id UUID NOT NULL,
    body JSONB DEFAULT '{}' NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_memoranda_fact PRIMARY KEY (id)
)""",
    "CREATE INDEX ix_memoranda_fact_seen_at ON memoranda_fact (seen_at)",
    """\
CREATE TABLE decision (
    id UUID NOT NULL,
    consultation_id UUID NOT NULL,
    programme_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    kind VARCHAR NOT NULL,
    mentors INTEGER NOT NULL,
    eligible INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    rulebook_id UUID,
    memoranda_id UUID,
    refs BYTEA,
    body BYTEA,
    digest BYTEA,
    CONSTRAINT pk_decision PRIMARY KEY (id),
    CONSTRAINT ck_decision_kind_known CHECK (kind IN ('first', 'wave', 'hand', 'nobody')),
    CONSTRAINT fk_decision_consultation_id_consultation FOREIGN KEY (consultation_id) REFERENCES consultation (id),
    CONSTRAINT fk_decision_programme_id_programme FOREIGN KEY (programme_id) REFERENCES programme (id)
)""",
    "CREATE INDEX ix_decision_programme_id_at ON decision (programme_id, at, id)",
    "CREATE INDEX ix_decision_whole ON decision (at) WHERE body IS NOT NULL",
)
