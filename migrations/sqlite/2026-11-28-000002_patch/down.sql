ALTER TABLE contacts DROP COLUMN member_writes;

-- The version before this one knows no patch. It reads the record as an update.
CREATE TABLE operations_new (
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

INSERT INTO operations_new
SELECT id, contact_id, iif(operation = 'patch', 'update', operation), status, reason, replays, fingerprint, accepted_at, completed_at FROM operations;

DROP TABLE operations;
ALTER TABLE operations_new RENAME TO operations;

CREATE INDEX operations_completed_at ON operations (completed_at);
