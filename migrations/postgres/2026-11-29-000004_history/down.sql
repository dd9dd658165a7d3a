ALTER TABLE operations
    DROP COLUMN caller,
    DROP COLUMN trace_id,
    DROP COLUMN attempts,
    DROP COLUMN changed,
    DROP COLUMN old_values;
