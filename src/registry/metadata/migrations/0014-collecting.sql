-- What each blob costs the collector when it goes.

-- A link that the collector takes away is usually followed by its blob in the same transaction, which then has nothing to look at again; it says
-- so with `wharfinger.links_settled` and queues what it leaves (gc-review.ts). Whoever else deletes a link is queued for, as ever.
CREATE OR REPLACE FUNCTION queue_lost_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('wharfinger.links_settled', true) IS DISTINCT FROM 'on' THEN
    INSERT INTO gc_queue (repository, digest, review_after)
    SELECT repository, digest, now() FROM deleted ORDER BY repository, digest;
  END IF;
  INSERT INTO changes (key)
  SELECT 'blob:' || repository || ':' || digest FROM deleted;
  RETURN NULL;
END $$;

-- The same foreign keys as before, with RESTRICT: NO ACTION asks first, for each row that goes, whether another one with its key has come in the
-- same statement, which none of ours does. NOT VALID spares a scan of every row under this lock: each has been held to the constraint that goes in
-- the same transaction.
ALTER TABLE manifest_blobs ADD CONSTRAINT manifest_blobs_held_restrict
  FOREIGN KEY (repository, held) REFERENCES repository_blobs (repository, digest) ON DELETE RESTRICT NOT VALID;
ALTER TABLE manifest_blobs DROP CONSTRAINT manifest_blobs_held;
ALTER TABLE manifest_blobs RENAME CONSTRAINT manifest_blobs_held_restrict TO manifest_blobs_held;

ALTER TABLE repository_blobs ADD CONSTRAINT repository_blobs_digest_restrict
  FOREIGN KEY (digest) REFERENCES blobs (digest) ON DELETE RESTRICT NOT VALID;
ALTER TABLE repository_blobs DROP CONSTRAINT repository_blobs_digest_fkey;
ALTER TABLE repository_blobs RENAME CONSTRAINT repository_blobs_digest_restrict TO repository_blobs_digest_fkey;

ALTER TABLE blobs ADD CONSTRAINT blobs_object_key_restrict
  FOREIGN KEY (object_key) REFERENCES objects (key) ON DELETE RESTRICT NOT VALID;
ALTER TABLE blobs DROP CONSTRAINT blobs_object_key_fkey;
ALTER TABLE blobs RENAME CONSTRAINT blobs_object_key_restrict TO blobs_object_key_fkey;
