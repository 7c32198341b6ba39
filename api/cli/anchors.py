"""Anchors of logs as a file: where each chain ended when it was written, kept outside the database."""

import dataclasses
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


class RestoredEnd(Head):
    """Where the log ended when a restored database was released; what had stood behind it was lost."""

    epoch: Annotated[int, Field(ge=2)]
    made_at: shapes.Instant


class Anchor(shapes.Shape):
    """Where every log ended at one instant, and at each restore before it."""

    kind: Literal["pobratym log anchor"]
    made_at: shapes.Instant
    heads: list[Head]
    restores: list[RestoredEnd] = []


def written(
    ends: Sequence[memorandum_log.Anchor], at: datetime, restored_ends: Sequence[memorandum_log.RestoredEnd] = ()
) -> str:
    """Give the file's text."""
    anchor = Anchor(
        kind="pobratym log anchor",
        made_at=at,
        heads=[Head(memorandum_id=end.memorandum_id, position=end.head.position, hash=end.head.hash) for end in ends],
        restores=[RestoredEnd(**dataclasses.asdict(end)) for end in restored_ends],
    )
    return anchor.model_dump_json(indent=1, exclude_defaults=True)  # no `restores`, where the release before reads it


def read(text: bytes) -> list[memorandum_log.Anchor]:
    """Give the heads in the file; raises NoAnchor."""
    try:
        anchor = Anchor.model_validate_json(text)
    except ValidationError:
        msg = "This file is not what `pobratym log anchor` writes."
        raise NoAnchor(msg) from None
    return [memorandum_log.Anchor(head.memorandum_id, chain.Head(head.position, head.hash)) for head in anchor.heads]
