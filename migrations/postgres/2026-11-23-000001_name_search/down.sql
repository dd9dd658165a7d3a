DROP TRIGGER contacts_name_key ON contacts;
DROP FUNCTION contacts_forget_name_key();
DROP INDEX contacts_name;
ALTER TABLE contacts DROP COLUMN name_key;
