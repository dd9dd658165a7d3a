-- The version before this one knows no patch. It reads the record as an update.
UPDATE operations SET operation = 'update' WHERE operation = 'patch';

ALTER TABLE operations
    DROP CONSTRAINT operations_operation,
    ADD CONSTRAINT operations_operation CHECK (operation IN ('insert', 'update', 'delete'));

ALTER TABLE contacts DROP COLUMN member_writes;
