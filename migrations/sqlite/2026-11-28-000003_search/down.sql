DROP TRIGGER contacts_removed;
DROP TRIGGER contacts_email_changed;
DROP TRIGGER contacts_words_changed;
DROP TRIGGER contacts_indexed;
DROP TABLE contacts_emails;
DROP TABLE contacts_words;

CREATE TABLE contacts_new (
    id BLOB PRIMARY KEY,
    version BLOB NOT NULL,
    stamp INTEGER NOT NULL,
    created_by BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    name TEXT,
    phone TEXT,
    ddd INTEGER,
    email TEXT,
    name_key TEXT,
    member_writes TEXT,
    CONSTRAINT contacts_live_or_erased CHECK (
        CASE WHEN deleted_at IS NULL
            THEN name IS NOT NULL AND phone IS NOT NULL AND ddd IS NOT NULL
            ELSE name IS NULL AND phone IS NULL AND ddd IS NULL AND email IS NULL
        END
    )
) STRICT, WITHOUT ROWID;

INSERT INTO contacts_new (id, version, stamp, created_by, created_at, updated_at, deleted_at, name, phone, ddd, email, name_key, member_writes)
SELECT id, version, stamp, created_by, created_at, updated_at, deleted_at, name, phone, ddd, email, name_key, member_writes
FROM contacts ORDER BY id;

DROP TABLE contacts;
ALTER TABLE contacts_new RENAME TO contacts;

CREATE INDEX contacts_ddd ON contacts (ddd, id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_deleted_at ON contacts (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX contacts_name ON contacts (name_key, id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_email ON contacts (lower(email), id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_phone ON contacts (phone, id) WHERE deleted_at IS NULL;
