-- For parts of e-mail addresses. The extension is part of PostgreSQL, and an owner of the database may create it. A managed
-- service may have a list of allowed extensions.
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public;

-- What a search looks for, apart from the e-mail address: the words of the name, and the last four digits of the phone
-- number after a `~`. A word ends at a space and at ASCII punctuation (`domain::Search`), so no word begins with `~`. A `~`
-- alone marks the contacts of the sample: one in 32 (`store/listing.rs`).
CREATE FUNCTION contacts_words(id uuid, name_key text, phone text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(
        array_remove(
            string_to_array(
                translate(name_key, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', '                                '), ' '), '')
        || ('~' || right(phone, 4))
        || CASE WHEN get_byte(uuid_send(id), 15) < 8 THEN ARRAY['~'] END)
$$;

-- The extension may be there already, in any schema.
DO $$
BEGIN
    EXECUTE format(
        'CREATE INDEX contacts_search ON contacts USING gin
            (contacts_words(id, name_key, phone), lower(email) %I.gin_trgm_ops) WHERE deleted_at IS NULL',
        (SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm'));
END
$$;

-- For pages with the last change first.
CREATE INDEX contacts_updated_at ON contacts (updated_at, id) WHERE deleted_at IS NULL;

-- The ids of the sample, for a search that scans them.
CREATE INDEX contacts_sample ON contacts (id) WHERE deleted_at IS NULL AND get_byte(uuid_send(id), 15) < 8;
