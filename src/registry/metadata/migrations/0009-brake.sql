-- What every process that sweeps must agree on: what was swept lately, and what a person has allowed (storage.md, G5). What stops it is in gc_pauses.

-- One row a batch, append-only, so that nobody waits for anybody's count.
CREATE TABLE gc_sweeps (
  at timestamptz NOT NULL DEFAULT now(),
  objects bigint NOT NULL,
  bytes bigint NOT NULL,
  approved_bytes bigint NOT NULL -- of these bytes: what was doomed before a person said go on
);
CREATE INDEX gc_sweeps_at ON gc_sweeps (at);

-- What was doomed until then does not count for the brake.
ALTER TABLE gc_settings ADD COLUMN approved_until timestamptz NOT NULL DEFAULT '-infinity';

-- The time of a review is asked once a statement, not once a row: a prune loses a million references.
CREATE OR REPLACE FUNCTION queue_lost_references() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  due timestamptz := review_time();
BEGIN
  INSERT INTO gc_queue (repository, digest, review_after)
  SELECT DISTINCT repository, digest, due FROM deleted ORDER BY repository, digest;
  RETURN NULL;
END $$;

-- What became visible since `seen` (storage.md, "Reading"), by the index alone: a plan that was made while the table was small, or without
-- statistics, would read every change that waits to be pruned, a few hundred times a second while a prune makes them. What is visible is below
-- the xmax of the snapshot that sees it.
CREATE FUNCTION changed_keys(seen pg_snapshot) RETURNS text[] LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
BEGIN
  RETURN ARRAY(
    SELECT key FROM changes WHERE xid >= pg_snapshot_xmax(seen) AND xid < pg_snapshot_xmax(pg_current_snapshot())
    UNION
    SELECT key FROM changes WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip(seen)))
  );
END $$;
