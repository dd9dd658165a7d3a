#!/usr/bin/env python3
"""Keeps a copy of all contacts in a SQLite file, by a snapshot and the change feed. Needs only Python 3.

    examples/mirror.py http://127.0.0.1:8080 copy.db             follows until it is interrupted
    examples/mirror.py http://127.0.0.1:8080 copy.db --once      ends when the copy is up to date

If the service asks for a key, set CONTACTS_KEY. The program may be killed at any time: the cursor and the contacts are
written in one transaction, so the next start goes on where this one stopped.
"""

import argparse
import http.client
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request

PAGE = 200  # The most that the service returns.
PAUSE = 1  # Seconds between two requests when there is nothing new, and after a request that failed.


def get(url):
    request = urllib.request.Request(url)
    if key := os.environ.get("CONTACTS_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    return urllib.request.urlopen(request, timeout=60)


def get_json(url):
    with get(url) as answer:
        return json.load(answer)


def lines(answer):
    """The lines of an answer. `for line in answer` would not do: it ends silently if the connection breaks between two chunks."""
    rest = b""
    while block := answer.read(1 << 16):
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def open_copy(path):
    copy = sqlite3.connect(path, isolation_level=None)
    copy.execute("PRAGMA busy_timeout = 5000")
    copy.execute("CREATE TABLE IF NOT EXISTS contacts (id TEXT PRIMARY KEY, version TEXT NOT NULL, contact TEXT NOT NULL)")
    copy.execute("CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), cursor TEXT NOT NULL)")
    return copy


def store(copy, contact):
    row = (contact["id"], contact["version"], json.dumps(contact, sort_keys=True))
    copy.execute("INSERT OR REPLACE INTO contacts VALUES (?, ?, ?)", row)


def store_cursor(copy, cursor):
    copy.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", (cursor,))


def take_snapshot(copy, service):
    """Replaces the copy. The cursor is read first: what changes during the export comes again in the feed."""
    cursor = get_json(f"{service}/changes?after=latest")["next"]
    copy.execute("BEGIN IMMEDIATE")
    copy.execute("DELETE FROM contacts")
    with get(f"{service}/contacts/export?format=ndjson") as answer:
        for line in lines(answer):
            store(copy, json.loads(line))
    store_cursor(copy, cursor)
    copy.execute("COMMIT")
    return cursor


def follow(copy, service, cursor):
    """Applies one page. Returns the next cursor, and whether there is more now."""
    page = get_json(f"{service}/changes?after={cursor}&limit={PAGE}&include=contact")
    copy.execute("BEGIN IMMEDIATE")
    for change in page["items"]:
        if change["contact"] is None:
            copy.execute("DELETE FROM contacts WHERE id = ?", (change["contact_id"],))
        else:
            store(copy, change["contact"])
    store_cursor(copy, page["next"])
    copy.execute("COMMIT")
    return page["next"], page["more"]


def step(copy, service):
    """Brings the copy one page further. Returns whether there is more now."""
    if copy.in_transaction:
        copy.execute("ROLLBACK")  # The last step failed.
    row = copy.execute("SELECT cursor FROM place").fetchone()
    if row is None:
        take_snapshot(copy, service)
        return True
    try:
        return follow(copy, service, row[0])[1]
    except urllib.error.HTTPError as error:
        if error.code != 410:
            raise
        # The feed does not have everything after this place any more: begin again.
        print("the cursor has expired: taking a new snapshot", file=sys.stderr)
        copy.execute("DELETE FROM place")
        return True


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("service", help="the address of the service")
    arguments.add_argument("copy", help="the SQLite file")
    arguments.add_argument("--once", action="store_true", help="end when the copy is up to date")
    arguments = arguments.parse_args()
    copy = open_copy(arguments.copy)
    while True:
        try:
            if step(copy, arguments.service.rstrip("/")):
                continue
            if arguments.once:
                return
        except (OSError, ValueError, http.client.HTTPException) as error:
            # The service is away, or the connection broke in the middle of an answer.
            print(f"trying again: {error}", file=sys.stderr)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
