"""Remember how the mail server stands, for all workers, and count attempts by their outcome."""

from alembic import op

revision = "2026_11_30_watch_mail_server"
down_revision = "2026_11_30_validate_reasons"


def upgrade() -> None:
    """Have both tables: they are new, so nobody waits."""
    op.execute(_SERVER)
    op.execute(_COUNT)


_SERVER = """\
CREATE TABLE mail_server (
    id INTEGER NOT NULL,
    cuts INTEGER DEFAULT 0 NOT NULL,
    last_cut_id UUID,
    failing_since TIMESTAMP WITH TIME ZONE,
    away_since TIMESTAMP WITH TIME ZONE,
    phase VARCHAR,
    status INTEGER,
    error VARCHAR,
    probe_at TIMESTAMP WITH TIME ZONE,
    probe_leased_until TIMESTAMP WITH TIME ZONE,
    held_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_mail_server PRIMARY KEY (id),
    CONSTRAINT ck_mail_server_only_one CHECK (id = 1),
    CONSTRAINT ck_mail_server_phase_known CHECK (
        phase IN ('connect', 'ehlo', 'starttls', 'auth', 'mail', 'rcpt', 'data')
    ),
    CONSTRAINT ck_mail_server_probed_while_away CHECK ((away_since IS NULL) = (probe_at IS NULL))
)"""
_COUNT = """\
CREATE TABLE attempt_count (
    kind VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    shard INTEGER NOT NULL,
    attempts BIGINT NOT NULL,
    CONSTRAINT pk_attempt_count PRIMARY KEY (kind, outcome, shard),
    CONSTRAINT ck_attempt_count_kind_known CHECK (kind IN ('mail', 'webhook')),
    CONSTRAINT ck_attempt_count_outcome_known CHECK (
        outcome IN ('delivered', 'retry', 'full', 'ours', 'cut', 'away', 'refused', 'unsendable', 'gone')
    )
)"""
