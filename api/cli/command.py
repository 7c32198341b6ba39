"""What every command shares: its settings, one unit of work, and how it stops.

Everything heavy is imported inside the function that needs it, here too, so that `pobratym --help` is quick.
"""

import contextlib
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from integrations.runtime.settings import Settings
    from integrations.runtime.world import World
    from service.kernel.work import Work

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


class Stop(Exception):
    """The command cannot go on; the message is for the operator."""


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Have nobody look for garbage while the block imports much: nearly all of it stays for good.

    To look through it again and again was a quarter of a start's processor time. What is there at the end is never
    looked through again. What checks a pydantic model is made when the first one comes: FastAPI alone brings fifty,
    for a description that nobody may ask for.
    """
    import pydantic  # noqa: PLC0415

    gc.disable()
    pydantic.BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        del pydantic.BaseModel.model_config["defer_build"]
        gc.freeze()
        gc.enable()


def read_settings(log_level: str | None = None) -> "Settings":
    """Read the settings and configure logging; warns of settings that are for development only."""
    from integrations.runtime import logs, settings  # noqa: PLC0415

    loaded_settings = settings.load()
    logs.configure(log_level or loaded_settings.log_level)
    if loaded_settings.outbound_allow:
        print("POBRATYM_OUTBOUND_ALLOW is set: the outbound guard is open to these hosts.", file=sys.stderr)
    return loaded_settings


def in_work(act: Callable[["World", "Work"], Awaitable[T]]) -> T:
    """Do `act` in one unit of work for the operator; only errors are logged."""
    from service.kernel import actor  # noqa: PLC0415

    async def run(opened: "World") -> T:
        async with opened.database.work(actor.TIMER) as w:
            return await act(opened, w)

    return _in_world(run)


def in_reading(act: Callable[["Work"], Awaitable[T]]) -> T:
    """Do `act`, which reads only and may be done twice, for the operator: on the replica if it has everything."""
    from integrations.runtime import replicas  # noqa: PLC0415
    from service.kernel import actor  # noqa: PLC0415

    return _in_world(lambda opened: replicas.read(opened.database, opened.replica, actor.TIMER, act))


def _in_world(act: Callable[["World"], Awaitable[T]]) -> T:
    import asyncio  # noqa: PLC0415

    from integrations.runtime import world  # noqa: PLC0415

    loaded_settings = read_settings(log_level="error")

    async def run() -> T:
        timeout = loaded_settings.job_statement_timeout_ms
        async with world.opened(loaded_settings, purpose="command", statement_timeout_ms=timeout) as opened:
            return await act(opened)

    return asyncio.run(run())
