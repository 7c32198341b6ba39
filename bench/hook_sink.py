"""A receiver of webhooks that only remembers when which came: prints its port, and at the end of its input all."""

import asyncio
import json
import sys
import time

ARRIVED: dict[str, float] = {}
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver(asyncio.Protocol):
    """Takes everything, on connections that stay open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = dict(line.split(b": ", 1) for line in self._read[:end].split(b"\r\n")[1:])
            names = {name.lower(): value for name, value in head.items()}
            whole = end + 4 + int(names[b"content-length"])
            if len(self._read) < whole:
                return
            ARRIVED.setdefault(names[b"webhook-id"].decode(), time.time())
            self._read = self._read[whole:]
            self._transport.write(_ANSWER)


async def listen() -> None:
    """Take webhooks until our input ends, then say when each came."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    print(json.dumps(ARRIVED))


if __name__ == "__main__":
    asyncio.run(listen())
