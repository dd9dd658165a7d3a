-- The change feed: the applied operations in the order of their positions. `docs/adr/0023-change-feed.md` proves that a
-- reader misses none. NULL: not applied, or applied before this migration. 0: the change has an earlier place in the feed,
-- and only its record was written again.
ALTER TABLE operations ADD COLUMN position bigint;

CREATE INDEX operations_position ON operations (position) WHERE position IS NOT NULL;

-- Each value is the first position of a block of 65,536. A batch takes one block.
CREATE SEQUENCE changes_position AS bigint START WITH 65536 INCREMENT BY 65536;

-- One row: the greatest position that was removed, and its operation. Up to it the feed has gaps.
CREATE TABLE changes (
    one boolean PRIMARY KEY DEFAULT true CONSTRAINT changes_one CHECK (one),
    pruned bigint NOT NULL,
    pruned_operation uuid
);

INSERT INTO changes (pruned) VALUES (0);

-- The advisory locks of this table have this number in their upper 16 bits, and the number of a block in the lower 47. Its
-- first bit is set, so no small key of another program looks like one.
CREATE FUNCTION changes_tag() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT ('changes_position'::regclass::oid::bigint & 32767) | 32768
$$;

-- The first position that no transaction has reserved. A query of the sequence would not do: while `nextval` writes to the
-- log, it shows a value that is up to 32 calls ahead. This function waits for it.
CREATE FUNCTION changes_next() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(pg_sequence_last_value('changes_position') + 65536, 65536)
$$;

-- The first position of a block for this transaction. The lock says until the end of the transaction that it may write
-- positions from there on. It must be taken between the two calls of the sequence.
CREATE FUNCTION changes_reserve() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared((changes_tag() << 47) | (changes_next() >> 16));
    RETURN nextval('changes_position');
END
$$;

-- `next_position`: the first position that no transaction has reserved. `visible_end`: every change before it is committed
-- or will never be, and the next statement sees it. The locks must be read after the sequence. A standby does not
-- have them.
CREATE FUNCTION changes_end(OUT next_position bigint, OUT visible_end bigint) LANGUAGE plpgsql AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction',
            MESSAGE = 'cannot execute changes_end() during recovery';
    END IF;
    next_position := changes_next();
    SELECT least(next_position, (min(key & ((1::bigint << 47) - 1)) << 16)) INTO visible_end
    FROM (
        SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS locks
    WHERE (key >> 47) = changes_tag();
END
$$;

-- An older version of the program writes no positions. Its transactions take one block, too: a lock for each row could be
-- more than the lock table holds.
CREATE FUNCTION changes_number() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    next_position bigint := nullif(current_setting('contacts.next_position', true), '');
BEGIN
    IF next_position IS NULL OR next_position % 65536 = 0 THEN
        next_position := changes_reserve();
    END IF;
    NEW.position := next_position;
    PERFORM set_config('contacts.next_position', (next_position + 1)::text, true);
    RETURN NEW;
END
$$;

CREATE TRIGGER operations_inserted_without_position BEFORE INSERT ON operations FOR EACH ROW
WHEN (NEW.status = 'applied' AND NEW.position IS NULL)
EXECUTE FUNCTION changes_number();

CREATE TRIGGER operations_replayed_without_position BEFORE UPDATE ON operations FOR EACH ROW
WHEN (NEW.status = 'applied' AND NEW.position IS NULL AND OLD.status <> 'applied')
EXECUTE FUNCTION changes_number();

-- Whoever removes rows, also an older version: a reader must know that they are missing.
CREATE FUNCTION changes_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE changes SET pruned = last.position, pruned_operation = last.id
    FROM (SELECT position, id FROM removed WHERE position > 0 ORDER BY position DESC LIMIT 1) AS last
    WHERE last.position > changes.pruned;
    RETURN NULL;
END
$$;

CREATE TRIGGER operations_removed AFTER DELETE ON operations REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION changes_removed();
