-- Fails if a live contact has no e-mail address: an older version could not read it.
ALTER TABLE contacts
    DROP CONSTRAINT contacts_live_or_erased,
    ADD CONSTRAINT contacts_live_or_erased CHECK (
        CASE WHEN deleted_at IS NULL
            THEN name IS NOT NULL AND phone IS NOT NULL AND ddd IS NOT NULL AND email IS NOT NULL
            ELSE name IS NULL AND phone IS NULL AND ddd IS NULL AND email IS NULL
        END
    );
