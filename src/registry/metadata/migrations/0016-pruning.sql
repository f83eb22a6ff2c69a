-- What deleting and collecting cost the database for each row, besides the rows themselves (ADR 0013).

-- A session forgot its object when the row of the object went, one question for each object that is swept. Nothing asks for it any more: what a
-- session has is found by `objects.session`, and one whose objects were given up is told by their state. The column stays for the version before.
ALTER TABLE uploads DROP CONSTRAINT uploads_object_key_fkey;
DROP INDEX uploads_object;

-- Where bytes came from goes with the blob: once for each statement that deletes blobs, whichever version of the program it is of. Who adds an
-- origin has the blob's row locked since before (U2 stores the blob in the same transaction), so whoever deletes that row sees every origin. Looked
-- up one by one: a session plans this once, for a single blob or for a thousand.
ALTER TABLE blob_origins DROP CONSTRAINT blob_origins_digest_fkey;
CREATE FUNCTION forget_origins() RETURNS trigger LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  DELETE FROM blob_origins o USING deleted WHERE o.digest = deleted.digest;
  RETURN NULL;
END $$;
CREATE TRIGGER blobs_deleted AFTER DELETE ON blobs
  REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION forget_origins();

-- RESTRICT for what holds a manifest, as for what holds a link, a blob and an object (0014): NO ACTION asks first whether the manifest is back.
ALTER TABLE tags ADD CONSTRAINT tags_manifest_restrict
  FOREIGN KEY (repository, digest) REFERENCES manifests (repository, digest) ON DELETE RESTRICT NOT VALID;
ALTER TABLE tags DROP CONSTRAINT tags_manifest;
ALTER TABLE tags RENAME CONSTRAINT tags_manifest_restrict TO tags_manifest;

ALTER TABLE manifest_children ADD CONSTRAINT manifest_children_held_restrict
  FOREIGN KEY (repository, held) REFERENCES manifests (repository, digest) ON DELETE RESTRICT NOT VALID;
ALTER TABLE manifest_children DROP CONSTRAINT manifest_children_held;
ALTER TABLE manifest_children RENAME CONSTRAINT manifest_children_held_restrict TO manifest_children_held;

ALTER TABLE ledger ADD CONSTRAINT ledger_held_restrict
  FOREIGN KEY (repository, held) REFERENCES manifests (repository, digest) ON DELETE RESTRICT NOT VALID;
ALTER TABLE ledger DROP CONSTRAINT ledger_held;
ALTER TABLE ledger RENAME CONSTRAINT ledger_held_restrict TO ledger_held;

ALTER TABLE ledger_evidence ADD CONSTRAINT ledger_evidence_held_restrict
  FOREIGN KEY (repository, held) REFERENCES manifests (repository, digest) ON DELETE RESTRICT NOT VALID;
ALTER TABLE ledger_evidence DROP CONSTRAINT ledger_evidence_held;
ALTER TABLE ledger_evidence RENAME CONSTRAINT ledger_evidence_held_restrict TO ledger_evidence_held;

ALTER TABLE proposal_pins ADD CONSTRAINT proposal_pins_held_restrict
  FOREIGN KEY (repository, held) REFERENCES manifests (repository, digest) ON DELETE RESTRICT NOT VALID;
ALTER TABLE proposal_pins DROP CONSTRAINT proposal_pins_held;
ALTER TABLE proposal_pins RENAME CONSTRAINT proposal_pins_held_restrict TO proposal_pins_held;
