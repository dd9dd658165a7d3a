DROP INDEX contacts_name;
ALTER TABLE contacts DROP COLUMN name_key;
