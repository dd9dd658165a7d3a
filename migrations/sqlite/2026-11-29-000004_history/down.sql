ALTER TABLE operations DROP COLUMN old_values;
ALTER TABLE operations DROP COLUMN changed;
ALTER TABLE operations DROP COLUMN attempts;
ALTER TABLE operations DROP COLUMN trace_id;
ALTER TABLE operations DROP COLUMN caller;
