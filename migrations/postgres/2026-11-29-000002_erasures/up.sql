-- What must not return after a person was erased: keyed digests (HMAC-SHA-256, 32 bytes each) of the contacts, phone
-- numbers and e-mail addresses, one after the other. There is one row for each erasure.
CREATE TABLE erasures (
    id uuid PRIMARY KEY,
    erased_at timestamptz NOT NULL,
    digests bytea NOT NULL
);

-- A batch reads the erasures since its oldest command: usually none.
CREATE INDEX erasures_erased_at ON erasures (erased_at);

-- The secret of the digests. The first erasure makes it.
CREATE TABLE erasure_key (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT erasure_key_one CHECK (one),
    secret bytea NOT NULL
);
