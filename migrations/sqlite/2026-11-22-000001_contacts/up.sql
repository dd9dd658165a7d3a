-- The same tables as in PostgreSQL. Ids are blobs of 16 bytes, times are microseconds since 1970.
CREATE TABLE contacts (
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
    CONSTRAINT contacts_live_or_erased CHECK (
        CASE WHEN deleted_at IS NULL
            THEN name IS NOT NULL AND phone IS NOT NULL AND ddd IS NOT NULL AND email IS NOT NULL
            ELSE name IS NULL AND phone IS NULL AND ddd IS NULL AND email IS NULL
        END
    )
) STRICT, WITHOUT ROWID;

CREATE INDEX contacts_ddd ON contacts (ddd, id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_deleted_at ON contacts (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE operations (
    id BLOB PRIMARY KEY,
    contact_id BLOB NOT NULL,
    operation TEXT NOT NULL CONSTRAINT operations_operation CHECK (operation IN ('insert', 'update', 'delete')),
    status TEXT NOT NULL CONSTRAINT operations_status CHECK (status IN ('applied', 'superseded', 'failed')),
    reason TEXT,
    replays INTEGER NOT NULL,
    fingerprint BLOB,
    accepted_at INTEGER NOT NULL,
    completed_at INTEGER NOT NULL,
    CONSTRAINT operations_failed_with_reason CHECK ((status = 'failed') = (reason IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX operations_completed_at ON operations (completed_at);

CREATE TABLE retention (
    one INTEGER PRIMARY KEY CONSTRAINT retention_one CHECK (one = 1),
    pruned_before INTEGER NOT NULL
) STRICT;
