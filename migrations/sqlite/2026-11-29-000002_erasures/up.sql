-- The same tables as in PostgreSQL.
CREATE TABLE erasures (
    id BLOB PRIMARY KEY,
    erased_at INTEGER NOT NULL,
    digests BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX erasures_erased_at ON erasures (erased_at);

CREATE TABLE erasure_key (
    one INTEGER PRIMARY KEY CONSTRAINT erasure_key_one CHECK (one = 1),
    secret BLOB NOT NULL
) STRICT;
