"""Writes one row for each message, commits it, and acknowledges the message."""

import asyncio
import logging
import os
import sys
from datetime import datetime
from typing import Annotated
from uuid import UUID

import uvloop
from faststream import FastStream
from faststream.exceptions import NackMessage
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from pydantic import BaseModel, StringConstraints
from sqlalchemy import BigInteger, Column, DateTime, MetaData, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine


def env(name: str, fallback: str | None = None) -> str:
    return os.environ.get(name) or fallback or sys.exit(f"{name} is not set")


AMQP_URL = env("AMQP_URL")
QUEUE = env("QUEUE")
DATABASE_URL = env("DATABASE_URL")
SCHEMA = env("SCHEMA")
PREFETCH = int(env("PREFETCH", "200"))
CONNECTIONS = int(env("CONNECTIONS", "10"))

contacts = Table(
    "contacts",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("version", Uuid),
    Column("stamp", BigInteger),
    Column("created_by", Uuid),
    Column("created_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("name", Text),
    Column("phone", Text),
    Column("ddd", SmallInteger),
    Column("email", Text),
    Column("name_key", Text),
)
# The handler passes the values by column name.
INSERT = insert(contacts).on_conflict_do_nothing(index_elements=["id"])


class Contact(BaseModel):
    name: str
    phone: Annotated[str, StringConstraints(pattern=r"^\+55[0-9]{10,11}$")]
    email: str


class Command(BaseModel):
    operation_id: UUID
    contact_id: UUID
    accepted_at: datetime
    contact: Contact


logger = logging.getLogger("consumer")
# Logging a line for each message would dominate the measurement.
logging.basicConfig(level=logging.WARNING)

# Autocommit: each statement is a transaction, without round trips for BEGIN and COMMIT.
engine = create_async_engine(
    make_url(DATABASE_URL).set(drivername="postgresql+asyncpg"),
    pool_size=CONNECTIONS,
    max_overflow=0,
    isolation_level="AUTOCOMMIT",
    connect_args={"server_settings": {"search_path": SCHEMA}},
)
broker = RabbitBroker(AMQP_URL, default_channel=Channel(prefetch_count=PREFETCH), logger=logger)
app = FastStream(broker, logger=logger)


# FastStream acknowledges the message when the handler returns, and rejects it if it cannot be parsed. The queue already exists.
@broker.subscriber(RabbitQueue(QUEUE, declare=False))
async def handle(command: Command) -> None:
    contact = command.contact
    row = {
        "id": command.contact_id,
        "version": command.operation_id,
        "stamp": 0,
        "created_by": command.operation_id,
        "created_at": command.accepted_at,
        "updated_at": command.accepted_at,
        "name": contact.name,
        "phone": contact.phone,
        # +5511987654321: the area code follows the country code.
        "ddd": int(contact.phone[3:5]),
        "email": contact.email,
        "name_key": contact.name.lower(),
    }
    try:
        async with engine.connect() as connection:
            await connection.execute(INSERT, row)
    except (SQLAlchemyError, OSError) as error:
        logger.error("database: %s", error)
        await asyncio.sleep(1)
        raise NackMessage from error


@app.after_shutdown
async def close() -> None:
    await engine.dispose()


if __name__ == "__main__":
    uvloop.run(app.run())
