-- The last write of each member of a contact, if not one operation wrote them all: JSON, see `store/columns.rs`. It is
-- NULL for nearly all rows.
ALTER TABLE contacts ADD COLUMN member_writes text;

-- The new constraint allows everything that the old one allowed, so no row needs to be checked.
ALTER TABLE operations
    DROP CONSTRAINT operations_operation,
    ADD CONSTRAINT operations_operation CHECK (operation IN ('insert', 'update', 'delete', 'patch')) NOT VALID;
