"""One port for several processes, each of which opens a socket of its own there.

Uvicorn gives its processes one socket between them, and whichever is awake takes the connections: one of two cores did
all the work. Of several sockets the system gives each the same share (SO_REUSEPORT).
"""

import socket
from typing import Any

from api.cli import command


class OfEachProcess(list[socket.socket]):
    """Stands for the list of sockets that Uvicorn hands to a process; it is there that it becomes one, just opened.

    The address is held by a socket that listens to nobody, so that no other program takes it while processes come and
    go. Raises command.Stop if it cannot be had: also when sockets of others share it already.
    """

    def __init__(self, host: str, port: int) -> None:
        """Hold the address; port 0 is any that is free."""
        port = free_port(host, port)
        self._held = _bound(host, port, is_shared=True)
        self._address = host, port
        super().__init__([self._held])

    def __reduce__(self) -> tuple[Any, ...]:
        """Become, in the process to which this is sent, a list of a socket of its own."""
        return _own, self._address


def free_port(host: str, port: int) -> int:
    """Give the port, or any that is free for 0; raises command.Stop if nobody may listen there, or somebody does."""
    with _bound(host, port, is_shared=False) as alone:
        return int(alone.getsockname()[1])


def _own(host: str, port: int) -> list[socket.socket]:
    return [_bound(host, port, is_shared=True)]


def _bound(host: str, port: int, *, is_shared: bool) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as asyncio listens there
    if is_shared:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        msg = f"{host}:{port}: {error.strerror}"
        raise command.Stop(msg) from None
    return opened
