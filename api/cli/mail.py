"""The commands about mails: which wait or failed, why, try again, hold back."""

import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from api.cli import command
from service import vocabulary

if TYPE_CHECKING:
    from integrations.runtime.world import World
    from service import tables
    from service.kernel.work import Work
    from service.outbox import mail_desk, mail_server

mail = typer.Typer(no_args_is_help=True, help="Mails: which wait or failed, why, try again, hold back.")

_IN_WORDS: Mapping[vocabulary.AttemptOutcome, str] = MappingProxyType({
    "delivered": "the server has taken it",
    "retry": "the server wants it later, or the line broke",
    "full": "the recipient's mailbox takes nothing for now",
    "ours": "the server refuses who we are or what we send: see to that",
    "cut": "the conversation ended under this mail",
    "away": "the server takes no mail at all",
    "refused": "the recipient's address is refused",
    "unsendable": "this mail cannot be made",
    "gone": "the receiver has ended",
})  # fmt: skip
_STATES: Mapping[vocabulary.DeliveryState, str] = MappingProxyType({
    "pending": "waits",
    "delivered": "has left",
    "refused": "is refused for good, and not tried again",
    "dead": "was given up after three days of trying",
    "dropped": "was not needed any more when it could leave",
})  # fmt: skip
Id = Annotated[UUID, typer.Argument(help="The mail's id, as in `list` and in the log.")]
MaybeId = Annotated[UUID | None, typer.Argument(help="One mail's id; without it, all mail.")]


@mail.command("list")
def list_(
    *,
    state: Annotated[str | None, typer.Option(help=f"{', '.join(vocabulary.DELIVERY_STATES)}.")] = None,
    person: Annotated[str | None, typer.Option(help="The address of whom it goes to.")] = None,
    older_than: Annotated[float | None, typer.Option(min=0, help="Hours since it was recorded.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: command.AsJson = False,
) -> None:
    """List mails, the oldest first."""
    from service.outbox import mail_desk  # noqa: PLC0415

    wanted = next((known for known in vocabulary.DELIVERY_STATES if known == state), None)
    if state and not wanted:
        msg = f"There are these states: {', '.join(vocabulary.DELIVERY_STATES)}."
        raise command.Stop(msg)

    async def find(_: "World", w: "Work") -> "list[tables.Delivery]":
        before = None if older_than is None else w.now - timedelta(hours=older_than)
        return await mail_desk.find(w, state=wanted, email=person, before=before, limit=limit)

    mails = command.in_work(find)
    if as_json:
        print(json.dumps([_shown(row) for row in mails], default=str))
        return
    for row in mails:
        print(f"{row.id}  {row.created_at:%Y-%m-%d %H:%M}  {row.payload['template']}  {row.state}  {row.error or ''}")


@mail.command()
def why(mail_id: Id, *, as_json: command.AsJson = False) -> None:
    """Say what became of one mail, attempt by attempt, and what keeps it."""
    from service.outbox import mail_desk, mail_server  # noqa: PLC0415

    async def look(_: "World", w: "Work") -> "tuple[mail_desk.Explained | None, mail_server.Standing]":
        return await mail_desk.explain(w, mail_id), await mail_server.standing(w)

    explained, standing = command.in_work(look)
    if explained is None:
        raise command.Stop(_NO_MAIL)
    row, attempts = explained.mail, explained.attempts
    if as_json:
        tried = [attempt.model_dump() | {"in_words": _IN_WORDS[_outcome(attempt)]} for attempt in attempts]
        origin = {"request_id": row.request_id, "traceparent": row.traceparent, "queued_at": explained.queued_at}
        facts = {"mail": _shown(row) | origin, "attempts": tried, "mail_server": dataclasses.asdict(standing)}
        print(json.dumps(facts, default=str))
        return
    print(f"{row.payload['template']}, recorded {row.created_at:%Y-%m-%d %H:%M} UTC, {_STATES[_state(row)]}.")
    for name, value in _about(row).items():
        print(f"{name}: {value}")
    print(f"request: {row.request_id or 'none, a timer'}" + (f", trace {row.traceparent}" if row.traceparent else ""))
    print("job: " + (f"queued since {explained.queued_at:%Y-%m-%d %H:%M} UTC" if explained.queued_at else "none now"))
    for attempt in attempts:
        said = f" ({attempt.error})" if attempt.error else ""
        print(f"attempt {attempt.attempt}, {attempt.at:%Y-%m-%d %H:%M}: {_IN_WORDS[_outcome(attempt)]}{said}")
    for line in _kept_by(row, standing):
        print(line)


@mail.command()
def retry(
    mail_id: Annotated[UUID | None, typer.Argument(help="One mail's id.")] = None,
    *,
    refused: Annotated[bool, typer.Option("--refused", help="All that were refused, for whosever fault.")] = False,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="All that were given up.")] = False,
) -> None:
    """Try again now: one mail, or all of a kind. What nobody needs any more is dropped instead."""
    from service.outbox import mail_desk  # noqa: PLC0415

    if [mail_id is not None, refused, all_dead].count(True) != 1:
        msg = "Name one mail, or --refused, or --all-dead."
        raise command.Stop(msg)
    if mail_id is not None:
        _change(mail_desk.retry_one, mail_id, "It is tried now.")
        return
    verb = mail_desk.retry_refused if refused else mail_desk.retry_dead
    print(f"{command.in_work(lambda _, w: verb(w))} mails are tried now.")


@mail.command()
def hold(mail_id: MaybeId = None) -> None:
    """Hold one mail back, or all mail, until `release`."""
    from service.outbox import mail_desk, mail_server  # noqa: PLC0415

    if mail_id is not None:
        _change(mail_desk.hold_one, mail_id, "It is held.")
    else:
        is_changed = command.in_work(lambda _, w: mail_server.hold(w))
        print("All mail is held until `pobratym mail release`." if is_changed else "All mail is held already.")


@mail.command()
def release(mail_id: MaybeId = None) -> None:
    """Let one mail that is held leave, or all mail."""
    from service.outbox import mail_desk, mail_server  # noqa: PLC0415

    if mail_id is not None:
        _change(mail_desk.release_one, mail_id, "It leaves.")
    else:
        is_changed = command.in_work(lambda _, w: mail_server.release(w))
        print("Mail leaves again." if is_changed else "No mail was held.")


_NO_MAIL = "There is no such mail, or nothing to do about it: see `pobratym mail list` and `mail why ID`."


def _change(verb: "Callable[[Work, UUID], Awaitable[bool]]", mail_id: UUID, done: str) -> None:
    if not command.in_work(lambda _, w: verb(w, mail_id)):
        raise command.Stop(_NO_MAIL)
    print(done)


def _shown(row: "tables.Delivery") -> dict[str, object]:
    names = ("id", "created_at", "state", "attempt", "next_attempt_at", "settled_at", "held_at", "error", "person_id")
    return {"template": row.payload["template"], **{name: getattr(row, name) for name in names}, **_about(row)}


def _about(row: "tables.Delivery") -> dict[str, object]:
    """Name what the mail is about, by ids."""
    values = row.payload.get("values", {})
    ids = {name: values.get(name) for name in ("consultation_id", "appointment_id", "offer_id")}
    return {name: value for name, value in ids.items() if value}


def _kept_by(row: "tables.Delivery", standing: "mail_server.Standing") -> list[str]:
    """Say what a mail that waits is waiting for."""
    if row.state != "pending":
        return []
    lines = [f"next attempt: {row.next_attempt_at:%Y-%m-%d %H:%M} UTC"] if row.next_attempt_at else []
    if row.held_at:
        lines.append(f"held since {row.held_at:%Y-%m-%d %H:%M} UTC: `pobratym mail release {row.id}`")
    if standing.held_at:
        lines.append(f"all mail is held since {standing.held_at:%Y-%m-%d %H:%M} UTC: `pobratym mail release`")
    if standing.away_since:
        lines.append(f"the mail server is away since {standing.away_since:%Y-%m-%d %H:%M} UTC: {standing.error}")
    return lines


def _outcome(attempt: "tables.DeliveryAttempt") -> vocabulary.AttemptOutcome:
    return next(known for known in vocabulary.ATTEMPT_OUTCOMES if known == attempt.outcome)


def _state(row: "tables.Delivery") -> vocabulary.DeliveryState:
    return next(known for known in vocabulary.DELIVERY_STATES if known == row.state)
