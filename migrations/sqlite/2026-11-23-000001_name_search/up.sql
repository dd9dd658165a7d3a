-- The searchable form of a name, as in PostgreSQL. No older version writes to this file, so no trigger is needed.
ALTER TABLE contacts ADD COLUMN name_key TEXT;

CREATE INDEX contacts_name ON contacts (name_key, id) WHERE deleted_at IS NULL;
