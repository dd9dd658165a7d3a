-- How far the events are published, as in PostgreSQL.
CREATE TABLE events (
    one INTEGER PRIMARY KEY CONSTRAINT events_one CHECK (one = 1),
    position INTEGER NOT NULL,
    operation BLOB NOT NULL
) STRICT;
