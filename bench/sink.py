"""An SMTP server that only remembers when which mail came: prints its port, and at the end of its input all of it."""

import asyncio
import json
import sys
import time
from email.parser import BytesHeaderParser

from aiosmtpd.smtp import SMTP, Envelope, Session

ARRIVED: dict[str, float] = {}


class Handler:
    """Takes everything."""

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Remember the Message-ID's local part, which is the delivery's id."""
        now = time.time()
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        name = BytesHeaderParser().parsebytes(content).get("Message-ID", "")
        ARRIVED.setdefault(name.strip("<> ").partition("@")[0], now)
        return "250 OK"


async def listen() -> None:
    """Take mail until our input ends, then say when each came."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler()), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    print(json.dumps(ARRIVED))


if __name__ == "__main__":
    asyncio.run(listen())
