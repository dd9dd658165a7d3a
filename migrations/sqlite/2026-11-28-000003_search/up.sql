-- A text index refers to a row by a number. So the table gets one, and is written again. `words` has the words of the name,
-- with a space before each; the program computes it.
CREATE TABLE contacts_new (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
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
    words TEXT,
    CONSTRAINT contacts_live_or_erased CHECK (
        CASE WHEN deleted_at IS NULL
            THEN name IS NOT NULL AND phone IS NOT NULL AND ddd IS NOT NULL
            ELSE name IS NULL AND phone IS NULL AND ddd IS NULL AND email IS NULL
        END
    )
) STRICT;

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
CREATE INDEX contacts_updated_at ON contacts (updated_at, id) WHERE deleted_at IS NULL;
-- The ids of the sample, as in PostgreSQL.
CREATE INDEX contacts_sample ON contacts (id) WHERE deleted_at IS NULL AND substr(id, -1) < x'08';
CREATE INDEX contacts_last_digits ON contacts (substr(phone, -4)) WHERE deleted_at IS NULL;

-- The words are already in lower case and without accents. They end only at spaces.
CREATE VIRTUAL TABLE contacts_words USING fts5 (
    words, content = 'contacts', content_rowid = 'number', prefix = '1 2 3', detail = none,
    tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Cc Cf Cn Co Cs Zl Zp'"
);
CREATE VIRTUAL TABLE contacts_emails USING fts5 (
    email, content = 'contacts', content_rowid = 'number', tokenize = 'trigram'
);

INSERT INTO contacts_words (rowid, words) SELECT number, words FROM contacts;
INSERT INTO contacts_emails (rowid, email) SELECT number, email FROM contacts;

CREATE TRIGGER contacts_indexed AFTER INSERT ON contacts BEGIN
    INSERT INTO contacts_words (rowid, words) VALUES (new.number, new.words);
    INSERT INTO contacts_emails (rowid, email) VALUES (new.number, new.email);
END;

CREATE TRIGGER contacts_words_changed AFTER UPDATE OF words ON contacts WHEN old.words IS NOT new.words BEGIN
    INSERT INTO contacts_words (contacts_words, rowid, words) VALUES ('delete', old.number, old.words);
    INSERT INTO contacts_words (rowid, words) VALUES (new.number, new.words);
END;

CREATE TRIGGER contacts_email_changed AFTER UPDATE OF email ON contacts WHEN old.email IS NOT new.email BEGIN
    INSERT INTO contacts_emails (contacts_emails, rowid, email) VALUES ('delete', old.number, old.email);
    INSERT INTO contacts_emails (rowid, email) VALUES (new.number, new.email);
END;

CREATE TRIGGER contacts_removed AFTER DELETE ON contacts BEGIN
    INSERT INTO contacts_words (contacts_words, rowid, words) VALUES ('delete', old.number, old.words);
    INSERT INTO contacts_emails (contacts_emails, rowid, email) VALUES ('delete', old.number, old.email);
END;
