-- The searchable form of a name, without case and accents (`domain::NameKey`). The program computes it. `contacts
-- migrate` adds it to rows without it, in small steps, while consumers run.
ALTER TABLE contacts ADD COLUMN name_key text COLLATE "C";

-- For keyset pages of names with one prefix.
CREATE INDEX contacts_name ON contacts (name_key, id) WHERE deleted_at IS NULL;

-- An older version of the program changes only the name. This trigger then removes the key, also from a deleted
-- contact. The row is not found by name until it is changed again or `contacts migrate` runs again. The trigger
-- compares an approximation of the key: if it is equal, the keys are equal.
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
