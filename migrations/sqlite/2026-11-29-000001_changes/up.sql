-- The change feed, as in PostgreSQL. There is one writer, so the positions are in the order of the commits.
ALTER TABLE operations ADD COLUMN position INTEGER;

CREATE INDEX operations_position ON operations (position) WHERE position IS NOT NULL;

-- One row: the last position that was given to a change; the greatest position that was removed, and its operation.
CREATE TABLE changes (
    one INTEGER PRIMARY KEY CONSTRAINT changes_one CHECK (one = 1),
    last INTEGER NOT NULL,
    pruned INTEGER NOT NULL,
    pruned_operation BLOB
) STRICT;

INSERT INTO changes (one, last, pruned) VALUES (1, 0, 0);

CREATE TRIGGER operations_removed AFTER DELETE ON operations WHEN old.position > 0 BEGIN
    UPDATE changes SET pruned = old.position, pruned_operation = old.id WHERE pruned < old.position;
END;
