DROP TRIGGER operations_removed;
DROP INDEX operations_position;
DROP TABLE changes;
ALTER TABLE operations DROP COLUMN position;
