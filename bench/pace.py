"""How slow this machine is beside the one on which goals in seconds of processor time were set."""

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from statistics import median

WHERE_SET = 0.66
"""Seconds of processor time to import the libraries there: release 0.1 started in 2.1 s, which was 3.2 times that."""
WHY = "Seconds tell the machine, too: the head of the table says how many times slower this one is."
_LIBRARIES = "import fastapi, uvicorn, sqlmodel, sqlalchemy.ext.asyncio, asyncpg, httpx"


def cpu_of(command: Sequence[str]) -> float:
    """Run a command to its end; gives its processor time in seconds."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=kept)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def libraries() -> float:
    """Give the processor time that the libraries alone take to import, in seconds."""
    return cpu_of([sys.executable, "-c", _LIBRARIES])


@functools.cache
def times_slower() -> float:
    """Give how many times slower this machine is, measured once in a run."""
    return median(libraries() for _ in range(3)) / WHERE_SET
