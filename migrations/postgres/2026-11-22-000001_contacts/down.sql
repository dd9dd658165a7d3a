DROP TABLE retention;
DROP TABLE operations;
DROP TABLE contacts;
