DROP INDEX operations_old_values;
DROP INDEX operations_contact;
