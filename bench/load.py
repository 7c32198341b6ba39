"""A client of its own process: `python -m bench.load SPEC` sends requests over raw sockets and prints what came.

The specification is JSON: host, port, and per client a list of [method, path, token, body];
a token that begins with `session=` is a browser's cookie. Connections stay open;
a client sends its next request when the answer to the last one is there.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


async def answers(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one HTTP/1.1 answer with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    return status, await reader.readexactly(length) if length else b""


def request(
    host: str, method: str, path: str, token: str | None, body: object, headers: Mapping[str, str] | None = None
) -> bytes:
    """Write one request."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if token:
        lines.append(f"Cookie: {token}" if token.startswith("session=") else f"Authorization: Bearer {token}")
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    elif method == "POST":
        lines.append("Content-Length: 0")
    return "\r\n".join([*lines, "", ""]).encode() + content


async def client(spec: dict[str, Any], wanted: list[Any]) -> list[tuple[int, float, str]]:
    """Send the requests one after the other; gives status, seconds, and what a failed one said."""
    reader, writer = await asyncio.open_connection(spec["host"], spec["port"], limit=1 << 22)
    found = []
    for each in [request(spec["host"], *one) for one in wanted]:
        began = time.perf_counter()
        writer.write(each)
        status, body = await answers(reader)
        found.append((status, time.perf_counter() - began, "" if status < 400 else body[:300].decode()))
    writer.close()
    return found


async def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Let all clients run at once; gives their answers and how long all of it took."""
    began = time.perf_counter()
    found = await asyncio.gather(*[client(spec, wanted) for wanted in spec["clients"]])
    return {"seconds": time.perf_counter() - began, "answers": [answer for each in found for answer in each]}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(Path(sys.argv[1]).read_text())))))
