"""Say until which month the audit's rows are in the table as it is: later ones get tables of their own, month by month.

Ids are UUIDv7, so a month ends before the least id of the next one. The month after this one is left to the table as it
is, too: whoever writes meanwhile must find a place.
"""

from alembic import op

revision = "2026_11_30_bound_audit"
down_revision = "2026_11_30_make_process"


def upgrade() -> None:
    """Promise it of the rows to come; the next version looks through those that are there."""
    op.execute(_BOUND)


_BOUND = """\
DO $$
DECLARE
    month timestamptz := date_trunc('month', now(), 'UTC') + interval '2 months';
    digits text := lpad(to_hex(CAST(extract(epoch FROM month) * 1000 AS bigint)), 12, '0');
BEGIN
    EXECUTE format(
        'ALTER TABLE audit ADD CONSTRAINT ck_audit_past CHECK (id < %L) NOT VALID',
        left(digits, 8) || '-' || right(digits, 4) || '-7000-8000-000000000000'
    );
END
$$"""
