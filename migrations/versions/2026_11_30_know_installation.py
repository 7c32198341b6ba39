"""Know which database this is, so that a restored one is noticed, and number the epochs of its events."""

from alembic import op

revision = "2026_11_30_know_installation"
down_revision = "2026_11_30_mark_unreached_offers"


def upgrade() -> None:
    """Have the tables: they are new, so nobody waits. The first worker that looks fills the first one."""
    op.execute(_INSTALLATION)
    op.execute(_EPOCH)
    op.execute(_ANCHOR)


_INSTALLATION = """\
CREATE TABLE installation (
    id INTEGER NOT NULL,
    system_identifier BIGINT,
    database_oid BIGINT NOT NULL,
    timeline VARCHAR,
    epoch INTEGER DEFAULT 1 NOT NULL,
    floor BIGINT DEFAULT 0 NOT NULL,
    held_since TIMESTAMP WITH TIME ZONE,
    held_reason VARCHAR,
    CONSTRAINT pk_installation PRIMARY KEY (id),
    CONSTRAINT ck_installation_only_one CHECK (id = 1),
    CONSTRAINT ck_installation_held_reason_known CHECK (
        held_reason IN ('other_system', 'other_database', 'other_timeline', 'events_missing')
    ),
    CONSTRAINT ck_installation_held_for_a_reason CHECK ((held_since IS NULL) = (held_reason IS NULL))
)"""
_EPOCH = """\
CREATE TABLE event_epoch (
    number INTEGER NOT NULL,
    id UUID NOT NULL,
    floor BIGINT NOT NULL,
    lost_after BIGINT NOT NULL,
    branch BIGINT NOT NULL,
    began_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_event_epoch PRIMARY KEY (number),
    CONSTRAINT uq_event_epoch_floor UNIQUE (floor),
    CONSTRAINT ck_event_epoch_above_what_was CHECK (number > 1 AND floor > lost_after)
)"""
_ANCHOR = """\
CREATE TABLE log_anchor (
    memorandum_id UUID NOT NULL,
    epoch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash VARCHAR NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_log_anchor PRIMARY KEY (memorandum_id, epoch),
    CONSTRAINT fk_log_anchor_memorandum_id_memorandum FOREIGN KEY (memorandum_id) REFERENCES memorandum (id),
    CONSTRAINT fk_log_anchor_epoch_event_epoch FOREIGN KEY (epoch) REFERENCES event_epoch (number)
)"""
