DROP INDEX contacts_sample;
DROP INDEX contacts_updated_at;
DROP INDEX contacts_search;
DROP FUNCTION contacts_words;
