"""Know which processes run, by the database's clock."""

from alembic import op

revision = "2026_11_30_make_process"
down_revision = "2026_11_30_know_installation"


def upgrade() -> None:
    """Have the table: it is new, so nobody waits."""
    op.execute("""\
CREATE TABLE process (
    id UUID NOT NULL,
    kind VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    schema VARCHAR NOT NULL,
    tzdata VARCHAR NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    beat_at TIMESTAMP WITH TIME ZONE NOT NULL,
    loops JSONB DEFAULT '{}' NOT NULL,
    clock_offset_ms INTEGER,
    CONSTRAINT pk_process PRIMARY KEY (id),
    CONSTRAINT ck_process_kind_known CHECK (kind IN ('api', 'api_with_worker', 'worker'))
)""")
