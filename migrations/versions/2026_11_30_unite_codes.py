"""Codes of programmes, institutions and memoranda are one in large and small letters.

An older program took `ua-t-1` beside `UA-T-1`: of such rows the oldest keeps its code, and the others get the end
of their id behind it, which nobody has yet. Their ids, by which everything refers to them, stay.
"""

from alembic import op

revision = "2026_11_30_unite_codes"
down_revision = "2026_11_30_remember_absence"

_TABLES = ("programme", "institution", "memorandum")


def upgrade() -> None:
    """Tell equal codes apart, then make each index while others write."""
    for table in _TABLES:
        op.execute(_RENAME.format(table=table))
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # it waits for others' transactions, and nobody waits for it
        for table in _TABLES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS uq_{table}_code_any_case")
            op.execute(
                f"CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS uq_{table}_code_any_case ON {table} (lower(code))"
            )
        op.execute("SET lock_timeout = '100ms'")


_RENAME = """\
UPDATE {table} AS renamed SET code = renamed.code || '-' || right(CAST(renamed.id AS text), 12),
       version = renamed.version + 1
FROM (SELECT id, row_number() OVER (PARTITION BY lower(code) ORDER BY created_at, id) AS place
      FROM {table} WHERE code IS NOT NULL) AS ranked
WHERE ranked.id = renamed.id AND ranked.place > 1"""
