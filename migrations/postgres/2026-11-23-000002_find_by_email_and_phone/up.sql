-- For keyset pages of contacts with one e-mail address (in any case) or one phone number.
CREATE INDEX contacts_email ON contacts (lower(email) COLLATE "C", id) WHERE deleted_at IS NULL;
CREATE INDEX contacts_phone ON contacts (phone COLLATE "C", id) WHERE deleted_at IS NULL;
