"""Connections that are refused: how many of them may stay to see the answer. The rest is seen through real sockets."""

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from api.edge import connections
from integrations.runtime import settings


class Wire(asyncio.Transport):
    """A client that sends nothing, reads nothing, and never goes away."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.is_cut = b"", False

    def get_extra_info(self, _name: str, default: object = None) -> Any:  # noqa: ANN401 - as a transport has it
        return default

    def is_closing(self) -> bool:
        return self.is_cut

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nothing follows."""

    def resume_reading(self) -> None:
        """It does not come to that."""

    def close(self) -> None:
        self.is_cut = True

    abort = close


async def test_sec_06_connections_that_are_one_too_many_do_not_pile_up_while_they_see_the_answer() -> None:
    config, state = Config(app=lambda: None, http=connections.Connection), ServerState()
    config.load()
    most = settings.load().connections
    for _ in range(most):
        connections.Connection(config, state, {}).connection_made(Wire())
    surplus = [Wire() for _ in range(250)]
    made = [connections.Connection(config, state, {}) for _ in surplus]
    for connection, wire in zip(made, surplus, strict=True):
        connection.connection_made(wire)
    assert {wire.written.split(b" ", 2)[1] for wire in surplus} == {b"503"}
    assert len(state.connections) == most
    assert sum(not wire.is_cut for wire in surplus) == 100
    made[0].connection_lost(None)
    late, wire = connections.Connection(config, state, {}), Wire()
    late.connection_made(wire)
    assert not wire.is_cut  # one has gone
    for connection in made:
        connection.connection_lost(None)
