"""`pobratym listen`: a receiver on one's own machine, to see what a partner's system would get.

It verifies as a partner should, shows each arrival, and keeps it as a line of JSON. It is no part of a running site.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape

from integrations.webhooks import sending
from service.kernel import clock

Message = dict[str, Any]
_LONGEST_BODY = 1_000_000
_POLL_SECONDS = 2.0
HINT = """\
Listening on http://{host}:{port}/ — arrivals go to {store}

To have events sent here from a Pobratym on this machine, start it with
  POBRATYM_OUTBOUND_ALLOW=127.0.0.1 .venv/bin/pobratym serve
and register this address as the coordinator of a hospital:
  curl -sS http://127.0.0.1:8000/v1/webhook-endpoints -H "Content-Type: application/json" \\
    -H "Authorization: Bearer $(.venv/bin/pobratym token coordinator@lille.example)" \\
    -d '{{"url": "http://127.0.0.1:{port}/"}}'
The answer shows the secret, once. Start again with --secret to have signatures verified.
"""


class Listener:
    """Takes webhooks and events, shows each, keeps each."""

    def __init__(self, store: Path, secret: str | None, console: Console) -> None:
        """Keep arrivals in `store`; without a secret everything is taken and called unverified."""
        self._store, self._secret, self._console = store, secret, console
        self._shown_ids: set[str] = set()

    async def app(self, scope: Message, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has it
        """Answer one request: 204 for what is taken, 400 for what is not signed with the secret."""
        if scope["type"] != "http":
            return
        body, is_more = b"", True
        while is_more and len(body) <= _LONGEST_BODY:
            message = await receive()
            body, is_more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status = self.take(headers, body) if scope["method"] == "POST" else 405
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Show and keep a webhook; gives the status to answer."""
        if self._secret is not None and not sending.is_genuine(self._secret, headers, body, clock.wall()):
            self.complain("refused: the signature is not made with this secret, or is not of now")
            return 400
        try:
            event = json.loads(body)
            self.keep(str(headers.get("webhook-id", "")), event, "verified" if self._secret else "unverified")
        except (ValueError, KeyError, TypeError):
            self.complain("refused: this is no event")
            return 400
        return 204

    def keep(self, event_id: str, event: Mapping[str, Any], origin: str) -> None:
        """Show an event and add it to the file, unless it came before."""
        data = event["data"]
        mark = " (again)" if event_id in self._shown_ids else ""
        line = f"{event['timestamp']}  {event['type']:<32} {data.get('state') or '':<12} {data['id']}  {origin}{mark}"
        self._console.print(escape(line), highlight=False, soft_wrap=True)
        if not mark:
            self._shown_ids.add(event_id)
            with self._store.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"id": event_id, **event, "how": origin}, ensure_ascii=False) + "\n")

    def complain(self, message: str) -> None:
        """Show what went wrong."""
        self._console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)

    async def ask(self, client: httpx.AsyncClient, cursor: str | None = None) -> str:
        """Show and keep the events behind the cursor; gives the next cursor."""
        while True:
            answer = await client.get("/v1/events", params={"after": cursor} if cursor else {})
            page = answer.raise_for_status().json()
            for event in page["items"]:
                self.keep(event.pop("id"), event, "asked for")
            cursor = str(page["cursor"])
            if page["next"] is None:
                return cursor


async def run(listener: Listener, host: str, port: int, source: str | None, token: str | None) -> None:
    """Listen until interrupted; beside that, ask `source` for events, if it is named."""
    import uvicorn  # noqa: PLC0415 - slow to import

    config = uvicorn.Config(
        listener.app, host=host, port=port, interface="asgi3", log_config=None, lifespan="off", server_header=False
    )  # uvicorn would not recognise a bound method as ASGI 3
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(_ask_again(listener, source, token)) if source else None
        await uvicorn.Server(config).serve()
        if asking:
            asking.cancel()


async def _ask_again(listener: Listener, source: str, token: str | None) -> None:
    cursor = None
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=source, headers=headers, trust_env=False) as client:
        while True:
            try:
                cursor = await listener.ask(client, cursor)
            except httpx.HTTPError as error:  # the source may be restarting; a token ends after some minutes
                listener.complain(f"{source} gave no events: {str(error).partition(chr(10))[0]}")
            await asyncio.sleep(_POLL_SECONDS)
