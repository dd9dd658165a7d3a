-- How far the events are published: the place in the change feed of the last one. One row after the first start with
-- `events.enabled`. Also the name of the advisory lock of the process that publishes them.
CREATE TABLE events (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT events_one CHECK (one),
    position bigint NOT NULL,
    operation uuid NOT NULL
);
