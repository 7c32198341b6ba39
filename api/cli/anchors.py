"""Anchors of logs as a file: where each chain ended when it was written, kept outside the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from api.edge import shapes
from service.registry import memorandum_log
from service.rules import chain


class NoAnchor(Exception):
    """The file is not what `pobratym log anchor` writes."""


class Head(shapes.Shape):
    """Where the log of one memorandum ended: how many entries, and the hash of the last one."""

    memorandum_id: shapes.Id
    position: Annotated[int, Field(ge=0)]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Anchor(shapes.Shape):
    """Where every log ended at one instant."""

    kind: Literal["pobratym log anchor"]
    made_at: shapes.Instant
    heads: list[Head]


def written(ends: Sequence[memorandum_log.Anchor], at: datetime) -> str:
    """Give the file's text."""
    anchor = Anchor(
        kind="pobratym log anchor",
        made_at=at,
        heads=[Head(memorandum_id=end.memorandum_id, position=end.head.position, hash=end.head.hash) for end in ends],
    )
    return anchor.model_dump_json(indent=1)


def read(text: bytes) -> list[memorandum_log.Anchor]:
    """Give the heads in the file; raises NoAnchor."""
    try:
        anchor = Anchor.model_validate_json(text)
    except ValidationError:
        msg = "This file is not what `pobratym log anchor` writes."
        raise NoAnchor(msg) from None
    return [memorandum_log.Anchor(head.memorandum_id, chain.Head(head.position, head.hash)) for head in anchor.heads]
