-- The name as it is searched, as in PostgreSQL. Nobody else writes to this file, so no row has an old one.
ALTER TABLE contacts ADD COLUMN name_key TEXT;

CREATE INDEX contacts_name ON contacts (name_key, id) WHERE deleted_at IS NULL;
