"""How Alembic reaches the database: by the connection of `integrations.runtime.migrate`, or none to print SQL."""

import sqlalchemy as sa
from alembic import context

from service import tables


def include(name: str | None, kind: str, _parents: object) -> bool:
    """Leave the queue library's schema alone."""
    return kind != "schema" or name is None


def configure(**how: object) -> None:
    """Run each version in a transaction of its own, giving way at once when somebody holds what it needs."""
    context.configure(
        target_metadata=tables.metadata,
        include_name=include,
        compare_server_default=True,
        transaction_per_migration=True,
        **how,  # type: ignore[arg-type]
    )
    context.execute("SET lock_timeout = '100ms'")  # later ones wait as long; `integrations.runtime.migrate` retries
    context.execute("SET statement_timeout = '10min'")
    with context.begin_transaction():
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
