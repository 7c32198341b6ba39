"""Keep the address that a person wants for theirs until they have shown that they read its mail."""

from alembic import op

revision = "2026_12_01_wish_address"
down_revision = "2026_12_01_validate_news"


def upgrade() -> None:
    """Have the table, empty."""
    op.execute(_TABLE)


_TABLE = """\
CREATE TABLE address_wish (
    id UUID NOT NULL,
    person_id UUID NOT NULL,
    address BYTEA NOT NULL,
    number INTEGER NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_address_wish PRIMARY KEY (id),
    CONSTRAINT fk_address_wish_person_id_person FOREIGN KEY(person_id) REFERENCES person (id),
    CONSTRAINT uq_address_wish_person_id UNIQUE (person_id)
)"""
