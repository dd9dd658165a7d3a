#!/usr/bin/env python3
"""Keeps a copy of all contacts that change, by the events of RabbitMQ. Needs Python 3 and pika (`pip install pika`).

    examples/events.py amqp://guest:guest@127.0.0.1:5672/%2f http://127.0.0.1:8080 copy.db

An event says which contact changed. With `events.include_contact` it has the contact; else the contact is read from the
service, which must then not read from a replica: a replica can be older than the event. If the service asks for a key, set
CONTACTS_KEY. The program may be killed at any time: an event is acknowledged after it is stored, and one that comes again
changes nothing. EXCHANGE and QUEUE name the exchange (contato.events) and the queue of this program.
"""

import json
import os
import sqlite3
import sys
import urllib.error
import urllib.request

import pika


def read_contact(service, contact_id):
    """The contact as it is now, or None if it is deleted."""
    request = urllib.request.Request(f"{service}/contacts/{contact_id}")
    if key := os.environ.get("CONTACTS_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def main():
    broker, service, path = sys.argv[1:]
    service = service.rstrip("/")
    copy = sqlite3.connect(path)
    copy.execute("CREATE TABLE IF NOT EXISTS contacts (id TEXT PRIMARY KEY, sequence TEXT NOT NULL, contact TEXT)")

    def receive(channel, method, _properties, body):
        event = json.loads(body)
        contact_id, sequence = event["subject"], event["sequence"]
        known = copy.execute("SELECT sequence FROM contacts WHERE id = ?", (contact_id,)).fetchone()
        # An event can come again, and then its sequence is not greater. All sequences have the same length.
        if known is None or known[0] < sequence:
            data = event["data"]
            contact = data["contact"] if "contact" in data else read_contact(service, contact_id)
            row = (contact_id, sequence, json.dumps(contact, sort_keys=True) if contact else None)
            copy.execute("INSERT OR REPLACE INTO contacts VALUES (?, ?, ?)", row)
            copy.commit()
        channel.basic_ack(method.delivery_tag)

    exchange = os.environ.get("EXCHANGE", "contato.events")
    queue = os.environ.get("QUEUE", "example.contacts")
    connection = pika.BlockingConnection(pika.URLParameters(broker))
    channel = connection.channel()
    channel.exchange_declare(exchange, exchange_type="topic", durable=True)
    channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(queue, exchange, "contact.*")
    channel.basic_qos(prefetch_count=50)
    channel.basic_consume(queue, receive)
    channel.start_consuming()


if __name__ == "__main__":
    main()
