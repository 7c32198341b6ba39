"""The commands about a restored database: how it stands, and letting it work again."""

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli import command

if TYPE_CHECKING:
    from service.registry import restores

restore = typer.Typer(no_args_is_help=True, help="A restored database: how it stands, and letting it work again.")

WHY = {
    "other_system": "it is in another cluster than before: a dump, a copy, or a restore into a new one",
    "other_database": "it is another database of its cluster than before: a dump or a copy",
    "other_timeline": "it was recovered to a point in time, or a standby was promoted (POBRATYM_ON_PROMOTION=hold)",
    "events_missing": "its last event is older than one that was seen in it: it was put back, or a standby lacked some",
}
"""What each reason means, by `vocabulary.HELD_REASONS`."""

_OLDER_THAN = re.compile(r"older-than=([1-9][0-9]{0,5})([mhd])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@restore.command()
def status(*, as_json: command.AsJson = False) -> None:
    """Tell whether the database is held after a restore. And what waits in it."""
    from service.registry import restores  # noqa: PLC0415

    found = command.in_work(lambda _, w: restores.status(w))
    if as_json:
        print(_json(found))
        return
    standing = found.standing
    if standing.held_reason is None:
        print("The database is not held.")
    else:
        print(f"Restored, held since {standing.held_since:%Y-%m-%d %H:%M} UTC: {WHY[standing.held_reason]}.")
    for name, waiting in (("mails", found.mails), ("webhooks", found.webhooks)):
        since = f", the oldest since {waiting.oldest_at:%Y-%m-%d %H:%M} UTC" if waiting.oldest_at else ""
        print(f"{waiting.count} {name} wait{since}.")
    print(f"Events: epoch {found.epochs[-1].number}, the last position is {found.position}.")
    if standing.held_reason is not None:
        print("`pobratym restore release --mails=… --webhooks=…` lets it work again.")


@restore.command()
def release(
    *,
    mails: Annotated[str, typer.Option(help="Those that waited already: send, drop, or drop older-than=2h (m, h, d).")],
    webhooks: Annotated[Literal["send", "drop"], typer.Option(help="Those that waited already.")],
) -> None:
    """Let a restored database work again.

    What is pending leaves, the timers run, events go on in a new epoch.
    """
    from service.registry import restores  # noqa: PLC0415

    drop_before = _drop_before(mails)
    is_dropped = webhooks == "drop"
    released = command.in_work(
        lambda _, w: restores.release(w, drop_mails_before=drop_before, drop_webhooks=is_dropped)
    )
    if released is None:
        msg = "The database is not held: there is nothing to release."
        raise command.Stop(msg)
    print(f"{released.mails_dropped} mails and {released.webhooks_dropped} webhooks are dropped; the rest leaves.")
    print(f"Events go on in epoch {released.epoch.number}, from position {released.epoch.floor}.")


def _drop_before(mails: str) -> timedelta | None:
    """Give the age from which on waiting mails are dropped; None if all are sent."""
    if mails == "send":
        return None
    if mails == "drop":
        return timedelta()
    match = _OLDER_THAN.fullmatch(mails)
    if match is None:
        msg = "--mails is send, drop, or older-than= with a number and m, h or d: older-than=2h."
        raise command.Stop(msg)
    return int(match[1]) * _UNITS[match[2]]


def _json(found: "restores.Status") -> str:
    reason, since = found.standing.held_reason, found.standing.held_since
    facts = {
        "is_held": reason is not None,
        "held_since": since and since.isoformat(),
        "held_reason": reason,
        "mails": found.mails.count,
        "webhooks": found.webhooks.count,
        "epoch": found.epochs[-1].number,
        "position": found.position,
    }
    return json.dumps(facts)
