"""Look through the audit: all of it is older than the month that 2026_11_30_bound_audit names."""

from alembic import op

revision = "2026_11_30_validate_audit"
down_revision = "2026_11_30_bound_audit"


def upgrade() -> None:
    """Validate the constraint, while others read and write."""
    op.execute("ALTER TABLE audit VALIDATE CONSTRAINT ck_audit_past")
