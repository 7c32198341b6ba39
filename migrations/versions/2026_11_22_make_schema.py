"""Make the schema of the first release: the SQL beside this file, which is history and never changes."""

from pathlib import Path

from alembic import op

import migrations

revision = "2026_11_22_make_schema"
down_revision = None


def upgrade() -> None:
    """Have every table, and the queue's."""
    for statement in migrations.statements(Path(__file__).with_suffix(".sql").read_text()):
        op.execute(statement.replace(":", r"\:"))


def downgrade() -> None:
    """Refuse: there is nothing before the first schema; drop the database instead."""
    msg = "there is no schema before this one"
    raise NotImplementedError(msg)
