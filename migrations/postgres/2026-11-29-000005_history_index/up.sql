-- The operations of a contact. In a transaction of its own: while the index is made, consumers wait, but reads do not.
CREATE INDEX operations_contact ON operations (contact_id, completed_at);
-- For `contacts subject`. It has no entries unless `history.values` is set.
CREATE INDEX operations_old_values ON operations (id) WHERE old_values IS NOT NULL;
