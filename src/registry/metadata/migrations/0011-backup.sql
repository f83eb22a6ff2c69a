-- The marker in the store and this row count together (services/marker.ts), so that one that went back in time is noticed.
ALTER TABLE installation ADD COLUMN counter bigint NOT NULL DEFAULT 0;
ALTER TABLE installation ADD COLUMN marked bigint NOT NULL DEFAULT 0; -- the highest counter that the store is known to have
ALTER TABLE installation ADD COLUMN snapshot_at timestamptz; -- when the newest snapshot of the metadata was begun

-- As long as there is a row nothing is deleted in the store, by any process. The reasons are in gc-pauses.ts.
CREATE TABLE gc_pauses (
  reason text COLLATE "C" PRIMARY KEY,
  since timestamptz NOT NULL DEFAULT now(),
  detail text NOT NULL -- for a person: what was found
);
