CREATE INDEX operations_contact ON operations (contact_id, completed_at);
CREATE INDEX operations_old_values ON operations (id) WHERE old_values IS NOT NULL;
