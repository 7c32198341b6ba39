"""Keep forms that were sent after their visit had ended; know when a visit was last made use of, and on which device.

An older program writes none of it: its visits end twelve hours after their beginning, as they did.
"""

from alembic import op

revision = "2026_11_30_keep_posts"
down_revision = "2026_11_30_make_rehearsal"


def upgrade() -> None:
    """Have the table, its indexes and the columns."""
    for statement in (_TABLE, *_INDEXES, *_COLUMNS):
        op.execute(statement)


_TABLE = """\
CREATE TABLE kept_post (
    id UUID NOT NULL,
    person_id UUID NOT NULL,
    path VARCHAR NOT NULL,
    body BYTEA,
    form_key UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_kept_post PRIMARY KEY (id),
    CONSTRAINT fk_kept_post_person_id_person FOREIGN KEY(person_id) REFERENCES person (id)
)"""
_INDEXES = (
    "CREATE INDEX ix_kept_post_person_id ON kept_post (person_id)",
    "CREATE INDEX ix_kept_post_until ON kept_post (until)",
)
_COLUMNS = (
    "ALTER TABLE refresh_token ADD COLUMN seen_at TIMESTAMP WITH TIME ZONE",
    "ALTER TABLE refresh_token ADD COLUMN device VARCHAR",
    "ALTER TABLE refresh_token ADD COLUMN is_own_device BOOLEAN DEFAULT false NOT NULL",
)
