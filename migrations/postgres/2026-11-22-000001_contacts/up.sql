-- A deleted contact keeps its row without its details (a tombstone). So its id is never used again.
CREATE TABLE contacts (
    id uuid PRIMARY KEY,
    version uuid NOT NULL,
    stamp bigint NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    name text,
    phone text,
    ddd smallint,
    email text,
    CONSTRAINT contacts_live_or_erased CHECK (
        CASE WHEN deleted_at IS NULL
            THEN name IS NOT NULL AND phone IS NOT NULL AND ddd IS NOT NULL AND email IS NOT NULL
            ELSE name IS NULL AND phone IS NULL AND ddd IS NULL AND email IS NULL
        END
    )
);

-- For keyset pages of one area.
CREATE INDEX contacts_ddd ON contacts (ddd, id) WHERE deleted_at IS NULL;

-- One row for each finished operation. It is written in the transaction of its effect.
CREATE TABLE operations (
    id uuid PRIMARY KEY,
    contact_id uuid NOT NULL,
    operation text NOT NULL CONSTRAINT operations_operation CHECK (operation IN ('insert', 'update', 'delete')),
    status text NOT NULL CONSTRAINT operations_status CHECK (status IN ('applied', 'superseded', 'failed')),
    reason text,
    replays integer NOT NULL,
    fingerprint uuid,
    accepted_at timestamptz NOT NULL,
    completed_at timestamptz NOT NULL,
    CONSTRAINT operations_failed_with_reason CHECK ((status = 'failed') = (reason IS NOT NULL))
);

-- Rows are inserted in the order of this time. So a small BRIN index is enough to find old rows.
CREATE INDEX operations_completed_at ON operations USING brin (completed_at) WITH (pages_per_range = 32);
CREATE INDEX contacts_deleted_at ON contacts (deleted_at) WHERE deleted_at IS NOT NULL;

-- One row after the first prune. Operations and tombstones from before this time may already be removed.
CREATE TABLE retention (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT retention_one CHECK (one),
    pruned_before timestamptz NOT NULL
);
