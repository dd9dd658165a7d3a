"""What an OpenAPI document cannot say about right requests, for tests/schemathesis.

Whatever is wrong on purpose is sent as it was made.
"""

import itertools
import re
import unicodedata

import schemathesis

NUMBER = itertools.count()
WRITES = {"POST", "PUT", "DELETE"}
VERSION = re.compile(r'\*|"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"')


@schemathesis.serializer("application/x-ndjson", "text/csv", "text/vcard")
def as_it_is(context, value):
    """Files are texts, which are sent as they were made."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.deserializer("application/x-ndjson", "text/csv", "text/vcard")
def as_text(context, response):
    return response.content.decode()


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None:
        return
    headers = case.headers if case.headers is not None else {}
    # One request after another expects to find what the one before has done: so it has to wait for it.
    if case.meta.phase.name.value == "stateful" and case.method.upper() in WRITES:
        headers["Prefer"] = "wait=20"
        case.headers = headers
    if not case.meta.generation.mode.is_positive:
        return
    query = case.query or {}
    # A prefix that is only accents is no prefix.
    if "q" in query and all(unicodedata.category(c).startswith(("M", "Z", "C")) for c in str(query["q"])):
        del query["q"]
    # A cursor belongs to the list that gave it, and cannot be made up.
    query.pop("cursor", None)
    # Where it combines optional headers, Schemathesis 4.32 takes "0" or nothing for this one, against its own pattern.
    if not VERSION.fullmatch(headers.get("If-Match", "*")):
        del headers["If-Match"]
    # A key belongs to one request.
    if headers.get("Idempotency-Key"):
        suffix = f".{next(NUMBER)}"
        headers["Idempotency-Key"] = headers["Idempotency-Key"][: 255 - len(suffix)] + suffix
