"""How Alembic reaches the database: the connection handed in by `integrations.migrate`, or none to print SQL."""

import sqlalchemy as sa
from alembic import context

from service import tables


def include(name: str | None, kind: str, _parents: object) -> bool:
    """Leave the queue library's schema alone."""
    return kind != "schema" or name is None


def configure(**how: object) -> None:
    """Run the versions in one transaction, giving way when somebody holds what they need."""
    context.configure(target_metadata=tables.metadata, include_name=include, compare_server_default=True, **how)  # type: ignore[arg-type]
    with context.begin_transaction():
        context.execute("SET LOCAL lock_timeout = '2s'")
        context.execute("SET LOCAL statement_timeout = '10min'")
        context.run_migrations()


def connection() -> sa.Connection:
    """Find the connection that whoever started Alembic opened: this file opens none, so that no test hits another."""
    found = context.config.attributes.get("connection")
    if not isinstance(found, sa.Connection):
        msg = "Run `pobratym migrate`, or `alembic upgrade head --sql` to read the SQL."
        raise TypeError(msg)
    return found


if context.is_offline_mode():
    configure(dialect_name="postgresql", literal_binds=True)
else:
    configure(connection=connection())
