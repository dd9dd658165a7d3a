-- A live contact may have no e-mail address. The new constraint allows everything that the old one allowed, so no row
-- needs to be checked, and the table is locked for a moment only.
ALTER TABLE contacts
    DROP CONSTRAINT contacts_live_or_erased,
    ADD CONSTRAINT contacts_live_or_erased CHECK (
        CASE WHEN deleted_at IS NULL
            THEN name IS NOT NULL AND phone IS NOT NULL AND ddd IS NOT NULL
            ELSE name IS NULL AND phone IS NULL AND ddd IS NULL AND email IS NULL
        END
    ) NOT VALID;
