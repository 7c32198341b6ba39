"""The ceiling of acceptances and filings: exactly the SQL that each sends, sent by pgbench.

One request after the other is answered in this process on a connection that is rolled back; what it sent is written
down with its values in place, as scripts: pgbench then runs them for real, a client a script.
"""

import dataclasses
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range

from api import app
from bench.scratch import Site, Wanted
from integrations.runtime import postgres
from integrations.runtime.world import World
from service.kernel import work

_PARAMETER = re.compile(r"\$(\d+)")


def literal(value: object) -> str:
    """Write a value as SQL does, its type left to the place where it stands."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else f"({value})"
    return "'" + _text(value).replace("'", "''") + "'"


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        items = ("NULL" if item is None else json.dumps(_text(item), ensure_ascii=False) for item in value)
        return "{" + ",".join(items) + "}"
    if isinstance(value, Range):
        return f"[{value.lower.isoformat()},{value.upper.isoformat()})" if value.lower and value.upper else "empty"
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value)


def in_place(statement: str, values: Sequence[object]) -> str:
    """Write a statement with its values where its parameters were."""
    return _PARAMETER.sub(lambda found: literal(values[int(found.group(1)) - 1]), statement).strip()


async def transcripts(site: Site, wanted: Sequence[Wanted]) -> list[str]:
    """Have each request answered without it staying so, and give what each one sent, its transactions in place."""
    said: list[str] = []

    def hear(_c: Any, _k: Any, statement: str, values: Any, _x: Any, many: bool) -> None:  # noqa: ANN401, FBT001
        if "SAVEPOINT" in statement[:20]:  # these stand for transactions, and are told by the events below
            return
        said.extend(in_place(statement, list(each)) for each in (values if many else [values]))

    found = []
    async with site.world.engine.connect() as connection:
        outer = await connection.begin()
        await connection.begin_nested()
        world = _on(site.world, connection)
        transport = httpx.ASGITransport(app.create(world))
        heard: list[tuple[Any, str, Any]] = [
            (connection.sync_connection, "before_cursor_execute", hear),
            (connection.sync_connection, "savepoint", lambda _c, _name: said.append("BEGIN")),
            (connection.sync_connection, "release_savepoint", lambda _c, _name, _x: said.append("COMMIT")),
        ]
        for target, name, hearer in heard:
            sa.event.listen(target, name, hearer)
        client = httpx.AsyncClient(transport=transport, base_url="http://bench")
        # What goes past SQLAlchemy would go past these events too.
        with mock.patch.object(work.Work, "fetch", _fetch):
            for method, path, token, body in wanted:
                said.clear()
                answer = await client.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})
                if not answer.is_success:
                    raise RuntimeError(answer.text)
                found.append(";\n".join(said) + ";\n")
        await client.aclose()
        for target, name, hearer in heard:
            sa.event.remove(target, name, hearer)
        await outer.rollback()
    return found


async def _fetch(w: work.Work, statement: sa.Executable, values: Mapping[str, object]) -> Sequence[Any]:
    return (await w.sql(statement, values)).all()


def rate(site: Site, scripts: Sequence[str], clients: int) -> float:
    """Run the scripts by pgbench, each client its share in a script of its own; gives scripts a second."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        commands = []
        for number in range(clients):
            path = Path(folder) / f"{number}.sql"
            path.write_text("\n".join(scripts[number::clients]))
            program = [str(postgres.programs() / "pgbench"), "--no-vacuum", "--client=1", "--transactions=1"]
            place = ["-h", str(site.socket_folder), "-U", postgres.SUPERUSER, "-f", str(path), site.name]
            commands.append([*program, *place])
        began = time.perf_counter()
        running = [
            stack.enter_context(subprocess.Popen(each, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
            for each in commands
        ]
        said = [each.communicate()[0] for each in running]
        took = time.perf_counter() - began
    for text in said:
        if "number of transactions actually processed: 1/1" not in text or "ERROR" in text:
            raise RuntimeError(text[-2000:])
    return len(scripts) / took


def _on(world: World, connection: Any) -> World:  # noqa: ANN401 - a session is content with either
    database = work.Database(connection, world.clock, world.keys)
    return dataclasses.replace(world, database=database)
