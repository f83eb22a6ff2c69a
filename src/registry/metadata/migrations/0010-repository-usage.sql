-- What each repository holds, as a sum that needs no look at its blobs: rows are added, never changed, so that neither a push nor the
-- collector waits for another. The sum of a repository's rows is its bytes, in every transaction that can be seen.
CREATE TABLE repository_usage (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  repository bigint NOT NULL,
  bytes bigint NOT NULL, -- what a statement added or took away, or the sum of rows before it
  xid xid8 DEFAULT pg_current_xact_id() -- whose statement; null: a sum
);
CREATE INDEX repository_usage_repository ON repository_usage (repository, id);

-- Many rows become one; those that somebody else makes one at this moment are left to him. Once in twenty times, so that few are read.
CREATE FUNCTION sum_up_usage(ids bigint[]) RETURNS void LANGUAGE sql AS $$
  WITH old AS (
    SELECT id FROM repository_usage
    WHERE repository = ANY (ids) AND xid IS DISTINCT FROM pg_current_xact_id()
    ORDER BY repository, id
    LIMIT 1000
    FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM repository_usage USING old WHERE repository_usage.id = old.id RETURNING repository, bytes
  )
  INSERT INTO repository_usage (repository, bytes, xid) SELECT repository, sum(bytes), NULL FROM gone GROUP BY repository
$$;

-- One look at an index for each row, whatever the plan was made for: a session plans once, for one link or for a thousand of them.
CREATE FUNCTION count_links() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
  INSERT INTO repository_usage (repository, bytes)
  SELECT repository, sign * sum(size)
  FROM (SELECT c.repository, (SELECT b.size FROM blobs b WHERE b.digest = c.digest) AS size FROM changed c OFFSET 0) AS sized
  GROUP BY repository HAVING sum(size) > 0;
  IF FOUND AND random() < 0.05 THEN
    PERFORM sum_up_usage(ARRAY(SELECT DISTINCT repository FROM changed));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER repository_blobs_counted AFTER INSERT ON repository_blobs
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_links();
CREATE TRIGGER repository_blobs_discounted AFTER DELETE ON repository_blobs
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_links();

CREATE FUNCTION count_manifests() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
  INSERT INTO repository_usage (repository, bytes)
  SELECT repository, sign * sum(length(bytes)) FROM changed GROUP BY repository;
  IF FOUND AND random() < 0.05 THEN
    PERFORM sum_up_usage(ARRAY(SELECT DISTINCT repository FROM changed));
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER manifests_counted AFTER INSERT ON manifests
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_manifests();
CREATE TRIGGER manifests_discounted AFTER DELETE ON manifests
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_manifests();

-- The triggers lock both tables against writes until this is committed: nothing is counted twice or not at all.
INSERT INTO repository_usage (repository, bytes, xid)
SELECT repository, sum(bytes), NULL FROM (
  SELECT l.repository, b.size AS bytes FROM repository_blobs l JOIN blobs b ON b.digest = l.digest
  UNION ALL
  SELECT repository, length(bytes) FROM manifests
) AS found
GROUP BY repository HAVING sum(bytes) > 0;

-- A blob that arrives is held by the manifests of an own repository that were pushed without it. Who stores such a manifest has the lock
-- alone, who brings a blob shares it: neither misses the other's row that is not committed yet.
CREATE FUNCTION hold_arrived_blobs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE link record; own bigint;
BEGIN
  FOR link IN SELECT repository, digest FROM changed ORDER BY repository, digest LOOP
    IF own IS DISTINCT FROM link.repository THEN
      SELECT id INTO own FROM repositories WHERE id = link.repository AND upstream IS NULL;
      CONTINUE WHEN own IS NULL;
      PERFORM pg_advisory_xact_lock_shared(hashtextextended('blobs of ' || own, 0));
    END IF;
    UPDATE manifest_blobs SET held = digest WHERE repository = own AND digest = link.digest AND held IS NULL;
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER repository_blobs_arrived AFTER INSERT ON repository_blobs
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION hold_arrived_blobs();
