-- What the history of a contact shows. NULL: an older version wrote the row. `changed`: 1 name, 2 phone, 4 email.
-- `old_values`: the values of these members before, as JSON, if `history.values` is set.
ALTER TABLE operations
    ADD COLUMN caller text,
    ADD COLUMN trace_id uuid,
    ADD COLUMN attempts integer,
    ADD COLUMN changed smallint,
    ADD COLUMN old_values text;
