"""The API as it is served, with bare endpoints beside it: the same stack, doing next to nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api import app
from service import tables

router = APIRouter(prefix="/bench")


class Hello(BaseModel):
    """The least there is to say."""

    hello: str


class Row(BaseModel):
    """A row as an endpoint would show it."""

    id: UUID
    email: str
    display_name: str
    locale: str
    zone: str
    state: str


class Counted(BaseModel):
    """The least a report could say."""

    sessions: int
    minutes: int


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(request.app.state.world.engine) as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]


@router.get("/hello")
async def hello() -> Hello:
    """Answer without a database."""
    return Hello(hello="world")


@router.get("/one")
async def one(request: Request) -> Hello:
    """Ask PostgreSQL one thing, by asyncpg alone."""
    return Hello(hello=str(await request.app.state.pool.fetchval("SELECT 1")))


@router.get("/rows")
async def rows(session: Session) -> list[Row]:
    """Give 20 rows by SQLAlchemy, through pydantic."""
    found = await session.exec(select(tables.Person).order_by(col(tables.Person.id)).limit(20))
    return [Row.model_validate(row, from_attributes=True) for row in found]


@router.get("/count/{programme_id}")
async def count(programme_id: UUID, session: Session) -> Counted:
    """Count and add up a programme's sessions of a year and a day, and nothing else.

    With the id in the statement: with a parameter PostgreSQL takes, from the sixth time on, a plan for any programme,
    by an index, which is three times as slow as reading the table.
    """
    statement = sa.text(
        f"SELECT count(*), sum(minutes) FROM session WHERE programme_id = '{programme_id}' AND NOT is_corrected"
        " AND started_at >= '2025-01-01Z' AND started_at < '2199-01-01Z'"
    )
    connection = await session.connection()
    sessions, minutes = (await connection.execute(statement)).one()
    return Counted(sessions=sessions, minutes=minutes)


def create() -> FastAPI:
    """Give the served application with the bare endpoints."""
    made = app.serving_only()
    inner = made.router.lifespan_context

    @asynccontextmanager
    async def with_pool(served: FastAPI) -> AsyncIterator[None]:
        async with inner(served):
            url = served.state.world.connector.address.text.replace("+asyncpg", "", 1)  # which is SQLAlchemy's
            async with asyncpg.create_pool(url, min_size=8, max_size=8) as served.state.pool:
                yield

    made.router.lifespan_context = with_pool
    made.include_router(router)
    return made
