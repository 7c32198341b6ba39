"""One way to the database for whoever connects: each spelling is tried by the pool, the queue, LISTEN and a migration.

On Debian's PostgreSQL by TCP with TLS and a password; other servers are sockets of ours that accept and say nothing,
or nothing at all.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import sqlalchemy as sa

import secured_postgres
from integrations.runtime import schema_version, settings
from integrations.runtime.connector import Connector
from integrations.runtime.database_address import parse
from integrations.runtime.world import engine_of
from secured_postgres import KEY_PASSWORD, QUOTED, USER, Secured

pytestmark = pytest.mark.skipif(not secured_postgres.is_there(), reason="Debian's PostgreSQL is not installed")
PATIENCE = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[Secured]:
    with secured_postgres.running() as found:
        yield found


def connector(address: str) -> Connector:
    return Connector(parse(address), usual_seconds=PATIENCE)


async def reached(address: str) -> dict[str, str]:
    """Connect as the pool does, as the queue does and as a migration does; gives what the server says of each."""
    way = connector(address)
    answers: dict[str, str] = {}
    engine = engine_of(settings.Settings(pool_timeout_ms=20_000), way, purpose="test")
    async with engine.connect() as pooled:
        answers["pool"] = (await pooled.execute(sa.text(SESSION))).scalar_one()
    assert await schema_version.present(engine) is None
    await engine.dispose()
    listening = await way.connect({"application_name": "listening"})
    heard = asyncio.get_running_loop().create_future()
    await listening.add_listener("said", lambda *notice: heard.set_result(notice[-1]))
    await listening.execute("NOTIFY said, 'this'")
    async with asyncio.timeout(PATIENCE):
        assert await heard == "this"
    answers["listening"] = await listening.fetchval(SESSION)
    await listening.close()
    return answers


SESSION = "SELECT coalesce((SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl), 'plain')"
SECURE = {"pool": "TLSv1.3", "listening": "TLSv1.3"}
PLAIN = {"pool": "plain", "listening": "plain"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", SECURE),
        ("sslmode=disable", PLAIN),
        ("sslmode=allow", PLAIN),
        ("sslmode=prefer", SECURE),
        ("sslmode=require", SECURE),
        ("ssl=require", SECURE),
        ("sslmode=verify-ca&sslrootcert={folder}/ca.pem", SECURE),
        ("sslmode=verify-full&sslrootcert={folder}/ca.pem", SECURE),
        ("sslmode=require&ssl_min_protocol_version=TLSv1.3", SECURE),
        ("sslmode=require&ssl_max_protocol_version=TLSv1.2", {"pool": "TLSv1.2", "listening": "TLSv1.2"}),
        ("application_name=desk&connect_timeout=9&channel_binding=prefer&gssencmode=disable", SECURE),
        ("keepalives=1&keepalives_idle=30&tcp_user_timeout=5000&load_balance_hosts=random", SECURE),
        ("target_session_attrs=read-write", SECURE),
        ("target_session_attrs=primary", SECURE),
        ("target_session_attrs=prefer-standby", SECURE),
        ("options=-c%20geqo%3Doff", SECURE),
    ],
)
async def test_ops_01_each_spelling_serves_the_pool_the_queue_and_a_migration(
    server: Secured, query: str, expected: dict[str, str]
) -> None:
    assert await reached(server.address(query.format(folder=server.folder))) == expected


@pytest.mark.parametrize(
    "address",
    [
        "postgresql:///pobratym?host={folder}&port={port}&user={user}&password={password}",
        "postgresql://{user}:{password}@:{port}/pobratym?host={folder}",
        "postgresql://{user}:{password}@{quoted}:{port}/pobratym",
        "postgresql+asyncpg://{user}:{password}@/pobratym?host={folder}&port={port}&sslmode=require",
    ],
)
async def test_ops_02_a_socket_is_reached_however_it_is_written(server: Secured, address: str) -> None:
    folder = str(server.folder)
    parts = {"folder": folder, "quoted": folder.replace("/", "%2F"), "port": server.port}
    assert await reached(address.format(user=USER, password=QUOTED, **parts)) == PLAIN


@pytest.mark.parametrize("key", ["client.key", f"locked.key&sslpassword={KEY_PASSWORD}"])
async def test_a_certificate_of_ours_signs_in(server: Secured, key: str) -> None:
    files = f"sslrootcert={server.folder}/ca.pem&sslcert={server.folder}/client.pem&sslkey={server.folder}/{key}"
    assert await reached(server.address(f"sslmode=verify-full&{files}", user="certified")) == SECURE


async def test_a_server_that_nobody_we_trust_vouches_for_is_refused(server: Secured) -> None:
    for authority in (f"{server.folder}/other.pem", "system"):
        way = connector(server.address(f"sslmode=verify-full&sslrootcert={authority}"))
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await way.connect({})


async def test_a_certificate_for_another_name_is_refused(server: Secured) -> None:
    query = f"sslmode=verify-full&sslrootcert={server.folder}/ca.pem"
    way = connector(server.address(query, host=f"127.0.0.1:{server.port}"))
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await way.connect({})


@contextlib.asynccontextmanager
async def mute() -> AsyncIterator[int]:
    """A server that accepts and never answers."""

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await _reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


async def test_ops_03_a_host_that_is_away_or_says_nothing_is_passed_over(server: Secured) -> None:
    nobody = secured_postgres.free_port()
    async with mute() as silent:
        for first in (nobody, silent):
            address = server.address("connect_timeout=2", host=f"127.0.0.1:{first},localhost:{server.port}")
            way = connector(address)
            for _ in range(2):  # the second time, the host that served is the first that is asked
                connection = await way.connect({})
                assert await connection.fetchval("SHOW transaction_read_only") == "off"
                await connection.close()
            assert [host and host.port for host in way.hosts] == [server.port, first]


async def test_ops_03_a_standby_is_passed_over_and_another_user_is_not_tried_elsewhere(server: Secured) -> None:
    way = connector(server.address("target_session_attrs=standby"))
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await way.connect({})
    both = f"localhost:{server.port},localhost:{server.port}"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connector(server.address(host=both, user=f"{USER}:wrong")).connect({})


async def test_a_connection_that_says_nothing_is_watched_by_the_system(server: Secured) -> None:
    way = connector(server.address("keepalives_idle=33&tcp_user_timeout=4000"))
    connection = await way.connect({})
    tcp = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
    assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 4000
    await connection.close()
