-- The same columns as in PostgreSQL.
ALTER TABLE operations ADD COLUMN caller TEXT;
ALTER TABLE operations ADD COLUMN trace_id BLOB;
ALTER TABLE operations ADD COLUMN attempts INTEGER;
ALTER TABLE operations ADD COLUMN changed INTEGER;
ALTER TABLE operations ADD COLUMN old_values TEXT;
