-- Without these rows, a message from before an erasure is applied.
DROP TABLE erasure_key;
DROP TABLE erasures;
