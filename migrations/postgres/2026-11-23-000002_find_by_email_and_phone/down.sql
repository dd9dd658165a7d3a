DROP INDEX contacts_phone;
DROP INDEX contacts_email;
