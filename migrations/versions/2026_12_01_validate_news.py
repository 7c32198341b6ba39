"""Find pushes and text messages that are due or over, know what a receiver was told, and check the longer lists."""

from alembic import op

revision = "2026_12_01_validate_news"
down_revision = "2026_12_01_push_news"


def upgrade() -> None:
    """Make each index while others write, outside of a transaction; then look through the rows, as others write too."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        for kind, name, rest in _INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON delivery {rest}")
        op.execute("SET lock_timeout = '100ms'")
    op.execute("ALTER TABLE delivery VALIDATE CONSTRAINT ck_delivery_kind_known")
    op.execute("ALTER TABLE attempt_count VALIDATE CONSTRAINT ck_attempt_count_kind_known")
    op.execute("ALTER TABLE person VALIDATE CONSTRAINT ck_person_notices_known")


_INDEXES = (
    (
        "INDEX",
        "ix_delivery_news_next_attempt_at",
        "(next_attempt_at) WHERE state = 'pending' AND kind IN ('push', 'sms')",
    ),
    ("INDEX", "ix_delivery_news_settled_at", "(settled_at) WHERE kind IN ('push', 'sms')"),
    ("UNIQUE INDEX", "uq_delivery_about", "(coalesce(subscription_id, person_id), about) WHERE about IS NOT NULL"),
)
