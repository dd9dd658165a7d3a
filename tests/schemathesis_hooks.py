"""Rules for valid requests that an OpenAPI document cannot express, for tests/schemathesis.

The hooks do not change requests that are invalid on purpose.
"""

import itertools
import re
import unicodedata
from urllib.parse import urlencode

import schemathesis
from schemathesis.specs.openapi.checks import use_after_free

NUMBER = itertools.count()
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
# `http.max_uri`, without the longest path.
MAX_QUERY = 8192 - 100
VERSION = re.compile(r'\*|"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"')


@schemathesis.serializer("application/x-ndjson", "text/csv", "text/vcard")
def file_as_bytes(context, value):
    """Sends a file as it was generated."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.deserializer("application/x-ndjson", "text/csv", "text/vcard")
def file_as_text(context, response):
    return response.content.decode()


@schemathesis.check
def deleted_contact_is_gone(context, response, case):
    """A deleted contact still has a history, so that everyone sees who deleted it."""
    if case.operation.path.endswith("/history"):
        return None
    return use_after_free(context, response, case)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None:
        return
    headers = case.headers if case.headers is not None else {}
    # In the stateful phase a request depends on the one before, so each write waits until it is applied.
    if case.meta.phase.name.value == "stateful" and case.method.upper() in WRITES:
        headers["Prefer"] = "wait=20"
        case.headers = headers
    if not case.meta.generation.mode.is_positive:
        # An empty list or null is not in the URL, so it would not be invalid there.
        if case.query and case.query.get("after", "") in (None, [], {}):
            case.query["after"] = "-"
        return
    query = case.query or {}
    # A search text with only accents and spaces is invalid.
    if "q" in query and all(unicodedata.category(c).startswith(("M", "Z", "C")) for c in str(query["q"])):
        del query["q"]
    # A cursor is only valid for its own list, so it cannot be generated.
    query.pop("cursor", None)
    # A cursor of the change feed is only valid for the database that made it.
    if query.get("after") != "latest":
        query.pop("after", None)
    headers.pop("Last-Event-ID", None)
    # Blanks around a search text and repeated fields are valid, but path and query together have a limit (414).
    if len(urlencode(query, doseq=True)) > MAX_QUERY:
        query.pop("q", None)
        query.pop("fields", None)
    # When Schemathesis 4.32 combines optional headers, its value for If-Match ("0" or empty) ignores the pattern.
    if not VERSION.fullmatch(headers.get("If-Match", "*")):
        del headers["If-Match"]
    # An idempotency key may be used for one request only.
    if headers.get("Idempotency-Key"):
        suffix = f".{next(NUMBER)}"
        headers["Idempotency-Key"] = headers["Idempotency-Key"][: 255 - len(suffix)] + suffix
