"""Opens every connection to the database: the pool's, the queue's, those that listen, and a migration's.

Several hosts are tried in turn, each with a deadline of its own, because asyncpg's is for all of them together: a first
host that accepts and says nothing would use it up. The host that served last is tried first.
"""

import asyncio
import socket
import ssl
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg
import structlog
from asyncpg.connect_utils import SessionAttribute

from integrations.runtime import database_faults
from integrations.runtime.database_address import DatabaseAddress, Host
from service.kernel import clock

SEVERAL_HOSTS_SECONDS = 2.0
"""How long one of several hosts may take, where the address does not say."""

_PASSED_OVER = {"57P03", "53300"}  # it starts or stops; it has no connection left
_log = structlog.get_logger(__name__)
Connection = asyncpg.Connection


class Connector:
    """Connects to the database of one address."""

    def __init__(self, address: DatabaseAddress, *, usual_seconds: float) -> None:
        """Connect to the address; one host may take `usual_seconds` where the address does not say."""
        self.address = address
        self._seconds = address.connect_seconds or (
            min(usual_seconds, SEVERAL_HOSTS_SECONDS) if len(address.hosts) > 1 else usual_seconds
        )
        hosts: list[Host | None] = list(address.hosts) or [None]
        if address.is_host_order_random:
            hosts.sort(key=lambda _: clock.jitter())
        self.hosts = hosts
        self.made = 0  # connections, ever: whoever sees it rise knows that one was lost, or is the first
        self._in_use: weakref.WeakSet[Connection[Any]] = weakref.WeakSet()

    async def connect(self, settings: Mapping[str, str], **options: Any) -> "Connection[Any]":  # noqa: ANN401 - asyncpg's
        """Give a connection with these settings of the server; `options` are asyncpg's.

        Raises what the last host raised: OSError, TimeoutError, asyncpg.PostgresError or, when no host has the wanted
        role, asyncpg.TargetServerAttributeNotMatched. A server that refuses the user, the database or TLS ends the
        search: another one is not an answer to that.
        """
        tried: list[str] = []
        fault: Exception | None = None
        for attributes in self._wanted():
            for host in tuple(self.hosts):
                try:
                    connection = await self._connect(host, attributes, settings, options)
                except (OSError, asyncpg.PostgresError, asyncpg.TargetServerAttributeNotMatched) as error:
                    tried.append(f"{host or 'the usual socket'}: {database_faults.reason(error)}")
                    fault = error
                    if not _is_passed_over(error):
                        raise _noted(error, tried) from None
                else:
                    self._remember(host)
                    return connection
        raise _noted(fault or ConnectionError("the address names no host"), tried)

    def give_up(self) -> None:
        """Cut every connection, for a server that answers nothing: whoever waits for it goes on with an error.

        A frozen server closes no connection, and its machine acknowledges what arrives, so nothing else would end them.
        """
        for connection in tuple(self._in_use):
            connection.terminate()

    def _wanted(self) -> Iterable[str]:
        is_either = self.address.session_attributes == "prefer-standby"
        return ("standby", "any") if is_either else (self.address.session_attributes,)

    def _remember(self, host: Host | None) -> None:
        if self.hosts[0] != host:
            _log.warning("database_host_changed", host=str(host))
            self.hosts.sort(key=lambda other: other != host)

    async def _connect(
        self, host: Host | None, attributes: str, settings: Mapping[str, str], options: Mapping[str, Any]
    ) -> "Connection[Any]":
        address = self.address
        arguments: dict[str, Any] = {
            "user": address.user,
            "password": address.password,
            "target_session_attrs": SessionAttribute(attributes),
            "server_settings": {**address.server_settings, **settings},
            "timeout": self._seconds,
            **({"host": host.name, "port": host.port} if host else {}),
            **({"ssl": ssl.create_default_context()} if address.trusts_system else {}),
            **options,
        }
        async with asyncio.timeout(self._seconds):
            connection: Connection[Any] = await asyncpg.connect(address.dsn, **arguments)
        self._keep_alive(connection)
        self._in_use.add(connection)
        self.made += 1
        return connection

    def _keep_alive(self, connection: "Connection[Any]") -> None:
        """Have the operating system find out that the other side is gone, though nothing is being sent."""
        tcp: socket.socket | None = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined] # noqa: SLF001 - no other way
        if tcp is None or tcp.family == socket.AF_UNIX:
            return
        keep = self.address.keepalive
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keep["keepalives"])
        for option, value in (
            ("TCP_KEEPIDLE", keep["keepalives_idle"]),
            ("TCP_KEEPINTVL", keep["keepalives_interval"]),
            ("TCP_KEEPCNT", keep["keepalives_count"]),
            ("TCP_USER_TIMEOUT", self.address.tcp_user_timeout_ms),
        ):
            if value and hasattr(socket, option):  # not every system has each
                tcp.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _noted(fault: Exception, tried: Iterable[str]) -> Exception:
    """Give the fault with what was tried, for `database_faults.told`."""
    for place in dict.fromkeys(tried):
        fault.add_note(place)
    return fault


def _is_passed_over(error: Exception) -> bool:
    """Tell whether another host may do what this one did not: it is away, starts, is full, or has the other role."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate in _PASSED_OVER
    return not isinstance(error, ssl.SSLError)
