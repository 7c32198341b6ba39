"""Asks the process of a container whether it lives. It imports next to nothing, as it is run every ten seconds."""

import http.client
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

PATIENCE_SECONDS = 2.0
_OK = 200


def port_of(command: Sequence[str]) -> int:
    """Give the port at which a process of this command line says how it is; 0 where a worker was told to have none."""
    if "worker" in command:
        return int(os.environ.get("POBRATYM_WORKER_PORT") or 8001)
    given = dict(itertools.pairwise(command))
    return int(given.get("--port", 8000))


def is_alive(port: int) -> bool:
    """Ask; a process without a port is taken for alive."""
    if not port:
        return True
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def first_command() -> list[str]:
    """Give the command line of the container's first process."""
    return Path("/proc/1/cmdline").read_text(encoding="utf-8").split("\0")
