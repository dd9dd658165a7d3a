-- The name as it is searched: without case and accents (`domain::NameKey`). The program computes it; `contacts migrate`
-- computes it for the rows that have none, in small steps and beside running consumers.
ALTER TABLE contacts ADD COLUMN name_key text COLLATE "C";

-- Keyset pages of the names with one prefix.
CREATE INDEX contacts_name ON contacts (name_key, id) WHERE deleted_at IS NULL;

-- A version of the program from before this column changes the name alone. Its rows lose the key, and are not found by
-- name until they are changed again or `contacts migrate` runs again; a deleted contact must not keep it either. What is
-- compared is only nearly the key: names that differ no more than that have the same one.
CREATE FUNCTION contacts_forget_name_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.name_key := NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER contacts_name_key BEFORE UPDATE OF name ON contacts FOR EACH ROW
WHEN (
    NEW.name IS DISTINCT FROM OLD.name
    AND NEW.name_key = OLD.name_key
    AND lower(regexp_replace(regexp_replace(normalize(NEW.name, NFD), '[\u0300-\u036f]', '', 'g'), '\s+', ' ', 'g'))
        IS DISTINCT FROM
        lower(regexp_replace(regexp_replace(normalize(OLD.name, NFD), '[\u0300-\u036f]', '', 'g'), '\s+', ' ', 'g'))
)
EXECUTE FUNCTION contacts_forget_name_key();
