"""Remember when a person who wishes it is mailed next what waits for them."""

from alembic import op

revision = "2026_11_30_make_digest"
down_revision = "2026_11_30_validate_notices"


def upgrade() -> None:
    """Have the table: it is new, so nobody waits."""
    op.execute(_TABLE)
    op.execute("CREATE INDEX ix_digest_next_at ON digest (next_at)")


_TABLE = """\
CREATE TABLE digest (
    person_id UUID NOT NULL,
    hour INTEGER NOT NULL,
    next_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_digest PRIMARY KEY (person_id),
    CONSTRAINT fk_digest_person_id_person FOREIGN KEY (person_id) REFERENCES person (id),
    CONSTRAINT ck_digest_hour_of_day CHECK (hour BETWEEN 0 AND 23)
)"""
