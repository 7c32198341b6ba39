"""One text message, handed to the operator's gateway by HTTP, and the outcome as a value.

The gateway is a program of the operator's or of whoever sells them messages, behind one plain call: a POST of JSON with
`to` (E.164), `text` and `reference`, the same at each attempt, by which it sends a message once.
"""

import httpx
import orjson

from integrations import outbound_posts
from service.kernel import outcomes

DEADLINE_SECONDS = 10.0
_REFUSED_US = (401, 403)
_BAD_NUMBER = (400, 404, 422)


async def post(
    client: httpx.AsyncClient, url: str, token: str | None, *, to: str, text: str, reference: str
) -> outcomes.Outcome:
    """Hand the message over; a gateway that refuses our token may take it later, a number that it refuses never."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    content = orjson.dumps({"to": to, "text": text, "reference": reference})
    outcome = await outbound_posts.post(client, url, content, headers, deadline_seconds=DEADLINE_SECONDS, gone=())
    if isinstance(outcome, outcomes.Retry) and outcome.status in _REFUSED_US:
        return outcomes.Ours(outcome.after_seconds, "token_refused", outcome.status, outcome.response)
    if isinstance(outcome, outcomes.Retry) and outcome.status in _BAD_NUMBER:
        return outcomes.Refused("number_refused", outcome.status, outcome.response)
    return outcome
