"""Write the first migration's SQL anew from the models: until the first release only, when it becomes history."""

import itertools
import re
from pathlib import Path

import sqlalchemy as sa
from pgqueuer.adapters.persistence import qb

import migrations
from service import tables
from service.kernel import queue
from service.tables import ddl

FIRST = Path(__file__).parent / "versions" / "2026_11_22_make_schema.sql"


def queue_statements() -> list[str]:
    """List what the queue library wants, in its own schema."""
    return migrations.statements(qb.QueryBuilderEnvironment(queue.settings()).build_install_query())


def table_statements() -> list[str]:
    """List what `metadata.create_all` would run, in an order of its own for a table's indexes, which are a set."""
    found: list[str] = []
    dialect = sa.create_mock_engine("postgresql+asyncpg://", lambda *_: None).dialect
    engine = sa.create_mock_engine(
        "postgresql+asyncpg://", lambda sql, *_, **__: found.append(str(sql.compile(dialect=dialect)).strip())
    )
    tables.metadata.create_all(engine, checkfirst=False)
    runs = itertools.groupby(found, key=lambda sql: "INDEX" in sql.split("(")[0])
    ordered = [sql for is_index, run in runs for sql in (sorted(run) if is_index else run)]
    return [re.sub(r"[ \t]+\n", "\n", sql).replace("\t", "    ") for sql in ordered]


def main() -> None:
    """Have the file hold the whole schema."""
    every = [*ddl.BEFORE, *table_statements(), *ddl.AFTER, *queue_statements()]
    FIRST.write_text("".join(f"{sql};\n\n" for sql in every).rstrip("\n") + "\n")


if __name__ == "__main__":
    main()
