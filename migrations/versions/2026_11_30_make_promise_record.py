"""Have a table for what a programme's latest year says of requests, and how its promises fared."""

from alembic import op

revision = "2026_11_30_make_promise_record"
down_revision = "2026_11_30_add_promised"


def upgrade() -> None:
    """Have the table; a worker fills it within the hour."""
    op.execute(_TABLE)


_TABLE = """\
CREATE TABLE promise_record (
    programme_id UUID NOT NULL,
    counted_at TIMESTAMP WITH TIME ZONE NOT NULL,
    is_off BOOLEAN NOT NULL,
    outcomes JSONB NOT NULL,
    bins JSONB NOT NULL,
    CONSTRAINT pk_promise_record PRIMARY KEY (programme_id),
    CONSTRAINT fk_promise_record_programme_id_programme FOREIGN KEY(programme_id) REFERENCES programme (id)
)"""
