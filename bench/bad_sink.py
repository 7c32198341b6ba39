"""Receivers of webhooks that behave badly, one of each kind, each on a port of its own.

Prints the address of each, and at the end of its input how often each was called and when the first of them was.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CALLED: dict[str, list[float]] = {}
_HOST = "127.0.0.1"
_WAVE = b"x" * 65_536
_HUGE_WAVES = 160  # 10 MB
_OK = b"HTTP/1.1 200 OK\r\n"


async def _silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the caller gives up


async def _slow(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in _OK + b"X-Slow: " + _WAVE:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def _huge(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_OK + b"Content-Length: %d\r\n\r\n" % (_HUGE_WAVES * len(_WAVE)))
    for _ in range(_HUGE_WAVES):
        writer.write(_WAVE)
        await writer.drain()


async def _endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(_WAVE), _WAVE))
        await writer.drain()


async def _redirecting(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()


async def _resetting(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()


SERVED: dict[str, Serve] = {
    "silent": _silent,
    "slow": _slow,
    "huge": _huge,
    "endless": _endless,
    "redirecting": _redirecting,
    "resetting": _resetting,
}
CERTIFIED = "badly certified"
KINDS = (*SERVED, CERTIFIED)


def _http(kind: str, serve: Serve) -> Serve:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            CALLED[kind].append(time.time())
            await serve(reader, writer)
        writer.close()

    return once


def _tls(context: ssl.SSLContext) -> Serve:
    async def once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came = time.time()
        try:
            await writer.start_tls(context)
        except OSError:  # the caller looked at the certificate, and hung up
            CALLED[CERTIFIED].append(came)
        writer.close()

    return once


def _certificate() -> ssl.SSLContext:
    """Make what a server shows that nobody but itself has vouched for."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    began = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, began, began + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(_HOST))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    private = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(private + made.public_bytes(form))
        context.load_cert_chain(file.name)
    return context


async def listen() -> None:
    """Behave badly until our input ends, then say who was called."""
    CALLED.update({kind: [] for kind in KINDS})
    served = {kind: _http(kind, serve) for kind, serve in SERVED.items()} | {CERTIFIED: _tls(_certificate())}
    servers = {kind: await asyncio.start_server(once, _HOST, 0) for kind, once in served.items()}
    ports = {kind: server.sockets[0].getsockname()[1] for kind, server in servers.items()}
    print(
        json.dumps({kind: f"http{'s' * (kind == CERTIFIED)}://{_HOST}:{port}/" for kind, port in ports.items()}),
        flush=True,
    )
    await asyncio.to_thread(sys.stdin.read)
    for server in servers.values():
        server.close()
    print(json.dumps(CALLED))


if __name__ == "__main__":
    asyncio.run(listen())
