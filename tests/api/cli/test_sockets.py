"""Several processes behind one port: each with a socket of its own."""

import pickle
import socket

import pytest

from api.cli import command, sockets


def test_each_process_gets_a_socket_of_its_own_at_one_port() -> None:
    handed = sockets.OfEachProcess("127.0.0.1", 0)
    own = [opened for _ in range(2) for opened in pickle.loads(pickle.dumps(handed))]
    try:
        for opened in own:
            opened.listen()
        assert {opened.getsockname() for opened in own} == {handed[0].getsockname()}
        assert len({opened.fileno() for opened in own}) == 2
        with pytest.raises(command.Stop, match="Address already in use"):
            sockets.OfEachProcess(*handed[0].getsockname())
        own.pop().close()  # a process that is gone takes no connection with it
        for _ in range(8):
            with socket.create_connection(handed[0].getsockname(), timeout=5):
                own[0].accept()[0].close()
    finally:
        for opened in (*own, *handed):
            opened.close()
