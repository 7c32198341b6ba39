"""Tell offers of high priority and calls that begin by push and by text message, to whoever switches it on.

The lists of codes are replaced by longer ones unchecked, which takes no time, and looked through afterwards, while
others write. An older program makes no such delivery, and takes none: its workers leave them to ours.
"""

from alembic import op

revision = "2026_12_01_push_news"
down_revision = "2026_11_30_index_follow_ups"


def upgrade() -> None:
    """Have the tables and the columns, and the longer lists."""
    for statement in (*_TABLES, *_INDEXES, *_COLUMNS, *_LONGER):
        op.execute(statement)


_TABLES = (
    """\
CREATE TABLE push_key (
    id UUID NOT NULL,
    sealed BYTEA NOT NULL,
    public_key VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_push_key PRIMARY KEY (id)
)""",
    """\
CREATE TABLE push_subscription (
    id UUID NOT NULL,
    person_id UUID NOT NULL,
    family_id UUID,
    endpoint_digest BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    device VARCHAR,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_push_subscription PRIMARY KEY (id),
    CONSTRAINT fk_push_subscription_person_id_person FOREIGN KEY(person_id) REFERENCES person (id),
    CONSTRAINT uq_push_subscription_endpoint_digest UNIQUE (endpoint_digest)
)""",
)
_INDEXES = (
    "CREATE UNIQUE INDEX uq_push_key_only ON push_key ((true))",
    "CREATE INDEX ix_push_subscription_person_id ON push_subscription (person_id)",
    "CREATE INDEX ix_push_subscription_family_id ON push_subscription (family_id)",
)
_COLUMNS = (
    "ALTER TABLE delivery ADD COLUMN subscription_id UUID",
    "ALTER TABLE delivery ADD COLUMN about VARCHAR",
    "ALTER TABLE appointment ADD COLUMN begins_told_for TIMESTAMP WITH TIME ZONE",
)
# What the shorter lists guaranteed is given up on purpose, in the transaction that has the longer ones.
_LONGER = (
    """\
-- squawk-ignore ban-drop-constraint
ALTER TABLE delivery DROP CONSTRAINT ck_delivery_kind_known""",
    """\
ALTER TABLE delivery ADD CONSTRAINT ck_delivery_kind_known
    CHECK (kind IN ('mail', 'webhook', 'push', 'sms')) NOT VALID""",
    """\
-- squawk-ignore ban-drop-constraint
ALTER TABLE attempt_count DROP CONSTRAINT ck_attempt_count_kind_known""",
    """\
ALTER TABLE attempt_count ADD CONSTRAINT ck_attempt_count_kind_known
    CHECK (kind IN ('mail', 'webhook', 'push', 'sms')) NOT VALID""",
    """\
-- squawk-ignore ban-drop-constraint
ALTER TABLE person DROP CONSTRAINT ck_person_notices_known""",
    """\
ALTER TABLE person ADD CONSTRAINT ck_person_notices_known
    CHECK (notices <@ ARRAY['digest.mail', 'offer.push', 'call.push', 'offer.sms', 'call.sms']) NOT VALID""",
)
