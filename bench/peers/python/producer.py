"""POST /contacts publishes one persistent message, and answers 202 after the publisher confirm."""

import os
import re
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from pydantic import AfterValidator, BaseModel, EmailStr, Field, StringConstraints
from uuid_utils.compat import uuid7


def env(name: str, fallback: str | None = None) -> str:
    return os.environ.get(name) or fallback or sys.exit(f"{name} is not set")


AMQP_URL = env("AMQP_URL")
QUEUE = env("QUEUE")
PORT = int(env("PORT"))
WORKERS = int(env("WORKERS", "1"))

SEPARATORS = re.compile(r"[ ().-]")
E164 = re.compile(r"(?:\+?55|0)?([1-9][0-9])(9[0-9]{8}|[2-5][0-9]{7})")


def to_e164(text: str) -> str:
    """`(11) 98765-4321` -> `+5511987654321`."""
    match = E164.fullmatch(SEPARATORS.sub("", text))
    if match is None:
        raise ValueError("must be a phone number with its area code")
    return f"+55{match[1]}{match[2]}"


class Contact(BaseModel):
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    phone: Annotated[str, StringConstraints(max_length=32), AfterValidator(to_e164)]
    email: EmailStr


class Command(BaseModel):
    schema_: Literal[1] = Field(1, serialization_alias="schema")
    operation: Literal["insert"] = "insert"
    operation_id: UUID
    contact_id: UUID
    stamp: int
    accepted_at: datetime
    contact: Contact


class Accepted(BaseModel):
    operation_id: UUID
    contact_id: UUID
    version: UUID
    status: Literal["accepted"] = "accepted"


# Confirms are on by default. An unroutable message is an error, too.
broker = RabbitBroker(AMQP_URL, app_id="contacts", default_channel=Channel(on_return_raises=True))


@asynccontextmanager
async def lifespan(_app: FastAPI):
    # FastAPI serves no request before this start is complete.
    await broker.start()
    await broker.declare_queue(RabbitQueue(QUEUE, declare=False))
    yield
    await broker.stop()


app = FastAPI(lifespan=lifespan)


@app.get("/livez", response_class=PlainTextResponse)
async def livez() -> str:
    return "ok"


@app.post("/contacts", status_code=202)
async def create(contact: Contact, response: Response) -> Accepted:
    operation_id, contact_id = uuid7(), uuid7()
    now = time.time_ns()
    accepted_at = datetime.fromtimestamp(now / 1e9, UTC)
    command = Command(
        operation_id=operation_id,
        contact_id=contact_id,
        stamp=(now // 1_000_000) << 16,
        accepted_at=accepted_at,
        contact=contact,
    )
    await broker.publish(
        command,
        QUEUE,
        persist=True,
        mandatory=True,
        message_id=str(operation_id),
        message_type="contact.insert",
        timestamp=accepted_at,
    )
    response.headers["location"] = f"/operations/{operation_id}"
    return Accepted(operation_id=operation_id, contact_id=contact_id, version=operation_id)


if __name__ == "__main__":
    uvicorn.run(
        "producer:app",
        app_dir=str(Path(__file__).parent),
        host="127.0.0.1",
        port=PORT,
        workers=WORKERS,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
